//! What is asked for, and the documents of `metrics.k8s.io`.

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use machinery::selector::{field, label};
use serde_json::{Value, json};

use super::read::Measured;
use super::{GROUP, VERSION};
use crate::node::kubelet::Query;

/// Simulated usage holds from one moment to the next.
const WINDOW: &str = "1s";

/// A request.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    /// Something that is known without asking anybody.
    Document(Value),
    Nodes(Wanted),
    Pods(Wanted),
}

/// Which objects.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Wanted {
    /// Empty for all.
    pub(super) namespace: String,
    /// Empty for many.
    pub(super) name: String,
    pub(super) labels: String,
    pub(super) fields: String,
}

impl Asked {
    pub(super) fn parse(path: &str, query: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let query = Query::parse(query);
        let value = |name: &str| query.first(name).unwrap_or_default().to_owned();
        let wanted = |namespace: &str, name: &str| Wanted {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            labels: value("labelSelector"),
            fields: if name.is_empty() {
                value("fieldSelector")
            } else {
                format!("metadata.name={name}")
            },
        };
        let version = json!({"groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION});
        let group = json!({"name": GROUP, "versions": [version], "preferredVersion": version});
        let (["apis"], rest) = segments.split_at_checked(1)? else {
            return None;
        };
        Some(match rest {
            [] => Asked::Document(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]})),
            [GROUP, VERSION] => Asked::Document(resources()),
            [GROUP, VERSION, "nodes"] => Asked::Nodes(wanted("", "")),
            [GROUP, VERSION, "nodes", name] => Asked::Nodes(wanted("", name)),
            [GROUP, VERSION, "pods"] => Asked::Pods(wanted("", "")),
            [GROUP, VERSION, "namespaces", namespace, "pods"] => Asked::Pods(wanted(namespace, "")),
            [GROUP, VERSION, "namespaces", namespace, "pods", name] => Asked::Pods(wanted(namespace, name)),
            _ => return None,
        })
    }
}

fn resources() -> Value {
    let resource = |name: &str, kind: &str, namespaced: bool| json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]});
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": [resource("nodes", "NodeMetrics", false), resource("pods", "PodMetrics", true)],
    })
}

/// What is used of something, from what a kubelet says of its CPU and memory.
fn usage(measured: &Value) -> Value {
    let number = |path: &str| measured.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    let amount = |number: u64, unit: &str| {
        if number == 0 {
            "0".to_owned()
        } else {
            format!("{number}{unit}")
        }
    };
    json!({
        "cpu": amount(number("/cpu/usageNanoCores"), "n"),
        "memory": amount(number("/memory/workingSetBytes") / 1024, "Ki"),
    })
}

fn object(kind: &str, metadata: &ObjectMeta, part: (&str, Value)) -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut object = json!({
        "kind": kind, "apiVersion": format!("{GROUP}/{VERSION}"),
        "metadata": {"name": metadata.name, "creationTimestamp": now}, "timestamp": now, "window": WINDOW,
    });
    if let Some(namespace) = &metadata.namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    if let Some(labels) = &metadata.labels {
        object["metadata"]["labels"] = json!(labels);
    }
    object[part.0] = part.1;
    object
}

/// The answer about nodes.
pub(super) fn nodes(nodes: Vec<Measured<Node>>, wanted: &Wanted) -> Value {
    let labels = label::Selector::parse(&wanted.labels).unwrap_or_default();
    let fields = field::Selector::parse(&wanted.fields).unwrap_or_default();
    let items = nodes
        .iter()
        .map(|(node, summary)| object("NodeMetrics", &node.metadata, ("usage", usage(&summary["node"]))));
    let matching = |item: &Value| {
        let name = item["metadata"]["name"].as_str();
        labels.matches_labels(item["metadata"].get("labels"))
            && fields.matches(|path| (path == "metadata.name").then_some(name).flatten())
    };
    answer("nodes", "NodeMetrics", items.filter(matching).collect(), wanted)
}

/// The answer about pods, which are those that are wanted.
pub(super) fn pods(pods: Vec<Measured<Pod>>, wanted: &Wanted) -> Value {
    let items = pods.iter().filter_map(|(pod, measured)| {
        let containers = measured["containers"].as_array()?.iter();
        let containers: Vec<Value> = containers
            .map(|container| json!({"name": container["name"], "usage": usage(container)}))
            .collect();
        // What does not run has not been measured.
        let runs = !containers.is_empty();
        runs.then(|| object("PodMetrics", &pod.metadata, ("containers", Value::Array(containers))))
    });
    answer("pods", "PodMetrics", items.collect(), wanted)
}

fn answer(plural: &str, kind: &str, mut items: Vec<Value>, wanted: &Wanted) -> Value {
    if wanted.name.is_empty() {
        return json!({
            "kind": format!("{kind}List"), "apiVersion": format!("{GROUP}/{VERSION}"), "metadata": {}, "items": items,
        });
    }
    let missing = || {
        refusal(
            404,
            "NotFound",
            &format!("{plural}.{GROUP} {:?} not found", wanted.name),
        )
    };
    items.pop().unwrap_or_else(missing)
}

/// An error as API servers tell it.
pub(super) fn refusal(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
        "code": code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_shown_with_what_their_containers_use() {
        let pod = |name: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": "n", "labels": {"app": "web"}}}))
                .unwrap()
        };
        let measured = json!({"containers": [
            {"name": "c", "cpu": {"usageNanoCores": 250_000_000}, "memory": {"workingSetBytes": 2048}}, {"name": "d"},
        ]});
        let wanted = Wanted::default();
        let list = pods(
            vec![(pod("a"), measured), (pod("b"), json!({"containers": []}))],
            &wanted,
        );
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
        assert_eq!(
            list["items"][0]["containers"],
            json!([
                {"name": "c", "usage": {"cpu": "250000000n", "memory": "2Ki"}},
                {"name": "d", "usage": {"cpu": "0", "memory": "0"}},
            ])
        );
        assert_eq!(list["items"][0]["metadata"]["labels"]["app"], "web");
        let one = Wanted {
            name: "x".to_owned(),
            ..Wanted::default()
        };
        assert_eq!(pods(Vec::new(), &one)["message"], "pods.metrics.k8s.io \"x\" not found");
    }

    #[test]
    fn paths_are_understood() {
        let asked = |path| Asked::parse(path, "labelSelector=a%3Db");
        assert!(
            matches!(asked("/apis/metrics.k8s.io/v1beta1"), Some(Asked::Document(list)) if list["resources"][1]["name"] == "pods")
        );
        assert!(
            matches!(asked("/apis/metrics.k8s.io/v1beta1/namespaces/n/pods"), Some(Asked::Pods(w)) if w.namespace == "n" && w.labels == "a=b")
        );
        assert!(
            matches!(asked("/apis/metrics.k8s.io/v1beta1/nodes/x"), Some(Asked::Nodes(w)) if w.fields == "metadata.name=x")
        );
        assert_eq!(asked("/api/v1/pods"), None);
    }
}
