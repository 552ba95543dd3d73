//! The API `metrics.k8s.io`, translated from the host's: `kubectl top` and autoscalers ask it.
//!
//! It is served beside the kubelet API, where an APIService of the virtual cluster leads to.

use http::StatusCode;
use machinery::quantity::Quantity;
use machinery::selector::{field, label};
use serde_json::{Map, Value, json};

use super::authorization::{Action, ObjectAction};
use super::host::{Refused, read};
use super::owned::owned;
use crate::clusters::Connection;
use crate::json;
use crate::kinds::Kind;
use crate::names::keys;
use crate::resources::{HostRule, cluster_rule, nodes, rule_of};
use crate::settings::Settings;
use crate::world::World;

pub(super) const GROUP: &str = "metrics.k8s.io";
pub(super) const VERSION: &str = "v1beta1";
const ROOT: &str = "/apis/metrics.k8s.io/v1beta1";

const READ: &[&str] = &["get", "list"];
const OF_PODS: HostRule = rule_of(GROUP, "pods", READ);
const OF_NODES: HostRule = cluster_rule(GROUP, "nodes", READ);

/// What it takes to read the measurements that are offered.
pub fn host_rules(settings: &Settings) -> impl Iterator<Item = &'static HostRule> {
    let metrics = settings.metrics;
    [(metrics.pods, &OF_PODS), (metrics.nodes, &OF_NODES)]
        .into_iter()
        .filter_map(|(needed, rule)| needed.then_some(rule))
}

/// A request of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Query {
    Groups,
    Group,
    Resources,
    Nodes,
    Node(String),
    Pods(String),
    Pod(String, String),
}

/// What a path means.
pub(super) fn query(path: &str) -> Option<Query> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (["apis"], rest) = parts.split_at_checked(1)? else {
        return None;
    };
    let own = |text: &&str| (*text).to_owned();
    Some(match rest {
        [] => Query::Groups,
        [GROUP] => Query::Group,
        [GROUP, VERSION] => Query::Resources,
        [GROUP, VERSION, "nodes"] => Query::Nodes,
        [GROUP, VERSION, "nodes", name] => Query::Node(own(name)),
        [GROUP, VERSION, "pods"] => Query::Pods(String::new()),
        [GROUP, VERSION, "namespaces", namespace, "pods"] => Query::Pods(own(namespace)),
        [GROUP, VERSION, "namespaces", namespace, "pods", name] => Query::Pod(own(namespace), own(name)),
        _ => return None,
    })
}

impl Query {
    /// What somebody has to be allowed to do.
    pub(super) fn action(&self, path: &str) -> Action {
        let (verb, resource, namespace, name) = match self {
            Query::Groups | Query::Group | Query::Resources => return Action::Discovery { path: path.to_owned() },
            Query::Nodes => ("list", "nodes", "", ""),
            Query::Node(name) => ("get", "nodes", "", name.as_str()),
            Query::Pods(namespace) => ("list", "pods", namespace.as_str(), ""),
            Query::Pod(namespace, name) => ("get", "pods", namespace.as_str(), name.as_str()),
        };
        Action::Object(ObjectAction {
            verb,
            group: GROUP.to_owned(),
            version: VERSION.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..ObjectAction::default()
        })
    }
}

/// Which objects of a list are wanted, and in which form.
#[derive(Debug)]
pub(super) struct Wanted {
    labels: label::Selector,
    fields: field::Selector,
    table: bool,
}

impl Wanted {
    /// From the parameters of a request, decoded, and its `Accept`.
    pub(super) fn parse(parameters: &[(String, String)], accept: &str) -> Result<Self, String> {
        let value = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        Ok(Self {
            labels: label::Selector::parse(value("labelSelector"))?,
            fields: field::Selector::parse(value("fieldSelector"))?,
            table: accept.contains("as=Table"),
        })
    }

    fn matches(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let field = |path: &str| match path {
            "metadata.name" => Some(json::text(metadata, &["name"])),
            "metadata.namespace" => Some(json::text(metadata, &["namespace"])),
            _ => None,
        };
        self.labels.matches_labels(metadata.get("labels")) && self.fields.matches(field)
    }
}

