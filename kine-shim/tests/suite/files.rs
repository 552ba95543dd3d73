//! The files the store opens: new ones, kine's, its own, and those it must not touch.

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
use proto::etcdserverpb::{
    DeleteRangeRequest, LeaseLeasesRequest, PutRequest, RangeRequest, RequestOp, SnapshotRequest, TxnRequest,
    WatchCreateRequest, request_op::Request,
};
use rusqlite::Connection;

use crate::{
    databases::Database,
    support::{Shim, bytes},
};

/// What kine creates (pkg/drivers/sqlite), and a history as it writes it: its own row, a key that is created, updated,
/// deleted and created again, a filled gap, the API server's compaction key with its packed value, a key with a lease.
const KINE: &str = "
    CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, created INTEGER, deleted INTEGER,
        create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB);
    CREATE INDEX kine_name_index ON kine (name);
    CREATE INDEX kine_name_id_index ON kine (name, id);
    CREATE INDEX kine_id_deleted_index ON kine (id, deleted);
    CREATE INDEX kine_prev_revision_index ON kine (prev_revision);
    CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision);
    INSERT INTO kine VALUES (1, 'compact_rev_key', 1, 0, 0, 0, 0, x'', NULL);
    INSERT INTO kine VALUES (2, '/registry/health', 1, 0, 0, 0, 0, '{\"health\":\"true\"}', NULL);
    INSERT INTO kine VALUES (3, '/registry/a', 1, 0, 0, 0, 0, 'one', NULL);
    INSERT INTO kine VALUES (4, '/registry/a', 0, 0, 3, 3, 0, 'two', 'one');
    INSERT INTO kine VALUES (5, 'gap-5', 0, 1, 0, 0, 0, NULL, NULL);
    INSERT INTO kine VALUES (6, '/registry/a', 0, 1, 0, 4, 0, NULL, 'two');
    INSERT INTO kine VALUES (7, '/registry/a', 1, 0, 0, 6, 0, 'three', NULL);
    INSERT INTO kine VALUES (8, 'compact_rev_key_apiserver', 1, 0, 0, 0, 0, '1|0', NULL);
    INSERT INTO kine VALUES (9, 'compact_rev_key_apiserver', 0, 0, 8, 8, 0, '2|7', '1|0');
    INSERT INTO kine VALUES (10, '/registry/leased', 1, 0, 0, 0, 3600, 'x', NULL);
";

fn everything() -> RangeRequest {
    RangeRequest {
        key: bytes("\0"),
        range_end: bytes("\0"),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_database_of_kine_opens() {
    let database = Database::file();
    let file = database.path();
    Connection::open(&file)
        .and_then(|connection| connection.execute_batch(KINE))
        .expect("kine's database");
    for _ in 0..2 {
        let shim = Shim::start(&database).await;
        let response = shim.client.range(everything()).await.expect("range");
        assert_eq!(response.header.expect("header").revision, 10);
        let found: Vec<_> = response
            .kvs
            .iter()
            .map(|kv| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (
                    text(&kv.key),
                    text(&kv.value),
                    kv.create_revision,
                    kv.mod_revision,
                    kv.version,
                )
            })
            .collect();
        let expected = [
            ("/registry/a", "three", 7, 7, 1),
            ("/registry/health", "{\"health\":\"true\"}", 2, 2, 1),
            ("/registry/leased", "x", 10, 10, 1),
            ("compact_rev_key", "7", 8, 9, 2),
        ];
        assert_eq!(
            found,
            expected.map(|(key, value, c, m, v)| (key.to_owned(), value.to_owned(), c, m, v))
        );
        let past = RangeRequest {
            key: bytes("/registry/a"),
            revision: 4,
            ..Default::default()
        };
        let kv = shim.client.range(past).await.expect("range").kvs.remove(0);
        assert_eq!((kv.value.as_ref(), kv.create_revision, kv.version), (&b"two"[..], 3, 2));
        // In kine a lease is nothing but its seconds.
        let leases = shim
            .client
            .lease
            .clone()
            .lease_leases(LeaseLeasesRequest {})
            .await
            .expect("leases")
            .into_inner();
        assert_eq!(leases.leases.iter().map(|lease| lease.id).collect::<Vec<_>>(), [3600]);
        let mut stream = shim.client.stream().await;
        stream.create(WatchCreateRequest {
            key: bytes("/registry/a"),
            start_revision: 4,
            prev_kv: true,
            ..Default::default()
        });
        assert!(stream.next().await.created);
        let events = stream.next().await.events;
        let previous = |at: usize| events[at].prev_kv.as_ref().map(|kv| kv.value.clone());
        assert_eq!(
            [previous(0), previous(1), previous(2)],
            [Some(bytes("one")), Some(bytes("two")), None]
        );
        shim.stop().await;
    }
    let shim = Shim::start(&database).await;
    assert_eq!(shim.client.set("/registry/b", "x").await, 11);
    shim.stop().await;
}

#[tokio::test]
async fn the_usual_queries_work() {
    let database = Database::file();
    let shim = Shim::start(&database).await;
    shim.client.set("/a", "1").await;
    let put = |key: &str, value: &str| {
        let request = PutRequest {
            key: bytes(key),
            value: bytes(value),
            ..Default::default()
        };
        RequestOp {
            request: Some(Request::RequestPut(request)),
        }
    };
    let request = TxnRequest {
        success: vec![put("/a", "2"), put("/b", "1"), put("/c", "1")],
        ..Default::default()
    };
    shim.client.txn(request).await.expect("txn");
    shim.client.set("/b", "2").await;
    shim.client
        .delete(DeleteRangeRequest {
            key: bytes("/c"),
            ..Default::default()
        })
        .await
        .expect("delete");
    assert_eq!(shim.client.revision().await, 5);
    let connection = Connection::open(database.path()).expect("open");
    // The newest row of every key that exists, as kine lists them.
    let list = "SELECT name, value, prev_revision FROM kine JOIN
                  (SELECT max(id) AS id FROM kine WHERE name >= ?1 AND name < ?2 GROUP BY name) AS newest USING (id)
                WHERE deleted = 0 ORDER BY name";
    let rows = |from: &str, to: &str| {
        let mut statement = connection.prepare(list).expect("prepare");
        let rows = statement.query_map([from, to], |row| {
            Ok((
                row.get::<_, String>(0)?,
                String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?).into_owned(),
                row.get(2)?,
            ))
        });
        rows.expect("query")
            .collect::<Result<Vec<(String, String, i64)>, _>>()
            .expect("rows")
    };
    assert_eq!(
        rows("/", "0"),
        [("/a".into(), "2".into(), 2), ("/b".into(), "2".into(), 4)]
    );
    shim.client.compact(4, true).await.expect("compact");
    let compacted: i64 = connection
        .query_row(
            "SELECT max(prev_revision) FROM kine WHERE name = 'compact_rev_key'",
            [],
            |row| row.get(0),
        )
        .expect("compacted");
    assert_eq!(compacted, 6, "the last row of revision 4");
    shim.stop().await;
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
