//! What any etcd v3 endpoint must do: one table of cases, run on the shim and on a real etcd.

mod kv;
mod lease;
mod maintenance;
mod txn;
mod watch;

use std::{future::Future, pin::Pin};

use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, request_op::Request};
use tonic::{Code, Status};

use crate::{
    databases::{Database, on_every_database},
    support::{Client, Etcd, Shim, bytes, prefix_end},
};

type Case = fn(Client) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! cases {
    ($($name:path),* $(,)?) => { [$((stringify!($name), (|client| Box::pin($name(client))) as Case)),*] };
}

/// The cases; each uses keys below its own name.
const CASES: [(&str, Case); 21] = cases![
    kv::put_and_get,
    kv::put_options,
    kv::range_options,
    kv::range_in_the_past,
    kv::delete_range,
    kv::refusals,
    txn::txn_compares,
    txn::txn_changes_at_one_revision,
    txn::txn_is_refused_whole,
    txn::compare_ranges,
    kv::compaction,
    watch::watch_sees_every_change,
    watch::watch_replays_the_past,
    watch::watch_filters_and_prev_kv,
    watch::watch_many_on_one_stream,
    watch::watch_refusals,
    watch::watch_progress,
    lease::leases,
    lease::lease_expiry,
    maintenance::hash_follows_the_contents,
    maintenance::alarms_are_listed,
];

async fn run(client: &Client) {
    for (name, case) in CASES {
        eprintln!("case {name}");
        case(client.clone()).await;
    }
}

on_every_database! { shim_over_tcp, shim_over_a_unix_socket }

async fn shim_over_tcp(database: &Database) {
    let shim = Shim::start(database).await;
    run(&shim.client).await;
    shim.stop().await;
}

async fn shim_over_a_unix_socket(database: &Database) {
    let shim = Shim::start(database).await;
    let client = Client::connect(&shim.socket).await;
    run(&client).await;
    shim.stop().await;
}

#[tokio::test]
async fn etcd_itself() {
    if let Some(etcd) = Etcd::start().await {
        run(&etcd.client).await;
    }
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: bytes(key),
        value: bytes(value),
        ..Default::default()
    }
}

fn delete(key: &str) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: bytes(key),
        ..Default::default()
    }
}

fn one(key: &str) -> RangeRequest {
    RangeRequest {
        key: bytes(key),
        ..Default::default()
    }
}

fn all(prefix: &str) -> RangeRequest {
    RangeRequest {
        key: bytes(prefix),
        range_end: prefix_end(prefix),
        ..Default::default()
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, text: &str) {
    let status = result.expect_err(text);
    assert_eq!((status.code(), status.message()), (code, text));
}

fn keys(kvs: &[proto::mvccpb::KeyValue]) -> Vec<String> {
    kvs.iter()
        .map(|kv| {
            String::from_utf8_lossy(&kv.key)
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}
