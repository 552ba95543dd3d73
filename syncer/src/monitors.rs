//! Monitors of nodes (`experimental.nodeMonitors`): for every node of the virtual cluster a ServiceMonitor in the host namespace,
//! with which a Prometheus of the host measures that node through the virtual API server.
//!
//! The right to them is a Role of its own, which owns them, and which the control plane's Service owns. Whoever empties the list
//! takes that Role away, and the host the monitors: a syncer that keeps none needs no right to look for some.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::digest::safe_concat;
use config::{MonitorEndpoint, NodeMonitor};
use http::Method;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::clusters::{Api, ApiError, Patch};
use crate::json;
use crate::kinds::Kind;
use crate::resources::{HostRule, rule_of};
use crate::settings::Settings;
use crate::world::World;

const GROUP: &str = "monitoring.coreos.com";
const PLURAL: &str = "servicemonitors";
/// The label that says which monitor an object is of.
const MONITOR: &str = "vcluster.loft.sh/node-monitor";
/// The label that says of which virtual cluster it is; that of synced objects would make it one of them.
const VCLUSTER: &str = "vcluster-name";

const RULE: HostRule = rule_of(GROUP, PLURAL, &["create", "delete", "list", "patch"]);
/// Group and plural of Roles.
pub(crate) const ROLES: (&str, &str) = ("rbac.authorization.k8s.io", "roles");

/// Changes that follow each other are dealt with together.
const TOGETHER: Duration = Duration::from_secs(1);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(10);

/// What it takes to keep the monitors.
pub(crate) fn host_rules(settings: &Settings) -> impl Iterator<Item = &'static HostRule> {
    (!settings.monitors.is_empty()).then_some(&RULE).into_iter()
}

/// The name of the Role with the right to them. No virtual cluster has a name with a colon, so it is nobody else's.
pub(crate) fn role_name(vcluster: &str) -> String {
    format!("vc-{vcluster}:node-monitors")
}

/// Keeps one ServiceMonitor for each monitor and node, for ever. `changed` tells of changes of nodes.
pub async fn run(world: Arc<World>, host: Api, changed: Arc<Notify>) {
    let mut done = None;
    let mut said = String::new();
    loop {
        if let Some(now) = wanted(&world).filter(|now| done.as_ref() != Some(now)) {
            if let Err(error) = keep(&host, &world, now.clone()).await {
                let problem = error.to_string();
                if problem != said {
                    warn!(
                        problem,
                        "cannot keep the ServiceMonitors of experimental.nodeMonitors yet"
                    );
                    said = problem;
                }
                done = None;
                tokio::time::sleep(RETRY).await;
                continue;
            }
            said.clear();
            done = Some(now);
        }
        let every = match world.settings.compare_every {
            Duration::ZERO => Duration::MAX,
            every => every,
        };
        tokio::select! {
            () = changed.notified() => tokio::time::sleep(TOGETHER).await,
            // What somebody else has done to them is found then.
            () = tokio::time::sleep(every) => done = None,
        }
    }
}

/// The ServiceMonitors that there are to be, by name; `None` as long as it is not known what is to own them.
fn wanted(world: &World) -> Option<BTreeMap<String, Value>> {
    let settings = &world.settings;
    let owners = world.owner_reference(&settings.host_namespace, false);
    if owners.is_none() && settings.set_owner && !settings.service_name.is_empty() {
        return None;
    }
    let mut wanted = BTreeMap::new();
    for node in world.virtual_side.of(Kind::Node).list() {
        let labels = json::strings(&node.value(), &["metadata", "labels"]);
        let node = &node.key().name;
        for monitor in &settings.monitors {
            let mut selector = monitor.node_selector.iter();
            if selector.all(|(key, value)| labels.get(key) == Some(value)) {
                let object = service_monitor(settings, monitor, node, owners.as_ref());
                wanted.insert(json::text(&object, &["metadata", "name"]).to_owned(), object);
            }
        }
    }
    Some(wanted)
}

