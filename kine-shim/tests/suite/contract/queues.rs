//! Locks and elections.

use std::time::Duration;

use proto::{
    etcdserverpb::LeaseGrantRequest,
    v3electionpb::{
        CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest, election_client::ElectionClient,
    },
    v3lockpb::{LockRequest, UnlockRequest, lock_client::LockClient},
};
use tonic::Code;

use super::{all, refused};
use crate::support::{Client, PATIENCE, bytes};

async fn lease(client: &Client) -> i64 {
    let granted = client
        .lease
        .clone()
        .lease_grant(LeaseGrantRequest { ttl: 100, id: 0 })
        .await;
    granted.expect("lease").into_inner().id
}

async fn count(client: &Client, prefix: &str) -> i64 {
    client.range(all(prefix)).await.expect("range").count
}

pub(super) async fn a_lock_is_held_by_one(client: Client) {
    let locks = LockClient::new(client.channel.clone());
    let lock = |lease: i64| {
        let (mut locks, name) = (locks.clone(), bytes("lock/a"));
        async move { locks.lock(LockRequest { name, lease }).await }
    };
    let (mine, other, third) = (lease(&client).await, lease(&client).await, lease(&client).await);
    let held = lock(mine).await.expect("lock").into_inner();
    assert_eq!(held.key, format!("lock/a/{mine:x}"));
    // Who holds it has it.
    assert_eq!(lock(mine).await.expect("lock").into_inner().key, held.key);
    let waiting = tokio::spawn(lock(other));
    while count(&client, "lock/a/").await < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Who stops waiting leaves nothing behind.
    let lined_up = async {
        while count(&client, "lock/a/").await < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        held = lock(third) => panic!("it is held by somebody else: {held:?}"),
        () = lined_up => {}
    }
    let gone = async {
        while count(&client, "lock/a/").await > 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("the place is given up");
    assert!(!waiting.is_finished());
    let unlocked = locks
        .clone()
        .unlock(UnlockRequest { key: held.key })
        .await
        .expect("unlock");
    let next = waiting.await.expect("task").expect("lock").into_inner();
    assert_eq!(next.key, format!("lock/a/{other:x}"));
    let revision = unlocked.into_inner().header.expect("header").revision;
    assert!(next.header.expect("header").revision >= revision);
    let unleased = lock(4711).await;
    refused(unleased, Code::Unknown, "etcdserver: requested lease not found");
    // Who brings no lease is given one.
    let request = LockRequest {
        name: bytes("lock/b"),
        lease: 0,
    };
    let free = locks.clone().lock(request).await.expect("lock").into_inner();
    assert!(free.key.starts_with(b"lock/b/"));
    assert_ne!(client.range(all("lock/b/")).await.expect("range").kvs[0].lease, 0);
}

/// Who goes away at any moment, also while its place is being written, leaves nothing behind that others would wait for. (Of
/// etcd such places remain until their leases end.)
pub(super) async fn who_goes_away_leaves_no_place(client: Client) {
    let locks = LockClient::new(client.channel.clone());
    let lock = |lease: i64| {
        let (mut locks, name) = (locks.clone(), bytes("lock/c"));
        async move { locks.lock(LockRequest { name, lease }).await }
    };
    lock(lease(&client).await).await.expect("lock");
    for wait in 0..30 {
        let other = lease(&client).await;
        // The store is busy, so that it takes a while until the place is written.
        let large = "x".repeat(256 << 10);
        let writing = (0..8).map(|number| {
            let (client, value) = (client.clone(), large.clone());
            tokio::spawn(async move { client.set(&format!("busy/{number}"), &value).await })
        });
        let writing: Vec<_> = writing.collect();
        let impatient = tokio::time::timeout(Duration::from_millis(wait % 10), lock(other)).await;
        assert!(impatient.is_err());
        for writer in writing {
            writer.await.expect("put");
        }
    }
    let gone = async {
        while count(&client, "lock/c/").await > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("no place is left");
}

pub(super) async fn an_election_has_one_leader(client: Client) {
    let elections = ElectionClient::new(client.channel.clone());
    let name = || bytes("election/a");
    let campaign = |lease: i64, value: &str| {
        let (mut elections, name, value) = (elections.clone(), name(), bytes(value));
        async move { elections.campaign(CampaignRequest { name, lease, value }).await }
    };
    let leader = async || elections.clone().leader(LeaderRequest { name: name() }).await;
    refused(leader().await, Code::Unknown, "election: no leader");
    let (first, second) = (lease(&client).await, lease(&client).await);
    let office = campaign(first, "ada")
        .await
        .expect("campaign")
        .into_inner()
        .leader
        .expect("leader");
    assert_eq!(
        (office.key.clone(), office.lease),
        (format!("election/a/{first:x}").into(), first)
    );
    assert_eq!(
        leader().await.expect("leader").into_inner().kv.expect("kv").value,
        "ada"
    );
    let proclaim = async |leader: Option<LeaderKey>, value: &str| {
        let value = bytes(value);
        elections.clone().proclaim(ProclaimRequest { leader, value }).await
    };
    proclaim(Some(office.clone()), "countess").await.expect("proclaim");
    let mut observed = elections
        .clone()
        .observe(LeaderRequest { name: name() })
        .await
        .expect("observe")
        .into_inner();
    let mut next = async || {
        let answer = tokio::time::timeout(PATIENCE, observed.message())
            .await
            .expect("in time");
        answer.expect("answer").expect("answer").kv.expect("kv").value
    };
    assert_eq!(next().await, "countess");
    // Who campaigns again with the same lease is in office and says something new.
    let again = campaign(first, "lovelace")
        .await
        .expect("campaign")
        .into_inner()
        .leader
        .expect("leader");
    assert_eq!((again.rev, &again.key), (office.rev, &office.key));
    assert_eq!(next().await, "lovelace");
    let waiting = tokio::spawn(campaign(second, "grace"));
    while count(&client, "election/a/").await < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!waiting.is_finished());
    let resigned = elections
        .clone()
        .resign(ResignRequest {
            leader: Some(office.clone()),
        })
        .await;
    resigned.expect("resign");
    waiting.await.expect("task").expect("campaign");
    assert_eq!(next().await, "grace");
    refused(proclaim(Some(office), "x").await, Code::Unknown, "election: not leader");
    refused(
        proclaim(None, "x").await,
        Code::Unknown,
        "\"leader\" field must be provided",
    );
}
