//! EndpointSlices, to the host: only those of Services without a selector, because the host makes the others itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::copied::{self, BARE, Copied, Fields};
use super::{endpoints, kubernetes, pair, pair::Pair};
use crate::clusters::Change;
use crate::engine::plan::Plan;
use crate::json::{self, Strings};
use crate::kinds::{Kind, Side};
use crate::names::Reference;
use crate::world::World;

/// Label with the name of the Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label with the controller that made the slice.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// What makes slices of Endpoints. The Endpoints are synced, and the host makes its own slices of them.
const MIRRORING: &str = "endpointslicemirroring-controller.k8s.io";

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    if *item == kubernetes::reference(Kind::EndpointSlice) {
        return kubernetes::plan_slice(world);
    }
    let copied = Copied {
        excluded: endpoints::EXCLUDED,
        initial: |_, object| copied::fields(object, &["addressType"]),
        wanted,
        actual: |host| copied::fields(host, &["endpoints", "ports"]),
        labels: host_labels,
        references: |_, slice| BTreeSet::from([service(slice)]),
        ..BARE
    };
    match pair::load(world, item) {
        Pair::Virtual(object) | Pair::Taken(object) if !is_by_hand(world, &object) => Plan::nothing(),
        Pair::Both(object, host) if !is_by_hand(world, &object) => pair::delete(Side::Host, item, &host),
        _ => copied::plan(world, item, &copied),
    }
}

/// Whether somebody keeps the slice for a Service that has no selector.
fn is_by_hand(world: &World, slice: &Value) -> bool {
    let label = |key| json::text(slice, &["metadata", "labels", key]);
    let namespace = json::text(slice, &["metadata", "namespace"]);
    label(MANAGED_BY) != MIRRORING
        && world
            .virtual_side
            .get(Kind::Service, namespace, label(SERVICE_NAME))
            .is_some_and(|service| !endpoints::has_selector(&service.value()))
}

/// The Service of a slice.
pub(super) fn service(slice: &Value) -> Reference {
    let namespace = json::text(slice, &["metadata", "namespace"]);
    Reference::new(
        Kind::Service,
        namespace,
        json::text(slice, &["metadata", "labels", SERVICE_NAME]),
    )
}

fn host_labels(world: &World, object: &Value) -> Strings {
    let Reference { kind, key } = service(object);
    let name = world.host_name(kind, &key.namespace, &key.name);
    Strings::from_iter([(SERVICE_NAME.to_owned(), name)])
}

fn wanted(world: &World, object: &Value, _: Option<&Value>) -> Fields {
    let mut fields = copied::fields(object, &["endpoints", "ports"]);
    if let Some(Value::Array(all)) = fields.get_mut("endpoints") {
        for endpoint in all {
            endpoints::translate_target(world, endpoint);
        }
    }
    fields.entry("endpoints").or_insert_with(|| json!([]));
    fields
}

/// The slices of a Service that changed: whether they are synced may have changed with it.
pub(super) fn of_service(world: &World, change: &Change) -> Vec<Reference> {
    let Some(service) = change.object() else {
        return Vec::new();
    };
    let selects = |service: Option<&Value>| service.map(endpoints::has_selector);
    if selects(change.old_value()) == selects(change.new_value()) {
        return Vec::new();
    }
    let key = service.key();
    let slices = of_name(world, &key.namespace, &key.name);
    slices
        .iter()
        .map(|slice| Reference {
            kind: Kind::EndpointSlice,
            key: pair::key_of(slice),
        })
        .collect()
}

/// The slices of the Service of this name.
pub(super) fn of_name(world: &World, namespace: &str, name: &str) -> Vec<Value> {
    let slices = world.virtual_side.of(Kind::EndpointSlice).list_in(namespace);
    let slices = slices.iter().map(|slice| slice.value());
    slices
        .filter(|slice| json::text(slice, &["metadata", "labels", SERVICE_NAME]) == name)
        .collect()
}
