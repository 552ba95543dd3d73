//! Several servers on one store: what one has written, the others answer at once, and nobody loses a change.

use crate::support::store::Backend;
use apiserver::storage::cacher::{Cacher, ConsistencyCheck, Hub};
use apiserver::storage::codec::Codec;
use apiserver::storage::etcd3::{Connection, Servers, Store};
use apiserver::storage::interface::{
    Event, ListOptions, Preconditions, Revision, Scope, Storage, Update, Watch, WatchOptions,
};
use futures::{FutureExt, StreamExt};
use machinery::object::{Selectable, Stored};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

const PREFIX: &str = "/several";

/// What a server has of one resource.
struct Server {
    pods: Cacher,
    hub: Hub,
    _stop: DropGuard,
}

impl Server {
    async fn new(endpoint: &str) -> Self {
        let servers = Servers {
            endpoints: vec![endpoint.to_owned()],
            ..Servers::default()
        };
        let connection = Connection::open(&servers).await.unwrap();
        let hub = Hub::new(connection.clone(), PREFIX);
        let codec = Codec::new(PREFIX, "pods", true, Selectable::NONE, None);
        let pods = Cacher::new(Store::new(connection, codec), hub.clone());
        let stop = CancellationToken::new();
        let gate = chassis::Health::default().gate("etcd");
        tokio::spawn(hub.clone().run(gate, stop.clone()));
        Server {
            pods,
            hub,
            _stop: stop.drop_guard(),
        }
    }

    async fn create(&self, name: &str) -> Stored {
        let pod = json!({"metadata": {"namespace": "ns", "name": name}, "count": 0});
        self.pods.create("ns", name, pod.to_string().into()).await.unwrap()
    }

    async fn names(&self) -> Vec<(String, u64)> {
        let options = ListOptions {
            scope: Scope::default(),
            revision: Revision::Latest,
            limit: 0,
            continue_token: String::new(),
        };
        let listed = self.pods.list(options).await.unwrap();
        listed
            .items
            .iter()
            .map(|pod| (pod.index.name.to_string(), pod.revision))
            .collect()
    }

    async fn watch(&self) -> Watch {
        let options = WatchOptions {
            scope: Scope::default(),
            revision: Revision::Latest,
            bookmarks: false,
            initial_events: Some(true),
            deadline: None,
        };
        self.pods.watch(options).await.unwrap()
    }

    /// Counts the pod's number up, whoever else does the same.
    async fn count_up(&self, name: &str) {
        let mut update = |pod: Option<&Stored>| {
            let mut pod: Value = serde_json::from_slice(&pod.unwrap().bytes).unwrap();
            pod["count"] = (pod["count"].as_i64().unwrap() + 1).into();
            pod["metadata"].as_object_mut().unwrap().remove("resourceVersion");
            let value = pod.to_string();
            async move { Ok(Update::Write(value.into())) }.boxed()
        };
        self.pods
            .update("ns", name, &Preconditions::default(), &mut update)
            .await
            .unwrap();
    }
}

/// The next changes: what happened to whom at which revision.
async fn next(watch: &mut Watch, count: usize) -> Vec<(&'static str, String, u64)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let event = tokio::time::timeout(Duration::from_secs(20), watch.next())
            .await
            .unwrap()
            .unwrap();
        let (what, pod) = match &event {
            Event::Added(pod) => ("added", pod),
            Event::Modified(pod) => ("modified", pod),
            Event::Deleted(pod) => ("deleted", pod),
            other => panic!("{other:?}"),
        };
        seen.push((what, pod.index.name.to_string(), pod.revision));
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_one_store_agree() {
    let backend = Backend::etcd();
    let (one, two) = (
        Server::new(&backend.endpoint).await,
        Server::new(&backend.endpoint).await,
    );
    let (mut first, mut second) = (one.watch().await, two.watch().await);
    for i in 0..10 {
        let (writer, reader) = if i % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let created = writer.create(&format!("p{i}")).await;
        assert!(
            reader.names().await.contains(&(format!("p{i}"), created.revision)),
            "p{i} is not seen at once"
        );
    }
    let many = async |server: &Server| {
        for _ in 0..20 {
            server.count_up("p0").await;
        }
    };
    tokio::join!(many(&one), many(&two));
    two.pods
        .delete("ns", "p1", &Preconditions::default(), &mut |_| Ok(()))
        .await
        .unwrap();
    let counted = one.pods.get("ns", "p0", Revision::Latest).await.unwrap();
    let counted: Value = serde_json::from_slice(&counted.bytes).unwrap();
    assert_eq!(counted["count"], 40, "no change is lost");
    assert_eq!(one.names().await, two.names().await);
    let seen = next(&mut first, 51).await;
    assert_eq!(seen, next(&mut second, 51).await, "all watchers see the same");
    assert_eq!(
        seen.last().map(|(what, name, _)| (*what, name.as_str())),
        Some(("deleted", "p1"))
    );

    let check = ConsistencyCheck::default();
    for server in [&one, &two] {
        check.check(&server.hub).await;
    }
    assert_eq!((check.count("pods", "success"), check.count("pods", "failure")), (2, 0));
}
