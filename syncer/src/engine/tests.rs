//! The whole engine between two API servers in memory.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::*;
use crate::clusters::{Informer, Selection};
use crate::names::{Claim, claim, keys};
use crate::object::ObjectKey;
use crate::settings::Settings;
use crate::testing::fake::Fake;
use crate::testing::settings;

mod comparer;
mod convergence;
mod repairs;
mod standby;

/// Longer than any backoff.
const PATIENCE: Duration = Duration::from_secs(120);

struct Bridge {
    virtual_: Fake,
    host: Fake,
    engine: Arc<Engine>,
    metrics: chassis::Metrics,
    tasks: tokio::task::JoinSet<()>,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

/// Two clusters as they are before anything happens.
fn clusters() -> (Fake, Fake) {
    let (virtual_, host) = (Fake::new(), Fake::new());
    for namespace in ["team", "kube-system"] {
        virtual_.put(Kind::Namespace, json!({"metadata": {"name": namespace}}));
    }
    host.put(Kind::Service, json!({
        "metadata": {"namespace": "host", "name": "vc"},
        "spec": {"clusterIP": "10.0.0.1", "selector": {"app": "vcluster"}, "ports": [{"name": "https", "port": 443}]},
    }));
    (virtual_, host)
}

impl Bridge {
    fn start() -> Self {
        let (virtual_, host) = clusters();
        Self::between(virtual_, host)
    }

    fn between(virtual_: Fake, host: Fake) -> Self {
        Self::configured(virtual_, host, settings())
    }

    fn configured(virtual_: Fake, host: Fake, settings: Settings) -> Self {
        let world = Arc::new(World::new(settings));
        let registry = chassis::Metrics::default();
        let metrics = Metrics::new(&registry);
        let api = |side, fake: &Fake| Api::new(side, fake.client(), metrics.clusters.clone());
        let (recorder, events) = client::Recorder::new(virtual_.client(), "syncer");
        let engine = Engine::new(
            world,
            api(Side::Virtual, &virtual_),
            api(Side::Host, &host),
            recorder,
            metrics.clone(),
        );
        let mut bridge = Self {
            virtual_,
            host,
            engine,
            metrics: registry,
            tasks: tokio::task::JoinSet::new(),
        };
        bridge.tasks.spawn(events.run());
        bridge.watch();
        bridge
    }

    /// Starts the informers, and the engine once they are synced, as the process does.
    fn watch(&mut self) {
        let ours = format!("{}=vc", keys::MARKER);
        // All namespaces, where there are many.
        let copies = self
            .engine
            .world()
            .names
            .single_namespace()
            .unwrap_or_default()
            .to_owned();
        let mut lists = Vec::new();
        let every = [Kind::Pod, Kind::Service, Kind::Endpoints, Kind::ConfigMap, Kind::Secret];
        let sources = every
            .into_iter()
            .flat_map(|kind| [(Side::Virtual, kind, ""), (Side::Host, kind, ours.as_str())])
            .chain(copies.is_empty().then_some((Side::Host, Kind::Namespace, "")))
            .chain(copies.is_empty().then_some((Side::Host, Kind::ServiceAccount, "")))
            .chain([
                (Side::Virtual, Kind::Namespace, ""),
                (Side::Virtual, Kind::Node, ""),
                (Side::Host, Kind::Event, ""),
            ]);
        for (side, kind, labels) in sources {
            let namespace = if side == Side::Host { copies.as_str() } else { "" };
            let selection = Selection {
                namespace: namespace.into(),
                labels: labels.into(),
                ..Selection::default()
            };
            let informer = Informer {
                api: self.engine.api(side).clone(),
                kind,
                selection,
                trim: resources::trim(side, kind),
                compare_every: self.engine.world().settings.compare_every,
            };
            let (synced, listed) = tokio::sync::watch::channel(false);
            lists.push(listed);
            let engine = self.engine.clone();
            self.tasks.spawn(async move {
                let world = engine.world().clone();
                let cache = world.side(side).of(kind);
                let announce = || {
                    synced.send_replace(true);
                };
                informer
                    .run(cache, announce, |change| engine.observe(side, kind, &change))
                    .await;
            });
        }
        let selection = Selection {
            namespace: "host".into(),
            fields: "metadata.name=vc".into(),
            ..Selection::default()
        };
        let informer = Informer {
            api: self.engine.api(Side::Host).clone(),
            kind: Kind::Service,
            selection,
            trim: |_| (),
            compare_every: Duration::ZERO,
        };
        let engine = self.engine.clone();
        self.tasks.spawn(async move {
            let world = engine.world().clone();
            let cache = world.control_plane.of(Kind::Service);
            informer
                .run(
                    cache,
                    || (),
                    |change| engine.observe_control_plane(Kind::Service, &change),
                )
                .await;
        });
        let engine = self.engine.clone();
        self.tasks.spawn(async move {
            for mut list in lists {
                list.wait_for(|synced| *synced).await.expect("the informer lives");
            }
            let sweep = engine.clone().sweep(engine.world().settings.compare_every);
            tokio::join!(engine.run(), sweep);
        });
    }

