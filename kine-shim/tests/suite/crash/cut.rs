//! Upgrades and restores that are cut off leave a store that can be used: the old one, or the new one.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use kine_shim::{
    backend::endpoint::{DatastoreOptions, Endpoint},
    tools::snapshot,
};
use rusqlite::Connection;

use super::{findings, only_known_files, spawn};
use crate::{
    databases::Database,
    random::{Random, rounds},
    support::{Client, Process},
};

/// A store as kine leaves it, large enough for its upgrade to take a moment.
fn of_kine(path: &Path) {
    let connection = Connection::open(path).expect("open");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, created INTEGER, deleted INTEGER,
                 create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB);
             CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision);
             INSERT INTO kine VALUES (1, 'compact_rev_key', 1, 0, 0, 0, 0, x'', NULL);
             WITH RECURSIVE n(i) AS (VALUES (2) UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
             INSERT INTO kine SELECT i, '/registry/' || i, 1, 0, 0, 0, 3600, randomblob(300), NULL FROM n;
             WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 500)
             INSERT INTO kine SELECT 2000 + i, 'compact_rev_key_apiserver', i = 1, 0, iif(i = 1, 0, 2001),
                 iif(i = 1, 0, 1999 + i), 0, CAST(i || '|' || (i * 10) AS BLOB), NULL FROM n;",
        )
        .expect("kine's store");
}

/// The columns kine knows, but for the values that the upgrade unpacks.
fn kept(path: &Path) -> Vec<(i64, String, i64, i64, i64, i64, i64)> {
    let connection = Connection::open(path).expect("open");
    let mut statement = connection
        .prepare("SELECT id, name, created, deleted, create_revision, prev_revision, lease FROM kine ORDER BY id")
        .expect("prepare");
    let rows = statement.query_map([], |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
            row.get(5)?,
            row.get(6)?,
        ))
    });
    rows.expect("query").collect::<Result<_, _>>().expect("rows")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_upgrade_can_be_taken_up_again() {
    let mut random = Random::new("an_interrupted_upgrade_can_be_taken_up_again");
    let model = Database::file();
    of_kine(&model.path());
    let (rows, digest) = (kept(&model.path()), crate::tools::digest(&model.endpoint()));
    let whole = std::fs::read(model.path()).expect("read");
    let mut took = Duration::from_millis(300);
    for round in 0..rounds(12, 300) {
        let database = Database::file();
        std::fs::write(database.path(), &whole).expect("write");
        for _ in 0..2 {
            let (process, _) = spawn(&database);
            tokio::time::sleep(random.moment(took)).await;
            process.kill();
            assert_eq!(kept(&database.path()), rows);
            assert_eq!(findings(&database.endpoint()), Vec::<String>::new());
            assert_eq!(
                crate::tools::digest(&database.endpoint()),
                digest,
                "the same, before and after"
            );
        }
        let began = Instant::now();
        let (process, socket) = spawn(&database);
        let client = Client::connect(&socket).await;
        if round == 0 {
            took = began.elapsed();
        }
        assert_eq!(client.revision().await, 2500);
        assert_eq!(client.get("compact_rev_key").await.as_deref(), Some("5000"));
        process.kill();
        only_known_files(database.directory.path());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_restore_leaves_one_of_the_two() {
    let mut random = Random::new("an_interrupted_restore_leaves_one_of_the_two");
    let kine = Database::file();
    of_kine(&kine.path());
    let database = Database::file();
    let taken = database.directory.path().join("snapshot.db");
    snapshot::run(&Endpoint::Sqlite(kine.path()), &DatastoreOptions::default(), &taken).expect("snapshot");
    let new = crate::tools::digest(&format!("sqlite://{}", taken.display()));
    let mut took = Duration::ZERO;
    let mut ended = [0; 2];
    for round in 0..rounds(20, 500) {
        // The old store has a log that is not moved into the file yet, as after a crash.
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            let _ = std::fs::remove_file(database.directory.path().join(name));
        }
        let (process, socket) = spawn(&database);
        let client = Client::connect(&socket).await;
        client.set("old", &round.to_string()).await;
        process.kill();
        let old = crate::tools::digest(&database.endpoint());

        let began = Instant::now();
        let mut restore = Command::new(env!("CARGO_BIN_EXE_kine-shim"));
        restore
            .args(["restore", &taken.display().to_string(), "--replace"])
            .arg(format!("--endpoint={}", database.endpoint()))
            .stdout(Stdio::null());
        if round == 0 {
            assert!(restore.status().expect("restore").success());
            took = began.elapsed();
        } else {
            let process = Process::spawn(&mut restore);
            tokio::time::sleep(random.moment(took)).await;
            process.kill();
        }
        let now = crate::tools::digest(&database.endpoint());
        assert!(now == old || now == new, "neither the old store nor the new one");
        ended[usize::from(now == new)] += 1;
        assert_eq!(findings(&database.endpoint()), Vec::<String>::new());
        // Whichever it is, it serves, and the old one can still be found.
        let (process, socket) = spawn(&database);
        let client = Client::connect(&socket).await;
        if now == old {
            assert_eq!(client.get("old").await, Some(round.to_string()));
        } else {
            assert_eq!(client.revision().await, 2500);
            let replaced = std::fs::read_dir(database.directory.path())
                .expect("list")
                .map(|entry| entry.expect("entry").path())
                .find(|path| path.to_string_lossy().contains("-replaced-"))
                .expect("the old store is kept");
            assert_eq!(crate::tools::digest(&format!("sqlite://{}", replaced.display())), old);
        }
        process.kill();
        for entry in std::fs::read_dir(database.directory.path()).expect("list") {
            let path = entry.expect("entry").path();
            if path.to_string_lossy().contains("-replaced-") {
                std::fs::remove_file(path).expect("remove");
            }
        }
    }
    let restore = Command::new(env!("CARGO_BIN_EXE_kine-shim"))
        .args(["restore", &taken.display().to_string(), "--replace"])
        .arg(format!("--endpoint={}", database.endpoint()))
        .stdout(Stdio::null())
        .status();
    assert!(restore.expect("restore").success());
    only_known_files(database.directory.path());
    eprintln!("{} restores left the old store, {} the new one", ended[0], ended[1]);
}
