//! Plans for pairs in every state.

mod bound;
mod classes;
mod content;
mod crafted;
mod devices;
mod imports;
pub(super) mod mapped;
mod network;
mod pods;
mod replicas;
mod scheduling;
mod services;
mod settled;
mod storage;
mod tenants;

use serde_json::{Value, json};

use super::*;
use crate::engine::plan::{Place, Step};
use crate::names::keys;
use crate::object::ObjectKey;
use crate::testing::{summary, world};

fn config_map(name: &str, uid: &str, data: Value) -> Value {
    json!({"metadata": {"namespace": "team", "name": name, "uid": uid, "resourceVersion": "5"}, "data": data})
}

fn pod(more: Value) -> Value {
    let mut pod = json!({
        "metadata": {"namespace": "team", "name": "web", "uid": "v1", "resourceVersion": "5"},
        "spec": {"containers": [{"name": "app", "image": "nginx", "envFrom": [{"configMapRef": {"name": "settings"}}]}]},
        "status": {"phase": "Pending"},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        for (field, value) in value.as_object().into_iter().flatten() {
            pod[key][field] = value.clone();
        }
    }
    pod
}

/// A world with DNS, a namespace and a ConfigMap that nobody uses yet.
fn small_world() -> World {
    let world = world();
    world.put(Side::Host, Kind::Service, json!({
        "metadata": {"namespace": "host", "name": "kube-dns-x-kube-system-x-vc", "uid": "d"}, "spec": {"clusterIP": "10.0.0.53"},
    }));
    world.put(
        Side::Virtual,
        Kind::ConfigMap,
        config_map("settings", "c1", json!({"a": "1"})),
    );
    world
}

/// That world with a pod on both sides.
fn running_world() -> World {
    let world = small_world();
    world.put(Side::Virtual, Kind::Pod, pod(json!({})));
    world.plan(Kind::Pod, "team", "web");
    world.create(&world.plan(Kind::ConfigMap, "team", "settings"), "hc1");
    let plan = world.plan(Kind::Pod, "team", "web");
    assert_eq!(summary(&plan), ["create host Pod host/web-x-team-x-vc"]);
    world.create(&plan, "h1");
    world
}

/// The copy of a Service, as the host has it.
fn copy_of_service(world: &World, name: &str, uid: &str) {
    let gvk = Kind::Service.gvk();
    let virtual_ = json!({"metadata": {"namespace": "team", "name": name, "uid": uid}});
    let host_name = world.names.host_name(name, "team");
    let mut metadata = crate::names::host_metadata(&pair::source(world, &gvk, &host_name, &virtual_, &[]));
    metadata["uid"] = json!(format!("h-{uid}"));
    world.put(Side::Host, Kind::Service, json!({"metadata": metadata}));
}

fn namespace(world: &World, name: &str) {
    let object = json!({"metadata": {"name": name, "uid": name, "resourceVersion": "1"}});
    world.put(Side::Virtual, Kind::Namespace, object);
}

fn host_pod(world: &World) -> Value {
    world
        .host
        .get(Kind::Pod, "host", "web-x-team-x-vc")
        .expect("the host pod")
        .value()
}

fn change_host_pod(world: &World, change: impl FnOnce(&mut Value)) {
    let mut host = host_pod(world);
    let version = world
        .host
        .get(Kind::Pod, "host", "web-x-team-x-vc")
        .map_or(0, |object| object.version());
    change(&mut host);
    host["metadata"]["resourceVersion"] = json!((version + 1).to_string());
    world.put(Side::Host, Kind::Pod, host);
}

fn plan_pod(world: &World) -> Vec<String> {
    summary(&world.plan(Kind::Pod, "team", "web"))
}

#[test]
fn host_events_are_shown_at_the_virtual_object() {
    let world = running_world();
    let event = json!({
        "metadata": {"namespace": "host", "name": "web-x-team-x-vc.1", "uid": "e", "resourceVersion": "3"},
        "involvedObject": {"kind": "Pod", "namespace": "host", "name": "web-x-team-x-vc"}, "reason": "Pulled", "message": "ok",
    });
    let woken = world.put(Side::Host, Kind::Event, event.clone());
    assert_eq!(woken, [Reference::new(Kind::Event, "team", "web-x-team-x-vc.1")]);
    let plan = world.plan(Kind::Event, "team", "web-x-team-x-vc.1");
    assert_eq!(summary(&plan), ["upsert Event team/web.1"]);
    assert!(plan.release);
    world
        .host
        .of(Kind::Event)
        .release(&crate::object::ObjectKey::new("host", "web-x-team-x-vc.1"));
    assert_eq!(world.plan(Kind::Event, "team", "web-x-team-x-vc.1").steps, []);
    assert!(
        world.put(Side::Host, Kind::Event, event).is_empty(),
        "an echo is no news"
    );
}

#[test]
fn another_controllers_objects_are_ignored() {
    let world = small_world();
    let mut object = config_map("theirs", "1", json!({}));
    object["metadata"]["annotations"] = json!({keys::FORCE_SYNC: "true"});
    object["metadata"]["labels"] = json!({keys::CONTROLLED_BY: "vcluster"});
    world.put(Side::Virtual, Kind::ConfigMap, object);
    assert_eq!(world.plan(Kind::ConfigMap, "team", "theirs").steps, []);
}

#[test]
fn every_kind_has_one_line_in_a_direction() {
    let mut lines: Vec<String> = TABLE
        .iter()
        .map(|resource| format!("{} {:?}", resource.kind, resource.direction))
        .collect();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), TABLE.len());
}
