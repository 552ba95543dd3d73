//! Databases that kine wrote: as it writes them, and, where the environment names its program, by kine itself.

use std::process::{Command, Stdio};

use proto::{
    etcdserverpb::{
        Compare, DeleteRangeRequest, LeaseLeasesRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
        WatchCreateRequest, compare::TargetUnion, request_op::Request,
    },
    mvccpb::{Event, KeyValue},
};

use crate::{
    databases::{Database, Kind, on_every_database},
    servers::Product,
    support::{Client, Process, Shim, bytes, free_port, prefix_end},
};

on_every_database! {
    a_database_of_kine_opens,
    names_that_kine_cannot_tell_apart_are_different_keys,
    the_usual_queries_work,
    kine_and_the_store_take_turns,
    keys_are_made_anew_while_their_deletions_go,
}

/// What kine creates (pkg/drivers), without the indexes all have.
fn schema(kind: Kind) -> &'static str {
    match kind {
        Kind::Memory | Kind::Sqlite => {
            "CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, created INTEGER, deleted INTEGER,
                 create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB);"
        }
        Kind::Server(Product::Postgres) => {
            "CREATE TABLE kine (id BIGSERIAL PRIMARY KEY, name TEXT COLLATE \"C\", created INTEGER, deleted INTEGER,
                 create_revision BIGINT, prev_revision BIGINT, lease INTEGER, value BYTEA, old_value BYTEA);
             ALTER TABLE kine OWNER TO kine;
             CREATE INDEX kine_list_query_index ON kine (name, id DESC, deleted);
             SELECT setval('kine_id_seq', 10);"
        }
        Kind::Server(Product::MariaDb) => {
            "CREATE TABLE kine (id BIGINT UNSIGNED AUTO_INCREMENT, name VARCHAR(630) CHARACTER SET ascii,
                 created INTEGER, deleted INTEGER, create_revision BIGINT UNSIGNED, prev_revision BIGINT UNSIGNED,
                 lease INTEGER, value MEDIUMBLOB, old_value MEDIUMBLOB, PRIMARY KEY (id));"
        }
    }
}

/// The indexes, and a history as kine writes it: its own row, a key that is created, updated, deleted and created again, a
/// filled gap, the API server's compaction key with its packed value, a key with a lease.
const CONTENTS: &str = "
    CREATE INDEX kine_name_index ON kine (name);
    CREATE INDEX kine_name_id_index ON kine (name, id);
    CREATE INDEX kine_id_deleted_index ON kine (id, deleted);
    CREATE INDEX kine_prev_revision_index ON kine (prev_revision);
    CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision);
    INSERT INTO kine VALUES (1, 'compact_rev_key', 1, 0, 0, 0, 0, '', NULL);
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

