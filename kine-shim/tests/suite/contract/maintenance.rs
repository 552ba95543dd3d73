//! Maintenance.

use proto::etcdserverpb::{
    AlarmRequest, AlarmType, DowngradeRequest, HashKvRequest, HashRequest, LeaseGrantRequest, MoveLeaderRequest,
    SnapshotRequest, StatusRequest, alarm_request::AlarmAction, downgrade_request::DowngradeAction,
};
use sha2::{Digest, Sha256};
use tonic::Code;

use super::{delete, put, refused};
use crate::support::Client;

pub(super) async fn hash_follows_the_contents(client: Client) {
    let hash = async |revision: i64| {
        let response = client
            .maintenance
            .clone()
            .hash_kv(HashKvRequest { revision })
            .await
            .expect("hash");
        response.into_inner().hash
    };
    let first = client.set("hash/a", "1").await;
    let before = hash(0).await;
    assert_eq!(hash(first).await, before);
    client.set("hash/a", "2").await;
    assert_ne!(hash(0).await, before);
    assert_eq!(hash(first).await, before);
}

pub(super) async fn alarms_are_listed(client: Client) {
    let response = client
        .maintenance
        .clone()
        .alarm(AlarmRequest::default())
        .await
        .expect("alarm")
        .into_inner();
    assert_eq!(response.alarms, []);
}

pub(super) async fn hashes_of_other_revisions_are_refused(client: Client) {
    let first = client.set("hash/b", "1").await;
    let last = client.set("hash/b", "2").await;
    client.compact(last, true).await.expect("compact");
    let mut maintenance = client.maintenance.clone();
    let mut hash = async |revision: i64| maintenance.hash_kv(HashKvRequest { revision }).await;
    refused(
        hash(last + 100).await,
        Code::OutOfRange,
        "etcdserver: mvcc: required revision is a future revision",
    );
    refused(
        hash(first).await,
        Code::OutOfRange,
        "etcdserver: mvcc: required revision has been compacted",
    );
    let whole = client.maintenance.clone().hash(HashRequest {}).await.expect("hash");
    assert_eq!(whole.into_inner().header.expect("header").revision, last);
}

pub(super) async fn status_names_the_one_member(client: Client) {
    client.set("status/a", "1").await;
    let status = client
        .maintenance
        .clone()
        .status(StatusRequest {})
        .await
        .expect("status")
        .into_inner();
    let header = status.header.expect("header");
    assert_eq!((status.leader, status.raft_term), (header.member_id, header.raft_term));
    assert!(header.revision > 1 && status.raft_applied_index > 0 && status.raft_index >= status.raft_applied_index);
    assert!(
        0 < status.db_size_in_use && status.db_size_in_use <= status.db_size,
        "{status:?}"
    );
    assert!(status.errors.is_empty() && !status.is_learner);
}

pub(super) async fn an_alarm_stops_what_needs_space(client: Client) {
    client.set("alarm/a", "1").await;
    let mut maintenance = client.maintenance.clone();
    let member_id = maintenance
        .status(StatusRequest {})
        .await
        .expect("status")
        .into_inner()
        .leader;
    let mut alarm = async |action: AlarmAction, alarm: AlarmType| {
        let request = AlarmRequest {
            action: action.into(),
            member_id,
            alarm: alarm.into(),
        };
        let answer = maintenance.alarm(request).await.expect("alarm").into_inner();
        answer
            .alarms
            .iter()
            .map(|member| (member.member_id, member.alarm()))
            .collect::<Vec<_>>()
    };
    let on = vec![(member_id, AlarmType::Nospace)];
    assert_eq!(alarm(AlarmAction::Deactivate, AlarmType::Nospace).await, []);
    assert_eq!(alarm(AlarmAction::Activate, AlarmType::Nospace).await, on);
    assert_eq!(alarm(AlarmAction::Activate, AlarmType::Nospace).await, on);
    assert_eq!(alarm(AlarmAction::Get, AlarmType::None).await, on);
    assert_eq!(alarm(AlarmAction::Get, AlarmType::Corrupt).await, []);
    let full = "etcdserver: mvcc: database space exceeded";
    refused(client.put(put("alarm/a", "2")).await, Code::ResourceExhausted, full);
    let lease = client
        .lease
        .clone()
        .lease_grant(LeaseGrantRequest { ttl: 10, id: 0 })
        .await;
    refused(lease, Code::ResourceExhausted, full);
    assert_eq!(client.get("alarm/a").await.as_deref(), Some("1"));
    assert_eq!(client.delete(delete("alarm/a")).await.expect("delete").deleted, 1);
    assert_eq!(alarm(AlarmAction::Deactivate, AlarmType::Nospace).await, on);
    assert_eq!(alarm(AlarmAction::Get, AlarmType::None).await, []);
    client.set("alarm/a", "3").await;
}

pub(super) async fn leadership_stays(client: Client) {
    let mut maintenance = client.maintenance.clone();
    refused(
        maintenance.move_leader(MoveLeaderRequest { target_id: 1 }).await,
        Code::FailedPrecondition,
        "etcdserver: bad leader transferee",
    );
    let leader = maintenance
        .status(StatusRequest {})
        .await
        .expect("status")
        .into_inner()
        .leader;
    let moved = maintenance.move_leader(MoveLeaderRequest { target_id: leader }).await;
    moved.expect("to where it is");
}

pub(super) async fn a_snapshot_ends_with_its_sum(client: Client) {
    client.set("snapshot/a", "1").await;
    let mut stream = client
        .maintenance
        .clone()
        .snapshot(SnapshotRequest {})
        .await
        .expect("snapshot")
        .into_inner();
    let mut bytes = Vec::new();
    let mut remaining = u64::MAX;
    while let Some(part) = stream.message().await.expect("part") {
        assert!(part.remaining_bytes < remaining || part.remaining_bytes == 0);
        remaining = part.remaining_bytes;
        bytes.extend_from_slice(&part.blob);
    }
    let (data, sum) = bytes.split_at(bytes.len() - 32);
    assert_eq!((&Sha256::digest(data)[..], remaining), (sum, 0));
    // etcdctl tells a file with a sum from one without by its length.
    assert_eq!(data.len() % 512, 0);
}

/// What etcd 3.4 has not got.
pub(super) async fn there_is_no_version_to_go_back_to(client: Client) {
    let mut maintenance = client.maintenance.clone();
    let mut downgrade = async |action: DowngradeAction, version: &str| {
        let request = DowngradeRequest {
            action: action.into(),
            version: version.into(),
        };
        maintenance.downgrade(request).await
    };
    let wrong = "etcdserver: wrong downgrade target version format";
    let invalid = "etcdserver: invalid downgrade target version";
    refused(
        downgrade(DowngradeAction::Validate, "three").await,
        Code::InvalidArgument,
        wrong,
    );
    refused(
        downgrade(DowngradeAction::Validate, "3.1").await,
        Code::InvalidArgument,
        invalid,
    );
    refused(
        downgrade(DowngradeAction::Enable, "3.1.0").await,
        Code::InvalidArgument,
        invalid,
    );
    let none = "etcdserver: no inflight downgrade job";
    refused(
        downgrade(DowngradeAction::Cancel, "").await,
        Code::FailedPrecondition,
        none,
    );
    let status = client
        .maintenance
        .clone()
        .status(StatusRequest {})
        .await
        .expect("status")
        .into_inner();
    assert_eq!(
        (status.version.as_str(), status.storage_version.as_str()),
        ("3.6.11", "3.6.0")
    );
}
