//! Namespaces. Their labels in the virtual cluster tell its API server the pod security standard of the configuration. A
//! tenant may remove them, which only moves the refusal of a pod from its creation to its syncing.
//!
//! Where each of them has a namespace of the host to itself, that one is made with it and deleted with it. One that was there
//! before is marked as ours and left empty in the end.

use serde_json::{Map, Value, json};

use super::kubernetes;
use super::pair::{self, Pair};
use crate::engine::plan::{Awaited, Note, Place, Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Reference, Source, host_metadata, keys, reconcile_metadata};
use crate::object::ObjectKey;
use crate::settings::NamespaceSettings;
use crate::world::World;

/// Prefix of the labels.
const PREFIX: &str = "pod-security.kubernetes.io/";

/// Domains whose labels and annotations the host obeys: a tenant must not say there how safe pods have to be.
const OF_KUBERNETES: [&str; 2] = ["kubernetes.io", "k8s.io"];

/// Kinds that are in every namespace without anybody's doing: nobody has to hear that they are not synced.
const SILENT: [Kind; 5] = [
    Kind::ConfigMap,
    Kind::Secret,
    Kind::ServiceAccount,
    Kind::Endpoints,
    Kind::EndpointSlice,
];

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let (Some(standard), Some(namespace)) = (
        world.settings.pod_security,
        world.virtual_side.get(Kind::Namespace, "", &item.key.name),
    ) else {
        return Plan::nothing();
    };
    let namespace = namespace.value();
    let (level, version) = (standard.level.to_string(), standard.version.to_string());
    let wanted = [
        ("enforce", &level),
        ("enforce-version", &version),
        ("warn", &level),
        ("warn-version", &version),
    ];
    let labels: Map<_, _> = wanted
        .into_iter()
        .map(|(mode, value)| (format!("{PREFIX}{mode}"), json!(value)))
        .filter(|(label, value)| json::at(&namespace, &["metadata", "labels", label]) != Some(value))
        .collect();
    let metadata = (!labels.is_empty() && !pair::is_deleting(&namespace)).then(|| json!({"labels": labels}));
    Plan::nothing().and(pair::patch_step(Side::Virtual, item, &namespace, metadata, None))
}

/// Decides about the namespace of the host that a virtual one has to itself.
pub(super) fn plan_copy(world: &World, item: &Reference) -> Plan {
    let Some(settings) = &world.settings.namespaces else {
        return Plan::nothing();
    };
    let forget = Plan {
        forget: true,
        ..Plan::nothing()
    };
    match pair::load(world, item) {
        Pair::Nothing => forget,
        _ if world.host_key(item.kind, "", &item.key.name).name.is_empty() => forget,
        Pair::Host(host) => leave(item, settings, &host),
        Pair::Both(_, host) | Pair::Replaced(_, host) if world.is_ending() => leave(item, settings, &host),
        Pair::Virtual(object) | Pair::Taken(object) if pair::is_deleting(&object) || world.is_ending() => forget,
        Pair::Virtual(object) => create(world, item, settings, &object),
        Pair::Taken(object) => import(world, item, settings, &object).unwrap_or_else(|| pair::taken(world, item)),
        Pair::Both(object, host) | Pair::Replaced(object, host) => update(world, item, settings, &object, &host),
    }
}

/// What there is to say on the host about a namespace: of one that was there before, nothing that a tenant says.
fn seen(object: &Value, imported: bool) -> Value {
    let mut seen = object.clone();
    for field in ["labels", "annotations"] {
        if let Some(all) = seen
            .get_mut("metadata")
            .and_then(|metadata| metadata.get_mut(field))
            .and_then(Value::as_object_mut)
        {
            all.retain(|key, _| !imported && !is_of_kubernetes(key));
        }
    }
    seen
}

