//! One battery for both implementations of the storage contract, against etcd and against kine-shim.

use crate::support::store::{Backend, eventually};
use apiserver::storage::cacher::{Cacher, Hub};
use apiserver::storage::codec::Codec;
use apiserver::storage::etcd3::{Compactor, Connection, Servers, Store};
use apiserver::storage::interface::{
    Error, Event, ListOptions, Listed, Preconditions, Revision, Scope, Storage, Update, Watch, WatchOptions,
};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use machinery::object::{FieldReader, Selectable, Stored};
use machinery::selector::{Selector, field, label};
use machinery::status::Status;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const PHASE: FieldReader = |pod| {
    pod.pointer("/status/phase")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
};

/// A storage under test, alone under its own prefix.
struct Bench {
    storage: Arc<dyn Storage>,
    endpoint: String,
    prefix: String,
    cached: bool,
    hub: Hub,
    health: chassis::Health,
    stop: CancellationToken,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Bench {
    async fn new(endpoint: &str, prefix: &str, cached: bool) -> Self {
        let connection = connect(endpoint).await;
        let codec = Codec::new(
            prefix,
            "pods",
            true,
            Selectable::Builtin(&[("status.phase", PHASE)]),
            None,
        );
        let store = Store::new(connection.clone(), codec);
        let (hub, health, stop) = (
            Hub::new(connection, prefix),
            chassis::Health::default(),
            CancellationToken::new(),
        );
        let storage: Arc<dyn Storage> = if cached {
            Arc::new(Cacher::new(store, hub.clone()))
        } else {
            Arc::new(store)
        };
        let (endpoint, prefix) = (endpoint.to_owned(), prefix.to_owned());
        let bench = Bench {
            storage,
            endpoint,
            prefix,
            cached,
            hub,
            health,
            stop,
        };
        if cached {
            bench.follow(bench.stop.clone());
        }
        bench
    }

    fn follow(&self, stop: CancellationToken) -> tokio::task::JoinHandle<()> {
        tokio::spawn(self.hub.clone().run(self.health.gate("etcd"), stop))
    }

    async fn create(&self, name: &str, phase: &str) -> Stored {
        self.storage.create("ns", name, pod("ns", name, phase)).await.unwrap()
    }

    async fn set_phase(&self, name: &str, phase: &str) -> Stored {
        let value = pod("ns", name, phase);
        let mut update = |_: Option<&Stored>| {
            let value = value.clone();
            async move { Ok(Update::Write(value)) }.boxed()
        };
        self.storage
            .update("ns", name, &Preconditions::default(), &mut update)
            .await
            .unwrap()
            .0
    }

    async fn remove(&self, name: &str) -> Stored {
        self.storage
            .delete("ns", name, &Preconditions::default(), &mut |_| Ok(()))
            .await
            .unwrap()
    }

    async fn list(&self, options: ListOptions) -> Listed {
        self.storage.list(options).await.unwrap()
    }

    async fn watch(&self, options: WatchOptions) -> Watch {
        self.storage.watch(options).await.unwrap()
    }

    async fn etcd(&self) -> etcd_client::Client {
        let endpoint = tonic::transport::Endpoint::from_shared(self.endpoint.clone()).unwrap();
        let channel = etcd_client::Channel::Tonic(endpoint.connect().await.unwrap());
        etcd_client::Client::from_channel(channel, None).await.unwrap()
    }

    async fn compact(&self, revision: u64) {
        self.etcd()
            .await
            .compact(i64::try_from(revision).unwrap(), None)
            .await
            .unwrap();
    }
}

async fn connect(endpoint: &str) -> Connection {
    Connection::open(&Servers {
        endpoints: vec![endpoint.to_owned()],
        ..Servers::default()
    })
    .await
    .unwrap()
}

fn pod(namespace: &str, name: &str, phase: &str) -> Bytes {
    let labels = json!({"app": name.split('-').next()});
    let metadata = json!({"namespace": namespace, "name": name, "uid": format!("uid-{name}"), "labels": labels});
    json!({"metadata": metadata, "status": {"phase": phase}})
        .to_string()
        .into()
}

fn everything() -> ListOptions {
    ListOptions {
        scope: Scope::default(),
        revision: Revision::Latest,
        limit: 0,
        continue_token: String::new(),
    }
}

fn changes_after(revision: u64) -> WatchOptions {
    WatchOptions {
        scope: Scope::default(),
        revision: Revision::NotOlderThan(revision),
        bookmarks: false,
        initial_events: None,
        deadline: None,
    }
}

fn running() -> Scope {
    let fields = field::Selector::parse("status.phase=Running").unwrap();
    Scope {
        selector: Selector {
            fields,
            ..Selector::default()
        },
        ..Scope::default()
    }
}

fn labelled(text: &str) -> Scope {
    let labels = label::Selector::parse(text).unwrap();
    Scope {
        selector: Selector {
            labels,
            ..Selector::default()
        },
        ..Scope::default()
    }
}

fn names(listed: &Listed) -> Vec<&str> {
    listed.items.iter().map(|item| &*item.index.name).collect()
}

/// `ADDED name phase@revision`, with the revision that the object itself carries.
fn told(event: &Event) -> String {
    let line = |what: &str, object: &Stored| {
        let tree = object.decode().unwrap();
        let revision = tree
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .unwrap();
        assert_eq!(revision, object.revision.to_string());
        format!("{what} {} {}@{revision}", object.index.name, PHASE(&tree))
    };
    match event {
        Event::Added(object) => line("ADDED", object),
        Event::Modified(object) => line("MODIFIED", object),
        Event::Deleted(object) => line("DELETED", object),
        Event::Bookmark {
            revision,
            initial_events_end,
        } => format!("BOOKMARK {revision} {initial_events_end}"),
        Event::Error(error) => format!("ERROR {error}"),
    }
}

async fn next(watch: &mut Watch) -> String {
    let event = tokio::time::timeout(Duration::from_secs(10), watch.next()).await;
    told(&event.expect("no event came").expect("the watch ended"))
}

async fn objects_come_back_as_they_were_stored(bench: &Bench) {
    let created = bench.create("a", "Pending").await;
    let read = bench.storage.get("ns", "a", Revision::Latest).await.unwrap();
    assert_eq!((read.bytes, read.revision), (created.bytes.clone(), created.revision));
    let same = bench
        .storage
        .get("ns", "a", Revision::NotOlderThan(created.revision))
        .await
        .unwrap();
    assert_eq!(same.revision, created.revision);
    let text = String::from_utf8(created.bytes.to_vec()).unwrap();
    assert!(
        text.starts_with(&format!(
            "{{\"metadata\":{{\"resourceVersion\":\"{}\",",
            created.revision
        )),
        "{text}"
    );
    let again = bench
        .storage
        .create("ns", "a", pod("ns", "a", "Running"))
        .await
        .unwrap_err();
    assert!(
        matches!(&again, Error::Exists { key } if key.ends_with("/pods/ns/a")),
        "{again}"
    );
    let absent = bench.storage.get("ns", "b", Revision::Latest).await.unwrap_err();
    assert!(matches!(absent, Error::NotFound { .. }), "{absent}");
    assert!(matches!(
        bench.storage.get("..", "b", Revision::Latest).await.unwrap_err(),
        Error::Invalid(_)
    ));
    let raw = bench
        .etcd()
        .await
        .get(format!("{}/pods/ns/a", bench.prefix), None)
        .await
        .unwrap();
    assert_eq!(
        raw.kvs()[0].value(),
        pod("ns", "a", "Pending"),
        "the stored value has no resourceVersion"
    );
}

async fn updates_swap_what_they_saw(bench: &Bench) {
    let created = bench.create("a", "Pending").await;
    let running = bench.set_phase("a", "Running").await;
    assert!(running.revision > created.revision);
    assert_eq!(
        bench.set_phase("a", "Running").await.revision,
        running.revision,
        "nothing changed"
    );
    let mut keep = |_: Option<&Stored>| async { Ok(Update::Keep) }.boxed();
    let kept = bench
        .storage
        .update("ns", "a", &Preconditions::default(), &mut keep)
        .await
        .unwrap();
    assert_eq!((kept.0.revision, kept.1), (running.revision, false));
    let stale = Preconditions {
        resource_version: Some(created.revision),
        uid: None,
    };
    let mut keep = |_: Option<&Stored>| async { Ok(Update::Keep) }.boxed();
    let error = bench.storage.update("ns", "a", &stale, &mut keep).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    let mut refuse = |_: Option<&Stored>| async { Err(Box::new(Status::bad_request("no"))) }.boxed();
    let error = bench
        .storage
        .update("ns", "a", &Preconditions::default(), &mut refuse)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "no");
    let mut create = |current: Option<&Stored>| {
        assert!(current.is_none());
        async { Ok(Update::Write(pod("ns", "new", "Pending"))) }.boxed()
    };
    assert!(
        bench
            .storage
            .update("ns", "new", &Preconditions::default(), &mut create)
            .await
            .unwrap()
            .1
    );
    let mut remove = |_: Option<&Stored>| async { Ok(Update::Delete) }.boxed();
    let removed = bench
        .storage
        .update("ns", "new", &Preconditions::default(), &mut remove)
        .await
        .unwrap()
        .0;
    assert!(removed.revision > running.revision);
    assert!(bench.storage.get("ns", "new", Revision::Latest).await.is_err());
}

