//! Killing the service while it works: what was acknowledged is there afterwards, and no revision is used twice.
//!
//! Each round loads the store with puts, deletions, transactions of several keys, leases and compactions, all at once, and
//! kills the process at a random moment, now and then while it is still starting. What clients were told ([`load`]) and what
//! a watcher saw is then held against what the store says after its next start ([`truth`]).

mod cut;
mod load;
mod truth;

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use kine_shim::{
    backend::endpoint::DatastoreOptions,
    tools::{check::check, stores},
};

use self::truth::Truth;
use crate::{
    databases::{Database, Kind, on_every_database},
    random::{Random, rounds},
    support::{Client, PATIENCE, Process},
};

/// The longest time a round is loaded, unless the machine is too busy to get anything done in it.
const LOAD: Duration = Duration::from_millis(250);
/// A start that is cut off is killed within this time.
const START: Duration = Duration::from_millis(60);

/// The service as a process of its own.
fn spawn(database: &Database) -> (Process, String) {
    let socket = format!("unix://{}", database.directory.path().join("kine.sock").display());
    let process = Process::spawn(
        Command::new(env!("CARGO_BIN_EXE_kine-shim"))
            .arg(format!("--endpoint={}", database.endpoint()))
            .arg(format!("--listen-address={socket}"))
            .args(["--log-level=error", "--compact-interval=0"])
            .stderr(Stdio::inherit()),
    );
    (process, socket)
}

/// What `check` finds, in a store that nobody serves.
pub(crate) fn findings(url: &str) -> Vec<String> {
    let endpoint = url.parse().expect("endpoint");
    let mut source = stores::open(&endpoint, &DatastoreOptions::default()).expect("open");
    let (findings, _, _) = check(source.as_mut()).expect("check");
    findings.iter().map(ToString::to_string).collect()
}

async fn consistent(database: &Database) {
    let url = database.endpoint();
    let found = tokio::task::spawn_blocking(move || findings(&url))
        .await
        .expect("check");
    assert_eq!(found, Vec::<String>::new());
}

async fn nothing_acknowledged_is_lost(database: &Database) {
    let mut random = Random::new("nothing_acknowledged_is_lost");
    let mut truth = Truth::default();
    let mut acknowledged = 0;
    let kills = match database.kind {
        Kind::Memory | Kind::Sqlite => rounds(24, 600),
        Kind::Server(_) => rounds(5, 100),
    };
    let (mut round, mut load) = (0, LOAD);
    while round < kills || acknowledged <= 10 * kills {
        while random.once_in(4) {
            let (process, _) = spawn(database);
            tokio::time::sleep(random.moment(START)).await;
            process.kill();
        }
        let (process, socket) = spawn(database);
        let client = Client::connect(&socket).await;
        truth.compare(&client, &mut random).await;
        let loading = load::start(&client, round, &truth, &mut random).await;
        tokio::time::sleep(random.moment(load)).await;
        process.kill();
        let told = loading.end().await;
        acknowledged += told.writes();
        truth.learn(told);
        consistent(database).await;
        round += 1;
        if acknowledged <= 10 * round {
            load *= 2;
            assert!(
                load < PATIENCE,
                "only {acknowledged} writes were acknowledged in {round} rounds"
            );
        }
    }
    let (process, socket) = spawn(database);
    truth.compare(&Client::connect(&socket).await, &mut random).await;
    process.kill();
}

on_every_database!(nothing_acknowledged_is_lost);

/// Whether nothing lies beside a store but what belongs to it.
fn only_known_files(directory: &Path) {
    let known = [
        "state.db",
        "state.db-wal",
        "state.db-shm",
        "state.db-lock",
        "kine.sock",
        "snapshot.db",
    ];
    for entry in std::fs::read_dir(directory).expect("list") {
        let name = entry.expect("entry").file_name().to_string_lossy().into_owned();
        assert!(
            known.contains(&name.as_str()) || name.contains("-replaced-"),
            "{name} was left behind"
        );
    }
}