async fn a_database_of_kine_opens(database: &Database) {
    database.execute(&format!("{}{CONTENTS}", schema(database.kind)));
    for _ in 0..2 {
        let shim = Shim::start(database).await;
        let response = shim.client.range(everything()).await.expect("range");
        assert_eq!(response.header.expect("header").revision, 10);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let shown = |kv: &KeyValue| {
            (
                text(&kv.key),
                text(&kv.value),
                kv.create_revision,
                kv.mod_revision,
                kv.version,
            )
        };
        let found: Vec<_> = response.kvs.iter().map(shown).collect();
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
        let leases = shim.client.lease.clone().lease_leases(LeaseLeasesRequest {}).await;
        let leases = leases.expect("leases").into_inner().leases;
        assert_eq!(leases.iter().map(|lease| lease.id).collect::<Vec<_>>(), [3600]);
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
    let shim = Shim::start(database).await;
    assert_eq!(shim.client.set("/registry/b", "x").await, 11);
    shim.stop().await;
}

/// Names that differ in case, in spaces at the end, or in what no text can hold.
async fn names_that_kine_cannot_tell_apart_are_different_keys(database: &Database) {
    database.execute(&format!("{}{CONTENTS}", schema(database.kind)));
    let shim = Shim::start(database).await;
    let long = "k".repeat(5000);
    let keys: [&[u8]; 8] = [
        b"/registry/A",
        b"/registry/a ",
        b"/registry/a\0",
        b"/registry/\xff",
        "/registry/ä".as_bytes(),
        long.as_bytes(),
        b"raw-x",
        b"compact_rev_key_apiserver",
    ];
    for key in keys {
        let request = PutRequest {
            key: key.to_vec().into(),
            value: key.to_vec().into(),
            ..Default::default()
        };
        shim.client.put(request).await.expect("put");
    }
    shim.stop().await;
    let shim = Shim::start(database).await;
    for key in keys {
        let request = RangeRequest {
            key: key.to_vec().into(),
            ..Default::default()
        };
        let kvs = shim.client.range(request).await.expect("range").kvs;
        assert_eq!(kvs.len(), 1, "{key:?}");
        assert_eq!((kvs[0].value.as_ref(), kvs[0].version), (key, 1));
    }
    assert_eq!(shim.client.get("/registry/a").await.as_deref(), Some("three"));
    shim.stop().await;
}

async fn the_usual_queries_work(database: &Database) {
    let shim = Shim::start(database).await;
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
    let request = DeleteRangeRequest {
        key: bytes("/c"),
        ..Default::default()
    };
    shim.client.delete(request).await.expect("delete");
    assert_eq!(shim.client.revision().await, 5);
    // The newest row of every key that exists, as kine lists them.
    let list = "SELECT name, value, prev_revision FROM kine JOIN
                  (SELECT max(id) AS id FROM kine WHERE name >= '/' AND name < '0' GROUP BY name) AS newest USING (id)
                WHERE deleted = 0 ORDER BY name";
    assert_eq!(database.query(list), [["/a", "2", "2"], ["/b", "2", "4"]]);
    shim.client.compact(4, true).await.expect("compact");
    let compacted = database.query("SELECT max(prev_revision) FROM kine WHERE name = 'compact_rev_key'");
    assert_eq!(compacted, [["6"]], "the last row of revision 4");
    shim.stop().await;
}

/// kine, if there is one.
async fn kine(database: &Database) -> Option<(Process, Client)> {
    let Some(program) = std::env::var_os("KINE_BINARY") else {
        eprintln!("skipped: KINE_BINARY names no kine (go install github.com/k3s-io/kine@latest)");
        return None;
    };
    let address = format!("127.0.0.1:{}", free_port());
    let process = Process::spawn(
        Command::new(program)
            .args(["--endpoint", &database.endpoint()])
            .args([
                "--listen-address",
                &format!("tcp://{address}"),
                "--metrics-bind-address=0",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    let client = Client::connect(&format!("http://{address}")).await;
    Some((process, client))
}

/// A write as API servers make it, the only kind kine knows: only if the key has not changed since `revision`.
async fn write(client: &Client, key: &str, revision: i64, value: Option<&str>) -> i64 {
    let get = Request::RequestRange(RangeRequest {
        key: bytes(key),
        ..Default::default()
    });
    let change = match value {
        Some(value) => Request::RequestPut(PutRequest {
            key: bytes(key),
            value: bytes(value),
            ..Default::default()
        }),
        None => Request::RequestDeleteRange(DeleteRangeRequest {
            key: bytes(key),
            ..Default::default()
        }),
    };
    let operation = |request| vec![RequestOp { request: Some(request) }];
    let request = TxnRequest {
        compare: vec![Compare {
            target: 2,
            key: bytes(key),
            target_union: Some(TargetUnion::ModRevision(revision)),
            ..Default::default()
        }],
        success: operation(change),
        failure: if revision == 0 { vec![] } else { operation(get) },
    };
    let TxnResponse { header, succeeded, .. } = client.txn(request).await.expect("txn");
    assert!(succeeded, "{key} has changed since {revision}");
    header.expect("header").revision
}

/// What there is below `/registry/`, and how it came there, as far as kine tells.
async fn told(client: &Client, from: i64, upto: i64) -> (Vec<KeyValue>, Vec<Event>) {
    let bare = |kv: KeyValue| KeyValue { version: 0, ..kv };
    let request = RangeRequest {
        key: bytes("/registry/"),
        range_end: prefix_end("/registry/"),
        ..Default::default()
    };
    let now = client.range(request).await.expect("range").kvs;
    let mut stream = client.stream().await;
    stream.create(WatchCreateRequest {
        key: bytes("/registry/"),
        range_end: prefix_end("/registry/"),
        start_revision: from,
        ..Default::default()
    });
    let mut events: Vec<Event> = Vec::new();
    let revision = |event: &Event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
    while events.last().is_none_or(|event| revision(event) < upto) {
        let response = stream.next().await;
        assert!(!response.canceled, "{response:?}");
        events.extend(response.events);
    }
    // kine says what a deleted key was and when it was created, where etcd says nothing but its name.
    for event in &mut events {
        let deleted = event.r#type != 0;
        event.prev_kv = None;
        event.kv = event.kv.take().map(bare).map(|kv| match deleted {
            true => KeyValue {
                key: kv.key,
                mod_revision: kv.mod_revision,
                ..Default::default()
            },
            false => kv,
        });
    }
    (now.into_iter().map(bare).collect(), events)
}

async fn kine_and_the_store_take_turns(database: &Database) {
    let Some((process, client)) = kine(database).await else {
        return;
    };
    let first = write(&client, "/registry/a", 0, Some("one")).await;
    let second = write(&client, "/registry/a", first, Some("two")).await;
    let gone = write(&client, "/registry/a", second, None).await;
    write(&client, "/registry/b", 0, Some("one")).await;
    let last = write(&client, "/registry/a", 0, Some("three")).await;
    let by_kine = told(&client, first, last).await;
    process.kill();

    let shim = Shim::start(database).await;
    assert_eq!(told(&shim.client, first, last).await, by_kine);
    let past = RangeRequest {
        key: bytes("/registry/a"),
        revision: gone - 1,
        ..Default::default()
    };
    let kv = shim.client.range(past).await.expect("range").kvs.remove(0);
    assert_eq!((kv.value, kv.version), (bytes("two"), 2));
    let next = write(&shim.client, "/registry/a", last, Some("four")).await;
    assert_eq!(next, last + 1);
    let gone = write(&shim.client, "/registry/a", next, None).await;
    let created = write(&shim.client, "/registry/c", 0, Some("one")).await;
    let by_shim = told(&shim.client, first, created).await;
    shim.stop().await;

    let (process, client) = kine(database).await.expect("it was there before");
    assert_eq!(told(&client, first, created).await, by_shim);
    let updated = write(&client, "/registry/c", created, Some("two")).await;
    assert!(updated > created && gone < created);
    let by_kine = told(&client, first, updated).await;
    process.kill();

    let shim = Shim::start(database).await;
    assert_eq!(told(&shim.client, first, updated).await, by_kine);
    assert_eq!(
        write(&shim.client, "/registry/c", updated, Some("three")).await,
        updated + 1
    );
    shim.stop().await;
}

/// A compaction removes the rows of deleted keys a while after it is answered. A key made anew meanwhile must not get in the
/// way of what is left of its past: kine's unique index lets only one row of a key name no row before it.
async fn keys_are_made_anew_while_their_deletions_go(database: &Database) {
    const KEYS: usize = 12;
    database.execute(&format!("{}{CONTENTS}", schema(database.kind)));
    let mut shims = vec![Shim::start(database).await];
    if matches!(database.kind, Kind::Server(_)) {
        shims.push(Shim::start(database).await);
    }
    let (asked, other) = (&shims[0].client, &shims[shims.len() - 1].client);
    let names = |prefix: &str| {
        (0..KEYS)
            .map(|key| format!("/registry/{prefix}/{key}"))
            .collect::<Vec<_>>()
    };
    let puts = |names: &[String]| TxnRequest {
        success: names
            .iter()
            .map(|name| RequestOp {
                request: Some(Request::RequestPut(PutRequest {
                    key: bytes(name),
                    value: bytes("x"),
                    ..Default::default()
                })),
            })
            .collect(),
        ..Default::default()
    };
    for round in 0..4 {
        // There is much to remove before the deletions' turn.
        for _ in 0..25 {
            asked.txn(puts(&names("filler"))).await.expect("puts");
        }
        asked.txn(puts(&names("again"))).await.expect("puts");
        let deletion = DeleteRangeRequest {
            key: bytes("/registry/again/"),
            range_end: prefix_end("/registry/again/"),
            ..Default::default()
        };
        let deleted = asked.delete(deletion).await.expect("delete");
        assert_eq!(deleted.deleted as usize, KEYS);
        let revision = shims[0].client.set("/registry/last", &round.to_string()).await;
        asked.compact(revision, false).await.expect("compact");
        for name in names("again") {
            let client = if round % 2 == 0 { other } else { asked };
            let written = client.set(&name, "y").await;
            let kv = asked
                .range(RangeRequest {
                    key: bytes(&name),
                    ..Default::default()
                })
                .await
                .expect("range");
            assert_eq!((kv.kvs[0].create_revision, kv.kvs[0].version), (written, 1));
        }
    }
    let last = asked.set("/registry/last", "x").await;
    asked.compact(last, true).await.expect("compact");
    let keys = asked
        .range(RangeRequest {
            count_only: true,
            ..everything()
        })
        .await
        .expect("count")
        .count;
    let rows: i64 = database.query("SELECT count(*) FROM kine")[0][0]
        .parse()
        .expect("a number");
    assert_eq!(rows, keys + 2, "besides kine's own row and the gap it filled");
    for shim in shims {
        shim.stop().await;
    }
    let url = database.endpoint();
    let found = tokio::task::spawn_blocking(move || crate::crash::findings(&url))
        .await
        .expect("check");
    assert_eq!(found, Vec::<String>::new());
}
