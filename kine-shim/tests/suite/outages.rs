//! Shims and database servers that go away, and come back or do not: the store stays whole, and those that are left go on.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::Duration,
};

use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, WatchCreateRequest};
use tonic::Code;

use crate::{
    databases::{Database, endpoint, on_every_server},
    servers::{Product, Server},
    support::{Client, PATIENCE, Process, Shim, bytes, prefix_end},
    watching::everything,
};

on_every_server! {
    a_shim_that_dies_leaves_a_whole_store,
    a_shim_that_was_away_reads_everything_anew,
}

/// A shim that is a process of its own.
async fn process(database: &Database, name: &str) -> (Process, Client) {
    let socket = database.directory.path().join(format!("{name}.sock"));
    let socket = format!("unix://{}", socket.display());
    let process = Process::spawn(
        Command::new(env!("CARGO_BIN_EXE_kine-shim"))
            .args(["--endpoint", &database.endpoint(), "--listen-address", &socket])
            .args(["--log-level", "error"])
            .stderr(Stdio::inherit()),
    );
    (process, Client::connect(&socket).await)
}

/// Writes until the shim is gone; returns what was acknowledged.
async fn write_until_gone(client: Client, writer: usize) -> Vec<(String, String, i64)> {
    let mut acknowledged = Vec::new();
    for count in 0.. {
        let (key, value) = (format!("k/{writer}/{count}"), count.to_string());
        let put = PutRequest {
            key: bytes(&key),
            value: bytes(&value),
            ..Default::default()
        };
        match client.put(put).await {
            Ok(response) => acknowledged.push((key, value, response.header.expect("header").revision)),
            Err(_) => break,
        }
    }
    acknowledged
}

async fn a_shim_that_dies_leaves_a_whole_store(database: &Database) {
    let survivor = Shim::start(database).await;
    let first = survivor.client.revision().await + 1;
    let mut stream = survivor.client.stream().await;
    stream.create(WatchCreateRequest {
        key: bytes("k/"),
        range_end: prefix_end("k/"),
        start_revision: first,
        ..Default::default()
    });
    let mut acknowledged: BTreeMap<i64, (String, String)> = BTreeMap::new();
    for round in 0..4 {
        let (process, client) = process(database, &round.to_string()).await;
        let writers: Vec<_> = (0..8)
            .map(|writer| tokio::spawn(write_until_gone(client.clone(), round * 8 + writer)))
            .collect();
        let mut own = Vec::new();
        for count in 0..20 + round * 10 {
            let (key, value) = (format!("k/own/{round}/{count}"), count.to_string());
            let revision = survivor.client.set(&key, &value).await;
            own.push((key, value, revision));
        }
        process.kill();
        for writer in writers {
            own.extend(writer.await.expect("writer"));
        }
        for (key, value, revision) in own {
            let other = acknowledged.insert(revision, (key, value));
            assert_eq!(other, None, "revision {revision} was used twice");
        }
    }
    let last = survivor.client.set("k/last", "x").await;
    let mut seen = BTreeMap::new();
    assert!(stream.next().await.created);
    while seen.last_key_value().is_none_or(|(revision, _)| *revision < last) {
        for event in stream.next().await.events {
            let kv = event.kv.expect("kv");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let other = seen.insert(kv.mod_revision, (text(&kv.key), text(&kv.value)));
            assert_eq!(other, None, "revision {} was shown twice", kv.mod_revision);
        }
    }
    assert_eq!(
        seen.keys().copied().collect::<Vec<_>>(),
        (first..=last).collect::<Vec<_>>()
    );
    for (revision, written) in acknowledged {
        assert_eq!(seen.get(&revision), Some(&written));
    }
    survivor.stop().await;
}

