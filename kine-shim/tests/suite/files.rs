//! The files the store opens: its own, and those it must not touch.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use kine_shim::{
    backend::{
        OpenError,
        endpoint::{DatastoreOptions, Endpoint},
        sqlite,
    },
    store::Store,
};
use proto::etcdserverpb::{RangeRequest, SnapshotRequest};

use crate::{
    databases::Database,
    support::{Shim, bytes},
};

fn everything() -> RangeRequest {
    RangeRequest {
        key: bytes("\0"),
        range_end: bytes("\0"),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let database = Database::file();
    let shim = Shim::start(&database).await;
    let endpoint = Endpoint::Sqlite(database.path());
    let second = Store::open(&endpoint, &DatastoreOptions::default());
    let in_use = matches!(second, Err(OpenError::Sqlite(sqlite::OpenError::InUse(_))));
    assert!(in_use, "{second:?}");
    shim.stop().await;
}

/// Starts the service on a file it must refuse; returns its exit code and what it says.
fn refused(file: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kine-shim"))
        .arg(format!("--endpoint=sqlite://{}", file.display()))
        .args(["--listen-address=tcp://127.0.0.1:0", "--log-level=off"])
        .stdin(Stdio::null())
        .output()
        .expect("run");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_alone() {
    let database = Database::file();
    let shim = Shim::start(&database).await;
    for count in 0..200 {
        shim.client.set(&format!("k{count}"), &"v".repeat(500)).await;
    }
    shim.stop().await;
    let file = database.path();
    let whole = std::fs::read(&file).expect("read");
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 8192].fill(0x5a);
    for damaged in [
        torn,
        whole[..whole.len() / 2].to_vec(),
        b"this is no database, just some text".repeat(50),
    ] {
        std::fs::write(&file, &damaged).expect("write");
        let (code, said) = refused(&file);
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains("--endpoint") && said.contains("damaged") && said.contains("state.db"),
            "{said}"
        );
        assert_eq!(std::fs::read(&file).expect("read"), damaged, "the file was changed");
    }
}

#[tokio::test]
async fn a_log_without_its_database_is_refused() {
    let database = Database::file();
    let file = database.path();
    std::fs::write(database.directory.path().join("state.db-wal"), b"what is left").expect("write");
    let (code, said) = refused(&file);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("write-ahead log"), "{said}");
    assert!(!file.exists());
}

#[tokio::test]
async fn a_snapshot_is_a_database_with_its_sum() {
    use sha2::{Digest, Sha256};
    let database = Database::file();
    let shim = Shim::start(&database).await;
    for count in 0..50 {
        shim.client.set(&format!("k{count}"), &"v".repeat(2000)).await;
    }
    let mut stream = shim
        .client
        .maintenance
        .clone()
        .snapshot(SnapshotRequest {})
        .await
        .expect("snapshot")
        .into_inner();
    let mut received = Vec::new();
    while let Some(part) = stream.message().await.expect("part") {
        received.extend_from_slice(&part.blob);
    }
    let (copied, sum) = received.split_at(received.len() - 32);
    assert_eq!(Sha256::digest(copied).to_vec(), sum);
    let files = std::fs::read_dir(database.directory.path()).expect("list").count();
    shim.stop().await;
    assert!(files <= 5, "the copy is gone: {files} files");
    let copy = Database::file();
    std::fs::write(copy.path(), copied).expect("write");
    let shim = Shim::start(&copy).await;
    assert_eq!(shim.client.range(everything()).await.expect("range").count, 50);
    assert_eq!(shim.client.revision().await, 51);
    shim.stop().await;
}
