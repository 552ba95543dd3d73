//! Hosts and virtual clusters of other versions. What each version stores is written down here once more, from what release
//! notes say rather than from the tables of the syncer: what one of the two lists lacks, the other one finds.

use super::*;
use crate::testing::fake::Release;

/// A field, the version whose servers store it, and a value of it.
type Field = (&'static str, u32, fn() -> Value);

/// Fields of a pod's spec.
const OF_PODS: &[Field] = &[
    ("/topologySpreadConstraints/0/nodeAffinityPolicy", 26, || json!("Honor")),
    ("/topologySpreadConstraints/0/nodeTaintsPolicy", 26, || json!("Honor")),
    ("/topologySpreadConstraints/0/minDomains", 27, || json!(2)),
    ("/schedulingGates", 27, || json!([{"name": "example.com/gate"}])),
    ("/initContainers/0/restartPolicy", 29, || json!("Always")),
    ("/containers/0/lifecycle/preStop/sleep", 30, || json!({"seconds": 1})),
    (
        "/securityContext/appArmorProfile",
        30,
        || json!({"type": "RuntimeDefault"}),
    ),
    (
        "/containers/0/securityContext/appArmorProfile",
        30,
        || json!({"type": "RuntimeDefault"}),
    ),
    ("/containers/0/volumeMounts/0/recursiveReadOnly", 31, || {
        json!("Enabled")
    }),
    ("/hostUsers", 33, || json!(false)),
    ("/containers/0/securityContext/procMount", 33, || json!("Unmasked")),
    ("/securityContext/supplementalGroupsPolicy", 33, || json!("Strict")),
    ("/securityContext/seLinuxChangePolicy", 33, || json!("Recursive")),
    ("/resources", 34, || json!({"limits": {"cpu": "1"}})),
    ("/containers/0/resources/claims", 34, || json!([{"name": "gpu"}])),
    ("/hostnameOverride", 35, || json!("other")),
    ("/containers/0/restartPolicy", 35, || json!("Never")),
    (
        "/containers/0/restartPolicyRules",
        35,
        || json!([{"action": "Restart"}]),
    ),
    (
        "/containers/0/env/0/valueFrom/fileKeyRef",
        35,
        || json!({"path": "p", "key": "k"}),
    ),
    ("/volumes/0/image", 35, || json!({"reference": "r"})),
];

/// What pods may lack without their owners' knowing: a server that knows it fills it in.
const UNTOLD: Field = ("/containers/0/resizePolicy", 33, || json!([{"resourceName": "cpu"}]));

/// Fields of other kinds, and of the status of all.
const OF_OTHERS: &[(Kind, &str, u32)] = &[
    (Kind::Service, "/spec/trafficDistribution", 31),
    (Kind::PodDisruptionBudget, "/spec/unhealthyPodEvictionPolicy", 27),
    (Kind::EndpointSlice, "/endpoints/0/hints/forNodes", 34),
    (Kind::CsiDriver, "/spec/seLinuxMount", 28),
    (Kind::CsiDriver, "/spec/serviceAccountTokenInSecrets", 35),
    (Kind::CsiDriver, "/spec/later", 38),
    (Kind::Node, "/status/features", 33),
    (Kind::Node, "/status/declaredFeatures", 36),
    (Kind::Node, "/status/nodeInfo/swap", 34),
    (Kind::Node, "/status/nodeInfo/later", 38),
    (Kind::Node, "/status/later", 38),
    (Kind::Pod, "/status/hostIPs", 29),
    (Kind::Pod, "/status/observedGeneration", 34),
    (Kind::Pod, "/status/conditions/0/observedGeneration", 34),
    (Kind::Pod, "/status/containerStatuses/0/volumeMounts", 31),
    (Kind::Pod, "/status/containerStatuses/0/user", 33),
    (Kind::Pod, "/status/containerStatuses/0/allocatedResourcesStatus", 36),
    (Kind::Pod, "/status/containerStatuses/0/later", 38),
    (Kind::Pod, "/status/conditions/0/later", 38),
    (Kind::Pod, "/status/resources", 36),
    (Kind::Pod, "/status/later", 38),
];

fn drop_unknown(minor: u32, kind: Kind, object: &mut Value) {
    let of_pods = OF_PODS.iter().chain([&UNTOLD]);
    let of_pods = of_pods.map(|(path, since, _)| (Kind::Pod, format!("/spec{path}"), *since));
    let of_others = OF_OTHERS
        .iter()
        .map(|(kind, path, since)| (*kind, (*path).to_owned(), *since));
    for (_, path, _) in of_pods
        .chain(of_others)
        .filter(|(of, _, since)| *of == kind && *since > minor)
    {
        remove(object, &path);
    }
}

fn remove(object: &mut Value, pointer: &str) {
    if let Some((parent, name)) = pointer.rsplit_once('/')
        && let Some(Value::Object(parent)) = object.pointer_mut(parent)
    {
        parent.remove(name);
    }
}

/// Puts a value at a place that need not be there; lists have one element.
fn put(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for step in path.split('/').skip(1) {
        place = match step.parse::<usize>() {
            Ok(_) => {
                if !place.is_array() {
                    *place = json!([{}]);
                }
                &mut place[0]
            }
            Err(_) => &mut place[step],
        };
    }
    *place = value;
}

/// Whether a field of this name has this value, wherever it is.
fn has(object: &Value, field: &str, value: &Value) -> bool {
    match object {
        Value::Object(fields) => fields
            .iter()
            .any(|(name, inner)| (name == field && inner == value) || has(inner, field, value)),
        Value::Array(items) => items.iter().any(|item| has(item, field, value)),
        _ => false,
    }
}

/// A syncer between servers of these versions.
fn between(host_minor: u32, virtual_minor: u32, settings: Settings) -> Bridge {
    let (virtual_, host) = clusters();
    for (fake, minor) in [(&virtual_, virtual_minor), (&host, host_minor)] {
        fake.set_release(Release { minor, drop_unknown });
    }
    Bridge::configured(virtual_, host, settings)
}

fn pod_with(name: &str, fields: &[&Field]) -> Value {
    let mut pod = json!({
        "metadata": {"namespace": "team", "name": name, "generation": 1},
        "spec": {"containers": [{"name": "app", "image": "nginx"}]},
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    });
    for (path, _, value) in fields {
        put(&mut pod["spec"], path, value());
    }
    pod
}

/// Whatever the host is too old for: either the copy of a pod has it, or the owner of the pod is told by name what it lacks.
#[tokio::test(start_paused = true)]
async fn no_field_of_a_pod_is_lost_without_a_word() {
    for host_minor in [24, 26, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 40] {
        let bridge = between(host_minor, 36, settings());
        for (number, field) in OF_PODS.iter().chain([&UNTOLD]).enumerate() {
            bridge
                .virtual_
                .put(Kind::Pod, pod_with(&format!("p{number}"), &[field]));
        }
        tokio::time::sleep(PATIENCE).await;
        let told = |name: &str, field: &str| {
            let events = bridge.virtual_.list(Kind::Event);
            let mut about = events.iter().filter(|event| event["involvedObject"]["name"] == name);
            about.any(|event| {
                let text = event["message"].as_str().unwrap_or_default();
                text.contains(field) && text.contains(&format!("1.{host_minor}"))
            })
        };
        for (number, (path, since, value)) in OF_PODS.iter().enumerate() {
            let (name, field) = (format!("p{number}"), path.rsplit('/').next().unwrap_or_default());
            let copy = bridge.host_pod(&name);
            let is_copied = copy.is_some_and(|copy| has(&copy["spec"], field, &value()));
            assert_eq!(is_copied, host_minor >= *since, "{path} on 1.{host_minor}");
            assert_eq!(told(&name, field), !is_copied, "{path} on 1.{host_minor}");
        }
        let name = format!("p{}", OF_PODS.len());
        let copy = bridge.host_pod(&name).expect("nothing is missing without it");
        assert_eq!(copy["spec"].pointer(UNTOLD.0).is_some(), host_minor >= UNTOLD.1);
    }
}

/// A pod in a state, as a host of any version reports it.
fn report(pod: &mut Value) {
    pod["spec"]["nodeName"] = json!("worker-1");
    pod["metadata"]["generation"] = json!(1);
    pod["status"] = json!({
        "phase": "Running", "startTime": "2026-01-01T00:00:00Z", "podIP": "10.1.0.1", "qosClass": "BestEffort",
        "hostIPs": [{"ip": "192.0.2.1"}], "observedGeneration": 1, "resources": {}, "later": {"a": 1},
        "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1, "later": 1}],
        "containerStatuses": [{
            "name": "app", "ready": true, "volumeMounts": [{"name": "v"}], "user": {"linux": {"uid": 1}},
            "allocatedResourcesStatus": [{"name": "gpu"}], "later": 1,
        }],
    });
}

fn node(heartbeat: usize) -> Value {
    json!({
        "metadata": {"name": "worker-1", "labels": {"zone": "a"}},
        "spec": {"podCIDR": "10.1.0.0/24"},
        "status": {
            "capacity": {"cpu": "4"}, "features": {"supplementalGroupsPolicy": true}, "declaredFeatures": ["A"], "later": 1,
            "nodeInfo": {"osImage": "Linux", "swap": {"capacity": 1}, "later": 1},
            "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": heartbeat.to_string()}],
        },
    })
}