/// Answers a request: the document, or a Status with its code.
pub(super) async fn answer(world: &World, host: &Connection, query: &Query, wanted: &Wanted) -> Result<Value, Value> {
    let offered = world.settings.metrics;
    let (kind, of_pods) = match query {
        Query::Groups => return Ok(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group()]})),
        Query::Group => {
            let mut group = group();
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            return Ok(group);
        }
        Query::Resources => return Ok(resources(world)),
        Query::Nodes | Query::Node(_) => ("NodeMetrics", false),
        Query::Pods(_) | Query::Pod(..) => ("PodMetrics", true),
    };
    if !(if of_pods { offered.pods } else { offered.nodes }) {
        return Err(status(
            StatusCode::NOT_FOUND,
            "NotFound",
            "the server could not find the requested resource",
        ));
    }
    let path = match query {
        Query::Node(name) if nodes::is_served(world, name) => format!("{ROOT}/nodes/{name}"),
        Query::Node(name) => return Err(not_found("nodes", name)),
        Query::Pod(namespace, name) => {
            let key = world.host_key(Kind::Pod, namespace, name);
            if owned(world, Kind::Pod, &key.namespace, &key.name).is_none() {
                return Err(not_found("pods", &format!("{namespace}/{name}")));
            }
            format!("{ROOT}/namespaces/{}/pods/{}", key.namespace, key.name)
        }
        Query::Pods(_) => {
            let namespace = world.names.single_namespace();
            let place = namespace.map_or_else(String::new, |namespace| format!("/namespaces/{namespace}"));
            let (marker, vcluster) = (keys::MARKER, world.names.vcluster());
            format!("{ROOT}{place}/pods?labelSelector={marker}%3D{vcluster}")
        }
        _ => format!("{ROOT}/nodes"),
    };
    let measured = match read(host, &path).await {
        Ok(measured) => measured,
        Err(Refused { status: code, message }) => {
            return Err(match (code, query) {
                (StatusCode::FORBIDDEN, _) => status(code, "Forbidden", &message),
                (StatusCode::NOT_FOUND, Query::Node(name)) => not_found("nodes", name),
                (StatusCode::NOT_FOUND, Query::Pod(namespace, name)) => {
                    not_found("pods", &format!("{namespace}/{name}"))
                }
                _ => status(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &message),
            });
        }
    };
    let listed = matches!(query, Query::Nodes | Query::Pods(_));
    let single = [measured.clone()];
    let items = if listed {
        json::items(&measured, &["items"])
    } else {
        &single
    };
    let mut shown: Vec<Value> = items
        .iter()
        .filter_map(|item| if of_pods { pod(world, item) } else { node(world, item) })
        .filter(|item| match query {
            Query::Pods(namespace) => namespace.is_empty() || json::text(item, &["metadata", "namespace"]) == namespace,
            _ => true,
        })
        .filter(|item| !listed || wanted.matches(item))
        .collect();
    shown.sort_by_key(|item| {
        let text = |field| json::text(item, &["metadata", field]).to_owned();
        (text("namespace"), text("name"))
    });
    let api_version = format!("{GROUP}/{VERSION}");
    if wanted.table {
        return Ok(table(&shown));
    }
    if listed {
        return Ok(json!({"kind": format!("{kind}List"), "apiVersion": api_version, "metadata": {}, "items": shown}));
    }
    let Some(mut found) = shown.pop() else {
        return Err(not_found(if of_pods { "pods" } else { "nodes" }, ""));
    };
    found["kind"] = json!(kind);
    found["apiVersion"] = json!(api_version);
    Ok(found)
}

/// The measurements of a pod under its virtual name.
fn pod(world: &World, measured: &Value) -> Option<Value> {
    let metadata = |field| json::text(measured, &["metadata", field]);
    let owned = owned(world, Kind::Pod, metadata("namespace"), metadata("name"))?;
    let virtual_ = world
        .virtual_side
        .get(Kind::Pod, &owned.namespace, &owned.name)?
        .value();
    Some(renamed(measured, &virtual_))
}

/// The measurements of a node that this cluster shows.
fn node(world: &World, measured: &Value) -> Option<Value> {
    let name = json::text(measured, &["metadata", "name"]);
    let virtual_ = world.virtual_side.get(Kind::Node, "", name)?.value();
    nodes::is_served(world, name).then(|| renamed(measured, &virtual_))
}