async fn concurrent_updates_all_count(bench: &Bench) {
    bench.create("counter", "0").await;
    let one = async || {
        let mut add = |current: Option<&Stored>| {
            let count: u32 = PHASE(&current.unwrap().decode().unwrap()).parse().unwrap();
            async move { Ok(Update::Write(pod("ns", "counter", &(count + 1).to_string()))) }.boxed()
        };
        bench
            .storage
            .update("ns", "counter", &Preconditions::default(), &mut add)
            .await
            .unwrap();
    };
    futures::future::join_all((0..20).map(|_| one())).await;
    let end = bench.storage.get("ns", "counter", Revision::Latest).await.unwrap();
    assert_eq!(PHASE(&end.decode().unwrap()), "20");
}

async fn deletions_check_and_answer_the_last_state(bench: &Bench) {
    let created = bench.create("a", "Running").await;
    let other = Preconditions {
        uid: Some("other".to_owned()),
        resource_version: None,
    };
    let error = bench
        .storage
        .delete("ns", "a", &other, &mut |_| Ok(()))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("UID in precondition: other, UID in object meta: uid-a"),
        "{error}"
    );
    let mut refuse = |_: &Stored| Err(Box::new(Status::bad_request("no")));
    let error = bench
        .storage
        .delete("ns", "a", &Preconditions::default(), &mut refuse)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Refused(_)));
    let deleted = bench.remove("a").await;
    assert!(deleted.revision > created.revision);
    assert_eq!(
        told(&Event::Deleted(deleted.clone())),
        format!("DELETED a Running@{}", deleted.revision)
    );
    let gone = bench
        .storage
        .delete("ns", "a", &Preconditions::default(), &mut |_| Ok(()))
        .await
        .unwrap_err();
    assert!(matches!(gone, Error::NotFound { .. }));
}

