//! Killing the service while it writes: what was acknowledged is there afterwards, and no revision is used twice.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use proto::etcdserverpb::{LeaseGrantRequest, LeaseLeasesRequest, PutRequest, RangeRequest, WatchCreateRequest};

use crate::support::{Client, Process, bytes, prefix_end};

const ROUNDS: usize = 12;
const WRITERS: usize = 16;

async fn start(directory: &Path) -> (Process, Client) {
    let endpoint = format!("sqlite://{}", directory.join("state.db").display());
    let socket = format!("unix://{}", directory.join("kine.sock").display());
    let process = Process::spawn(
        Command::new(env!("CARGO_BIN_EXE_kine-shim"))
            .args([
                "--endpoint",
                &endpoint,
                "--listen-address",
                &socket,
                "--log-level",
                "error",
            ])
            .stderr(Stdio::inherit()),
    );
    let client = Client::connect(&socket).await;
    (process, client)
}

/// Writes until the server is gone; returns what was acknowledged, as keys with values and revisions.
async fn write(client: Client, round: usize, writer: usize) -> Vec<(String, String, i64)> {
    let mut acknowledged = Vec::new();
    for count in 0.. {
        // A few keys over and over, so that versions, history and old values matter too.
        let (key, value) = (format!("crash/{writer}/{}", count % 5), format!("{round}-{count}"));
        let request = PutRequest {
            key: bytes(&key),
            value: bytes(&value),
            ..Default::default()
        };
        match client.put(request).await {
            Ok(response) => acknowledged.push((key, value, response.header.expect("header").revision)),
            Err(_) => break,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().expect("directory");
    let mut revisions: BTreeMap<i64, (String, String)> = BTreeMap::new();
    let mut compacted = 0;
    let (mut process, mut client) = start(directory.path()).await;
    client
        .lease
        .clone()
        .lease_grant(LeaseGrantRequest { id: 9, ttl: 1000 })
        .await
        .expect("grant");
    for round in 0..ROUNDS {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(client.clone(), round, writer)))
            .collect();
        // Any moment will do, so it is a different one in every round.
        tokio::time::sleep(Duration::from_millis(60 + 37 * round as u64)).await;
        if round % 3 == 2 {
            let revision = client.revision().await - 20;
            client.compact(revision, false).await.expect("compact");
            compacted = revision;
        }
        process.kill();
        for writer in writers {
            for (key, value, revision) in writer.await.expect("writer") {
                let other = revisions.insert(revision, (key, value));
                assert_eq!(other, None, "revision {revision} was used twice");
            }
        }
        (process, client) = start(directory.path()).await;

        let newest = client.revision().await;
        assert!(
            revisions
                .last_key_value()
                .is_none_or(|(revision, _)| *revision <= newest)
        );
        // The last acknowledged value of every key is there, unless a write that was cut off came after it.
        let mut last: BTreeMap<&String, (i64, &String)> = BTreeMap::new();
        for (revision, (key, value)) in &revisions {
            last.insert(key, (*revision, value));
        }
        let list = RangeRequest {
            key: bytes("crash/"),
            range_end: prefix_end("crash/"),
            ..Default::default()
        };
        let kvs = client.range(list).await.expect("range").kvs;
        let found: BTreeMap<_, _> = kvs
            .iter()
            .map(|kv| (String::from_utf8_lossy(&kv.key).into_owned(), kv))
            .collect();
        for (key, (revision, value)) in last {
            let kv = found.get(key).unwrap_or_else(|| panic!("{key} is lost"));
            assert!(kv.mod_revision >= revision, "{key}");
            assert!(kv.mod_revision > revision || kv.value == *value, "{key}");
        }
        // The history has no gap, and tells of every acknowledged write.
        let mut stream = client.stream().await;
        let from = compacted + 1;
        stream.create(WatchCreateRequest {
            key: bytes("crash/"),
            range_end: prefix_end("crash/"),
            start_revision: from.max(2),
            ..Default::default()
        });
        let mut next = from.max(2);
        while next <= newest {
            let response = stream.next().await;
            assert!(!response.canceled, "{response:?}");
            for event in response.events {
                let kv = event.kv.expect("kv");
                assert_eq!(kv.mod_revision, next);
                if let Some((key, value)) = revisions.get(&next) {
                    assert_eq!((&kv.key, &kv.value), (&bytes(key), &bytes(value)));
                }
                next += 1;
            }
        }
        let leases = client
            .lease
            .clone()
            .lease_leases(LeaseLeasesRequest {})
            .await
            .expect("leases")
            .into_inner();
        assert_eq!(leases.leases.iter().map(|lease| lease.id).collect::<Vec<_>>(), [9]);
        if compacted > 0 {
            let old = RangeRequest {
                key: bytes("crash/"),
                revision: compacted - 1,
                ..Default::default()
            };
            assert!(client.range(old).await.is_err(), "what was compacted stays so");
        }
    }
    assert!(
        revisions.len() > 100 * ROUNDS / 10,
        "only {} writes were acknowledged",
        revisions.len()
    );
    process.kill();
}
