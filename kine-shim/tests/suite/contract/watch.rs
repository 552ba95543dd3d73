//! Watches.

use std::{collections::HashMap, time::Duration};

use proto::{
    etcdserverpb::{
        TxnRequest, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, request_op::Request,
        watch_create_request::FilterType, watch_request::RequestUnion,
    },
    mvccpb::{Event, event::EventType},
};

use super::{delete, op, put};
use crate::support::{Client, Watching, bytes, prefix_end};

pub(crate) fn watch(prefix: &str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest {
        key: bytes(prefix),
        range_end: prefix_end(prefix),
        start_revision,
        ..Default::default()
    }
}

pub(super) async fn events(stream: &mut Watching, count: usize) -> Vec<Event> {
    let mut found = Vec::new();
    while found.len() < count {
        let response = stream.next().await;
        assert!(!response.canceled, "{response:?}");
        found.extend(response.events);
    }
    assert_eq!(found.len(), count);
    found
}

pub(super) fn change(event: &Event) -> (EventType, String, i64) {
    let kv = event.kv.as_ref().expect("kv");
    (
        event.r#type(),
        String::from_utf8_lossy(&kv.value).into_owned(),
        kv.mod_revision,
    )
}

pub(super) async fn watch_sees_every_change(client: Client) {
    let mut stream = client.stream().await;
    stream.create(watch("watch/", 0));
    let created = stream.next().await;
    assert!(created.created && created.events.is_empty() && !created.canceled);
    let first = client.set("watch/a", "1").await;
    client.set("elsewhere", "x").await;
    client.set("watch/a", "2").await;
    client.delete(delete("watch/a")).await.expect("delete");
    let both = vec![
        op(Request::RequestPut(put("watch/b", "3"))),
        op(Request::RequestPut(put("watch/c", "4"))),
    ];
    client
        .txn(TxnRequest {
            success: both,
            ..Default::default()
        })
        .await
        .expect("txn");
    let seen: Vec<_> = events(&mut stream, 5).await.iter().map(change).collect();
    assert_eq!(
        seen,
        [
            (EventType::Put, "1".into(), first),
            (EventType::Put, "2".into(), first + 2),
            (EventType::Delete, String::new(), first + 3),
            (EventType::Put, "3".into(), first + 4),
            (EventType::Put, "4".into(), first + 4),
        ]
    );
}

pub(super) async fn watch_replays_the_past(client: Client) {
    let first = client.set("replay/a", "1").await;
    client.set("replay/a", "2").await;
    client.delete(delete("replay/a")).await.expect("delete");
    let mut stream = client.stream().await;
    stream.create(watch("replay/", first + 1));
    assert!(stream.next().await.created);
    client.set("replay/a", "3").await;
    let seen: Vec<_> = events(&mut stream, 3).await.iter().map(change).collect();
    assert_eq!(
        seen,
        [
            (EventType::Put, "2".into(), first + 1),
            (EventType::Delete, String::new(), first + 2),
            (EventType::Put, "3".into(), first + 3),
        ]
    );
    // A start to come waits for it.
    let mut stream = client.stream().await;
    stream.create(watch("replay/", first + 5));
    assert!(stream.next().await.created);
    client.set("replay/a", "4").await;
    client.set("replay/a", "5").await;
    let seen: Vec<_> = events(&mut stream, 1).await.iter().map(change).collect();
    assert_eq!(seen, [(EventType::Put, "5".into(), first + 5)]);
}

pub(super) async fn watch_filters_and_prev_kv(client: Client) {
    let mut stream = client.stream().await;
    let filters = vec![FilterType::Noput.into()];
    stream.create(WatchCreateRequest {
        filters,
        prev_kv: true,
        watch_id: 7,
        ..watch("filters/", 0)
    });
    assert_eq!(stream.next().await.watch_id, 7);
    let filters = vec![FilterType::Nodelete.into()];
    stream.create(WatchCreateRequest {
        filters,
        prev_kv: true,
        watch_id: 8,
        ..watch("filters/", 0)
    });
    assert_eq!(stream.next().await.watch_id, 8);
    client.set("filters/a", "1").await;
    client.set("filters/a", "2").await;
    client.delete(delete("filters/a")).await.expect("delete");
    let mut seen: HashMap<i64, Vec<Event>> = HashMap::new();
    while seen.values().map(Vec::len).sum::<usize>() < 3 {
        let response = stream.next().await;
        seen.entry(response.watch_id).or_default().extend(response.events);
    }
    let previous = |event: &Event| {
        event
            .prev_kv
            .as_ref()
            .map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
    };
    let shown = |id: i64| {
        seen[&id]
            .iter()
            .map(|event| (event.r#type(), previous(event)))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(7), [(EventType::Delete, Some("2".into()))]);
    assert_eq!(shown(8), [(EventType::Put, None), (EventType::Put, Some("1".into()))]);
}

pub(super) async fn watch_many_on_one_stream(client: Client) {
    let mut stream = client.stream().await;
    for _ in 0..3 {
        stream.create(watch("many/", 0));
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(stream.next().await.watch_id);
    }
    assert_eq!(ids, [0, 1, 2]);
    stream.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 1 }));
    let canceled = stream.next().await;
    assert_eq!(
        (canceled.watch_id, canceled.canceled, canceled.cancel_reason.as_str()),
        (1, true, "")
    );
    client.set("many/a", "1").await;
    let mut hit = [stream.next().await.watch_id, stream.next().await.watch_id];
    hit.sort_unstable();
    assert_eq!(hit, [0, 2]);
    assert_eq!(stream.soon(Duration::from_millis(100)).await, None);
}