async fn lists_are_ordered_filtered_and_consistent(bench: &Bench) {
    for (name, phase) in [("web-2", "Running"), ("db-1", "Running"), ("web-1", "Pending")] {
        bench.create(name, phase).await;
    }
    bench
        .storage
        .create("other", "x", pod("other", "x", "Running"))
        .await
        .unwrap();
    let all = bench.list(everything()).await;
    assert_eq!(names(&all), ["db-1", "web-1", "web-2", "x"]);
    assert_eq!((all.continue_token.as_str(), all.remaining), ("", None));
    assert_eq!(bench.storage.count().await.unwrap(), 4);
    let in_namespace = Scope {
        namespace: "ns".to_owned(),
        ..Scope::default()
    };
    assert_eq!(
        names(
            &bench
                .list(ListOptions {
                    scope: in_namespace,
                    ..everything()
                })
                .await
        )
        .len(),
        3
    );
    assert_eq!(
        names(
            &bench
                .list(ListOptions {
                    scope: running(),
                    ..everything()
                })
                .await
        ),
        ["db-1", "web-2", "x"]
    );
    let web = ListOptions {
        scope: labelled("app in (web)"),
        ..everything()
    };
    assert_eq!(names(&bench.list(web).await), ["web-1", "web-2"]);
    // What was just written is always in the list, and a list is as new as its items.
    for round in 0..10 {
        let written = bench.set_phase("web-1", &format!("r{round}")).await;
        let listed = bench.list(everything()).await;
        assert_eq!(listed.items[1].revision, written.revision);
        assert!(listed.revision >= written.revision);
    }
    // Also when the store's revision moved on for somebody else's sake.
    bench.etcd().await.put("/elsewhere", "x", None).await.unwrap();
    assert!(bench.list(everything()).await.revision > all.revision);
    let past = bench
        .list(ListOptions {
            revision: Revision::Exact(all.revision),
            ..everything()
        })
        .await;
    assert_eq!(
        (past.revision, PHASE(&past.items[1].decode().unwrap())),
        (all.revision, "Pending".to_owned())
    );
    for revision in [Revision::NotOlderThan(u64::MAX >> 1), Revision::Exact(u64::MAX >> 1)] {
        let error = bench
            .storage
            .list(ListOptions {
                revision,
                ..everything()
            })
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("Too large resource version: 9223372036854775807, current: "),
            "{error}"
        );
    }
    if bench.cached {
        let any = bench
            .list(ListOptions {
                revision: Revision::Any,
                limit: 1,
                ..everything()
            })
            .await;
        assert_eq!((any.items.len(), any.remaining), (4, None));
    }
}

