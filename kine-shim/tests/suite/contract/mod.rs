//! What any etcd v3 endpoint must do: one table of cases, run on the shim and on a real etcd.

mod cluster;
mod kv;
mod lease;
mod maintenance;
mod queues;
mod txn;
pub(crate) mod watch;

use std::{future::Future, pin::Pin};

use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, request_op::Request};
use tonic::{Code, Status};

use crate::{
    databases::{Database, on_everything},
    support::{Client, Etcd, Shim, bytes, prefix_end},
};

type Case = fn(Client) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! cases {
    ($($name:path),* $(,)?) => { [$((stringify!($name), (|client| Box::pin($name(client))) as Case)),*] };
}

/// The cases; each uses keys below its own name.
const CASES: &[(&str, Case)] = &cases![
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
    watch::watch_ids_of_the_client,
    watch::watch_of_everything,
    lease::leases,
    lease::lease_expiry,
    maintenance::hash_follows_the_contents,
    maintenance::alarms_are_listed,
    maintenance::hashes_of_other_revisions_are_refused,
    maintenance::status_names_the_one_member,
    maintenance::an_alarm_stops_what_needs_space,
    maintenance::leadership_stays,
    maintenance::a_snapshot_ends_with_its_sum,
    cluster::one_member,
    cluster::nobody_has_to_log_in,
    queues::a_lock_is_held_by_one,
    queues::an_election_has_one_leader,
];

/// What the etcd of the shim's version does and the one of Debian, which is older, does not; and what the shim does better.
const NEWER: &[(&str, Case)] = &cases![
    watch::watch_since_3_6,
    maintenance::there_is_no_version_to_go_back_to,
    cluster::auth_since_3_5,
    queues::who_goes_away_leaves_no_place,
];

async fn run(client: &Client, cases: &[(&str, Case)]) {
    for (name, case) in cases {
        eprintln!("case {name}");
        case(client.clone()).await;
    }
}

on_everything! { shim_over_tcp, shim_over_a_unix_socket }

async fn shim_over_tcp(database: &Database) {
    let shim = Shim::start(database).await;
    run(&shim.client, CASES).await;
    run(&shim.client, NEWER).await;
    shim.stop().await;
}

async fn shim_over_a_unix_socket(database: &Database) {
    let shim = Shim::start(database).await;
    let client = Client::connect(&shim.socket).await;
    run(&client, CASES).await;
    shim.stop().await;
}

#[tokio::test]
async fn etcd_itself() {
    if let Some(etcd) = Etcd::start().await {
        run(&etcd.client, CASES).await;
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
