//! The store on a disk that runs full.

use bytes::Bytes;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest};
use tokio::task::JoinHandle;

use super::{Store, WriterEnd, alarm};
use crate::{
    backend::{
        Backend,
        endpoint::{DatastoreOptions, Endpoint, Synchronous},
        sqlite,
    },
    error::Error,
};

fn put(key: &'static str, size: usize) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: vec![1; size].into(),
        ..Default::default()
    }
}

fn get(key: &'static str) -> RangeRequest {
    RangeRequest {
        key: key.into(),
        ..Default::default()
    }
}

/// A store whose database cannot grow beyond some 400 KiB.
fn small() -> (tempfile::TempDir, Store, JoinHandle<()>) {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("state.db");
    let (writer, readers) = sqlite::open(&path, Synchronous::Full).expect("open");
    writer.limit(100);
    let backend = Backend {
        writer: Box::new(writer),
        readers: Box::new(readers),
        peers: None,
    };
    let (store, end) = Store::start(backend, &Endpoint::Sqlite(path)).expect("start");
    (directory, store, answering(end))
}

fn answering(mut end: WriterEnd) -> JoinHandle<()> {
    tokio::spawn(async move { end.deliver().await })
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let (_directory, store, end) = small();
    store.put(put("a", 100 << 10)).await.expect("there is space");
    let revision = store.revision();
    assert_eq!(store.put(put("b", 1 << 20)).await, Err(Error::NoSpace));
    assert_eq!(store.alarms(), alarm::NO_SPACE);
    // Nothing has happened: no revision is taken, nothing is there, what was there can be read.
    assert_eq!(store.revision(), revision);
    assert_eq!(store.range(get("b")).await.expect("range").count, 0);
    assert_eq!(
        store.range(get("a")).await.expect("range").kvs[0].value.len(),
        100 << 10
    );
    // It recovers by itself once there is space.
    store.put(put("c", 1)).await.expect("a small one fits");
    assert_eq!((store.alarms(), store.revision()), (0, revision + 1));
    store.stop().await;
    end.await.expect("the writer ends");
}

#[tokio::test]
async fn the_alarm_can_be_raised_and_disarmed_by_hand() {
    let (directory, store, end) = small();
    store.put(put("a", 1)).await.expect("put");
    store.set_alarms(alarm::NO_SPACE, true).await.expect("alarm");
    assert_eq!(store.put(put("b", 1)).await, Err(Error::NoSpace));
    assert_eq!(store.grant(1, 10).await, Err(Error::NoSpace));
    // Making space is what one has to do now.
    let request = DeleteRangeRequest {
        key: Bytes::from_static(b"a"),
        ..Default::default()
    };
    assert_eq!(store.delete_range(request).await.expect("delete").deleted, 1);
    store.stop().await;
    end.await.expect("the writer ends");

    let endpoint = Endpoint::Sqlite(directory.path().join("state.db"));
    let (store, end) = Store::open(&endpoint, &DatastoreOptions::default()).expect("open");
    let end = answering(end);
    assert_eq!(store.alarms(), alarm::NO_SPACE);
    store.set_alarms(alarm::NO_SPACE, false).await.expect("disarm");
    store.put(put("b", 1)).await.expect("put");
    store.stop().await;
    end.await.expect("the writer ends");
}

#[tokio::test]
async fn after_the_end_requests_are_refused() {
    let (_directory, store, end) = small();
    store.stop().await;
    end.await.expect("the writer ends");
    assert_eq!(store.put(put("a", 1)).await, Err(Error::Stopped));
}

#[tokio::test]
async fn many_clients_on_a_disk_that_runs_full_are_told_the_truth() {
    let (_directory, store, end) = small();
    let clients: Vec<_> = (0..64)
        .map(|client| {
            let store = store.clone();
            tokio::spawn(async move {
                let (mut written, mut refused) = (Vec::new(), Vec::new());
                for number in 0..10 {
                    let key = Bytes::from(format!("{client}/{number}"));
                    let request = PutRequest {
                        key: key.clone(),
                        ..put("", 2 << 10)
                    };
                    match store.put(request).await {
                        Ok(response) => written.push((key, response.header.expect("header").revision)),
                        Err(Error::NoSpace) => refused.push(key),
                        Err(error) => panic!("{error}"),
                    }
                }
                (written, refused)
            })
        })
        .collect();
    let (mut written, mut refused) = (Vec::new(), Vec::new());
    for client in clients {
        let (some, others) = client.await.expect("client");
        written.extend(some);
        refused.extend(others);
    }
    assert!(!written.is_empty() && !refused.is_empty());
    let key = |key: &Bytes| RangeRequest {
        key: key.clone(),
        ..get("")
    };
    for refused in &refused {
        assert_eq!(store.range(key(refused)).await.expect("range").count, 0);
    }
    let mut revisions = Vec::new();
    for (written, revision) in &written {
        let found = store.range(key(written)).await.expect("range");
        assert_eq!(found.kvs[0].mod_revision, *revision);
        assert_eq!(found.kvs[0].value.len(), 2 << 10);
        revisions.push(*revision);
    }
    revisions.sort_unstable();
    assert_eq!(
        revisions,
        (2..=store.revision()).collect::<Vec<_>>(),
        "no revision is lost or reused"
    );
    store.stop().await;
    end.await.expect("the writer ends");
}