async fn chunks_belong_to_one_revision(bench: &Bench) {
    for i in 0..7 {
        bench
            .create(&format!("{}-{i}", if i % 2 == 0 { "even" } else { "odd" }), "Running")
            .await;
    }
    let first = bench
        .list(ListOptions {
            limit: 3,
            ..everything()
        })
        .await;
    assert_eq!(
        (names(&first), first.remaining),
        (vec!["even-0", "even-2", "even-4"], Some(4))
    );
    bench.create("even-9", "Running").await;
    bench.remove("odd-1").await;
    let go_on = |token: &str| ListOptions {
        limit: 3,
        continue_token: token.to_owned(),
        ..everything()
    };
    let second = bench.list(go_on(&first.continue_token)).await;
    assert_eq!(
        (names(&second), second.remaining),
        (vec!["even-6", "odd-1", "odd-3"], Some(1))
    );
    assert_eq!(second.revision, first.revision);
    let third = bench.list(go_on(&second.continue_token)).await;
    assert_eq!(
        (names(&third), third.remaining, third.continue_token.as_str()),
        (vec!["odd-5"], None, "")
    );
    let filtered = bench
        .list(ListOptions {
            scope: labelled("app=odd"),
            limit: 1,
            ..everything()
        })
        .await;
    assert_eq!((names(&filtered), filtered.remaining), (vec!["odd-3"], None));
    let rest = ListOptions {
        scope: labelled("app=odd"),
        ..go_on(&filtered.continue_token)
    };
    assert_eq!(names(&bench.list(rest).await), ["odd-5"]);
    let both = ListOptions {
        revision: Revision::Exact(1),
        ..go_on(&first.continue_token)
    };
    let error = bench.storage.list(both).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "specifying resource version is not allowed when using continue"
    );

    let now = bench.list(everything()).await.revision;
    bench.compact(now).await;
    let error = bench.storage.list(go_on(&first.continue_token)).await.unwrap_err();
    let Error::ContinueExpired { message, token } = error else {
        panic!("{error}")
    };
    assert!(
        message.starts_with("The provided continue parameter is too old"),
        "{message}"
    );
    assert_eq!(names(&bench.list(go_on(&token)).await), ["even-6", "even-9", "odd-3"]);
    let past = ListOptions {
        revision: Revision::Exact(first.revision),
        ..everything()
    };
    let error = bench.storage.list(past).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "The resourceVersion for the provided list is too old."
    );
}

async fn watches_tell_every_change_once(bench: &Bench) {
    let start = bench.list(everything()).await.revision;
    let mut all = bench.watch(changes_after(start)).await;
    let mut selected = bench
        .watch(WatchOptions {
            scope: running(),
            ..changes_after(start)
        })
        .await;
    let elsewhere = Scope {
        namespace: "other".to_owned(),
        ..Scope::default()
    };
    let mut other = bench
        .watch(WatchOptions {
            scope: elsewhere,
            ..changes_after(start)
        })
        .await;
    let revisions = [
        bench.create("a", "Pending").await.revision,
        bench.set_phase("a", "Running").await.revision,
        bench.set_phase("a", "Failed").await.revision,
        bench.set_phase("a", "Running").await.revision,
        bench.remove("a").await.revision,
    ];
    let [r1, r2, r3, r4, r5] = revisions;
    for expected in [
        format!("ADDED a Pending@{r1}"),
        format!("MODIFIED a Running@{r2}"),
        format!("MODIFIED a Failed@{r3}"),
        format!("MODIFIED a Running@{r4}"),
        format!("DELETED a Running@{r5}"),
    ] {
        assert_eq!(next(&mut all).await, expected);
    }
    for expected in [
        format!("ADDED a Running@{r2}"),
        format!("DELETED a Running@{r3}"),
        format!("ADDED a Running@{r4}"),
        format!("DELETED a Running@{r5}"),
    ] {
        assert_eq!(next(&mut selected).await, expected);
    }
    let created = bench
        .storage
        .create("other", "x", pod("other", "x", "Running"))
        .await
        .unwrap();
    assert_eq!(next(&mut other).await, format!("ADDED x Running@{}", created.revision));
    // History is still there for those who come later.
    let mut late = bench.watch(changes_after(r3)).await;
    assert_eq!(next(&mut late).await, format!("MODIFIED a Running@{r4}"));
}

