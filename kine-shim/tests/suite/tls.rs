//! TLS: who may connect over TCP, and how certificates change.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use chassis::tls::{Authority, Profile};
use proto::etcdserverpb::{StatusRequest, maintenance_client::MaintenanceClient};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::{
    databases::Database,
    support::{PATIENCE, Shim, etcdctl},
};

/// An authority with what it has issued, in a directory.
struct Pki {
    authority: Authority,
    directory: PathBuf,
}

impl Pki {
    fn new(directory: &Path, name: &str) -> Self {
        let authority = Authority::generate(name).expect("authority");
        let directory = directory.join(name);
        std::fs::create_dir(&directory).expect("directory");
        std::fs::write(directory.join("ca.crt"), authority.certificate()).expect("write");
        Self { authority, directory }
    }

    fn issue(&self, name: &str, profile: &Profile) {
        let issued = self.authority.issue(profile).expect("certificate");
        for (suffix, text) in [("crt", issued.certificate.as_str()), ("key", issued.key.as_str())] {
            let new = self.directory.join("new");
            std::fs::write(&new, text).expect("write");
            std::fs::rename(new, self.directory.join(format!("{name}.{suffix}"))).expect("rename");
        }
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.join(name)).expect("read")
    }

    fn identity(&self, name: &str) -> Identity {
        Identity::from_pem(self.read(&format!("{name}.crt")), self.read(&format!("{name}.key")))
    }
}

async fn start(database: &Database) -> (Shim, Pki) {
    chassis::tls::install_provider();
    let pki = Pki::new(database.directory.path(), "pki");
    pki.issue("server", &Profile::server("etcd", ["127.0.0.1", "localhost"]));
    pki.issue("client", &Profile::client("apiserver", ["system:masters"]));
    let flags = [
        format!("--server-cert-file={}", pki.file("server.crt")),
        format!("--server-key-file={}", pki.file("server.key")),
        format!("--trusted-ca-file={}", pki.file("ca.crt")),
    ];
    let shim = Shim::start_with(database, &flags.each_ref().map(String::as_str)).await;
    (shim, pki)
}

/// The status over a new connection.
async fn ask(endpoint: Endpoint) -> Result<String, String> {
    let asked = async {
        let channel = endpoint.connect().await.map_err(|error| format!("{error:?}"))?;
        let status = MaintenanceClient::new(channel).status(StatusRequest {}).await;
        status
            .map(|answer| answer.into_inner().version)
            .map_err(|status| status.to_string())
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time")
}

fn dial(shim: &Shim, ca: &Pki, identity: Option<Identity>) -> Endpoint {
    let port = shim.tcp().port();
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca.read("ca.crt")));
    if let Some(identity) = identity {
        tls = tls.identity(identity);
    }
    Endpoint::from_shared(format!("https://127.0.0.1:{port}"))
        .and_then(|endpoint| endpoint.tls_config(tls))
        .expect("endpoint")
        .connect_timeout(Duration::from_secs(5))
}

#[tokio::test]
async fn only_clients_of_the_authority_are_let_in() {
    let database = Database::file();
    let (shim, pki) = start(&database).await;
    let stranger = Pki::new(database.directory.path(), "stranger");
    stranger.issue("client", &Profile::client("apiserver", ["system:masters"]));
    // A certificate for servers does not make a client.
    pki.issue("other", &Profile::server("other", ["127.0.0.1"]));

    assert_eq!(
        ask(dial(&shim, &pki, Some(pki.identity("client")))).await,
        Ok("3.6.11".into())
    );
    for (who, identity) in [
        ("without a certificate", None),
        ("of another authority", Some(stranger.identity("client"))),
        ("with a server's certificate", Some(pki.identity("other"))),
    ] {
        assert!(ask(dial(&shim, &pki, identity)).await.is_err(), "{who}");
    }
    let plain = Endpoint::from_shared(format!("http://{}", shim.tcp())).expect("endpoint");
    assert!(ask(plain).await.is_err(), "in plain text");
    // Nobody was held up, and the unix socket asks for nothing.
    assert_eq!(
        ask(dial(&shim, &pki, Some(pki.identity("client")))).await,
        Ok("3.6.11".into())
    );
    shim.client.set("a", "1").await;
    shim.stop().await;
}

#[tokio::test]
async fn a_changed_certificate_is_used_for_the_next_connection() {
    let database = Database::file();
    let (shim, pki) = start(&database).await;
    let next = Pki::new(database.directory.path(), "next");
    next.issue("server", &Profile::server("etcd", ["127.0.0.1"]));
    next.issue("client", &Profile::client("apiserver", ["system:masters"]));
    assert!(ask(dial(&shim, &next, Some(next.identity("client")))).await.is_err());
    for name in ["server.crt", "server.key", "ca.crt"] {
        std::fs::rename(next.directory.join(name), pki.directory.join(name)).expect("rename");
    }
    std::fs::write(next.directory.join("ca.crt"), next.authority.certificate()).expect("write");
    assert_eq!(
        ask(dial(&shim, &next, Some(next.identity("client")))).await,
        Ok("3.6.11".into())
    );
    shim.stop().await;
}

#[tokio::test]
async fn etcdctl_connects() {
    let Some(program) = etcdctl() else { return };
    let database = Database::file();
    let (shim, pki) = start(&database).await;
    let run = |endpoint: String, tls: bool| {
        let mut command = Command::new(program);
        command.env("ETCDCTL_API", "3").args(["--endpoints", &endpoint]);
        command.args(["--dial-timeout=2s", "--command-timeout=2s"]);
        if tls {
            command.args(["--cacert", &pki.file("ca.crt")]);
            command.args(["--cert", &pki.file("client.crt"), "--key", &pki.file("client.key")]);
        }
        command.args(["put", "a", "1"]);
        tokio::task::spawn_blocking(move || command.output().expect("etcdctl"))
    };
    let done = run(shim.tcp().to_string(), true).await.expect("task");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "OK\n", "{done:?}");
    let refused = run(shim.tcp().to_string(), false).await.expect("task");
    assert!(!refused.status.success());
    shim.stop().await;
}

#[tokio::test]
async fn mistakes_at_start_name_flag_and_file() {
    let database = Database::file();
    let pki = Pki::new(database.directory.path(), "pki");
    pki.issue("server", &Profile::server("etcd", ["127.0.0.1"]));
    let file = |name: &str| pki.file(name);
    let refused = async |flags: &[String]| {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let Err(error) = Shim::try_start(&database, &flags).await else {
            panic!("{flags:?} were taken");
        };
        format!("{error:#}")
    };
    let certificate = format!("--server-cert-file={}", file("server.crt"));
    let key = format!("--server-key-file={}", file("server.key"));
    let error = refused(&[certificate.clone(), format!("--server-key-file={}", file("no.key"))]).await;
    assert!(
        error.starts_with("--server-key-file: cannot read") && error.contains("no.key"),
        "{error}"
    );
    let error = refused(&[certificate, key, format!("--trusted-ca-file={}", file("server.key"))]).await;
    assert!(
        error.starts_with("--trusted-ca-file: ") && error.contains("server.key"),
        "{error}"
    );
    let error = refused(&["--listen-address=0.0.0.0:0".to_owned()]).await;
    assert!(error.contains("--allow-unauthenticated-clients"), "{error}");
}