/// What a store that was cut off for long finds: its state is older than the history that is left.
async fn a_shim_that_was_away_reads_everything_anew(database: &Database) {
    let there = Shim::start(database).await;
    let (process, client) = process(database, "away").await;
    there.client.set("gone", "x").await;
    let seen = there.client.set("stays", "x").await;
    assert_eq!(client.get("gone").await, Some("x".into()));
    let mut stream = client.stream().await;
    stream.create(WatchCreateRequest {
        key: bytes("stays"),
        ..Default::default()
    });
    assert!(stream.next().await.created);
    process.signal("STOP");
    let request = DeleteRangeRequest {
        key: bytes("gone"),
        ..Default::default()
    };
    there.client.delete(request).await.expect("delete");
    let last = there.client.set("stays", "y").await;
    there.client.compact(last, true).await.expect("compact");
    process.signal("CONT");
    assert_eq!(client.get("gone").await, None);
    assert_eq!(client.get("stays").await, Some("y".into()));
    let next = client.set("stays", "z").await;
    assert_eq!(next, last + 1);
    // The watcher has missed what is not there any more, and is told so.
    let response = stream.next().await;
    assert!(
        response.canceled && response.compact_revision == last,
        "{response:?}, {seen}"
    );
    process.kill();
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_go_and_come_back() {
    the_server_may_go_and_come_back(Product::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_may_go_and_come_back() {
    the_server_may_go_and_come_back(Product::MariaDb).await;
}

/// Acknowledged writes of each writer without which a test says little.
const ENOUGH: usize = 13;

/// Writes until `end`, again and again where it is not certain, and longer where the machine is so busy that little has been
/// written by then; returns what was acknowledged.
async fn write_stubbornly(client: Client, writer: usize, end: std::time::Instant) -> Vec<(String, i64)> {
    let mut acknowledged = Vec::new();
    for count in 0.. {
        let now = std::time::Instant::now();
        if now > end && (acknowledged.len() >= ENOUGH || now > end + PATIENCE) {
            break;
        }
        let key = format!("w/{writer}/{count}");
        let put = PutRequest {
            key: bytes(&key),
            value: bytes("x"),
            ..Default::default()
        };
        match client.put(put).await {
            Ok(response) => acknowledged.push((key, response.header.expect("header").revision)),
            Err(error) => assert_eq!(error.code(), Code::Unavailable, "{error:?}"),
        }
    }
    acknowledged
}

async fn the_server_may_go_and_come_back(product: Product) {
    let Some(server) = Server::start(product) else { return };
    let endpoint = endpoint(&server, &server.create_database());
    let directory = tempfile::tempdir().expect("directory");
    let mut shims = Vec::new();
    for _ in 0..2 {
        shims.push(
            Shim::try_start_at(&endpoint, directory.path(), &[])
                .await
                .expect("start"),
        );
    }
    let first = shims[0].client.revision().await + 1;
    let end = std::time::Instant::now() + Duration::from_secs(4);
    let writers: Vec<_> = (0..8)
        .map(|writer| tokio::spawn(write_stubbornly(shims[writer % 2].client.clone(), writer, end)))
        .collect();
    let mut streams = Vec::new();
    for shim in &shims {
        let stream = shim.client.stream().await;
        stream.create(everything(first));
        streams.push(stream);
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.crash();
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.resume();
    }
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("writer"));
    }
    assert!(acknowledged.len() >= 8 * ENOUGH, "{} writes", acknowledged.len());
    let back = async {
        let put = PutRequest {
            key: bytes("w/last"),
            ..Default::default()
        };
        loop {
            match shims[0].client.put(put.clone()).await {
                Ok(response) => return response.header.expect("header").revision,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let last = tokio::time::timeout(PATIENCE, back).await.expect("the shim is back");
    for (shim, stream) in shims.iter().zip(&mut streams) {
        let mut seen = BTreeMap::new();
        while seen.last_key_value().is_none_or(|(revision, _)| *revision < last) {
            let response = stream.next().await;
            assert!(!response.canceled);
            for event in response.events {
                let kv = event.kv.expect("kv");
                let other = seen.insert(kv.mod_revision, kv.key);
                assert_eq!(other, None, "revision {} was shown twice", kv.mod_revision);
            }
        }
        assert_eq!(
            seen.keys().copied().collect::<Vec<_>>(),
            (first..=last).collect::<Vec<_>>()
        );
        for (key, revision) in &acknowledged {
            assert_eq!(seen.get(revision), Some(&bytes(key)));
        }
        assert_eq!(shim.client.revision().await, last);
    }
    for shim in shims {
        shim.stop().await;
    }
}