async fn watches_start_with_what_is_there(bench: &Bench) {
    let a = bench.create("a", "Running").await;
    let b = bench.create("b", "Pending").await;
    let from = |revision, initial_events, bookmarks| WatchOptions {
        revision,
        initial_events,
        bookmarks,
        ..changes_after(0)
    };
    let initial = [
        format!("ADDED a Running@{}", a.revision),
        format!("ADDED b Pending@{}", b.revision),
    ];
    let mut from_any = bench.watch(from(Revision::Any, None, false)).await;
    let mut listing = bench.watch(from(Revision::Latest, Some(true), true)).await;
    let mut not_older = bench
        .watch(from(Revision::NotOlderThan(b.revision), Some(true), true))
        .await;
    let mut without = bench.watch(from(Revision::Latest, Some(false), true)).await;
    if bench.cached {
        // `Any` may be older; once the list is fresh, so is the cache.
        bench.list(everything()).await;
        from_any = bench.watch(from(Revision::Any, None, false)).await;
    }
    for expected in &initial {
        assert_eq!(next(&mut from_any).await, *expected);
        assert_eq!(next(&mut listing).await, *expected);
        assert_eq!(next(&mut not_older).await, *expected);
    }
    for watch in [&mut listing, &mut not_older] {
        let bookmark = next(watch).await;
        let revision: u64 = bookmark.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(
            bookmark.starts_with("BOOKMARK ") && bookmark.ends_with(" true"),
            "{bookmark}"
        );
        assert!(revision >= b.revision);
    }
    let c = bench.create("c", "Running").await;
    for watch in [&mut from_any, &mut listing, &mut not_older, &mut without] {
        assert_eq!(next(watch).await, format!("ADDED c Running@{}", c.revision));
    }
}

async fn old_watches_are_refused(bench: &Bench) {
    let first = bench.create("a", "Pending").await;
    bench.set_phase("a", "Running").await;
    let last = bench.set_phase("a", "Failed").await;
    bench.compact(last.revision).await;
    if bench.cached {
        // Compaction alone does not shorten the cache's own history.
        let mut watch = bench.watch(changes_after(first.revision)).await;
        assert!(next(&mut watch).await.starts_with("MODIFIED a Running"));
        let error = next(&mut bench.watch(changes_after(1)).await).await;
        assert!(error.starts_with("ERROR too old resource version: 1 ("), "{error}");
        let future = WatchOptions {
            initial_events: Some(true),
            ..changes_after(1 << 40)
        };
        let error = next(&mut bench.watch(future).await).await;
        assert!(
            error.starts_with("ERROR Too large resource version: 1099511627776, current: "),
            "{error}"
        );
    } else {
        let error = next(&mut bench.watch(changes_after(first.revision)).await).await;
        assert_eq!(error, "ERROR The resourceVersion for the provided watch is too old.");
    }
}

async fn bookmarks_come_before_the_deadline(bench: &Bench) {
    if !bench.cached {
        return;
    }
    let created = bench.create("a", "Running").await;
    let deadline = Some(tokio::time::Instant::now() + Duration::from_millis(2300));
    let mut watch = bench
        .watch(WatchOptions {
            bookmarks: true,
            deadline,
            ..changes_after(created.revision)
        })
        .await;
    assert_eq!(next(&mut watch).await, format!("BOOKMARK {} false", created.revision));
}

