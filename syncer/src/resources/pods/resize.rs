//! Resources of running containers, which change through a subresource of their own (in-place resize).

use machinery::quantity::Quantity;
use serde_json::{Map, Value, json};

use super::pair;
use crate::clusters::Patch;
use crate::engine::plan::Step;
use crate::json;
use crate::kinds::{Kind, Side};

/// The subresource.
pub(crate) const SUBRESOURCE: &str = "resize";

/// The write that gives the host's containers the resources of the virtual ones.
pub(super) fn step(pod: &Value, host: &Value) -> Option<Step> {
    let mut spec = Map::new();
    for list in ["containers", "initContainers"] {
        let changed: Vec<Value> = json::items(pod, &["spec", list])
            .iter()
            // Of init containers, only sidecars can be running.
            .filter(|container| list == "containers" || json::text(container, &["restartPolicy"]) == "Always")
            .filter_map(|container| {
                let name = container.get("name")?;
                let twins = json::items(host, &["spec", list]);
                let twin = twins.iter().find(|other| other.get("name") == Some(name))?;
                let resources = change(container, twin)?;
                Some(json!({"name": name, "resources": resources}))
            })
            .collect();
        if !changed.is_empty() {
            spec.insert(list.to_owned(), Value::Array(changed));
        }
    }
    (!spec.is_empty()).then(|| Step::Patch {
        side: Side::Host,
        kind: Kind::Pod,
        key: pair::key_of(host),
        subresource: SUBRESOURCE,
        // Containers are merged by name, their resources by kind.
        patch: Patch::Strategic,
        body: json!({"metadata": {"uid": host["metadata"]["uid"]}, "spec": spec}),
    })
}

/// What differs of what the virtual container asks for. What only the host's has is a default of the host.
fn change(container: &Value, twin: &Value) -> Option<Value> {
    let mut changed = Map::new();
    for list in ["limits", "requests"] {
        let wanted = json::strings(container, &["resources", list]);
        let actual = json::strings(twin, &["resources", list]);
        let differing: Map<String, Value> = wanted
            .into_iter()
            .filter(|(resource, amount)| !actual.get(resource).is_some_and(|actual| same(actual, amount)))
            .map(|(resource, amount)| (resource, json!(amount)))
            .collect();
        if !differing.is_empty() {
            changed.insert(list.to_owned(), Value::Object(differing));
        }
    }
    (!changed.is_empty()).then_some(Value::Object(changed))
}

fn same(one: &str, other: &str) -> bool {
    one == other || matches!((Quantity::parse(one), Quantity::parse(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(containers: Value, init: Value) -> Value {
        json!({"metadata": {"namespace": "n", "name": "p", "uid": "u"}, "spec": {"containers": containers, "initContainers": init}})
    }

    fn container(name: &str, resources: Value) -> Value {
        json!({"name": name, "resources": resources})
    }

    #[test]
    fn what_the_virtual_containers_ask_for_is_what_the_host_gives() {
        let limited = |cpu: &str| json!({"limits": {"cpu": cpu}, "requests": {"cpu": cpu}});
        let host = pod(
            json!([
                container(
                    "app",
                    json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}})
                ),
                container("injected", json!({}))
            ]),
            json!([container("setup", limited("1"))]),
        );
        let same = pod(
            json!([container("app", limited("1000m"))]),
            json!([container("setup", limited("2"))]),
        );
        assert_eq!(
            step(&same, &host),
            None,
            "defaults of the host and finished containers stay"
        );
        let grown = pod(json!([container("app", limited("2"))]), json!([]));
        let Some(Step::Patch {
            body,
            subresource: "resize",
            side: Side::Host,
            ..
        }) = step(&grown, &host)
        else {
            panic!("a patch");
        };
        assert_eq!(
            body["spec"],
            json!({"containers": [{"name": "app", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}}]})
        );
    }
}