fn renamed(measured: &Value, virtual_: &Value) -> Value {
    let mut copy = measured.clone();
    json::remove(&mut copy, &["kind", "apiVersion"]);
    let mut metadata = Map::new();
    for field in ["name", "namespace", "labels"] {
        if let Some(value) = virtual_["metadata"].get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(time) = measured["metadata"].get("creationTimestamp") {
        metadata.insert("creationTimestamp".to_owned(), time.clone());
    }
    copy["metadata"] = Value::Object(metadata);
    copy
}

fn group() -> Value {
    let version = json!({"groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION});
    json!({"name": GROUP, "versions": [version], "preferredVersion": version})
}

fn resources(world: &World) -> Value {
    let offered = world.settings.metrics;
    let resource = |name: &str, kind: &str, namespaced: bool| json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]});
    let all = [
        offered.nodes.then(|| resource("nodes", "NodeMetrics", false)),
        offered.pods.then(|| resource("pods", "PodMetrics", true)),
    ];
    let all: Vec<Value> = all.into_iter().flatten().collect();
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{VERSION}"), "resources": all,
    })
}

/// The columns that a metrics server prints: what is used of every resource, and over which time.
fn table(items: &[Value]) -> Value {
    let used = |item: &Value| -> std::collections::BTreeMap<String, Quantity> {
        let own = std::iter::once(&item["usage"]);
        let containers = json::items(item, &["containers"])
            .iter()
            .map(|container| &container["usage"]);
        let mut sums = std::collections::BTreeMap::new();
        for (resource, amount) in own.chain(containers).filter_map(Value::as_object).flatten() {
            if let Some(Ok(amount)) = amount.as_str().map(Quantity::parse) {
                let sum = sums.entry(resource.clone()).or_insert(Quantity::from_units(0));
                *sum = sum.plus(&amount);
            }
        }
        sums
    };
    let names: std::collections::BTreeSet<String> = items.iter().flat_map(|item| used(item).into_keys()).collect();
    let column = |name: &str, format: &str| json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0});
    let mut columns = vec![column("Name", "name")];
    columns.extend(names.iter().map(|name| column(name, "quantity")));
    columns.push(column("Window", "duration"));
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let used = used(item);
            let mut cells = vec![item["metadata"]["name"].clone()];
            cells.extend(names.iter().map(|name| {
                let amount = used.get(name).map(ToString::to_string);
                json!(amount.unwrap_or_default())
            }));
            cells.push(item["window"].clone());
            let object = json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"],
            });
            json!({"cells": cells, "object": object})
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": columns, "rows": rows,
    })
}

/// An error as API servers tell it.
pub(super) fn status(code: StatusCode, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
        "code": code.as_u16(),
    })
}