fn is_of_kubernetes(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else {
        return false;
    };
    OF_KUBERNETES.iter().any(|own| {
        let rest = domain.strip_suffix(own);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

fn is_imported(host: &Value) -> bool {
    json::text(host, &["metadata", "annotations", keys::IMPORTED]) == "true"
}

fn source<'a>(
    world: &'a World,
    settings: &NamespaceSettings,
    gvk: &'a str,
    host_name: &'a str,
    seen: &'a Value,
    imported: bool,
) -> Source<'a> {
    let mark = imported.then(|| (keys::IMPORTED.to_owned(), "true".to_owned()));
    Source {
        host_labels: settings.extra_labels.clone(),
        host_annotations: mark.into_iter().collect(),
        ..pair::source(world, gvk, host_name, seen, &[])
    }
}

fn create(world: &World, item: &Reference, settings: &NamespaceSettings, object: &Value) -> Plan {
    let (mapping, gvk, seen) = (pair::mapping(world, item), item.kind.gvk(), seen(object, false));
    let source = source(world, settings, &gvk, &mapping.host.name, &seen, false);
    pair::create_copy(world, item, &mapping, &source, Map::new())
}

/// Takes a namespace that is there, if it may be and nobody else has it.
fn import(world: &World, item: &Reference, settings: &NamespaceSettings, object: &Value) -> Option<Plan> {
    let mapping = pair::mapping(world, item);
    let host = world.host.get(item.kind, "", &mapping.host.name)?.value();
    let marked = !json::text(&host, &["metadata", "labels", keys::MARKER]).is_empty() || is_imported(&host);
    if marked || pair::is_deleting(&host) || !world.names.may_import(&item.key.name) {
        return None;
    }
    let (gvk, seen) = (item.kind.gvk(), seen(object, true));
    let metadata = host_metadata(&source(world, settings, &gvk, &mapping.host.name, &seen, true));
    let marks = json!({
        "labels": metadata["labels"],
        "annotations": metadata["annotations"],
        // Of two who want it, one gets it.
        "resourceVersion": host["metadata"]["resourceVersion"],
    });
    let step = pair::patch_step(Side::Host, item, &host, Some(marks), None);
    Some(Plan {
        mapping: Some(mapping),
        ..Plan::nothing().and(step)
    })
}

fn update(world: &World, item: &Reference, settings: &NamespaceSettings, object: &Value, host: &Value) -> Plan {
    if pair::is_deleting(object) || pair::is_deleting(host) {
        return Plan::nothing();
    }
    let (mapping, gvk, imported) = (pair::mapping(world, item), item.kind.gvk(), is_imported(host));
    let seen = seen(object, imported);
    // What the host says about its namespaces is nothing for a tenant.
    let change = reconcile_metadata(
        &source(world, settings, &gvk, &mapping.host.name, &seen, imported),
        host,
    );
    Plan {
        mapping: Some(mapping),
        ..Plan::nothing()
    }
    .and(pair::patch_step(Side::Host, item, host, change.host, None))
}

/// Deletes a namespace of the host, or takes the marks off one that was there before.
fn leave(item: &Reference, settings: &NamespaceSettings, host: &Value) -> Plan {
    if !is_imported(host) {
        return pair::delete(Side::Host, item, host);
    }
    let unmarked = |field: &str| {
        let all = json::strings(host, &["metadata", field]);
        let ours = all.into_keys().filter(|key| {
            key.starts_with(keys::PREFIX) || (field == "labels" && settings.extra_labels.contains_key(key))
        });
        ours.map(|key| (key, Value::Null)).collect::<Map<_, _>>()
    };
    let metadata = json!({"labels": unmarked("labels"), "annotations": unmarked("annotations")});
    Plan::nothing().and(pair::patch_step(Side::Host, item, host, Some(metadata), None))
}

/// Whether an object lies in a virtual namespace that has none on the host.
pub(super) fn has_no_place(world: &World, item: &Reference) -> bool {
    let Reference { kind, key } = item;
    let by_control_plane = *item == kubernetes::reference(*kind);
    // What replicates a Service on the host is no virtual object.
    kind.is_namespaced()
        && !key.namespace.is_empty()
        && world.settings.is_copied(*kind)
        && !by_control_plane
        && world.names.place(*kind, &key.namespace, &key.name).namespace.is_empty()
}

/// What is to be done about such an object: its owner hears that nothing is.
pub(super) fn without_place(world: &World, item: &Reference) -> Plan {
    let there = world.virtual_side.get(item.kind, &item.key.namespace, &item.key.name);
    let forget = Plan {
        forget: true,
        ..Plan::nothing()
    };
    if there.is_none() || SILENT.contains(&item.kind) {
        return forget;
    }
    forget.note(Note::warning(format!(
        "{} is not synced: namespace {:?} has none on the host by sync.toHost.namespaces",
        item.kind, item.key.namespace
    )))
}

/// A plan that makes nothing in a namespace of the host that is not ours.
pub(super) fn in_our_own(world: &World, item: &Reference, mut plan: Plan) -> Plan {
    if world.names.single_namespace().is_some() || !item.kind.is_namespaced() {
        return plan;
    }
    let Some(target) = world.names.target(&item.key.namespace) else {
        return plan;
    };
    if world.virtual_namespace(&target).as_ref() == Some(&item.key.namespace) {
        return plan;
    }
    let count = plan.steps.len();
    plan.steps.retain(|step| {
        let object = match step {
            Step::Create {
                side: Side::Host,
                object,
                ..
            } => object,
            Step::Tokens(tokens) => &tokens.secret,
            _ => return true,
        };
        json::text(object, &["metadata", "namespace"]) != target
    });
    if plan.steps.len() == count {
        return plan;
    }
    if world.host.get(Kind::Namespace, "", &target).is_some() {
        plan.notes.push(Note::error(format!(
            "namespace {:?} of the host is not that of namespace {:?}; nothing is made there",
            target, item.key.namespace
        )));
    }
    plan.waits.push(Awaited {
        place: Place::Host,
        kind: Kind::Namespace,
        key: ObjectKey::new("", &target),
    });
    plan
}

/// The deletion of a copy that nobody else takes away when the virtual cluster is: it lies in a namespace that stays, or that
/// is not owned.
pub(super) fn at_the_end(world: &World, item: &Reference) -> Option<Plan> {
    let copied = item.kind.is_namespaced() && world.settings.is_copied(item.kind);
    if world.names.single_namespace().is_some() || !copied || !world.is_ending() {
        return None;
    }
    Some(match pair::load(world, item) {
        Pair::Host(host) | Pair::Both(_, host) | Pair::Replaced(_, host) => pair::delete(Side::Host, item, &host),
        Pair::Virtual(_) | Pair::Taken(_) | Pair::Nothing => Plan::nothing(),
    })
}

#[cfg(test)]
mod tests;
