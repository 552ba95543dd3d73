//! Pods, to the host and back: created once, then status and node come up, deletion goes both ways.

mod classes;
mod containers;
mod create;
mod delete;
mod dns;
mod downward;
mod environment;
mod hosts;
mod names;
mod refused;
mod resize;
mod scheduling;
mod status;
mod tokens;
mod update;
mod volumes;

use serde_json::Value;

use super::devices;
use super::namespaces;
use super::pair::{self, Pair};
use super::strangers;
use super::usable;
use crate::clusters::Change;
use crate::engine::plan::{Awaited, Note, Place, Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Mapping, Reference};
use crate::world::World;

pub(crate) use resize::SUBRESOURCE as RESIZE;
pub(crate) use tokens::owner as token_owner;
pub(super) use tokens::pod_of_token_secret;
pub use tokens::{REFRESH_AT, is_token_secret};

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    match pair::load(world, item) {
        Pair::Nothing => Plan {
            forget: true,
            ..Plan::nothing()
        },
        Pair::Taken(pod) if pair::is_deleting(&pod) => delete::finish(item, &pod),
        Pair::Taken(_) => pair::taken(world, item),
        Pair::Host(host) | Pair::Replaced(_, host) => pair::delete(Side::Host, item, &host),
        Pair::Virtual(pod) => to_host(world, item, &pod),
        Pair::Both(pod, host) => both(world, item, &pod, &host),
    }
}

fn to_host(world: &World, item: &Reference, pod: &Value) -> Plan {
    // A pod that the host has placed or run is not run a second time: its copy is gone, so it is gone.
    if pair::is_deleting(pod) || !json::text(pod, &["status", "startTime"]).is_empty() || host_placed(world, pod) {
        return delete::finish(item, pod);
    }
    if json::text(pod, &["spec", "nodeName"]).is_empty() && world.settings.pods.scheduling.is_virtual(&pod["spec"]) {
        // The virtual cluster's scheduler goes first.
        return Plan::nothing();
    }
    let refusal = refused::refusal(world, pod)
        .or_else(|| classes::refusal(world, pod))
        .or_else(|| devices::refusal(world, pod))
        .or_else(|| refused::violation(world, pod));
    if let Some(note) = refusal {
        return Plan::refuse(note);
    }
    let mapping = mapping(world, item, pod);
    let account = namespaces::awaited_account(world, &item.key.namespace).map(Plan::wait);
    let plan = match account.or_else(|| usable::obstacles(world, mapping.references.keys())) {
        Some(obstacles) => obstacles,
        None => match create::translate(world, item, &mapping.host.name, pod) {
            // It would not be the pod that was asked for.
            Ok(created) if created.notes.iter().any(Note::is_error) => Plan::refuse(created.notes),
            Ok(created) => {
                let tokens = tokens::with_copy(world, item, pod, &mapping.host);
                let create = Step::Create {
                    side: Side::Host,
                    kind: Kind::Pod,
                    object: created.pod,
                };
                let plan = Plan::nothing().and(tokens.before).and([create]).and(tokens.after);
                created.notes.into_iter().fold(plan, Plan::note)
            }
            Err(awaited) => Plan::wait(awaited),
        },
    };
    Plan {
        mapping: Some(mapping),
        ..plan
    }
}

/// Whether a copy of the pod was assigned to a node by the host's scheduler, and the pod with it: only a binding says that a
/// pod is scheduled before it starts (`assignPod` of pkg/registry/core/pod/storage/storage.go), and we are who binds.
fn host_placed(world: &World, pod: &Value) -> bool {
    let conditions = json::items(pod, &["status", "conditions"]);
    let scheduled = |condition: &Value| condition["type"] == "PodScheduled" && condition["status"] == "True";
    !json::text(pod, &["spec", "nodeName"]).is_empty()
        && conditions.iter().any(scheduled)
        && !world.settings.pods.scheduling.is_virtual(&pod["spec"])
}

fn both(world: &World, item: &Reference, pod: &Value, host: &Value) -> Plan {
    let mapping = Some(mapping(world, item, pod));
    if let Some(deletion) = delete::propagate(item, pod, host) {
        return Plan {
            mapping,
            ..deletion.and(status::up(world, item, pod, host))
        };
    }
    if let Some(assignment) = assign(world, item, pod, host) {
        return Plan { mapping, ..assignment };
    }
    if let Some(note) = refused::violation(world, pod) {
        let refused = Plan::refuse(note).and(status::up(world, item, pod, host));
        return Plan { mapping, ..refused };
    }
    let plan = update::plan(world, item, pod, host);
    // One that was there before has those of the host.
    let wanted = (!strangers::is_marked(host))
        .then(|| tokens::plan(world, item, pod, host))
        .flatten();
    let plan = match wanted {
        Some(tokens) => Plan {
            again_after: tokens.again_after.or(plan.again_after),
            ..plan
        }
        .and(tokens.step),
        None => plan,
    };
    // Last: a refusal of the node must not keep the status from coming up.
    let plan = plan
        .and(status::up(world, item, pod, host))
        .and(resize::step(pod, host));
    Plan { mapping, ..plan }
}

/// Brings the host scheduler's decision into the virtual cluster.
fn assign(world: &World, item: &Reference, pod: &Value, host: &Value) -> Option<Plan> {
    let (virtual_node, host_node) = (
        json::text(pod, &["spec", "nodeName"]),
        json::text(host, &["spec", "nodeName"]),
    );
    if virtual_node == host_node {
        return None;
    }
    if !virtual_node.is_empty() {
        // Nothing can move a pod: one of the two is an earlier pod of the same name.
        return (!host_node.is_empty()).then(|| Plan::step(pair::delete_step(Side::Virtual, item, pod, None)));
    }
    if world.virtual_side.get(Kind::Node, "", host_node).is_none() {
        let key = crate::object::ObjectKey::new("", host_node);
        return Some(Plan::wait(Awaited {
            place: Place::Virtual,
            kind: Kind::Node,
            key,
        }));
    }
    let uid = json::text(pod, &["metadata", "uid"]).to_owned();
    Some(Plan::step(Step::Bind {
        key: item.key.clone(),
        uid,
        node: host_node.to_owned(),
    }))
}

/// The names of a pod and of everything that it uses.
fn mapping(world: &World, item: &Reference, pod: &Value) -> Mapping {
    let used = names::references(pod)
        .into_iter()
        .chain(classes::references(world, pod));
    let references = used.map(|target| {
        let host = world.host_key(target.kind, &target.key.namespace, &target.key.name);
        (target, host)
    });
    Mapping {
        host: world.host_key(item.kind, &item.key.namespace, &item.key.name),
        references: references.collect(),
    }
}

/// The pods whose host labels have to follow new labels of their namespace.
pub(super) fn of_relabelled_namespace(world: &World, change: &Change) -> Vec<Reference> {
    let labels =
        |namespace: Option<&Value>| namespace.map(|namespace| json::strings(namespace, &["metadata", "labels"]));
    let differ = labels(change.old_value()).unwrap_or_default() != labels(change.new_value()).unwrap_or_default();
    let Some(namespace) = change.object().filter(|_| differ) else {
        return Vec::new();
    };
    let pods = world.virtual_side.of(Kind::Pod).list_in(&namespace.key().name);
    pods.iter()
        .map(|pod| Reference {
            kind: Kind::Pod,
            key: pod.key().clone(),
        })
        .collect()
}
