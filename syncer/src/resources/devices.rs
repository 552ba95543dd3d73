//! Dynamic resource allocation: claims and their templates go to the host, where devices are allocated; its device classes
//! are shown.

use serde_json::{Value, json};

use super::copied::{self, BARE, Copied};
use super::mirrored::{self, Mirrored, PLAIN};
use crate::engine::plan::{Note, Plan};
use crate::json;
use crate::kinds::Kind;
use crate::names::{Claim, Reference, claim};
use crate::world::World;

/// What a pod's entry names, and the kind of it.
pub(super) const NAMED_BY_PODS: [(&str, Kind); 2] = [
    ("resourceClaimName", Kind::ResourceClaim),
    ("resourceClaimTemplateName", Kind::ResourceClaimTemplate),
];

/// The spec of a claim never changes, so only a new copy gets it.
const IMMUTABLE: Copied = Copied {
    initial: |_, object| copied::fields(object, &["spec"]),
    ..BARE
};

pub(super) fn plan_claim(world: &World, item: &Reference) -> Plan {
    let copied = Copied {
        status: Some(status),
        ..IMMUTABLE
    };
    copied::plan(world, item, &copied)
}

pub(super) fn plan_template(world: &World, item: &Reference) -> Plan {
    copied::plan(world, item, &IMMUTABLE)
}

pub(super) fn plan_class(world: &World, item: &Reference) -> Plan {
    let mirrored = Mirrored {
        fields: &["spec"],
        ..PLAIN
    };
    mirrored::plan(world, item, &mirrored)
}

/// The host's status, in which consumers are the virtual pods.
fn status(world: &World, host: &Value) -> Option<Value> {
    let mut status = host.get("status")?.clone();
    let namespace = json::text(host, &["metadata", "namespace"]);
    if let Some(Value::Array(consumers)) = status.get_mut("reservedFor") {
        consumers.retain_mut(|consumer| {
            let pod = virtual_consumer(world, namespace, consumer);
            if let Some((name, uid)) = &pod {
                consumer["name"] = json!(name);
                consumer["uid"] = json!(uid);
            }
            pod.is_some()
        });
        if consumers.is_empty() {
            json::remove(&mut status, &["reservedFor"]);
        }
    }
    Some(status)
}

fn virtual_consumer(world: &World, host_namespace: &str, consumer: &Value) -> Option<(String, String)> {
    match consumer["resource"] == "pods" {
        true => virtual_object(world, Kind::Pod, host_namespace, json::text(consumer, &["name"])),
        false => None,
    }
}

/// Name and uid of the virtual object that has this name on the host.
fn virtual_object(world: &World, kind: Kind, host_namespace: &str, host_name: &str) -> Option<(String, String)> {
    let host = world.host.get(kind, host_namespace, host_name)?.value();
    match claim(&world.names, &kind.gvk(), &host) {
        Claim::Ours { name, uid, .. } => Some((name, uid)),
        Claim::Foreign => None,
    }
}

/// Gives the claims in a pod's status, which are in the namespace of its copy, their virtual names. Those that the host made
/// from templates have none.
pub(super) fn translate_claim_statuses(world: &World, host_namespace: &str, status: &mut Value) {
    let Some(Value::Array(claims)) = status.get_mut("resourceClaimStatuses") else {
        return;
    };
    claims.retain_mut(|claim| {
        let name = json::text(claim, &["resourceClaimName"]);
        let found = virtual_object(world, Kind::ResourceClaim, host_namespace, name);
        if let Some((name, _)) = &found {
            claim["resourceClaimName"] = json!(name);
        }
        found.is_some()
    });
    if claims.is_empty() {
        json::remove(status, &["resourceClaimStatuses"]);
    }
}

/// Why a pod cannot get what it claims.
pub(super) fn refusal(world: &World, pod: &Value) -> Option<Note> {
    let entries = json::items(pod, &["spec", "resourceClaims"]);
    let (_, kind) = NAMED_BY_PODS.iter().find(|(field, kind)| {
        let named = entries.iter().any(|entry| !json::text(entry, &[field]).is_empty());
        named && !world.settings.to_host.contains(kind)
    })?;
    let section = match kind {
        Kind::ResourceClaim => "resourceClaims",
        _ => "resourceClaimTemplates",
    };
    Some(Note::warning(format!(
        "did not sync pod {:?} to host because it uses a {kind}, and these are not synced: set sync.toHost.{section}.enabled \
         to true",
        json::text(pod, &["metadata", "name"])
    )))
}