fn service_monitor(settings: &Settings, monitor: &NodeMonitor, node: &str, owners: Option<&Value>) -> Value {
    let vcluster = &settings.vcluster;
    let mut labels = json!(monitor.labels);
    json::merge(
        &mut labels,
        &json!({"app": "vcluster", VCLUSTER: vcluster, MONITOR: monitor.name}),
    );
    let mut metadata = json!({
        "name": safe_concat(&[&monitor.name, node]), "namespace": settings.host_namespace,
        "labels": labels, "annotations": monitor.annotations,
    });
    json::put(&mut metadata, "ownerReferences", owners.cloned());
    let endpoints: Vec<Value> = monitor
        .endpoints
        .iter()
        .map(|of_node| endpoint(vcluster, of_node, node))
        .collect();
    let mut spec = json!({
        "selector": {"matchLabels": {"app": "vcluster", "release": vcluster, "vcluster.loft.sh/service": "true"}},
        "endpoints": endpoints,
    });
    json::merge(&mut spec, &Value::Object(monitor.spec.clone()));
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "ServiceMonitor", "metadata": metadata, "spec": spec})
}

/// The API server leads to the kubelet; the exported kubeconfig's Secret has what it takes to ask it.
fn endpoint(vcluster: &str, endpoint: &MonitorEndpoint, node: &str) -> Value {
    let of_secret = |key: &str| json!({"name": format!("vc-{vcluster}"), "key": key});
    let of_node = |label: &str| {
        let rule = json!({"action": "replace", "targetLabel": label, "replacement": node});
        rule.as_object().cloned().unwrap_or_default()
    };
    let path = endpoint
        .path
        .strip_prefix("/proxy")
        .filter(|path| path.starts_with('/'));
    let relabelings: Vec<Map<String, Value>> = ["node", "instance"]
        .map(of_node)
        .into_iter()
        .chain(endpoint.extra_relabelings.iter().cloned())
        .collect();
    let mut object = json!({
        "port": "https", "scheme": "https",
        "path": format!("/api/v1/nodes/{node}/proxy{}", path.unwrap_or(&endpoint.path)),
        "relabelings": relabelings,
        "tlsConfig": {
            "ca": {"secret": of_secret("certificate-authority")},
            "cert": {"secret": of_secret("client-certificate")},
            "keySecret": of_secret("client-key"),
            // Prometheus asks the Pod's address, which the certificate need not name.
            "serverName": "kubernetes.default.svc",
        },
    });
    let texts = [
        ("interval", &endpoint.interval),
        ("scrapeTimeout", &endpoint.scrape_timeout),
    ];
    for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        json::put(&mut object, field, Some(json!(text)));
    }
    if !endpoint.params.is_empty() {
        json::put(&mut object, "params", Some(json!(endpoint.params)));
    }
    if !endpoint.metrics_relabelings.is_empty() {
        json::put(
            &mut object,
            "metricRelabelings",
            Some(json!(endpoint.metrics_relabelings)),
        );
    }
    object
}

/// What is to be done about one ServiceMonitor.
#[derive(Debug, PartialEq)]
enum Step {
    Create(Value),
    Patch(String, Value),
    Delete(String, Value),
}

/// How what is there becomes what is wanted.
fn steps(wanted: &BTreeMap<String, Value>, there: &[Value]) -> Vec<Step> {
    let mut missing = wanted.clone();
    let mut steps = Vec::new();
    for current in there {
        let name = json::text(current, &["metadata", "name"]);
        let Some(wanted) = missing.remove(name) else {
            let uid = json!({"uid": json::text(current, &["metadata", "uid"])});
            steps.push(Step::Delete(name.to_owned(), uid));
            continue;
        };
        let mut patch = Map::new();
        // Labels and annotations of others stay.
        let mut metadata = current["metadata"].clone();
        json::merge(&mut metadata, &wanted["metadata"]);
        patch.extend(json::merge_diff(&current["metadata"], &metadata).map(|patch| ("metadata".to_owned(), patch)));
        patch.extend(json::merge_diff(&current["spec"], &wanted["spec"]).map(|patch| ("spec".to_owned(), patch)));
        if !patch.is_empty() {
            steps.push(Step::Patch(name.to_owned(), Value::Object(patch)));
        }
    }
    steps.extend(missing.into_values().map(Step::Create));
    steps
}

