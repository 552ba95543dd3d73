//! Leases.

use proto::{
    etcdserverpb::{
        LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
        PutRequest,
    },
    mvccpb::event::EventType,
};
use tonic::Code;

use super::{
    all, put, refused,
    watch::{change, events, watch},
};
use crate::support::{Client, bytes};

pub(super) async fn leases(client: Client) {
    let mut leases = client.lease.clone();
    let granted = leases
        .lease_grant(LeaseGrantRequest { ttl: 100, id: 77 })
        .await
        .expect("grant")
        .into_inner();
    assert_eq!((granted.id, granted.ttl, granted.error.as_str()), (77, 100, ""));
    let again = leases.lease_grant(LeaseGrantRequest { ttl: 100, id: 77 }).await;
    refused(again, Code::FailedPrecondition, "etcdserver: lease already exists");
    let endless = leases
        .lease_grant(LeaseGrantRequest {
            ttl: 9_000_000_001,
            id: 0,
        })
        .await;
    refused(endless, Code::OutOfRange, "etcdserver: too large lease TTL");
    // One that is too short is made longer.
    let short = leases
        .lease_grant(LeaseGrantRequest { ttl: 1, id: 78 })
        .await
        .expect("grant")
        .into_inner();
    assert_eq!(short.ttl, 2);
    leases
        .lease_revoke(LeaseRevokeRequest { id: 78 })
        .await
        .expect("revoke");
    for key in ["lease/b", "lease/a"] {
        client
            .put(PutRequest {
                lease: 77,
                ..put(key, "x")
            })
            .await
            .expect("put");
    }
    let request = LeaseTimeToLiveRequest { id: 77, keys: true };
    let mut left = leases.lease_time_to_live(request).await.expect("ttl").into_inner();
    left.keys.sort();
    assert_eq!(
        (left.granted_ttl, left.keys),
        (100, vec![bytes("lease/a"), bytes("lease/b")])
    );
    assert!((90..=100).contains(&left.ttl), "{}", left.ttl);
    let listed = leases
        .lease_leases(LeaseLeasesRequest {})
        .await
        .expect("leases")
        .into_inner()
        .leases;
    assert_eq!(listed.iter().map(|lease| lease.id).collect::<Vec<_>>(), [77]);
    let request = tokio_stream::iter([LeaseKeepAliveRequest { id: 77 }, LeaseKeepAliveRequest { id: 4711 }]);
    let mut alive = leases.lease_keep_alive(request).await.expect("keep alive").into_inner();
    for expected in [(77, 100), (4711, 0)] {
        let response = alive.message().await.expect("answer").expect("answer");
        assert_eq!((response.id, response.ttl), expected);
    }
    let before = client.revision().await;
    let revoked = leases
        .lease_revoke(LeaseRevokeRequest { id: 77 })
        .await
        .expect("revoke")
        .into_inner();
    assert_eq!(revoked.header.expect("header").revision, before + 1);
    assert_eq!(client.range(all("lease/")).await.expect("range").count, 0);
    let again = leases.lease_revoke(LeaseRevokeRequest { id: 77 }).await;
    refused(again, Code::NotFound, "etcdserver: requested lease not found");
    let request = LeaseTimeToLiveRequest { id: 77, keys: true };
    assert_eq!(
        leases.lease_time_to_live(request).await.expect("ttl").into_inner().ttl,
        -1
    );
}

pub(super) async fn lease_expiry(client: Client) {
    let mut leases = client.lease.clone();
    let id = leases
        .lease_grant(LeaseGrantRequest { ttl: 2, id: 0 })
        .await
        .expect("grant")
        .into_inner()
        .id;
    let written = client
        .put(PutRequest {
            lease: id,
            ..put("expiry/a", "x")
        })
        .await
        .expect("put")
        .header
        .expect("header")
        .revision;
    let mut stream = client.stream().await;
    stream.create(watch("expiry/", written + 1));
    assert!(stream.next().await.created);
    let seen: Vec<_> = events(&mut stream, 1).await.iter().map(change).collect();
    assert_eq!(seen, [(EventType::Delete, String::new(), written + 1)]);
    assert_eq!(client.get("expiry/a").await, None);
}
