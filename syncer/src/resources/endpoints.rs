//! Endpoints, to the host: only those of Services without a selector, because the host makes the others itself.

use serde_json::{Map, Value, json};

use super::pair::{self, Pair};
use super::{kubernetes, replicas, usable};
use crate::engine::plan::{Awaited, Place, Plan};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Reference, keys, reconcile_metadata};
use crate::world::World;

pub(super) const EXCLUDED: &[&str] = &["control-plane.alpha.kubernetes.io/leader"];
/// Label of Endpoints that a controller made from a selector.
pub(super) const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    if *item == kubernetes::reference(Kind::Endpoints) {
        return kubernetes::plan_endpoints(world);
    }
    if let Some(plan) = replicas::plan_endpoints(world, item) {
        return plan;
    }
    let service = world
        .virtual_side
        .get(Kind::Service, &item.key.namespace, &item.key.name)
        .map(|object| object.value());
    let by_hand = service.as_ref().is_some_and(|service| !has_selector(service));
    // The host goes by the name alone: it would send the clients of whoever has the Service to these addresses.
    let service = Reference::new(Kind::Service, &item.key.namespace, &item.key.name);
    let obstacles = if by_hand {
        usable::obstacles(world, [&service])
    } else {
        None
    };
    match pair::load(world, item) {
        Pair::Virtual(_) | Pair::Both(..) if obstacles.is_some() => obstacles.unwrap_or_default(),
        Pair::Nothing => Plan {
            forget: true,
            ..Plan::nothing()
        },
        Pair::Host(host) | Pair::Replaced(_, host) => pair::delete(Side::Host, item, &host),
        Pair::Both(_, host) if !by_hand => pair::delete(Side::Host, item, &host),
        Pair::Virtual(object) if by_hand && !pair::is_deleting(&object) => create(world, item, &object),
        Pair::Virtual(_) => Plan::nothing(),
        Pair::Both(object, host) => update(world, item, &object, &host),
        Pair::Taken(_) if !by_hand => Plan::nothing(),
        Pair::Taken(_) => take_over(world, item),
    }
}

/// Whether the host finds the endpoints of a Service by itself.
pub(super) fn has_selector(service: &Value) -> bool {
    json::at(service, &["spec", "selector"])
        .and_then(Value::as_object)
        .is_some_and(|selector| !selector.is_empty())
}

/// The host's controller made Endpoints while our Service still had a selector; nobody else cleans them up.
fn take_over(world: &World, item: &Reference) -> Plan {
    let key = world.host_key(item.kind, &item.key.namespace, &item.key.name);
    let Some(host) = world
        .host
        .get(item.kind, &key.namespace, &key.name)
        .map(|object| object.value())
    else {
        return Plan::nothing();
    };
    let from_our_service = json::text(&host, &["metadata", "labels", keys::MARKER]) == world.names.vcluster()
        && json::text(&host, &["metadata", "annotations", keys::OBJECT_NAME]).is_empty()
        && !json::text(&host, &["metadata", "labels", MANAGED_BY]).is_empty();
    if from_our_service {
        let awaited = Awaited {
            place: Place::Host,
            kind: item.kind,
            key,
        };
        // Nothing says whose copy it is: whoever hears that it is gone has to be told that somebody waits for that.
        Plan {
            waits: vec![awaited],
            ..pair::delete(Side::Host, item, &host)
        }
    } else {
        pair::taken(world, item)
    }
}

fn create(world: &World, item: &Reference, object: &Value) -> Plan {
    let gvk = item.kind.gvk();
    let mapping = pair::mapping(world, item);
    let source = pair::source(world, &gvk, &mapping.host.name, object, EXCLUDED);
    let content = Map::from_iter([("subsets".to_owned(), Value::Array(subsets(world, object)))]);
    pair::create_copy(world, item, &mapping, &source, content)
}

fn update(world: &World, item: &Reference, object: &Value, host: &Value) -> Plan {
    if pair::is_deleting(object) {
        return pair::delete(Side::Host, item, host);
    }
    let gvk = item.kind.gvk();
    let name = &pair::key_of(host).name;
    let change = reconcile_metadata(&pair::source(world, &gvk, name, object, EXCLUDED), host);
    let wanted = subsets(world, object);
    let differs = json::items(host, &["subsets"]) != wanted;
    let content = differs.then(|| json!({"subsets": wanted}));
    let down = pair::patch_step(Side::Host, item, host, change.host, content);
    let up = pair::patch_step(Side::Virtual, item, object, change.virtual_, None);
    Plan {
        mapping: Some(pair::mapping(world, item)),
        ..Plan::nothing()
    }
    .and(down)
    .and(up)
}

fn subsets(world: &World, object: &Value) -> Vec<Value> {
    let mut subsets = json::items(object, &["subsets"]).to_vec();
    for subset in &mut subsets {
        for list in ["addresses", "notReadyAddresses"] {
            json::items_mut(subset, list).for_each(|address| translate_target(world, address));
        }
    }
    subsets
}

/// Names the host's pod in the place of the virtual one.
pub(super) fn translate_target(world: &World, address: &mut Value) {
    if let Some(target) = address.get_mut("targetRef")
        && target["kind"] == "Pod"
    {
        let (namespace, name) = (json::text(target, &["namespace"]), json::text(target, &["name"]));
        let host = world.host_key(Kind::Pod, namespace, name);
        json::remove(target, &["uid", "resourceVersion"]);
        json::put(target, "name", Some(json!(host.name)));
        json::put(target, "namespace", Some(json!(host.namespace)));
    }
}
