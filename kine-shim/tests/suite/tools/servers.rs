//! Stores travel between files and database servers and stay what they are.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use proto::etcdserverpb::RangeRequest;

use super::{copies::run, digest, fill, findings_at, url};
use crate::{
    databases::{Database, Kind},
    random::{Random, rounds},
    servers::Product,
    support::{PATIENCE, Process, Shim, bytes},
};

/// Both servers, `None` when one of them is not installed.
fn servers() -> Option<[Database; 2]> {
    let postgres = Database::new(Kind::Server(Product::Postgres))?;
    let mariadb = Database::new(Kind::Server(Product::MariaDb))?;
    Some([postgres, mariadb])
}

/// Everything a client can ask of a store.
async fn answers(database: &Database) -> String {
    let shim = Shim::start(database).await;
    let mut told = Vec::new();
    let newest = shim.app.store.revision();
    for revision in shim.app.store.compacted().max(1)..=newest {
        let request = RangeRequest {
            key: bytes("\0"),
            range_end: bytes("\0"),
            revision,
            ..Default::default()
        };
        told.push(format!("{:?}", shim.client.range(request).await.expect("range").kvs));
    }
    let mut leases = shim.app.store.leases();
    leases.sort_unstable();
    let hash = shim.app.store.hash_kv(0).await.expect("hash");
    shim.stop().await;
    format!("{told:?} {leases:?} {hash:?}")
}

fn copy(from: &Database, file: &std::path::Path, to: &Database, flags: &[&str]) -> (Option<i32>, String) {
    let file = file.display().to_string();
    let (code, said) = run(&["snapshot", "--endpoint", &from.endpoint(), &file]);
    assert_eq!(code, Some(0), "{said}");
    let to = to.endpoint();
    run(&[&["restore", file.as_str(), "--endpoint", to.as_str()], flags].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_goes_round_all_databases() {
    let Some([postgres, mariadb]) = servers() else { return };
    let (first, last) = (Database::file(), Database::file());
    fill(&first, 21).await;
    let expected = answers(&first).await;
    let whole = digest(&first.endpoint());
    let file = first.directory.path().join("snapshot.db");
    for [from, to] in [[&first, &postgres], [&postgres, &mariadb], [&mariadb, &last]] {
        let (code, said) = copy(from, &file, to, &[]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&whole), "{said}");
        assert_eq!(digest(&to.endpoint()), whole);
        assert_eq!(findings_at(&to.endpoint()), Vec::<String>::new());
        assert_eq!(answers(to).await, expected);
        assert_eq!(digest(&to.endpoint()), whole, "serving it changes nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_a_server_is_replaced_only_when_asked_and_idle() {
    let Some(databases) = servers() else { return };
    let source = Database::file();
    fill(&source, 22).await;
    let whole = digest(&source.endpoint());
    let file = source.directory.path().join("snapshot.db");
    for database in &databases {
        fill(database, 23).await;
        let old = digest(&database.endpoint());
        assert_ne!(old, whole);
        let (code, said) = copy(&source, &file, database, &[]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("--replace") && !said.contains("sesame"), "{said}");
        assert_eq!(digest(&database.endpoint()), old);

        let shim = Shim::start(database).await;
        let (code, said) = copy(&source, &file, database, &["--replace"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("stop that"), "{said}");
        shim.stop().await;
        assert_eq!(digest(&database.endpoint()), old);

        let (code, said) = copy(&source, &file, database, &["--replace"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("kine_replaced_1"), "{said}");
        assert_eq!(digest(&database.endpoint()), whole);
        let kept = match database.kind {
            Kind::Server(Product::Postgres) => "SELECT count(*) FROM kine_replaced_1.kine",
            _ => "SELECT count(*) FROM kine_replaced_1",
        };
        assert_ne!(database.query(kept), [["0"]]);
        // It goes on from there.
        let shim = Shim::start(database).await;
        let newest = shim.app.store.revision();
        assert_eq!(shim.client.set("after", "x").await, newest + 1);
        shim.stop().await;
    }
}

/// Repeats a tool until it works: a server may take a moment to miss a process that was killed.
fn until(tool: impl Fn() -> (Option<i32>, String)) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (code, said) = tool();
        if code == Some(0) {
            return;
        }
        assert!(Instant::now() < deadline, "{said}");
    }
}

/// Waits for the server to be done with what it was last told.
fn settled(endpoint: &str) {
    until(|| run(&["check", endpoint]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_restore_on_a_server_leaves_one_of_the_two() {
    let Some(databases) = servers() else { return };
    let mut random = Random::new("an_interrupted_restore_on_a_server_leaves_one_of_the_two");
    let source = Database::file();
    fill(&source, 24).await;
    let new = digest(&source.endpoint());
    let file = source.directory.path().join("snapshot.db").display().to_string();
    let (code, said) = run(&["snapshot", "--endpoint", &source.endpoint(), &file]);
    assert_eq!(code, Some(0), "{said}");
    for database in &databases {
        fill(database, 25).await;
        let old = digest(&database.endpoint());
        let began = Instant::now();
        let _ = run(&["check", &database.endpoint()]);
        let mut took = 4 * began.elapsed();
        for _ in 0..rounds(6, 200) {
            let process = Process::spawn(
                Command::new(env!("CARGO_BIN_EXE_kine-shim"))
                    .args(["restore", &file, "--replace", "--endpoint", &database.endpoint()])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null()),
            );
            tokio::time::sleep(random.moment(took)).await;
            process.kill();
            settled(&database.endpoint());
            let now = digest(&database.endpoint());
            assert!(now == old || now == new, "neither the old store nor the new one");
            assert_eq!(findings_at(&database.endpoint()), Vec::<String>::new());
            took += took / 8;
        }
        until(|| run(&["restore", &file, "--replace", "--endpoint", &database.endpoint()]));
        assert_eq!(digest(&database.endpoint()), new);
    }
    assert_eq!(digest(&url(std::path::Path::new(&file))), new);
}
