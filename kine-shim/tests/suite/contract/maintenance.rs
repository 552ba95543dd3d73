//! Maintenance.

use proto::etcdserverpb::{AlarmRequest, HashKvRequest};

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