/// Objects that use every field which not all servers know.
fn fill(bridge: &Bridge) {
    let newest: Vec<&Field> = OF_PODS
        .iter()
        .filter(|(_, since, _)| *since <= 26)
        .chain([&UNTOLD])
        .collect();
    bridge.virtual_.put(Kind::Pod, pod_with("web", &newest));
    let mut near = service("near");
    near["spec"]["trafficDistribution"] = json!("PreferClose");
    bridge.virtual_.put(Kind::Service, near);
    let mut by_hand = service("by-hand");
    crate::json::remove(&mut by_hand["spec"], &["selector"]);
    bridge.virtual_.put(Kind::Service, by_hand);
    bridge.virtual_.put(
        Kind::EndpointSlice,
        json!({
            "metadata": {"namespace": "team", "name": "s", "labels": {"kubernetes.io/service-name": "by-hand"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["192.0.2.7"], "hints": {"forNodes": [{"name": "worker-1"}]}}],
        }),
    );
    let budget = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}, "unhealthyPodEvictionPolicy": "AlwaysAllow"});
    let metadata = json!({"namespace": "team", "name": "web"});
    bridge
        .virtual_
        .put(Kind::PodDisruptionBudget, json!({"metadata": metadata, "spec": budget}));
    bridge.host.put(Kind::Node, node(0));
    let driver =
        json!({"attachRequired": true, "seLinuxMount": true, "serviceAccountTokenInSecrets": true, "later": 1});
    bridge.host.put(
        Kind::CsiDriver,
        json!({"metadata": {"name": "disk.example.com"}, "spec": driver}),
    );
}