fn not_found(resource: &str, name: &str) -> Value {
    status(
        StatusCode::NOT_FOUND,
        "NotFound",
        &format!("{resource}.{GROUP} {name:?} not found"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{connection, host_copy};
    use super::*;
    use crate::kinds::Side;
    use crate::settings::MetricsSettings;
    use crate::testing::{settings, world_of};

    fn world(metrics: MetricsSettings) -> World {
        let mut settings = settings();
        settings.metrics = metrics;
        let world = world_of(settings);
        let pod =
            json!({"metadata": {"namespace": "team", "name": "web", "uid": "v", "labels": {"app": "web"}}, "spec": {}});
        world.put(Side::Virtual, Kind::Pod, pod);
        let mut host = host_copy(Kind::Pod, "team", "web");
        host["spec"] = json!({"nodeName": "n-1"});
        world.put(Side::Host, Kind::Pod, host);
        for node in ["n-1", "n-2"] {
            let node = json!({"metadata": {"name": node, "uid": node, "labels": {"own": "1"}}});
            world.put(Side::Virtual, Kind::Node, node);
        }
        world
    }

    /// What a host with one pod of ours, one of another cluster and two nodes answers.
    fn host() -> Connection {
        connection(|path| {
            let pod = |name: &str| {
                json!({
                    "metadata": {"namespace": "host", "name": name, "labels": {"secret": "host"}}, "window": "15s",
                    "containers": [{"name": "a", "usage": {"cpu": "5m", "memory": "1Mi"}}, {"name": "b", "usage": {"cpu": "7m"}}],
                })
            };
            let node =
                |name: &str| json!({"metadata": {"name": name, "labels": {"secret": "1"}}, "usage": {"cpu": "1"}});
            match path {
                "/apis/metrics.k8s.io/v1beta1/namespaces/host/pods?labelSelector=vcluster.loft.sh/managed-by%3Dvc" => (
                    200,
                    json!({"items": [pod("web-x-team-x-vc"), pod("other-x-team-x-vc2"), pod("plain")]}),
                ),
                "/apis/metrics.k8s.io/v1beta1/namespaces/host/pods/web-x-team-x-vc" => (200, pod("web-x-team-x-vc")),
                "/apis/metrics.k8s.io/v1beta1/nodes" => {
                    (200, json!({"items": [node("n-1"), node("n-2"), node("n-3")]}))
                }
                "/apis/metrics.k8s.io/v1beta1/nodes/n-1" => (200, node("n-1")),
                _ => (404, json!({})),
            }
        })
    }

    const BOTH: MetricsSettings = MetricsSettings {
        nodes: true,
        pods: true,
    };

    fn wanted(labels: &str, accept: &str) -> Wanted {
        Wanted::parse(&[("labelSelector".into(), labels.into())], accept).expect("valid")
    }

    async fn ask(world: &World, path: &str, wanted: &Wanted) -> Result<Value, u64> {
        let query = query(path).expect("a path of the API");
        let answer = answer(world, &host(), &query, wanted).await;
        answer.map_err(|status| status["code"].as_u64().unwrap_or_default())
    }

    #[tokio::test]
    async fn pods_and_nodes_are_translated_and_others_left_out() {
        let world = world(BOTH);
        let all = wanted("", "application/json");
        let pods = ask(&world, "/apis/metrics.k8s.io/v1beta1/pods", &all)
            .await
            .expect("pods");
        assert_eq!(pods["kind"], "PodMetricsList");
        assert_eq!(json::items(&pods, &["items"]).len(), 1);
        assert_eq!(
            pods["items"][0]["metadata"],
            json!({"name": "web", "namespace": "team", "labels": {"app": "web"}})
        );
        let none = ask(&world, "/apis/metrics.k8s.io/v1beta1/namespaces/other/pods", &all)
            .await
            .expect("pods");
        assert_eq!(none["items"], json!([]));
        let none = ask(&world, "/apis/metrics.k8s.io/v1beta1/pods", &wanted("app=db", ""))
            .await
            .expect("pods");
        assert_eq!(none["items"], json!([]));
        let pod = ask(&world, "/apis/metrics.k8s.io/v1beta1/namespaces/team/pods/web", &all)
            .await
            .expect("a pod");
        assert_eq!(
            (&pod["kind"], &pod["metadata"]["name"]),
            (&json!("PodMetrics"), &json!("web"))
        );
        // n-2 runs no pod of this cluster, whatever a tenant calls a node of theirs.
        let nodes = ask(&world, "/apis/metrics.k8s.io/v1beta1/nodes", &all)
            .await
            .expect("nodes");
        assert_eq!(
            nodes["items"],
            json!([{"metadata": {"name": "n-1", "labels": {"own": "1"}}, "usage": {"cpu": "1"}}])
        );
        ask(&world, "/apis/metrics.k8s.io/v1beta1/nodes/n-1", &all)
            .await
            .expect("a node");
        for missing in [
            "nodes/n-2",
            "nodes/n-3",
            "namespaces/team/pods/plain",
            "namespaces/host/pods/web-x-team-x-vc",
        ] {
            let path = format!("/apis/metrics.k8s.io/v1beta1/{missing}");
            assert_eq!(ask(&world, &path, &all).await, Err(404), "{missing}");
        }
        let table = ask(
            &world,
            "/apis/metrics.k8s.io/v1beta1/pods",
            &wanted("", "application/json;as=Table;v=v1"),
        )
        .await;
        assert_eq!(
            table.expect("a table")["rows"][0]["cells"],
            json!(["web", "12m", "1Mi", "15s"])
        );
    }

    #[tokio::test]
    async fn only_what_is_offered_is_there() {
        let world = world(MetricsSettings {
            nodes: false,
            pods: true,
        });
        let all = wanted("", "");
        assert_eq!(ask(&world, "/apis/metrics.k8s.io/v1beta1/nodes", &all).await, Err(404));
        let resources = ask(&world, "/apis/metrics.k8s.io/v1beta1", &all)
            .await
            .expect("resources");
        assert_eq!(json::items(&resources, &["resources"]).len(), 1);
        let groups = ask(&world, "/apis", &all).await.expect("groups");
        assert_eq!(groups["groups"][0]["name"], "metrics.k8s.io");
        for path in [
            "/api",
            "/apis/apps",
            "/apis/metrics.k8s.io/v1",
            "/apis/metrics.k8s.io/v1beta1/pods/web",
        ] {
            assert_eq!(query(path), None, "{path}");
        }
    }
}
