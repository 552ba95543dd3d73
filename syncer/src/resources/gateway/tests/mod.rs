//! The Gateway API: what gets to the host, what comes from there, and who may name what.

mod definitions;
mod gateways;
mod imported;
mod mapped;
mod policies;
mod routes;

use machinery::selector::label::Selector;
use serde_json::{Value, json};

use crate::engine::plan::Plan;
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::Reference;
use crate::resources;
use crate::testing::{settings, summary, world_of};
use crate::world::World;

/// A world in which these kinds go to the host, whose classes are shown.
fn world(to_host: &[Kind]) -> World {
    let mut settings = settings();
    settings.to_host.extend(to_host);
    settings.from_host.insert(Kind::GatewayClass, Selector::default());
    let world = world_of(settings);
    for name in ["web", "team", "other"] {
        namespace(&world, name, json!({}));
    }
    world
}

fn namespace(world: &World, name: &str, labels: Value) -> Vec<Reference> {
    let version = world.virtual_side.of(Kind::Namespace).newest() + 1;
    let metadata = json!({"name": name, "uid": name, "resourceVersion": version.to_string(), "labels": labels});
    world.put(Side::Virtual, Kind::Namespace, json!({"metadata": metadata}))
}

/// Puts a virtual object with this spec, in its next version.
fn put(world: &World, kind: Kind, namespace: &str, name: &str, spec: Value) -> Vec<Reference> {
    let version = world.virtual_side.of(kind).newest() + 1;
    let mut metadata =
        json!({"name": name, "uid": format!("{namespace}/{name}"), "resourceVersion": version.to_string()});
    if kind.is_namespaced() {
        metadata["namespace"] = namespace.into();
    }
    world.put(Side::Virtual, kind, json!({"metadata": metadata, "spec": spec}))
}

/// Puts a virtual object and its copy on the host.
fn synced(world: &World, kind: Kind, namespace: &str, name: &str) {
    put(world, kind, namespace, name, json!({}));
    let host = world.host_name(kind, namespace, name);
    let metadata = json!({
        "namespace": "host", "name": host, "uid": format!("h-{host}"), "resourceVersion": "7",
        "labels": {"vcluster.loft.sh/managed-by": "vc"},
        "annotations": {
            "vcluster.loft.sh/object-name": name, "vcluster.loft.sh/object-namespace": namespace,
            "vcluster.loft.sh/object-uid": format!("{namespace}/{name}"),
            "vcluster.loft.sh/object-kind": kind.gvk(), "vcluster.loft.sh/object-host-name": host,
            "vcluster.loft.sh/object-host-namespace": "host",
        },
    });
    world.put(Side::Host, kind, json!({"metadata": metadata}));
}

/// A later version of an object of the host.
fn later(world: &World, kind: Kind, mut host: Value, more: Value) {
    json::merge(&mut host, &more);
    let version = world.host.of(kind).newest() + 1;
    host["metadata"]["resourceVersion"] = version.to_string().into();
    world.put(Side::Host, kind, host);
}

fn notes(plan: &Plan) -> Vec<String> {
    plan.notes
        .iter()
        .map(|note| format!("{}: {}", note.reason, note.text))
        .collect()
}

/// The host's copy of a virtual object, which is up to date then.
fn copy(world: &World, kind: Kind, namespace: &str, name: &str) -> Value {
    let plan = world.plan(kind, namespace, name);
    assert_eq!(notes(&plan), Vec::<String>::new());
    assert!(
        matches!(summary(&plan)[..], [ref step] if step.starts_with("create host")),
        "{plan:?}"
    );
    let created = world.create(&plan, "h1");
    let again = world.plan(kind, namespace, name);
    assert_eq!(
        (summary(&again), notes(&again)),
        (vec![], vec![]),
        "a new copy is up to date"
    );
    created
}

/// A Gateway with one listener, which lets these namespaces in.
fn gateway(world: &World, namespaces: Value) -> Vec<Reference> {
    let listener = json!({"name": "web", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": namespaces}});
    let spec = json!({"gatewayClassName": "fake", "listeners": [listener]});
    put(world, Kind::Gateway, "web", "edge", spec)
}

/// A grant in namespace `team`, to one kind of objects there.
fn grant(world: &World, kind: &str, namespace: &str, to: Value) -> Vec<Reference> {
    let from = json!({"group": "gateway.networking.k8s.io", "kind": kind, "namespace": namespace});
    put(
        world,
        Kind::ReferenceGrant,
        "team",
        "open",
        json!({"from": [from], "to": [to]}),
    )
}
