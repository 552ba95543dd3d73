//! `/stats/summary`: what the host's kubelet measured, of this cluster's pods only and under their virtual names.

use serde_json::{Value, json};

use super::host::read;
use super::owned::{Owned, owned};
use crate::clusters::Connection;
use crate::json;
use crate::kinds::Kind;
use crate::world::World;

/// The summary of one node. Where the host does not let its kubelets be asked, pods are listed without measurements, as a
/// kubelet does for pods that it has not measured yet.
pub(super) async fn summary(world: &World, connection: &Connection, node: &str) -> Value {
    let path = format!("/api/v1/nodes/{node}/proxy/stats/summary");
    let measured = if world.settings.nodes.measured {
        read(connection, &path).await.unwrap_or_default()
    } else {
        Value::Null
    };
    rewritten(world, node, &measured)
}

fn rewritten(world: &World, node: &str, measured: &Value) -> Value {
    let pods: Vec<Value> = world
        .host
        .of(Kind::Pod)
        .list()
        .iter()
        .map(|pod| pod.value())
        .filter(|host| json::text(host, &["spec", "nodeName"]) == node)
        .filter_map(|host| entry(world, &host, json::items(measured, &["pods"])))
        .collect();
    let of_node = measured.get("node").cloned();
    json!({"node": of_node.unwrap_or_else(|| json!({"nodeName": node})), "pods": pods})
}

/// The entry of one pod: the host's measurements if there are any, under the virtual name.
fn entry(world: &World, host: &Value, measured: &[Value]) -> Option<Value> {
    let metadata = |field| json::text(host, &["metadata", field]);
    let Owned {
        namespace, name, uid, ..
    } = owned(world, Kind::Pod, metadata("namespace"), metadata("name"))?;
    let found = measured
        .iter()
        .find(|entry| json::text(entry, &["podRef", "uid"]) == metadata("uid"));
    let mut entry = found.cloned().unwrap_or_else(|| json!({}));
    json::put(
        &mut entry,
        "podRef",
        Some(json!({"name": name, "namespace": namespace, "uid": uid})),
    );
    if let Some(volumes) = entry.get_mut("volume").and_then(Value::as_array_mut) {
        volumes.retain_mut(|volume| rename_claim(world, volume));
    }
    if let Some(started) = host["status"].get("startTime") {
        json::put(&mut entry, "startTime", Some(started.clone()));
    }
    Some(entry)
}

/// Gives a volume's claim its virtual name; a claim that has none is not this cluster's.
fn rename_claim(world: &World, volume: &mut Value) -> bool {
    let Some(claim) = volume.get("pvcRef") else { return true };
    let (namespace, name) = (json::text(claim, &["namespace"]), json::text(claim, &["name"]));
    match owned(world, Kind::PersistentVolumeClaim, namespace, name) {
        Some(owned) => {
            volume["pvcRef"] = json!({"name": owned.name, "namespace": owned.namespace});
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Side;
    use crate::testing::world;

    #[test]
    fn only_own_pods_are_shown_under_their_virtual_names() {
        let world = world();
        for name in ["web", "idle"] {
            let pod = json!({"metadata": {"namespace": "team", "name": name, "uid": format!("v-{name}")},
                "spec": {"nodeName": "n-1", "containers": []}});
            world.put(Side::Virtual, Kind::Pod, pod);
            let mut host = super::super::tests::host_copy(Kind::Pod, "team", name);
            host["spec"] = json!({"nodeName": "n-1"});
            world.put(Side::Host, Kind::Pod, host);
        }
        let claim = json!({"metadata": {"namespace": "team", "name": "data", "uid": "v-data"}});
        world.put(Side::Virtual, Kind::PersistentVolumeClaim, claim);
        let claim = super::super::tests::host_copy(Kind::PersistentVolumeClaim, "team", "data");
        world.put(Side::Host, Kind::PersistentVolumeClaim, claim);
        let measured = json!({
            "node": {"nodeName": "n-1", "cpu": {"usageNanoCores": 5}},
            "pods": [
                {"podRef": {"namespace": "host", "name": "web-x-team-x-vc", "uid": "h-web"}, "cpu": {"usageNanoCores": 3}, "volume": [
                    {"name": "a", "pvcRef": {"namespace": "host", "name": "data-x-team-x-vc"}},
                    {"name": "b", "pvcRef": {"namespace": "host", "name": "foreign"}},
                    {"name": "c"},
                ]},
                {"podRef": {"namespace": "kube-system", "name": "dns", "uid": "other"}, "cpu": {"usageNanoCores": 9}},
            ],
        });
        assert_eq!(
            rewritten(&world, "n-1", &measured),
            json!({
                "node": {"nodeName": "n-1", "cpu": {"usageNanoCores": 5}},
                "pods": [
                    {"podRef": {"namespace": "team", "name": "idle", "uid": "v-idle"}},
                    {"podRef": {"namespace": "team", "name": "web", "uid": "v-web"}, "cpu": {"usageNanoCores": 3}, "volume": [
                        {"name": "a", "pvcRef": {"namespace": "team", "name": "data"}}, {"name": "c"},
                    ]},
                ],
            })
        );
        assert_eq!(rewritten(&world, "n-2", &measured)["pods"], json!([]));
    }
}
