//! What repairs itself, and how it is told.

use super::*;
use crate::testing::fake::{Availability, Disorder};

const SECOND: Duration = Duration::from_secs(1);

impl Bridge {
    fn comparing_every(every: Duration) -> Self {
        let (virtual_, host) = clusters();
        let settings = Settings {
            compare_every: every,
            ..settings()
        };
        Self::configured(virtual_, host, settings)
    }

    async fn has_host_pod(&self, name: &str) {
        self.until(&format!("{name} is on the host"), || self.host_pod(name).is_some())
            .await;
    }

    /// A bridge that has synced something and is at rest.
    async fn at_rest(self) -> Self {
        self.virtual_.put(Kind::ConfigMap, config_map());
        self.virtual_.put(Kind::Pod, pod("first"));
        self.has_host_pod("first").await;
        tokio::time::sleep(SECOND).await;
        self
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_watch_lost_is_found_by_comparing() {
    let bridge = Bridge::comparing_every(60 * SECOND).at_rest().await;
    assert_eq!(bridge.counted("syncer_lost_changes_total"), 0);
    // About every fourth event is lost: of thirty, some are.
    bridge.virtual_.set_disorder(Some(Disorder { seed: 7, loses: true }));
    let names: Vec<String> = (0..30).map(|number| format!("web-{number}")).collect();
    for name in &names {
        bridge.virtual_.put(Kind::Pod, pod(name));
    }
    tokio::time::sleep(5 * SECOND).await;
    bridge.virtual_.set_disorder(None);
    let there = || names.iter().filter(|name| bridge.host_pod(name).is_some()).count();
    assert!((10..30).contains(&there()), "{} of 30", there());
    bridge.until("all pods are on the host", || there() == 30).await;
    assert!(bridge.counted("syncer_lost_changes_total") > 0);
    assert_eq!(bridge.counted("syncer_watch_repairs_total"), 1);
}

#[tokio::test(start_paused = true)]
async fn comparing_finds_nothing_where_nothing_was_lost() {
    let bridge = Bridge::comparing_every(10 * SECOND).at_rest().await;
    for round in 0..40 {
        bridge.virtual_.put(Kind::Pod, pod(&format!("web-{round}")));
        tokio::time::sleep(3 * SECOND).await;
        bridge.run_host();
        bridge
            .virtual_
            .delete(Kind::Pod, "team", &format!("web-{}", round / 2), 0);
    }
    for name in [
        "syncer_lost_changes_total",
        "syncer_watch_repairs_total",
        "syncer_divergences_total",
    ] {
        assert_eq!(bridge.counted(name), 0, "{name}");
    }
    bridge.host.take_requests();
    tokio::time::sleep(30 * SECOND).await;
    let lists = bridge.host.take_requests();
    let lists = lists.iter().filter(|request| request.ends_with("/host/pods")).count();
    assert!((2..=4).contains(&lists), "one list per comparison: {lists}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fell_silent_is_rebuilt() {
    let bridge = Bridge::comparing_every(Duration::ZERO).at_rest().await;
    // By the first bookmark it is known that there should be more.
    tokio::time::sleep(70 * SECOND).await;
    bridge.virtual_.mute();
    bridge.virtual_.put(Kind::Pod, pod("web"));
    tokio::time::sleep(60 * SECOND).await;
    assert!(bridge.host_pod("web").is_none(), "the watch was silent");
    bridge.has_host_pod("web").await;
    assert!(bridge.counted("syncer_watch_repairs_total") > 0);
}

#[tokio::test(start_paused = true)]
async fn a_virtual_cluster_that_was_put_back_is_followed() {
    let bridge = Bridge::comparing_every(60 * SECOND).at_rest().await;
    let snapshot = bridge.virtual_.snapshot();
    for name in ["later-1", "later-2"] {
        bridge.virtual_.put(Kind::Pod, pod(name));
        bridge.has_host_pod(name).await;
    }
    bridge.virtual_.put_back(snapshot);
    bridge.virtual_.put(Kind::Pod, pod("new"));
    bridge.has_host_pod("new").await;
    let gone = || {
        bridge.run_host();
        bridge.host_pod("later-1").is_none() && bridge.host_pod("later-2").is_none()
    };
    bridge.until("what never was is gone", gone).await;
    assert!(bridge.host_pod("first").is_some());
}

/// A host that says that it is too much is asked less, and less again; when it says no more, all is as before.
#[tokio::test(start_paused = true)]
async fn a_host_that_pushes_back_is_asked_for_less() {
    let bridge = Bridge::comparing_every(Duration::ZERO).at_rest().await;
    let refuse = |method: &http::Method, _: &str| (*method != http::Method::GET).then_some(429);
    bridge.host.set_faults(Some(Box::new(refuse)));
    bridge.host.take_requests();
    for number in 0..200 {
        bridge.virtual_.put(Kind::Pod, pod(&format!("web-{number}")));
    }
    tokio::time::sleep(20 * SECOND).await;
    let tried = bridge.host.take_writes().len();
    assert!(
        (10..300).contains(&tried),
        "{tried} requests in 20 s, of which each was refused for a second"
    );
    assert!(bridge.counted("syncer_pushbacks_total") >= tried as u64);
    assert!(bridge.engine.limit() < 4);
    bridge
        .until("the owners of what was tried are told", || {
            !errors_told(&bridge).is_empty()
        })
        .await;
    bridge.host.set_faults(None);
    let all = || (0..200).all(|number| bridge.host_pod(&format!("web-{number}")).is_some());
    bridge.until("all pods are on the host", all).await;
    for round in 0..20 {
        bridge.virtual_.change(Kind::ConfigMap, "team", "settings", |map| {
            map["data"]["a"] = json!(round.to_string())
        });
        tokio::time::sleep(SECOND).await;
    }
    assert!(bridge.engine.limit() > 8);
}

#[tokio::test(start_paused = true)]
async fn what_the_host_refuses_is_told_at_once_in_its_own_words() {
    let bridge = Bridge::comparing_every(Duration::ZERO).at_rest().await;
    const WORDS: &str = "admission webhook \"policy.example.com\" denied the request: no team may use nginx";
    bridge.host.set_admission(Some(Box::new(|object| {
        (object["kind"] == "Pod").then(|| WORDS.to_owned())
    })));
    let began = Instant::now();
    bridge.virtual_.put(Kind::Pod, pod("web"));
    bridge
        .until("an event says so", || !errors_told(&bridge).is_empty())
        .await;
    assert!(began.elapsed() < SECOND);
    let event = errors_told(&bridge).remove(0);
    assert_eq!(event["message"], format!("Error syncing to host cluster: {WORDS}"));
    assert_eq!(
        (&event["type"], &event["involvedObject"]["name"]),
        (&json!("Warning"), &json!("web"))
    );
    // It is tried again all the time, and says so by counting.
    tokio::time::sleep(300 * SECOND).await;
    let events = errors_told(&bridge);
    assert_eq!(events.len(), 1);
    let count = events[0]["count"].as_i64().unwrap_or_default();
    assert!((15..=25).contains(&count), "every 15 s: {count}");
    let state = bridge.engine.state_of(Kind::Pod);
    assert_eq!((state.retrying, state.last_error.contains(WORDS)), (1, true));
    assert!(state.lag >= 300 * SECOND, "the change still waits: {:?}", state.lag);
    bridge.host.set_admission(None);
    bridge.has_host_pod("web").await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_away_is_told_when_that_takes_long() {
    let bridge = Bridge::comparing_every(Duration::ZERO).at_rest().await;
    bridge.host.set_availability(Availability::Down);
    bridge.virtual_.put(Kind::Pod, pod("web"));
    tokio::time::sleep(super::super::PATIENCE / 2).await;
    assert_eq!(errors_told(&bridge), [Value::Null; 0], "a moment is nobody's concern");
    bridge
        .until("an event says so", || !errors_told(&bridge).is_empty())
        .await;
    bridge.host.set_availability(Availability::Up);
    bridge.has_host_pod("web").await;
}

/// However many pods one namespace has, another one's pod waits for those only that are in hand already.
#[tokio::test(start_paused = true)]
async fn a_crowd_does_not_hold_up_others() {
    let bridge = Bridge::comparing_every(Duration::ZERO).at_rest().await;
    bridge
        .virtual_
        .put(Kind::Namespace, json!({"metadata": {"name": "quiet"}}));
    bridge.host.take_requests();
    let crowd = |number: usize| {
        json!({
            "metadata": {"namespace": "team", "name": format!("crowd-{number}")},
            "spec": {"containers": [{"name": "app", "image": "nginx"}]}, "status": {"phase": "Pending"},
        })
    };
    for number in 0..1000 {
        bridge.virtual_.put(Kind::Pod, crowd(number));
    }
    let mut single = crowd(0);
    single["metadata"] = json!({"namespace": "quiet", "name": "single"});
    bridge.virtual_.put(Kind::Pod, single);
    let there = || bridge.host.get(Kind::Pod, "host", "single-x-quiet-x-vc").is_some();
    while !there() {
        tokio::task::yield_now().await;
    }
    let before = bridge.host.list(Kind::Pod).len();
    assert!(before <= 200, "{before} of the crowd came first");
}

/// The lag is from the moment at which the watch shows a change to the answer to the write, for each object.
#[tokio::test(start_paused = true)]
async fn how_long_changes_take_is_measured() {
    let bridge = Bridge::comparing_every(Duration::ZERO).at_rest().await;
    let measured = |suffix: &str, from: &str| {
        let text = bridge.metrics.encode();
        let name = format!("syncer_lag_seconds_{suffix}{{from=\"{from}\",kind=\"Pod\"");
        let line = text.lines().find(|line| line.starts_with(&name)).map(str::to_owned);
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        value.unwrap_or_default()
    };
    let before = (measured("count", "virtual"), measured("sum", "virtual"));
    bridge.host.set_availability(Availability::Down);
    bridge.virtual_.put(Kind::Pod, pod("web"));
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(measured("count", "virtual"), before.0, "nothing has arrived");
    let waits = bridge.engine.state_of(Kind::Pod).lag;
    assert!((2 * SECOND..=3 * SECOND).contains(&waits), "{waits:?}");
    bridge.host.set_availability(Availability::Up);
    bridge.has_host_pod("web").await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(measured("count", "virtual"), before.0 + 1.0);
    let took = measured("sum", "virtual") - before.1;
    assert!((3.0..10.0).contains(&took), "{took} s");
    bridge.run_host();
    tokio::time::sleep(SECOND).await;
    let before = measured("count", "host");
    let place = bridge.place(Kind::Pod, "web");
    bridge.host.change(Kind::Pod, &place.namespace, &place.name, |pod| {
        pod["status"]["message"] = json!("almost there");
    });
    tokio::time::sleep(SECOND).await;
    assert_eq!(measured("count", "host"), before + 1.0);
    assert_eq!(bridge.engine.state_of(Kind::Pod).lag, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_noticed_is_found_by_looking_again() {
    let bridge = Bridge::comparing_every(60 * SECOND).at_rest().await;
    // As if work on it had been forgotten: the cache knows it, and nobody was told.
    let map = bridge.virtual_.put(Kind::ConfigMap, {
        let mut map = config_map();
        map["metadata"]["name"] = json!("other");
        map
    });
    bridge
        .until("the watch has shown it", || {
            bridge
                .engine
                .world()
                .virtual_side
                .get(Kind::ConfigMap, "team", "other")
                .is_some()
        })
        .await;
    // Another object has the next version.
    bridge.virtual_.change(Kind::ConfigMap, "team", "settings", |_| ());
    let version = crate::object::Object::version_of(&map) + 1;
    let mut changed = map;
    changed["metadata"]["resourceVersion"] = json!(version.to_string());
    changed["metadata"]["annotations"] = json!({keys::FORCE_SYNC: "true"});
    bridge
        .engine
        .world()
        .virtual_side
        .of(Kind::ConfigMap)
        .apply(crate::object::Object::new(changed));
    bridge
        .until("it is on the host", || {
            bridge.host.get(Kind::ConfigMap, "host", "other-x-team-x-vc").is_some()
        })
        .await;
    assert_eq!(bridge.counted("syncer_divergences_total"), 1);
}

/// It is bound to a node that only its copy is on, and the copy goes before the virtual cluster hears that it runs.
#[tokio::test(start_paused = true)]
async fn a_pod_that_the_host_deletes_before_it_starts_is_deleted() {
    let bridge = Bridge::start().at_rest().await;
    bridge.host.change(Kind::Pod, "host", "first-x-team-x-vc", |pod| {
        pod["spec"]["nodeName"] = json!("worker-1");
    });
    let bound = || {
        let pod = bridge.virtual_.get(Kind::Pod, "team", "first");
        pod.is_some_and(|pod| pod["spec"]["nodeName"] == "worker-1")
    };
    bridge.until("the pod is bound", bound).await;
    bridge.host.remove(Kind::Pod, "host", "first-x-team-x-vc");
    let gone = || bridge.virtual_.get(Kind::Pod, "team", "first").is_none();
    bridge.until("the virtual pod is gone", gone).await;
    assert!(errors_told(&bridge).is_empty());
}