fn all_kinds() -> Settings {
    let mut settings = Settings {
        compare_every: Duration::from_secs(60),
        ..settings()
    };
    settings.to_host.insert(Kind::PodDisruptionBudget);
    settings.from_host.insert(Kind::CsiDriver, Default::default());
    settings.nodes.from_host = true;
    settings
}

/// What a server does not know, or sets by itself, is not written once more at every look; and the rest comes up all the same.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_that_a_server_does_not_keep() {
    for (host_minor, virtual_minor) in [
        (25, 36),
        (28, 36),
        (32, 36),
        (36, 36),
        (40, 36),
        (36, 30),
        (40, 33),
        (33, 35),
    ] {
        let bridge = between(host_minor, virtual_minor, all_kinds());
        let versions = format!("host 1.{host_minor}, virtual 1.{virtual_minor}");
        fill(&bridge);
        bridge
            .until("the pod is on the host", || bridge.host_pod("web").is_some())
            .await;
        let place = bridge.place(Kind::Pod, "web");
        bridge.host.change(Kind::Pod, &place.namespace, &place.name, report);
        let running = || {
            let pod = bridge.virtual_.get(Kind::Pod, "team", "web");
            pod.is_some_and(|pod| pod["status"]["phase"] == "Running")
        };
        bridge.until(&format!("the pod runs: {versions}"), running).await;
        tokio::time::sleep(PATIENCE).await;
        for (kind, name) in [
            (Kind::Service, "near"),
            (Kind::Service, "by-hand"),
            (Kind::EndpointSlice, "s"),
            (Kind::PodDisruptionBudget, "web"),
        ] {
            assert!(bridge.copy(kind, name).is_some(), "{kind} {name}: {versions}");
        }
        let shown = bridge.virtual_.get(Kind::Pod, "team", "web").expect("the pod");
        assert_eq!(shown["status"]["qosClass"], "Burstable", "{versions}");
        for (kind, path, since) in OF_OTHERS
            .iter()
            .filter(|(kind, ..)| matches!(kind, Kind::Pod | Kind::Node))
        {
            let object = match kind {
                Kind::Pod => shown.clone(),
                _ => bridge.virtual_.get(Kind::Node, "", "worker-1").expect("the node"),
            };
            let known = *since <= host_minor.min(virtual_minor).min(36);
            assert_eq!(object.pointer(path).is_some(), known, "{kind} {path}: {versions}");
        }
        bridge.virtual_.take_writes();
        bridge.host.take_writes();
        for heartbeat in 1..10 {
            bridge.host.put(Kind::Node, {
                let mut node = node(heartbeat);
                let known = bridge.host.get(Kind::Node, "", "worker-1").unwrap_or_default();
                node["metadata"]["uid"] = known["metadata"]["uid"].clone();
                node
            });
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(bridge.virtual_.take_writes(), [""; 0], "{versions}");
        assert_eq!(bridge.host.take_writes(), [""; 0], "{versions}");
        assert_eq!(errors_told(&bridge), [Value::Null; 0], "{versions}");
    }
}

/// Nothing gets to a host before it has said how old it is.
#[tokio::test(start_paused = true)]
async fn nothing_is_decided_before_the_versions_are_known() {
    let (virtual_, host) = clusters();
    host.set_release(Release {
        minor: 30,
        drop_unknown,
    });
    let mut silent = 20;
    host.set_faults(Some(Box::new(move |_, path| {
        silent -= usize::from(path == "/version" && silent > 0);
        (path == "/version" && silent > 0).then_some(503)
    })));
    virtual_.put(Kind::Pod, pod_with("web", &[&("/hostUsers", 33, || json!(false))]));
    let bridge = Bridge::between(virtual_, host);
    let told = || {
        errors_told(&bridge).iter().any(|event| {
            event["message"]
                .as_str()
                .is_some_and(|text| text.contains("spec.hostUsers"))
        })
    };
    bridge.until("the owner is told", told).await;
    assert_eq!(bridge.host_pod("web"), None);
    assert!(!bridge.host.take_writes().iter().any(|write| write.ends_with("/pods")));
}
