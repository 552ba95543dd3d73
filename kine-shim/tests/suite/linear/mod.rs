//! Concurrent histories are linearizable: every answer is the one a single, serial store would have given at some moment
//! between the call and the return.
//!
//! Clients put, get, delete, list and compare-and-swap a few keys, and record when each call began and ended, and what came
//! back ([`history`]). A call that fails may have happened or not, at any time after it began. Meanwhile the service is
//! killed and started again. Two independent checks follow:
//!
//! * [`search`] knows nothing of revisions. It looks for a serial order that explains all answers, as Wing and Gong do,
//!   with Lowe's memory of the states already seen. It would find a stale read even if the revision in it were made up.
//! * [`revisions`] takes etcd's word: the revision of each answer is its place in the order, so that the whole order can be
//!   replayed, in time that grows with the history only. It finds what values alone do not show: a revision used twice, a
//!   count of versions that is wrong, a change nobody asked for, an answer from the past.

mod history;
mod revisions;
mod search;

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use self::history::{History, Recorder};
use crate::{
    databases::{Database, Kind, on_every_database},
    random::{Random, rounds},
    support::{Client, Process},
};

const CLIENTS: usize = 5;
/// Calls of each client between two kills.
const CALLS: usize = 30;

fn spawn(database: &Database, shim: usize) -> (Process, String) {
    let socket = database.directory.path().join(format!("kine-{shim}.sock"));
    let socket = format!("unix://{}", socket.display());
    let process = Process::spawn(
        Command::new(env!("CARGO_BIN_EXE_kine-shim"))
            .arg(format!("--endpoint={}", database.endpoint()))
            .arg(format!("--listen-address={socket}"))
            .args(["--log-level=off", "--compact-interval=0"])
            .stderr(Stdio::inherit()),
    );
    (process, socket)
}

/// Records histories of clients of all shims, one of which is killed in between, and checks them.
async fn histories_are_linearizable(database: &Database) {
    let mut random = Random::new("histories_are_linearizable");
    let (shims, times) = match database.kind {
        // What is only in memory has nothing to start again from.
        Kind::Memory => return,
        Kind::Sqlite => (1, rounds(8, 400)),
        Kind::Server(_) => (2, rounds(3, 100)),
    };
    let mut running = Vec::new();
    for shim in 0..shims {
        let (process, socket) = spawn(database, shim);
        let client = Client::connect(&socket).await;
        running.push((process, client));
    }
    for round in 0..times {
        let recorder = Arc::new(Recorder::new(round));
        let first = running[0].1.revision().await;
        let before = history::all(&running[0].1, first).await;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (recorder, random) = (Arc::clone(&recorder), random.fork());
                let connection = running[client % shims].1.clone();
                tokio::spawn(async move { recorder.run(connection, client, CALLS, random).await })
            })
            .collect();
        let victim = random.below(shims);
        tokio::time::sleep(random.moment(Duration::from_millis(120))).await;
        let (process, _) = running.swap_remove(victim);
        process.kill();
        for client in clients {
            client.await.expect("client");
        }
        let (process, socket) = spawn(database, if shims == 1 { 0 } else { shims + round });
        running.push((process, Client::connect(&socket).await));
        // What happened in the end is part of the history, too.
        let client = &running[0].1;
        let recorder = Arc::into_inner(recorder).expect("every client has ended");
        recorder.run(client.clone(), CLIENTS, 6, random.fork()).await;
        let events = history::events(client, first + 1).await;
        let history = History {
            before,
            calls: recorder.calls(),
        };
        if let Err(error) = search::check(&history) {
            panic!("no serial order explains the answers: {error}\n{history:#?}");
        }
        if let Err(error) = revisions::check(&history, first, &events) {
            panic!("the order of revisions does not explain the answers: {error}\n{history:#?}");
        }
    }
}

on_every_database!(histories_are_linearizable);
