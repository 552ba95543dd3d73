//! The host copy of a new pod.

use serde_json::{Value, json};

use super::super::ownership;
use super::{classes, containers, dns, downward, environment, hosts, names, pair, scheduling, tokens, volumes};
use crate::engine::plan::{Awaited, Note, Place};
use crate::json;
use crate::kinds::Kind;
use crate::names::{Names, Reference, Source, host_metadata};
use crate::object::ObjectKey;
use crate::world::World;

/// A host pod and what its owner should know about it.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) pod: Value,
    pub(super) notes: Vec<Note>,
}

/// Fields whose value is the host's business.
const DROPPED: &[&str] = &[
    "overhead",
    "preemptionPolicy",
    "priority",
    "serviceAccount",
    "subdomain",
];
/// Fields that only a pod which exists may have; [`super::update`] adds them.
const ADDED_LATER: &str = "ephemeralContainers";
/// Names a group of pods that only the virtual cluster knows.
const GROUP: &str = "schedulingGroup";

/// Translates a virtual pod; `Err` says what has to be known first.
pub(super) fn translate(world: &World, item: &Reference, host_name: &str, pod: &Value) -> Result<Created, Awaited> {
    let api_address = api_address(world)?;
    let namespace = item.key.namespace.as_str();
    let mut notes = Vec::new();
    let mut spec = pod["spec"].clone();

    json::remove(&mut spec, DROPPED);
    json::remove(&mut spec, &[ADDED_LATER]);
    if spec.get(GROUP).is_some() {
        json::remove(&mut spec, &[GROUP]);
        notes.push(Note::warning(
            "the host schedules the pods of a scheduling group one by one: spec.schedulingGroup is not synced",
        ));
    }
    notes.extend(ownership::fit(world, Kind::Pod, &mut spec));
    json::put(&mut spec, "automountServiceAccountToken", Some(json!(false)));
    json::put(&mut spec, "enableServiceLinks", Some(json!(false)));
    classes::translate(world, namespace, &mut spec);
    if json::text(&spec, &["hostname"]).is_empty() {
        json::put(&mut spec, "hostname", Some(json!(hostname(&item.key.name))));
    }

    dns::translate(world, namespace, &mut spec)?;
    let variables = environment::variables(world, namespace, api_address.as_deref(), has_service_links(pod));
    volumes::name_own_claims(&item.key.name, &mut spec);
    volumes::redirect_host_paths(world, &mut spec);
    names::for_each_name(&mut spec, &mut |target, name| {
        names::translate(world, namespace, target, name)
    });
    tokens::translate(world, item, &mut spec);
    containers::translate(world, &variables, &mut spec);
    let labels = json::strings(pod, &["metadata", "labels"]);
    notes.extend(scheduling::translate(world, namespace, &labels, &mut spec));
    if let Some(address) = &api_address {
        add_host_alias(world, address, &mut spec);
    }
    let mut source = source(world, host_name, pod);
    if hosts::translate(world, pod, &mut spec) {
        source
            .host_annotations
            .insert(hosts::REWRITTEN.to_owned(), "true".to_owned());
    }
    let mut metadata = host_metadata(&source);
    pair::set_owner(world, &mut metadata, pod);
    Ok(Created {
        pod: json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}),
        notes,
    })
}

/// Whether the containers of a pod find the Services of its namespace in their environment.
pub(super) fn has_service_links(pod: &Value) -> bool {
    json::flag(pod, &["spec", "enableServiceLinks"]) != Some(false)
}

/// What the metadata of the host copy is made from, at creation and afterwards.
pub(super) fn source<'a>(world: &'a World, host_name: &'a str, pod: &'a Value) -> Source<'a> {
    let mut host_annotations = downward::carriers(pod);
    host_annotations.extend(autoscaler_hints(pod));
    Source {
        host_labels: namespace_labels(world, json::text(pod, &["metadata", "namespace"])),
        host_annotations,
        ..pair::source(world, POD_GVK, host_name, pod, &[])
    }
}

/// Hints for a cluster autoscaler, which cannot see the virtual controllers.
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const DAEMON_SET_POD: &str = "cluster-autoscaler.kubernetes.io/daemonset-pod";
const POD_GVK: &str = "/v1, Kind=Pod";

fn namespace_labels(world: &World, namespace: &str) -> json::Strings {
    let labels = world
        .virtual_side
        .get(Kind::Namespace, "", namespace)
        .map(|namespace| json::strings(&namespace.value(), &["metadata", "labels"]))
        .unwrap_or_default();
    Names::namespace_labels(&world.names, &labels)
}

fn autoscaler_hints(pod: &Value) -> json::Strings {
    let controlled = json::items(pod, &["metadata", "ownerReferences"])
        .iter()
        .any(|owner| json::flag(owner, &["controller"]) == Some(true));
    let mut hints = json::Strings::new();
    hints.insert(SAFE_TO_EVICT.to_owned(), controlled.to_string());
    if downward::owner_set_kind(pod) == Some("DaemonSet") {
        hints.insert(DAEMON_SET_POD.to_owned(), "true".to_owned());
    }
    hints
}

/// The address of the virtual API server as pods reach it; `None` when the control plane has no Service.
fn api_address(world: &World) -> Result<Option<String>, Awaited> {
    if world.settings.service_name.is_empty() {
        return Ok(None);
    }
    match (world.control_plane_address(), world.control_plane_service()) {
        (Some(address), _) => Ok(Some(address)),
        // A headless Service has no address that could be announced.
        (None, Some(service)) if json::text(&service.value(), &["spec", "clusterIP"]) == "None" => Ok(None),
        _ => Err(Awaited {
            place: Place::ControlPlane,
            kind: Kind::Service,
            key: ObjectKey::new(world.names.host_namespace(), &world.settings.service_name),
        }),
    }
}

/// The name of a pod as a host name: a DNS label.
fn hostname(name: &str) -> String {
    let cut: String = name
        .chars()
        .take(63)
        .map(|character| if character == '.' { '-' } else { character })
        .collect();
    cut.strip_suffix('-').unwrap_or(&cut).to_owned()
}

/// The names of the API server resolve even where DNS does not.
fn add_host_alias(world: &World, address: &str, spec: &mut Value) {
    let alias = json!({
        "ip": address,
        "hostnames": [
            format!("kubernetes.default.svc.{}", world.settings.cluster_domain),
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
        ],
    });
    match spec.get_mut("hostAliases") {
        Some(Value::Array(aliases)) => aliases.push(alias),
        _ => json::put(spec, "hostAliases", Some(json!([alias]))),
    }
}

#[cfg(test)]
mod fields;
#[cfg(test)]
mod tests;
