//! What the command line takes and refuses.

use std::time::Duration;

use chassis::{LogFormat, Options as _};
use clap::Parser;

use super::*;

fn options(arguments: &[&str]) -> Result<Options, String> {
    Options::try_parse_from(["kine-shim"].iter().chain(arguments)).map_err(|error| error.to_string())
}

#[test]
fn starts_with_every_argument_kine_takes() {
    let options = options(&[
        "--endpoint=sqlite:///data/state.db",
        "--listen-address",
        "unix:///data/kine.sock,tcp://127.0.0.1:0",
        "--ca-file=/ca",
        "--cert-file=/cert",
        "--key-file=/key",
        "--skip-verify",
        "--log-format=plain",
        "--metrics-bind-address=:8080",
        "--server-cert-file=/server.crt",
        "--server-key-file=/server.key",
        "--trusted-ca-file=/clients.crt",
        "--datastore-max-idle-connections=-1",
        "--datastore-max-open-connections",
        "10",
        "--datastore-connection-max-lifetime=1h",
        "--datastore-connection-max-idle-time=2m",
        "--slow-sql-threshold=-1s",
        "--slow-sql-warning-threshold=3s",
        "--metrics-enable-profiling",
        "--metrics-ignore-tls-config=false",
        "--watch-progress-notify-interval=1m30s",
        "--emulated-etcd-version=3.5.13",
        "--compact-interval=6m",
        "--compact-interval=7m",
        "--compact-interval-jitter=10",
        "--compact-timeout=5s",
        "--compact-min-retain=10",
        "--compact-batch-size=1000",
        "--poll-batch-size=500",
        "--debug",
    ])
    .expect("valid flags");
    assert_eq!(options.listen_address.len(), 2);
    assert_eq!(options.compaction.compact_interval, Duration::from_secs(420));
    assert_eq!(options.watch_progress_notify_interval, Duration::from_secs(90));
    assert_eq!(options.slow_sql_threshold, Duration::ZERO);
    assert!(options.datastore.skip_verify && options.debug);
    assert_eq!(options.common.log_level, "debug");
    assert_eq!(options.common.log_format, LogFormat::Text);
    assert!(options.common.admin_bind_address.0.is_some());
    let inherited: Vec<_> = options.inherited.0.iter().map(|(flag, _)| *flag).collect();
    assert_eq!(
        inherited,
        [
            "datastore-max-idle-connections",
            "datastore-max-open-connections",
            "datastore-connection-max-lifetime",
            "datastore-connection-max-idle-time",
            "compact-timeout",
            "compact-batch-size",
            "poll-batch-size",
            "metrics-enable-profiling",
        ]
    );
    let metrics = options.admin_tls().expect("metrics share the certificate");
    assert!(metrics.client_authorities.is_none());
}

#[test]
fn switches_are_read_as_go_reads_them() {
    for (arguments, level) in [
        (["--debug"].as_slice(), "debug"),
        (&["--debug=1"], "debug"),
        (&["--debug=T"], "debug"),
        (&["--debug=0"], "info"),
        (&["--debug=false"], "info"),
        (&["--debug", "--log-level=warn"], "warn"),
    ] {
        assert_eq!(
            options(arguments).expect("valid flags").common.log_level,
            level,
            "{arguments:?}"
        );
    }
}

#[test]
fn starts_with_nothing_as_kine_does() {
    let options = options(&[]).expect("defaults");
    assert_eq!(options.endpoint, Endpoint::Sqlite("db/state.db".into()));
    assert_eq!(options.compaction.compact_interval, Duration::from_secs(300));
    assert_eq!(options.compaction.compact_min_retain, 1000);
    assert_eq!(options.watch_progress_notify_interval, Duration::from_secs(5));
    assert_eq!(options.common.log_level, "info");
    assert!(options.inherited.0.is_empty());
    assert!(options.server_tls.files().is_none() && options.admin_tls().is_none());
    assert_eq!(options.check_listeners(), Ok(()));
}

#[test]
fn mistakes_name_the_flag() {
    for (arguments, part) in [
        (["--endpoint=mongodb://x"].as_slice(), "--endpoint"),
        (&["--listen-address=tcp://nowhere"], "--listen-address"),
        (&["--compact-interval=5"], "--compact-interval"),
        (&["--compact-interval-jitter=100"], "--compact-interval-jitter"),
        (
            &["--watch-progress-notify-interval=1ms"],
            "--watch-progress-notify-interval",
        ),
        (&["--compact-min-retain=-1"], "--compact-min-retain"),
        (&["--server-cert-file=/x"], "--server-key-file"),
        (&["--trusted-ca-file=/x"], "--server-cert-file"),
        (&["--cert-file=/x"], "--key-file"),
        (&["--max-txn-ops=0"], "--max-txn-ops"),
        (&["--s3-bucket=b"], "--s3-bucket belongs to kine's t4 driver"),
        (&["--s3-secret-key", "hunter2"], "--s3-secret-key belongs"),
    ] {
        let error = options(arguments).expect_err(part);
        assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn refuses_to_listen_for_everybody() {
    let tls = ["--server-cert-file=/c", "--server-key-file=/k"];
    for (arguments, allowed) in [
        (["--listen-address=127.0.0.1:1,[::1]:1,unix:///s"].as_slice(), true),
        (&["--listen-address=:2379"], false),
        (&["--listen-address=unix:///s,10.0.0.1:2379"], false),
        (&["--listen-address=0.0.0.0:2379", tls[0], tls[1]], false),
        (
            &["--listen-address=0.0.0.0:2379", tls[0], tls[1], "--trusted-ca-file=/ca"],
            true,
        ),
        (&["--listen-address=[::]:2379", "--allow-unauthenticated-clients"], true),
    ] {
        let checked = options(arguments).expect("valid flags").check_listeners();
        assert_eq!(checked.is_ok(), allowed, "{arguments:?}");
        if let Err(sentence) = checked {
            assert!(sentence.contains("--trusted-ca-file") && sentence.contains("--allow-unauthenticated-clients"));
        }
    }
}