async fn damaged_values_are_reported(bench: &Bench) {
    bench.create("good", "Running").await;
    bench.list(everything()).await;
    let key = format!("{}/pods/ns/bad", bench.prefix);
    bench
        .etcd()
        .await
        .put(key.clone(), br#"{"kind":"Pod","metadata":{"#.to_vec(), None)
        .await
        .unwrap();
    let error = bench.storage.get("ns", "bad", Revision::Latest).await.unwrap_err();
    assert!(error.to_string().contains("/pods/ns/bad is damaged: EOF"), "{error}");
    let listed = eventually("the damage shows in lists", async || {
        bench.storage.list(everything()).await.err()
    })
    .await;
    assert!(
        matches!(&listed, Error::Corrupt { key, .. } if key.ends_with("/pods/ns/bad")),
        "{listed}"
    );
    assert!(bench.storage.get("ns", "good", Revision::Latest).await.is_ok());
    bench.etcd().await.delete(key, None).await.unwrap();
    eventually("lists work again", async || bench.storage.list(everything()).await.ok()).await;
}

/// Damage throws a cache away. Whoever reads meanwhile waits for it or hears of the damage, and of nothing else.
async fn readers_hear_of_nothing_but_damage(bench: &Bench) {
    if !bench.cached {
        return;
    }
    bench.create("good", "Running").await;
    let key = format!("{}/pods/ns/bad", bench.prefix);
    let mut etcd = bench.etcd().await;
    let damaging = async {
        for _ in 0..40 {
            etcd.put(key.clone(), "{", None).await.unwrap();
            etcd.delete(key.clone(), None).await.unwrap();
        }
    };
    let reading = async {
        loop {
            let revision = bench.create("other", "Running").await.revision;
            let not_older = Revision::NotOlderThan(revision);
            let list = ListOptions {
                revision: not_older,
                ..everything()
            };
            let watch = WatchOptions {
                initial_events: Some(true),
                ..changes_after(revision)
            };
            let (get, latest, list, mut watch) = tokio::join!(
                bench.storage.get("ns", "good", not_older),
                bench.storage.list(everything()),
                bench.storage.list(list),
                bench.watch(watch),
            );
            let watched = match watch.next().await {
                Some(Event::Error(error)) => Some(error),
                _ => None,
            };
            let errors = [get.err(), latest.err(), list.err(), watched];
            for error in errors.into_iter().flatten() {
                assert!(matches!(error, Error::Corrupt { .. }), "{error}");
            }
            bench.remove("other").await;
        }
    };
    tokio::select! {
        () = damaging => {}
        () = reading => {}
    }
}

/// Objects with a lifetime go by themselves; watchers are told.
async fn expiring_objects_go(endpoint: &str) {
    let codec = Codec::new(
        "/registry-expiring",
        "pods",
        true,
        Selectable::Builtin(&[("status.phase", PHASE)]),
        None,
    );
    let store = Store::new(connect(endpoint).await, codec).with_lifetime(Duration::from_secs(2));
    store.create("ns", "a", pod("ns", "a", "Running")).await.unwrap();
    let last = store.create("ns", "b", pod("ns", "b", "Running")).await.unwrap();
    let mut watch = store.watch(changes_after(last.revision)).await.unwrap();
    let mut gone = [next(&mut watch).await, next(&mut watch).await];
    gone.sort();
    assert!(
        gone[0].starts_with("DELETED a ") && gone[1].starts_with("DELETED b "),
        "{gone:?}"
    );
    assert!(
        store.create("ns", "a", pod("ns", "a", "Running")).await.is_ok(),
        "a new lease"
    );
}

async fn battery(endpoint: &str) {
    eventually("the store answers", async || connect(endpoint).await.state().await.ok()).await;
    let mut round = 0;
    for cached in [false, true] {
        // A macro, because async functions that borrow have no common function type.
        macro_rules! run {
            ($($case:ident),* $(,)?) => {$(
                round += 1;
                eprintln!("{} (cached: {cached})", stringify!($case));
                let bench = Bench::new(endpoint, &format!("/registry-{round}"), cached).await;
                if cached {
                    bench.list(everything()).await;
                }
                $case(&bench).await;
            )*};
        }
        run!(
            objects_come_back_as_they_were_stored,
            updates_swap_what_they_saw,
            concurrent_updates_all_count,
            deletions_check_and_answer_the_last_state,
            lists_are_ordered_filtered_and_consistent,
            chunks_belong_to_one_revision,
            watches_tell_every_change_once,
            watches_start_with_what_is_there,
            old_watches_are_refused,
            bookmarks_come_before_the_deadline,
            damaged_values_are_reported,
            readers_hear_of_nothing_but_damage,
        );
    }
    compaction_waits_a_round_and_takes_turns(endpoint).await;
    lost_history_is_read_again(endpoint).await;
    expiring_objects_go(endpoint).await;
}

async fn compaction_waits_a_round_and_takes_turns(endpoint: &str) {
    let bench = Bench::new(endpoint, "/registry-compact", false).await;
    bench.etcd().await.delete("compact_rev_key", None).await.unwrap();
    let interval = Duration::from_secs(300);
    let mut mine = Compactor::new(connect(endpoint).await, interval);
    let mut yours = Compactor::new(connect(endpoint).await, interval);
    assert_eq!(
        mine.round().await.unwrap(),
        None,
        "nothing is known about the age of any revision"
    );
    assert_eq!(yours.round().await.unwrap(), None, "it was somebody else's turn");
    let created = bench.create("a", "Running").await;
    let compacted = mine.round().await.unwrap().expect("my turn");
    assert!(compacted < created.revision);
    assert_eq!(yours.round().await.unwrap(), None);
    assert!(
        mine.round()
            .await
            .unwrap()
            .is_some_and(|now| now > compacted && now >= created.revision)
    );
}

/// The store dies without warning and comes back: the cache goes on where it was, and nothing is told twice.
async fn outage(mut backend: Backend) {
    eventually("the store answers", async || {
        connect(&backend.endpoint).await.state().await.ok()
    })
    .await;
    let bench = Bench::new(&backend.endpoint, "/registry", true).await;
    let first = bench.create("a", "Pending").await;
    let mut watch = bench
        .watch(WatchOptions {
            revision: Revision::Any,
            ..changes_after(0)
        })
        .await;
    eventually("the cache has it", async || {
        bench.storage.get("ns", "a", Revision::Any).await.ok()
    })
    .await;
    assert_eq!(next(&mut watch).await, format!("ADDED a Pending@{}", first.revision));
    backend.kill();
    let cached = bench
        .storage
        .list(ListOptions {
            revision: Revision::Any,
            ..everything()
        })
        .await
        .unwrap();
    assert_eq!(names(&cached), ["a"], "stale reads go on");
    let error = bench.storage.list(everything()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    backend.restart();
    let second = eventually("writes work again", async || {
        bench.storage.create("ns", "b", pod("ns", "b", "Running")).await.ok()
    })
    .await;
    assert_eq!(next(&mut watch).await, format!("ADDED b Running@{}", second.revision));
    assert!(bench.health.is_ready());
}

/// Changes that the cache missed are compacted away: watches are told to begin anew and end, and everything is read again.
async fn lost_history_is_read_again(endpoint: &str) {
    let bench = Bench::new(endpoint, "/registry-lost", false).await;
    let cached = Cacher::new(
        Store::new(
            connect(endpoint).await,
            Codec::new(
                "/registry-lost",
                "pods",
                true,
                Selectable::Builtin(&[("status.phase", PHASE)]),
                None,
            ),
        ),
        bench.hub.clone(),
    );
    let stop = CancellationToken::new();
    let following = bench.follow(stop.clone());
    let first = bench.create("a", "Running").await;
    let mut watch = cached.watch(changes_after(0)).await.unwrap();
    let mut watch_any = cached
        .watch(WatchOptions {
            revision: Revision::Any,
            ..changes_after(0)
        })
        .await
        .unwrap();
    for watch in [&mut watch, &mut watch_any] {
        assert_eq!(next(watch).await, format!("ADDED a Running@{}", first.revision));
    }
    stop.cancel();
    following.await.unwrap();
    bench.remove("a").await;
    let second = bench.create("b", "Running").await;
    bench.compact(second.revision).await;
    bench.follow(bench.stop.clone());
    for watch in [&mut watch, &mut watch_any] {
        let end = tokio::time::timeout(Duration::from_secs(10), watch.next())
            .await
            .expect("the watch goes on");
        assert!(matches!(&end, Some(Event::Error(Error::Expired(_)))), "{end:?}");
        assert!(watch.next().await.is_none(), "something follows");
    }
    assert_eq!(names(&cached.list(everything()).await.unwrap()), ["b"]);
}

#[tokio::test]
async fn etcd_keeps_the_contract() {
    let backend = Backend::etcd();
    battery(&backend.endpoint).await;
}

#[tokio::test]
async fn kine_shim_keeps_the_contract() {
    if let Some(backend) = Backend::kine_shim() {
        battery(&backend.endpoint).await;
    }
}

#[tokio::test]
async fn an_outage_of_etcd_is_survived() {
    outage(Backend::etcd()).await;
}