/// What owns the monitors instead of the Service: the Role, if there is one that can be between the two.
async fn between(host: &Api, settings: &Settings, service: &Value) -> Result<Option<Value>, ApiError> {
    let (group, plural) = ROLES;
    let name = role_name(&settings.vcluster);
    let path = format!(
        "/apis/{group}/v1/namespaces/{}/{plural}/{name}",
        settings.host_namespace
    );
    let unless_refused = |answer: Result<Value, ApiError>| match answer {
        // Whoever runs the virtual cluster has given it rights of another form.
        Err(error) if matches!(error.code(), 403 | 404) => Ok(None),
        answer => answer.map(Some),
    };
    let Some(role) = unless_refused(host.any("get", Method::GET, &path, None).await)? else {
        return Ok(None);
    };
    let owners = json::items(&role, &["metadata", "ownerReferences"]);
    if !owners.iter().any(|owner| owner["uid"] == service["uid"]) {
        // Of an earlier Service of the same name nothing is left but its uid.
        let others = owners
            .iter()
            .filter(|owner| owner["kind"] != service["kind"] || owner["name"] != service["name"]);
        let all: Vec<&Value> = others.chain([service]).collect();
        let (uid, version) = (&role["metadata"]["uid"], &role["metadata"]["resourceVersion"]);
        let patch = json!({"metadata": {"ownerReferences": all, "uid": uid, "resourceVersion": version}});
        let body = Some((Patch::Merge.content_type(), &patch));
        if unless_refused(host.any("patch", Method::PATCH, &path, body).await)?.is_none() {
            return Ok(None);
        }
    }
    let uid = &role["metadata"]["uid"];
    Ok(Some(json!([{
        "apiVersion": format!("{group}/v1"), "kind": "Role", "name": name, "uid": uid,
    }])))
}