pub(super) async fn watch_refusals(client: Client) {
    let mut stream = client.stream().await;
    stream.create(WatchCreateRequest {
        watch_id: 5,
        ..watch("refused/", 0)
    });
    assert!(!stream.next().await.canceled);
    stream.create(WatchCreateRequest {
        watch_id: 5,
        ..watch("refused/", 0)
    });
    let twice = stream.next().await;
    assert_eq!((twice.watch_id, twice.created, twice.canceled), (-1, true, true));
    assert_eq!(
        twice.cancel_reason,
        "mvcc: duplicate watch ID provided on the WatchStream"
    );
    stream.create(WatchCreateRequest {
        key: bytes("b"),
        range_end: bytes("a"),
        ..Default::default()
    });
    let empty = stream.next().await;
    assert_eq!(
        (empty.watch_id, empty.canceled, empty.cancel_reason.as_str()),
        (-1, true, "mvcc: watcher range is empty")
    );
    let first = client.set("refused/a", "1").await;
    client.set("refused/a", "2").await;
    client.compact(first + 1, true).await.expect("compact");
    let mut stream = client.stream().await;
    stream.create(watch("refused/", first));
    let created = stream.next().await;
    assert!(created.created && !created.canceled);
    let canceled = stream.next().await;
    assert_eq!(
        (canceled.watch_id, canceled.canceled, canceled.compact_revision),
        (0, true, first + 1)
    );
}

pub(super) async fn watch_progress(client: Client) {
    let mut stream = client.stream().await;
    stream.create(watch("progress/", 0));
    assert!(stream.next().await.created);
    let written = client.set("progress/a", "1").await;
    let last = client.set("unrelated", "1").await;
    assert_eq!(events(&mut stream, 1).await.len(), 1);
    stream.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    let progress = stream.next().await;
    assert!(progress.events.is_empty() && !progress.created && !progress.canceled);
    assert_eq!(progress.watch_id, -1);
    assert_eq!(progress.header.expect("header").revision, last);
    assert_eq!(written + 1, last);
}

pub(super) async fn watch_ids_of_the_client(client: Client) {
    let mut stream = client.stream().await;
    let mut ids = Vec::new();
    for watch_id in [1, 0, 0, -7] {
        stream.create(WatchCreateRequest {
            watch_id,
            ..watch("ids/", 0)
        });
        ids.push(stream.next().await.watch_id);
    }
    assert_eq!(ids, [1, 0, 2, -7]);
    // One that is not there is passed over.
    stream.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 99 }));
    stream.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 1 }));
    let canceled = stream.next().await;
    assert_eq!((canceled.watch_id, canceled.canceled), (1, true));
}

pub(super) async fn watch_of_everything(client: Client) {
    let mut stream = client.stream().await;
    // No key is the smallest key.
    stream.create(WatchCreateRequest {
        range_end: bytes("\0"),
        ..Default::default()
    });
    assert!(!stream.next().await.canceled);
    let written = client.set("everything/a", "1").await;
    let seen: Vec<_> = events(&mut stream, 1).await.iter().map(change).collect();
    assert_eq!(seen, [(EventType::Put, "1".into(), written)]);
}

/// What etcd 3.4 does differently.
pub(super) async fn watch_since_3_6(client: Client) {
    let mut stream = client.stream().await;
    // There is nothing whose progress could be told.
    stream.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    stream.create(watch("since/", -1));
    let refused = stream.next().await;
    assert_eq!((refused.watch_id, refused.created, refused.canceled), (-1, true, true));
    assert_eq!(
        refused.cancel_reason,
        "etcdserver: mvcc: required revision has been compacted"
    );
    stream.create(watch("since/", 0));
    assert!(stream.next().await.created);
    assert_eq!(stream.soon(Duration::from_millis(100)).await, None);
}