    /// Kills the syncer and starts a new one that knows nothing.
    fn restart(self) -> Self {
        let settings = self.engine.world().settings.clone();
        Self::configured(self.virtual_.clone(), self.host.clone(), settings)
    }

    async fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn host_pod(&self, name: &str) -> Option<Value> {
        self.copy(Kind::Pod, name)
    }

    /// Where the copy of an object of namespace `team` lies.
    fn place(&self, kind: Kind, name: &str) -> ObjectKey {
        self.engine.world().names.place(kind, "team", name)
    }

    fn copy(&self, kind: Kind, name: &str) -> Option<Value> {
        let key = self.place(kind, name);
        self.host.get(kind, &key.namespace, &key.name)
    }

    /// What the host's scheduler and kubelets would do by now.
    fn run_host(&self) {
        for pod in self.host.list(Kind::Pod) {
            let (namespace, name) = (json_text(&pod, "namespace"), json_text(&pod, "name"));
            if pod["metadata"].get("deletionTimestamp").is_some() {
                self.host.remove(Kind::Pod, &namespace, &name);
            } else if pod["status"]["phase"] != "Running" {
                self.host.change(Kind::Pod, &namespace, &name, |pod| {
                    pod["spec"]["nodeName"] = json!("worker-1");
                    pod["status"] =
                        json!({"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "podIP": "10.1.0.1"});
                });
            }
        }
    }
}

fn json_text(object: &Value, field: &str) -> String {
    crate::json::text(object, &["metadata", field]).to_owned()
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": {"namespace": "team", "name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": "nginx", "envFrom": [{"configMapRef": {"name": "settings"}}]}]},
        "status": {"phase": "Pending"},
    })
}

fn config_map() -> Value {
    json!({"metadata": {"namespace": "team", "name": "settings"}, "data": {"a": "1"}})
}

#[tokio::test(start_paused = true)]
async fn a_pod_costs_one_host_write_to_create_and_no_read() {
    let bridge = Bridge::start();
    bridge.virtual_.put(Kind::ConfigMap, config_map());
    bridge.virtual_.put(Kind::Pod, pod("first"));
    bridge
        .until("the first pod is on the host", || bridge.host_pod("first").is_some())
        .await;
    bridge.host.take_requests();
    bridge.virtual_.take_requests();
    bridge.virtual_.put(Kind::Pod, pod("web"));
    bridge
        .until("the pod is on the host", || bridge.host_pod("web").is_some())
        .await;
    bridge.host.change(Kind::Pod, "host", "web-x-team-x-vc", |pod| {
        pod["spec"]["nodeName"] = json!("worker-1");
        pod["status"] = json!({"phase": "Running", "startTime": "2026-01-01T00:00:00Z"});
    });
    let running = || {
        bridge
            .virtual_
            .get(Kind::Pod, "team", "web")
            .is_some_and(|pod| pod["status"]["phase"] == "Running")
    };
    bridge.until("the status is in the virtual cluster", running).await;
    tokio::time::sleep(PATIENCE).await;
    // Watches are opened again now and then; nothing else is asked.
    let mut requests = bridge.host.take_requests();
    requests.retain(|request| !request.starts_with("GET") || request.contains("-x-"));
    assert_eq!(requests, ["POST /api/v1/namespaces/host/pods"]);
    assert_eq!(
        bridge.virtual_.take_writes(),
        [
            "POST /api/v1/nodes",
            "POST /api/v1/namespaces/team/pods/web/binding",
            "PATCH /api/v1/namespaces/team/pods/web/status",
        ]
    );

    bridge.host.take_requests();
    bridge.virtual_.delete(Kind::Pod, "team", "web", 30);
    bridge
        .until("the host pod is told", || {
            bridge
                .host_pod("web")
                .is_some_and(|pod| pod["metadata"].get("deletionTimestamp").is_some())
        })
        .await;
    bridge.run_host();
    bridge
        .until("the virtual pod is gone", || {
            bridge.virtual_.get(Kind::Pod, "team", "web").is_none()
        })
        .await;
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(
        bridge.host.take_writes(),
        ["DELETE /api/v1/namespaces/host/pods/web-x-team-x-vc"]
    );
}

#[tokio::test(start_paused = true)]
async fn unused_objects_leave_the_host() {
    let bridge = Bridge::start();
    bridge.virtual_.put(Kind::ConfigMap, config_map());
    tokio::time::sleep(PATIENCE).await;
    assert!(bridge.host.list(Kind::ConfigMap).is_empty());
    bridge.virtual_.put(Kind::Pod, pod("web"));
    bridge
        .until("the pod is on the host", || bridge.host_pod("web").is_some())
        .await;
    assert_eq!(bridge.host.list(Kind::ConfigMap).len(), 1);
    bridge.virtual_.remove(Kind::Pod, "team", "web");
    bridge
        .until("the host pod is told", || {
            bridge.run_host();
            bridge.host.list(Kind::Pod).is_empty() && bridge.host.list(Kind::ConfigMap).is_empty()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_foreign_object_is_reported_left_alone_and_waited_out() {
    let bridge = Bridge::start();
    let foreign = json!({"metadata": {"namespace": "host", "name": "settings-x-team-x-vc"}, "data": {"theirs": "1"}});
    let before = bridge.host.put(Kind::ConfigMap, foreign);
    bridge.virtual_.put(Kind::ConfigMap, config_map());
    bridge.virtual_.put(Kind::Pod, pod("web"));
    let told = || {
        bridge
            .virtual_
            .list(Kind::Event)
            .iter()
            .any(|event| event["reason"] == "SyncError")
    };
    bridge.until("an event says so", told).await;
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(
        bridge.host.get(Kind::ConfigMap, "host", "settings-x-team-x-vc"),
        Some(before)
    );
    assert!(bridge.host_pod("web").is_none(), "the pod would see what is in it");
    bridge.host.remove(Kind::ConfigMap, "host", "settings-x-team-x-vc");
    bridge
        .until("the pod is on the host", || bridge.host_pod("web").is_some())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_syncer_cleans_up_after_a_killed_one() {
    let bridge = Bridge::start();
    bridge.virtual_.put(Kind::ConfigMap, config_map());
    for name in ["kept", "deleted", "recreated"] {
        bridge.virtual_.put(Kind::Pod, pod(name));
        bridge
            .until("the pods are on the host", || bridge.host_pod(name).is_some())
            .await;
    }
    let kept = bridge.host_pod("kept").expect("a pod")["metadata"]["uid"].clone();
    let earlier = bridge.host_pod("recreated").expect("a pod")["metadata"]["uid"].clone();
    let (virtual_, host) = (bridge.virtual_.clone(), bridge.host.clone());
    drop(bridge);
    virtual_.remove(Kind::Pod, "team", "deleted");
    virtual_.remove(Kind::Pod, "team", "recreated");
    virtual_.put(Kind::Pod, pod("recreated"));
    let bridge = Bridge::between(virtual_, host);
    bridge
        .until("both sides agree again", || {
            bridge.run_host();
            bridge.host_pod("deleted").is_none()
                && bridge
                    .host_pod("recreated")
                    .is_some_and(|pod| pod["metadata"]["uid"] != earlier)
        })
        .await;
    assert_eq!(bridge.host_pod("kept").expect("a pod")["metadata"]["uid"], kept);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_field_of_an_object_that_is_there_is_not_a_loop() {
    let (virtual_, host) = clusters();
    let service = json!({
        "metadata": {
            "namespace": "host", "name": "kube-dns-x-kube-system-x-vc", "labels": {keys::MARKER: "vc"},
            "annotations": {keys::OBJECT_NAME: "kube-dns", keys::OBJECT_NAMESPACE: "kube-system"},
        },
        "spec": {"clusterIP": ""},
    });
    host.put(Kind::Service, service);
    let bridge = Bridge::between(virtual_, host);
    bridge.virtual_.put(Kind::ConfigMap, config_map());
    bridge.virtual_.put(Kind::Pod, pod("web"));
    tokio::time::sleep(PATIENCE).await;
    assert!(bridge.host_pod("web").is_none());
    bridge
        .host
        .change(Kind::Service, "host", "kube-dns-x-kube-system-x-vc", |service| {
            service["spec"]["clusterIP"] = json!("10.0.0.53");
        });
    bridge
        .until("the pod is on the host", || bridge.host_pod("web").is_some())
        .await;
}

fn service(name: &str) -> Value {
    json!({
        "metadata": {"namespace": "team", "name": name, "annotations": {"team/owner": "them"}},
        "spec": {
            "type": "ClusterIP", "internalTrafficPolicy": "Local", "selector": {"app": name}, "ports": [{"port": 80}],
        },
    })
}

/// The virtual Services and the host's copies.
fn pairs(bridge: &Bridge, names: &[&str]) -> Vec<(Value, Value)> {
    let of = |name: &&str| {
        let host = bridge.host.get(Kind::Service, "host", &format!("{name}-x-team-x-vc"))?;
        Some((bridge.virtual_.get(Kind::Service, "team", name)?, host))
    };
    names.iter().filter_map(of).collect()
}

fn have_the_hosts_addresses(bridge: &Bridge, names: &[&str]) -> bool {
    let pairs = pairs(bridge, names);
    pairs.len() == names.len()
        && pairs.iter().all(|(virtual_, host)| {
            virtual_["spec"]["type"] == "ClusterIP" && virtual_["spec"]["clusterIP"] == host["spec"]["clusterIP"]
        })
}

fn errors_told(bridge: &Bridge) -> Vec<Value> {
    let mut events = bridge.virtual_.list(Kind::Event);
    events.retain(|event| event["reason"] == "SyncError");
    events
}

#[tokio::test(start_paused = true)]
async fn services_take_over_addresses_that_others_hold() {
    let (virtual_, host) = clusters();
    let names = ["a", "b", "c"];
    let uids = names.map(|name| virtual_.put(Kind::Service, service(name))["metadata"]["uid"].clone());
    // On the host others come first, and the order is another one.
    for name in ["c", "a"] {
        let copy = json!({
            "metadata": {
                "namespace": "host", "name": format!("{name}-x-team-x-vc"), "labels": {keys::MARKER: "vc"},
                "annotations": {keys::OBJECT_NAME: name, keys::OBJECT_NAMESPACE: "team"},
            },
            "spec": {"type": "ClusterIP"},
        });
        host.put(Kind::Service, copy);
    }
    let bridge = Bridge::between(virtual_, host);
    bridge
        .until("all have the host's addresses", || {
            have_the_hosts_addresses(&bridge, &names)
        })
        .await;
    for ((virtual_, _), uid) in pairs(&bridge, &names).iter().zip(&uids) {
        assert_eq!(
            virtual_["metadata"]["uid"], *uid,
            "clients keep watching the same object"
        );
        assert_eq!(virtual_["metadata"]["annotations"], json!({"team/owner": "them"}));
        assert_eq!(virtual_["spec"]["internalTrafficPolicy"], "Local");
        assert_eq!(virtual_["spec"].get("externalName"), None);
    }
    bridge.virtual_.take_writes();
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(bridge.virtual_.take_writes(), [""; 0], "nothing is left to do");
    assert_eq!(errors_told(&bridge), [Value::Null; 0]);
}

/// A virtual cluster configured with another network than the host's: an event says so, and no Service is damaged.
#[tokio::test(start_paused = true)]
async fn addresses_that_cannot_be_had_are_not_given_up_for() {
    let (virtual_, host) = clusters();
    virtual_.set_network("10.96.0");
    let bridge = Bridge::between(virtual_, host);
    let before = bridge.virtual_.put(Kind::Service, service("web"));
    bridge
        .until("an event says so", || !errors_told(&bridge).is_empty())
        .await;
    tokio::time::sleep(PATIENCE).await;
    let now = bridge.virtual_.get(Kind::Service, "team", "web").expect("the Service");
    assert_eq!(
        (&now["spec"], &now["metadata"]["annotations"]),
        (&before["spec"], &before["metadata"]["annotations"])
    );
    assert!(
        pairs(&bridge, &["web"]).len() == 1,
        "its pods are reached on the host all the same"
    );
}

/// A syncer killed between the two patches: the next one goes on, and the host never sees what was in between.
#[tokio::test(start_paused = true)]
async fn a_service_between_two_addresses_is_finished_by_the_next_syncer() {
    let (virtual_, host) = clusters();
    host.put(
        Kind::Service,
        json!({"metadata": {"namespace": "host", "name": "other"}, "spec": {"type": "ClusterIP"}}),
    );
    let mut patches = 0;
    virtual_.set_faults(Some(Box::new(move |method, path| {
        let ours = *method == http::Method::PATCH && path.ends_with("/services/web");
        patches += usize::from(ours);
        (ours && patches > 1).then_some(503)
    })));
    let bridge = Bridge::between(virtual_, host);
    let put = bridge.virtual_.put(Kind::Service, service("web"));
    let between = || {
        let service = bridge.virtual_.get(Kind::Service, "team", "web");
        service.is_some_and(|service| service["spec"]["type"] == "ExternalName")
    };
    bridge.until("the addresses are given back", between).await;
    let (virtual_, host) = (bridge.virtual_.clone(), bridge.host.clone());
    drop(bridge);
    // The owner goes on working, and somebody deletes the copy.
    virtual_.change(Kind::Service, "team", "web", |service| {
        service["spec"]["selector"] = json!({"app": "new"});
    });
    let earlier = host.get(Kind::Service, "host", "web-x-team-x-vc").expect("the copy");
    assert_eq!(earlier["spec"]["type"], "ClusterIP");
    host.remove(Kind::Service, "host", "web-x-team-x-vc");
    virtual_.set_faults(None);
    let bridge = Bridge::between(virtual_, host);
    bridge
        .until("the Service is back", || have_the_hosts_addresses(&bridge, &["web"]))
        .await;
    let (virtual_, host) = pairs(&bridge, &["web"]).remove(0);
    assert_eq!(virtual_["metadata"]["uid"], put["metadata"]["uid"]);
    assert_eq!(virtual_["metadata"]["annotations"], put["metadata"]["annotations"]);
    assert_eq!(virtual_["spec"]["selector"], json!({"app": "new"}));
    assert_eq!(virtual_["spec"]["internalTrafficPolicy"], "Local");
    assert_eq!(host["spec"]["selector"]["app"], "new");
    assert_eq!(host["spec"].get("externalName"), None);
    assert_eq!(errors_told(&bridge), [Value::Null; 0]);
}

/// Something that happens to one of the clusters.
#[derive(Clone, Debug)]
enum Happening {
    CreatePod(u8),
    DeletePod(u8),
    ForceDeletePod(u8),
    DeleteHostPod(u8),
    ChangeConfigMap(u8),
    CreateService(u8),
    DeleteService(u8),
    HostRuns,
    Restart,
    Pause(u16),
}

fn happening() -> impl Strategy<Value = Happening> {
    let name = 0..4u8;
    prop_oneof![
        4 => name.clone().prop_map(Happening::CreatePod),
        2 => name.clone().prop_map(Happening::DeletePod),
        1 => name.clone().prop_map(Happening::ForceDeletePod),
        1 => name.clone().prop_map(Happening::DeleteHostPod),
        2 => any::<u8>().prop_map(Happening::ChangeConfigMap),
        1 => name.clone().prop_map(Happening::CreateService),
        1 => name.prop_map(Happening::DeleteService),
        3 => Just(Happening::HostRuns),
        1 => Just(Happening::Restart),
        3 => (0..400u16).prop_map(Happening::Pause),
    ]
}

async fn happen(bridge: Bridge, happening: Happening) -> Bridge {
    let virtual_ = bridge.virtual_.clone();
    let name = |number: u8| format!("web-{number}");
    match happening {
        Happening::CreatePod(number) if virtual_.get(Kind::Pod, "team", &name(number)).is_none() => {
            virtual_.put(Kind::Pod, pod(&name(number)));
        }
        Happening::CreatePod(_) => {}
        Happening::DeletePod(number) => virtual_.delete(Kind::Pod, "team", &name(number), 30),
        Happening::ForceDeletePod(number) => virtual_.delete(Kind::Pod, "team", &name(number), 0),
        Happening::DeleteHostPod(number) => {
            let key = bridge.place(Kind::Pod, &name(number));
            bridge.host.delete(Kind::Pod, &key.namespace, &key.name, 30);
        }
        Happening::ChangeConfigMap(value) => {
            virtual_.change(Kind::ConfigMap, "team", "settings", |map| {
                map["data"]["a"] = json!(value.to_string())
            });
        }
        Happening::CreateService(number) if virtual_.get(Kind::Service, "team", &name(number)).is_none() => {
            virtual_.put(Kind::Service, service(&name(number)));
        }
        Happening::CreateService(_) => {}
        Happening::DeleteService(number) => virtual_.remove(Kind::Service, "team", &name(number)),
        Happening::HostRuns => bridge.run_host(),
        Happening::Restart => return bridge.restart(),
        Happening::Pause(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds.into())).await,
    }
    bridge
}

/// Whether both sides agree; says what does not.
fn disagreement(bridge: &Bridge) -> Option<String> {
    let names = bridge.engine.world().names.clone();
    let mut expected: Vec<(Kind, ObjectKey)> = Vec::new();
    for pod in bridge.virtual_.list(Kind::Pod) {
        let name = json_text(&pod, "name");
        let Some(host) = bridge.host_pod(&name) else {
            return Some(format!("{name} is not on the host"));
        };
        let Claim::Ours { uid, .. } = claim(&names, &Kind::Pod.gvk(), &host) else {
            return Some(format!("{name} is foreign"));
        };
        if uid != json_text(&pod, "uid") {
            return Some(format!("{name} is an earlier pod's copy"));
        }
        if pod["status"]["phase"] != "Running" || pod["spec"]["nodeName"] != "worker-1" {
            return Some(format!("{name} does not show its status"));
        }
        expected.push((Kind::Pod, bridge.place(Kind::Pod, &name)));
    }
    if !expected.is_empty() {
        expected.push((Kind::ConfigMap, bridge.place(Kind::ConfigMap, "settings")));
        let host = bridge.copy(Kind::ConfigMap, "settings");
        let virtual_ = bridge.virtual_.get(Kind::ConfigMap, "team", "settings");
        if host.map(|host| host["data"].clone()) != virtual_.map(|virtual_| virtual_["data"].clone()) {
            return Some("the ConfigMap differs".into());
        }
    }
    for service in bridge
        .virtual_
        .list(Kind::Service)
        .iter()
        .filter(|service| json_text(service, "namespace") == "team")
    {
        let name = json_text(service, "name");
        let Some(host) = bridge.copy(Kind::Service, &name) else {
            return Some(format!("{name} is missing"));
        };
        if service["spec"]["type"] != "ClusterIP" || host["spec"]["type"] != "ClusterIP" {
            return Some(format!("{name} has another type"));
        }
        if host["spec"]["clusterIP"] != service["spec"]["clusterIP"] {
            return Some(format!("{name} has another address"));
        }
        expected.push((Kind::Service, bridge.place(Kind::Service, &name)));
    }
    for kind in [Kind::Pod, Kind::ConfigMap, Kind::Service] {
        for object in bridge.host.list(kind) {
            let name = json_text(&object, "name");
            let infrastructure = name == "vc" || name.starts_with("kube-dns");
            let key = ObjectKey::new(&json_text(&object, "namespace"), &name);
            if !infrastructure && !expected.contains(&(kind, key)) {
                return Some(format!("{kind} {name} is an orphan"));
            }
        }
    }
    None
}

/// Whatever happens in whatever order, with both API servers failing a third of the requests: once they stop failing, both
/// sides agree, without duplicates and orphans.
#[test]
fn both_sides_converge_after_any_faults() {
    let strategy = (prop::collection::vec(happening(), 1..40), any::<u64>());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&strategy, |(happenings, seed)| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let disagreement = runtime.block_on(async {
            let mut bridge = Bridge::start();
            bridge.virtual_.put(Kind::ConfigMap, config_map());
            for fake in [&bridge.virtual_, &bridge.host] {
                fake.set_faults(Some(faults(seed)));
            }
            for what in happenings {
                bridge = happen(bridge, what).await;
            }
            for fake in [&bridge.virtual_, &bridge.host] {
                fake.set_faults(None);
            }
            let deadline = Instant::now() + PATIENCE;
            loop {
                bridge.run_host();
                tokio::time::sleep(Duration::from_millis(100)).await;
                match disagreement(&bridge) {
                    None => return None,
                    Some(what) if Instant::now() > deadline => return Some(what),
                    Some(_) => {}
                }
            }
        });
        prop_assert_eq!(disagreement, None);
        Ok(())
    });
    outcome.expect("both sides agree");
}

/// A third of all requests fails in one of the ways that servers fail in.
fn faults(seed: u64) -> crate::testing::fake::Faults {
    let mut state = seed | 1;
    Box::new(move |_, _| {
        // xorshift: enough disorder, and the same for the same seed.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let codes = [409, 429, 500, 503, 0, 0];
        state.is_multiple_of(3).then(|| codes[(state / 3 % 6) as usize])
    })
}