async fn keep(host: &Api, world: &World, mut wanted: BTreeMap<String, Value>) -> Result<(), ApiError> {
    let settings = &world.settings;
    if let Some(service) = world.owner_reference(&settings.host_namespace, false)
        && let Some(owners) = between(host, settings, &service[0]).await?
    {
        for object in wanted.values_mut() {
            object["metadata"]["ownerReferences"] = owners.clone();
        }
    }
    let collection = format!("/apis/{GROUP}/v1/namespaces/{}/{PLURAL}", settings.host_namespace);
    let ours = format!(
        "{collection}?labelSelector={VCLUSTER}%3D{},{}",
        settings.vcluster,
        MONITOR.replace('/', "%2F")
    );
    let list = host.any("list", Method::GET, &ours, None).await?;
    let steps = steps(&wanted, json::items(&list, &["items"]));
    let count = steps.len();
    for step in steps {
        let outcome = match step {
            Step::Create(object) => {
                let body = Some(("application/json", &object));
                host.any("create", Method::POST, &collection, body).await
            }
            Step::Patch(name, patch) => {
                let body = Some((Patch::Merge.content_type(), &patch));
                host.any("patch", Method::PATCH, &format!("{collection}/{name}"), body)
                    .await
            }
            Step::Delete(name, preconditions) => {
                let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions});
                let body = Some(("application/json", &options));
                host.any("delete", Method::DELETE, &format!("{collection}/{name}"), body)
                    .await
            }
        };
        match outcome {
            // Somebody else was faster.
            Err(error) if error.code() == 404 => {}
            outcome => outcome.map(drop)?,
        }
    }
    if count > 0 {
        info!(
            changed = count,
            all = wanted.len(),
            "the ServiceMonitors of nodes are up to date"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use crate::testing::settings;

    fn world(monitors: Value) -> World {
        let world = World::new(Settings {
            monitors: serde_json::from_value(monitors).expect("monitors"),
            ..settings()
        });
        for (name, zone) in [("node-1", "a"), ("node-2", "b")] {
            let node = json!({"metadata": {"name": name, "uid": name, "labels": {"zone": zone}}});
            world.virtual_side.of(Kind::Node).apply(Object::new(node));
        }
        world
    }

    fn own_service(world: &World) {
        let service = json!({"metadata": {"name": "vc", "namespace": "host", "uid": "u-1"}});
        world.control_plane.of(Kind::Service).apply(Object::new(service));
    }

    #[test]
    fn every_node_has_its_monitors() {
        let world = world(json!([
            {
                "name": "kubelet", "labels": {"team": "a", "app": "mine"}, "annotations": {"note": "b"},
                "spec": {"jobLabel": "job", "selector": {"matchLabels": {"release": null}}},
                "endpoints": [
                    {"path": "/metrics/cadvisor", "interval": "30s", "params": {"a": ["b"]},
                     "extraRelabelings": [{"targetLabel": "x"}], "metricsRelabelings": [{"action": "drop"}]},
                    {"path": "/proxy/metrics", "scrapeTimeout": "5s"},
                ],
            },
            {"name": "one", "nodeSelector": {"zone": "b"}, "endpoints": [{"path": "/metrics"}]},
        ]));
        assert_eq!(wanted(&world), None, "nothing is made that nothing owns");
        own_service(&world);
        let wanted = wanted(&world).expect("known");
        assert_eq!(
            wanted.keys().collect::<Vec<_>>(),
            ["kubelet-node-1", "kubelet-node-2", "one-node-2"]
        );
        let object = &wanted["kubelet-node-1"];
        let metadata = &object["metadata"];
        assert_eq!(metadata["ownerReferences"][0]["uid"], "u-1");
        assert_eq!(
            metadata["labels"],
            json!({"app": "vcluster", "team": "a", VCLUSTER: "vc", MONITOR: "kubelet"})
        );
        let spec = &object["spec"];
        assert_eq!(spec["jobLabel"], "job");
        assert_eq!(
            spec["selector"]["matchLabels"],
            json!({"app": "vcluster", "vcluster.loft.sh/service": "true"})
        );
        let first = &spec["endpoints"][0];
        assert_eq!(first["path"], "/api/v1/nodes/node-1/proxy/metrics/cadvisor");
        assert_eq!(
            (&first["interval"], &first["params"]),
            (&json!("30s"), &json!({"a": ["b"]}))
        );
        let targets: Vec<&Value> = json::items(first, &["relabelings"])
            .iter()
            .map(|rule| &rule["targetLabel"])
            .collect();
        assert_eq!(targets, ["node", "instance", "x"]);
        assert_eq!(first["relabelings"][0]["replacement"], "node-1");
        assert_eq!(first["metricRelabelings"], json!([{"action": "drop"}]));
        assert_eq!(
            first["tlsConfig"]["ca"]["secret"],
            json!({"name": "vc-vc", "key": "certificate-authority"})
        );
        assert_eq!(spec["endpoints"][1]["path"], "/api/v1/nodes/node-1/proxy/metrics");
        assert_eq!(spec["endpoints"][1].get("interval"), None);
    }

    #[test]
    fn what_is_there_becomes_what_is_wanted() {
        let world = world(json!([{"name": "m", "endpoints": [{"path": "/metrics"}]}]));
        own_service(&world);
        let wanted = wanted(&world).expect("known");
        let mut there = wanted["m-node-1"].clone();
        json::merge(
            &mut there,
            &json!({"metadata": {"uid": "1", "labels": {"of": "others"}}}),
        );
        let made = Step::Create(wanted["m-node-2"].clone());
        assert_eq!(steps(&wanted, std::slice::from_ref(&there)), [made]);
        json::merge(&mut there, &json!({"spec": {"jobLabel": "old"}}));
        let gone = json!({"metadata": {"name": "m-node-3", "uid": "3"}});
        assert_eq!(
            steps(&wanted, &[there, gone])[..2],
            [
                Step::Patch("m-node-1".to_owned(), json!({"spec": {"jobLabel": null}})),
                Step::Delete("m-node-3".to_owned(), json!({"uid": "3"})),
            ]
        );
        assert_eq!(host_rules(&world.settings).count(), 1);
        assert_eq!(host_rules(&settings()).count(), 0);
    }
}
