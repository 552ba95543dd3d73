//! Snapshots and what is restored from them are the store they were made of.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use proto::etcdserverpb::SnapshotRequest;
use rusqlite::Connection;

use super::{digest, findings, sample, url};
use crate::{databases::Database, support::Shim};

/// Runs a tool; returns its exit code and all it says.
pub(super) fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kine-shim"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn snapshot(from: &Path, to: &Path) -> (Option<i32>, String) {
    run(&["snapshot", "--endpoint", &url(from), &to.display().to_string()])
}

fn restore(from: &Path, to: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let (from, to) = (from.display().to_string(), url(to));
    run(&[&["restore", from.as_str(), "--endpoint", to.as_str()], flags].concat())
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .expect("list")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_copy_of_a_copy_is_the_same() {
    let (database, path) = sample(3).await;
    let directory = &database.directory;
    let whole = digest(&url(&path));
    let taken = directory.path().join("snapshot.db");
    let (code, said) = snapshot(&path, &taken);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&whole), "{said}");
    assert_eq!(findings(&taken), Some(vec![]));
    let new = Database::file();
    let (code, said) = restore(&taken, &new.path(), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(digest(&new.endpoint()), whole);
    assert_eq!(names(new.directory.path()), ["state.db", "state.db-lock"]);

    // What is restored serves the same as what it was made of.
    let (old, new) = (Shim::start(&database).await, Shim::start(&new).await);
    let everything = proto::etcdserverpb::RangeRequest {
        key: crate::support::bytes("\0"),
        range_end: crate::support::bytes("\0"),
        ..Default::default()
    };
    let (ours, theirs) = (
        old.client.range(everything.clone()).await.expect("range"),
        new.client.range(everything).await.expect("range"),
    );
    assert_eq!(ours, theirs);
    assert_eq!(old.app.store.leases().len(), new.app.store.leases().len());
    assert_eq!(
        old.app.store.hash_kv(0).await.expect("hash"),
        new.app.store.hash_kv(0).await.expect("hash")
    );
    old.stop().await;
    new.stop().await;
}

#[tokio::test]
async fn a_snapshot_can_be_taken_while_a_shim_writes() {
    let database = Database::file();
    let directory = &database.directory;
    let shim = Shim::start(&database).await;
    let client = shim.client.clone();
    let writer = tokio::spawn(async move {
        for count in 0..600 {
            client.set(&format!("k{}", count % 50), &"v".repeat(1000)).await;
        }
    });
    let taken = directory.path().join("snapshot");
    let path = directory.path().join("state.db");
    let mut snapshots = 0;
    while !writer.is_finished() {
        let (path, taken) = (path.clone(), taken.clone());
        let (code, said) = tokio::task::spawn_blocking(move || snapshot(&path, &taken))
            .await
            .expect("snapshot");
        assert_eq!(code, Some(0), "{said}");
        snapshots += 1;
        assert_eq!(findings(&directory.path().join("snapshot")), Some(vec![]));
    }
    writer.await.expect("writer");
    assert!(snapshots > 1, "{snapshots} snapshots");
    shim.stop().await;
}

#[tokio::test]
async fn a_store_is_replaced_only_when_asked_and_kept() {
    let (database, path) = sample(4).await;
    let directory = &database.directory;
    let before = digest(&url(&path));
    let taken = directory.path().join("snapshot.db");
    assert_eq!(snapshot(&path, &taken).0, Some(0));
    let (other, place) = sample(5).await;
    let its = digest(&url(&place));

    let (code, said) = restore(&taken, &place, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--replace") && said.lines().count() == 1, "{said}");
    assert_eq!(digest(&url(&place)), its);
    assert_eq!(names(other.directory.path()), ["state.db", "state.db-lock"]);

    let (code, said) = restore(&taken, &place, &["--replace"]);
    assert_eq!(code, Some(0), "{said}");
    let kept = other.directory.path().join("state.db-replaced-1");
    assert!(said.contains(&kept.display().to_string()), "{said}");
    assert_eq!(digest(&url(&place)), before);
    assert_eq!(digest(&url(&kept)), its);

    let shim = Shim::start(&other).await;
    let (code, said) = restore(&taken, &place, &["--replace"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    shim.stop().await;
}

#[tokio::test]
async fn what_etcdctl_saves_can_be_restored() {
    let (database, path) = sample(6).await;
    let directory = &database.directory;
    let shim = Shim::start(&database).await;
    let request = shim.client.maintenance.clone().snapshot(SnapshotRequest {}).await;
    let mut stream = request.expect("snapshot").into_inner();
    let mut received = Vec::new();
    while let Some(part) = stream.message().await.expect("part") {
        received.extend_from_slice(&part.blob);
    }
    shim.stop().await;
    let saved = directory.path().join("saved");
    std::fs::write(&saved, &received).expect("write");
    assert_eq!(findings(&saved), Some(vec![]));
    let place = directory.path().join("new.db");
    let (code, said) = restore(&saved, &place, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(digest(&url(&place)), digest(&url(&path)));

    let end = received.len() - 1;
    received[end] ^= 1;
    std::fs::write(&saved, &received).expect("write");
    let (code, said) = restore(&saved, &directory.path().join("never.db"), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the sum at its end"), "{said}");
    assert!(!directory.path().join("never.db").exists());
}

#[tokio::test]
async fn a_changed_snapshot_is_refused() {
    let (database, path) = sample(7).await;
    let directory = &database.directory;
    let taken = directory.path().join("snapshot.db");
    assert_eq!(snapshot(&path, &taken).0, Some(0));
    Connection::open(&taken)
        .and_then(|connection| {
            connection.execute(
                "UPDATE kine SET value = x'00' WHERE id = (SELECT max(id) FROM kine WHERE deleted = 0)",
                [],
            )
        })
        .expect("change");
    let place = directory.path().join("never.db");
    let (code, said) = restore(&taken, &place, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("use another snapshot") && !place.exists(), "{said}");
    let newer =
        Connection::open(&taken).and_then(|connection| connection.execute("UPDATE kine_snapshot SET format = 99", []));
    newer.expect("change");
    let (code, said) = restore(&taken, &place, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("a newer version made"), "{said}");
}

#[tokio::test]
async fn a_snapshot_that_is_served_is_none_any_more() {
    let (_database, path) = sample(8).await;
    let served = Database::file();
    assert_eq!(snapshot(&path, &served.path()).0, Some(0));
    let shim = Shim::start(&served).await;
    shim.client.set("new", "x").await;
    shim.stop().await;
    assert_eq!(findings(&served.path()), Some(vec![]));
    let (code, said) = snapshot(&served.path(), &served.path());
    assert_eq!(
        code,
        Some(0),
        "a file nobody has open may be replaced by its own copy: {said}"
    );
}
