//! Getting to a database server: sockets, passwords, certificates, and what is said when it does not work.

use chassis::tls::Authority;

use crate::{
    databases::{Database, endpoint_as, on_every_server},
    servers::{CERTIFIED_USER, PASSWORD, Product, USER},
    support::{Shim, free_port},
};

on_every_server! {
    sockets_lead_there_too,
    a_missing_database_is_made,
    passwords_may_be_in_a_file,
    certificates_are_checked_and_shown,
    mistakes_are_told_in_one_sentence,
}

/// That a store works.
async fn works(database: &Database, flags: &[&str]) {
    let shim = Shim::start_with(database, flags).await;
    shim.client.set("a", "1").await;
    assert_eq!(shim.client.get("a").await.as_deref(), Some("1"));
    shim.stop().await;
}

/// Why a store does not open.
async fn refusal(database: &Database, flags: &[&str]) -> String {
    match Shim::try_start(database, flags).await {
        Ok(_) => panic!("it started with {flags:?}"),
        Err(error) => {
            let text = format!("{error:#}");
            assert!(!text.contains(PASSWORD) && !text.contains("wrong one"), "{text}");
            assert!(!text.contains('\n'), "{text}");
            text
        }
    }
}

async fn sockets_lead_there_too(database: &Database) {
    let (server, name) = database.place();
    let directory = server.directory.display();
    let endpoint = match server.product {
        Product::Postgres => format!(
            "postgres://{USER}:{}@/{name}?host={directory}&port={}",
            PASSWORD.replace(' ', "%20"),
            server.port
        ),
        Product::MariaDb => format!("mysql://{USER}:{PASSWORD}@unix({directory}/socket)/{name}"),
    };
    works(&database.named(endpoint), &[]).await;
}

async fn a_missing_database_is_made(database: &Database) {
    let (server, name) = database.place();
    let missing = format!("{name}_more");
    let endpoint = endpoint_as(server, &format!("{USER}:{PASSWORD}"), &missing);
    works(&database.named(endpoint), &[]).await;
    assert_eq!(server.query(&missing, "SELECT count(*) FROM kine"), [["2"]]);
    server.drop_database(&missing);
}

async fn passwords_may_be_in_a_file(database: &Database) {
    let (server, name) = database.place();
    let without = database.named(endpoint_as(server, USER, name));
    let file = without.directory.path().join("password");
    let flag = format!("--endpoint-password-file={}", file.display());
    let missing = refusal(&without, &[&flag]).await;
    assert!(missing.contains("--endpoint-password-file"), "{missing}");
    std::fs::write(&file, "wrong one\n").expect("write");
    let wrong = refusal(&without, &[&flag]).await;
    assert!(wrong.contains("password"), "{wrong}");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("write");
    works(&without, &[&flag]).await;
}

async fn certificates_are_checked_and_shown(database: &Database) {
    let (server, name) = database.place();
    let flag = |flag: &str, file: &str| format!("{flag}={}", server.file(file).display());
    let authority = flag("--ca-file", "ca.crt");
    works(database, &[&authority]).await;
    works(database, &["--skip-verify"]).await;

    let certified = database.named(endpoint_as(server, CERTIFIED_USER, name));
    let (certificate, key) = (flag("--cert-file", "client.crt"), flag("--key-file", "client.key"));
    works(&certified, &[&authority, &certificate, &key]).await;
    let refused = refusal(&certified, &[&authority]).await;
    assert!(refused.contains(CERTIFIED_USER), "{refused}");

    let other = Authority::generate("somebody else").expect("authority");
    let file = certified.directory.path().join("other.crt");
    std::fs::write(&file, other.certificate()).expect("write");
    let refused = refusal(database, &[&format!("--ca-file={}", file.display())]).await;
    assert!(refused.contains("certificate"), "{refused}");
    std::fs::write(&file, "no certificate").expect("write");
    let refused = refusal(database, &[&format!("--ca-file={}", file.display())]).await;
    assert!(
        refused.contains("--ca-file") && refused.contains("other.crt"),
        "{refused}"
    );
}

async fn mistakes_are_told_in_one_sentence(database: &Database) {
    let (server, name) = database.place();
    for (who, part) in [
        (format!("{USER}:wrong one"), "password"),
        ("nobody:wrong one".into(), "nobody"),
    ] {
        let wrong = database.named(endpoint_as(server, &who, name));
        let told = refusal(&wrong, &[]).await;
        assert!(told.contains("--endpoint") && told.contains(part), "{told}");
    }
    let port = free_port().to_string();
    let nowhere = database.endpoint().replace(&server.port.to_string(), &port);
    let told = refusal(&database.named(nowhere), &[]).await;
    assert!(
        told.contains(&port) && told.to_lowercase().contains("refused"),
        "{told}"
    );
}
