//! What may still change in a pod: metadata, images, tolerations, the deadline, gates and ephemeral containers.

use serde_json::{Map, Value, json};

use super::super::{ownership, pair, usable};
use super::{containers, create, environment, names, scheduling, status};
use crate::clusters::Patch;
use crate::engine::plan::{Note, Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Reference, reconcile_metadata};
use crate::world::World;

pub(super) fn plan(world: &World, item: &Reference, pod: &Value, host: &Value) -> Plan {
    let host_name = json::text(host, &["metadata", "name"]);
    let change = reconcile_metadata(&create::source(world, host_name, pod), host);
    let up = pair::patch_step(Side::Virtual, item, pod, change.virtual_, None);
    let (ephemeral, plan) = match added_containers(pod, host) {
        added if added.is_empty() => (None, Plan::nothing()),
        added => match usable::obstacles(world, &names::references(pod)) {
            Some(obstacles) => (None, obstacles),
            None => ephemeral_containers(world, pod, host, added),
        },
    };
    plan.and(down(host, change.host, spec_changes(world, pod, host)))
        .and(status::conditions_down(world, pod, host))
        .and(ephemeral)
        .and(up)
}

fn down(host: &Value, metadata: Option<Value>, spec: Map<String, Value>) -> Option<Step> {
    let item = Reference::new(Kind::Pod, "", "");
    let rest = (!spec.is_empty()).then(|| json!({"spec": spec}));
    let step = pair::patch_step(Side::Host, &item, host, metadata, rest)?;
    Some(match step {
        // Containers are merged by name, so that what the host added to them stays.
        Step::Patch {
            side,
            kind,
            key,
            subresource,
            body,
            ..
        } => Step::Patch {
            side,
            kind,
            key,
            subresource,
            patch: Patch::Strategic,
            body,
        },
        other => other,
    })
}

fn spec_changes(world: &World, pod: &Value, host: &Value) -> Map<String, Value> {
    let mut changes = Map::new();
    for list in ["containers", "initContainers"] {
        let images: Vec<Value> = json::items(pod, &["spec", list])
            .iter()
            .filter_map(|container| {
                let name = container.get("name")?;
                let image = containers::image(world, json::text(container, &["image"]));
                let host = json::items(host, &["spec", list])
                    .iter()
                    .find(|other| other.get("name") == Some(name))?;
                (json::text(host, &["image"]) != image).then(|| json!({"name": name, "image": image}))
            })
            .collect();
        if !images.is_empty() {
            changes.insert(list.to_owned(), Value::Array(images));
        }
    }
    let deadline = json::at(pod, &["spec", "activeDeadlineSeconds"]);
    if deadline.is_some() && deadline != json::at(host, &["spec", "activeDeadlineSeconds"]) {
        changes.insert(
            "activeDeadlineSeconds".to_owned(),
            deadline.cloned().unwrap_or_default(),
        );
    }
    let tolerations = |pod| json::items(pod, &["spec", "tolerations"]);
    let wanted = scheduling::tolerations(world, tolerations(pod), tolerations(host));
    if wanted.len() != tolerations(host).len() {
        changes.insert("tolerations".to_owned(), Value::Array(wanted));
    }
    let opened: Vec<Value> = json::items(host, &["spec", "schedulingGates"])
        .iter()
        .filter(|gate| !json::items(pod, &["spec", "schedulingGates"]).contains(gate))
        .map(|gate| json!({"name": gate["name"], "$patch": "delete"}))
        .collect();
    if !opened.is_empty() {
        changes.insert("schedulingGates".to_owned(), Value::Array(opened));
    }
    changes
}

/// Ephemeral containers that the host does not have yet.
fn added_containers<'a>(pod: &'a Value, host: &Value) -> Vec<&'a Value> {
    let known = json::items(host, &["spec", "ephemeralContainers"]);
    json::items(pod, &["spec", "ephemeralContainers"])
        .iter()
        .filter(|container| !known.iter().any(|other| other["name"] == container["name"]))
        .collect()
}

/// The write that adds containers, and what their owner should know; no write if the host knows too little of them.
fn ephemeral_containers(world: &World, pod: &Value, host: &Value, added: Vec<&Value>) -> (Option<Step>, Plan) {
    let namespace = json::text(pod, &["metadata", "namespace"]);
    let address = world.control_plane_address();
    let service_links = create::has_service_links(pod);
    let variables = environment::variables(world, namespace, address.as_deref(), service_links);
    let translated: Vec<Value> = added
        .into_iter()
        .map(|container| containers::translate_added(world, namespace, &variables, container))
        .collect();
    let mut spec = json!({"ephemeralContainers": translated});
    let notes = ownership::fit(world, Kind::Pod, &mut spec);
    if notes.iter().any(Note::is_error) {
        return (None, Plan::refuse(notes));
    }
    let step = Step::Patch {
        side: Side::Host,
        kind: Kind::Pod,
        key: pair::key_of(host),
        subresource: "ephemeralcontainers",
        patch: Patch::Strategic,
        body: json!({"metadata": {"uid": host["metadata"]["uid"]}, "spec": spec}),
    };
    (Some(step), notes.into_iter().fold(Plan::nothing(), Plan::note))
}
