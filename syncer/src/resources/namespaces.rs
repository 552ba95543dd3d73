//! Namespaces. Their labels in the virtual cluster tell its API server the pod security standard of the configuration. A
//! tenant may remove them, which only moves the refusal of a pod from its creation to its syncing.
//!
//! One with a mapping has a namespace of the host to itself, which is made with it and deleted with it. One of the host that was
//! there before is shown in the virtual cluster, marked as ours, and left in the end (`pkg/controllers/resources/namespaces/syncer.go`).

mod account;

use serde_json::{Map, Value, json};

use super::pair::{self, Pair};
use super::strangers;
use crate::clusters::Change;
use crate::engine::plan::{Awaited, Note, Place, Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Reference, Source, host_metadata, keys, reconcile_metadata};
use crate::object::ObjectKey;
use crate::settings::NamespaceSettings;
use crate::world::World;

pub(super) use account::awaited as awaited_account;
pub use account::{host_rules, is_needed as needs_account};

/// Prefix of the labels.
const PREFIX: &str = "pod-security.kubernetes.io/";

/// Domains whose labels and annotations a cluster obeys: neither may say in the other one how safe pods have to be, nor which
/// project or network they belong to.
const OBEYED: [&str; 5] = [
    "kubernetes.io",
    "k8s.io",
    "openshift.io",
    "cattle.io",
    "projectcalico.org",
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
        _ if world.host_key(item.kind, "", &item.key.name).name.is_empty() => forget,
        Pair::Nothing => import(world, item, settings, None).unwrap_or(forget),
        Pair::Host(host) | Pair::Both(_, host) | Pair::Replaced(_, host) if world.is_ending() => {
            leave(world, item, settings, &host)
        }
        Pair::Host(host) if is_imported(&host) => show(world, item, settings, &host),
        Pair::Host(host) => pair::delete(Side::Host, item, &host),
        Pair::Virtual(object) | Pair::Taken(object) if pair::is_deleting(&object) || world.is_ending() => forget,
        // It goes with the one that it was made for.
        Pair::Virtual(object) if is_shown(world, item, &object) => pair::delete(Side::Virtual, item, &object),
        Pair::Virtual(object) => create(world, item, settings, &object),
        Pair::Taken(object) => import(world, item, settings, Some(&object)).unwrap_or_else(|| pair::taken(world, item)),
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
            all.retain(|key, _| !imported && !is_obeyed(key));
        }
    }
    seen
}

fn is_obeyed(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else {
        return false;
    };
    OBEYED.iter().any(|own| {
        let rest = domain.strip_suffix(own);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// Whether a namespace of the host was there before its virtual one.
pub(crate) fn is_imported(host: &Value) -> bool {
    json::text(host, &["metadata", "annotations", keys::IMPORTED]) == "true"
}

/// Whether a virtual namespace was made for that of the host.
fn is_shown(world: &World, item: &Reference, object: &Value) -> bool {
    strangers::made_for(object, &world.names.place(item.kind, "", &item.key.name)).is_some()
}

/// The labels that every namespace of a virtual cluster has on the host.
fn labels(world: &World, settings: &NamespaceSettings) -> json::Strings {
    let mut labels = settings.extra_labels.clone();
    labels.insert(keys::VCLUSTER_NAME.to_owned(), world.names.vcluster().to_owned());
    labels.insert(
        keys::VCLUSTER_NAMESPACE.to_owned(),
        world.names.host_namespace().to_owned(),
    );
    labels
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
        host_labels: labels(world, settings),
        host_annotations: mark.into_iter().collect(),
        ..pair::source(world, gvk, host_name, seen, &[])
    }
}

fn create(world: &World, item: &Reference, settings: &NamespaceSettings, object: &Value) -> Plan {
    let (mapping, gvk, seen) = (pair::mapping(world, item), item.kind.gvk(), seen(object, false));
    let source = source(world, settings, &gvk, &mapping.host.name, &seen, false);
    pair::create_copy(world, item, &mapping, &source, Map::new())
}

/// Takes a namespace that is there, if nobody else has it, for a virtual one or for one that will be made.
fn import(world: &World, item: &Reference, settings: &NamespaceSettings, object: Option<&Value>) -> Option<Plan> {
    let mapping = pair::mapping(world, item);
    let host = world.host.get(item.kind, "", &mapping.host.name)?.value();
    let marked = !json::text(&host, &["metadata", "labels", keys::MARKER]).is_empty() || is_imported(&host);
    let unknown = object.is_none() && world.virtual_side.get(item.kind, "", &item.key.name).is_some();
    if marked || unknown || pair::is_deleting(&host) || world.is_ending() {
        return None;
    }
    let made = json!({"metadata": {"name": item.key.name}});
    let (gvk, seen) = (item.kind.gvk(), seen(object.unwrap_or(&made), true));
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

/// Makes the virtual namespace of one that was there before. Once it was there, its owner may delete it; that of the host stays.
fn show(world: &World, item: &Reference, settings: &NamespaceSettings, host: &Value) -> Plan {
    let was_there = !json::text(host, &["metadata", "annotations", keys::OBJECT_UID]).is_empty();
    if was_there || pair::is_deleting(host) {
        return Plan::nothing();
    }
    let visible = |field: &str| {
        let mut all = json::strings(host, &["metadata", field]);
        all.retain(|key, _| !key.starts_with(keys::PREFIX) && !is_obeyed(key));
        all
    };
    let (mut all_labels, mut annotations) = (visible("labels"), visible("annotations"));
    all_labels.extend(labels(world, settings));
    annotations.insert(keys::MADE_FOR.to_owned(), strangers::stated(host));
    Plan {
        mapping: Some(pair::mapping(world, item)),
        ..Plan::step(Step::Create {
            side: Side::Virtual,
            kind: item.kind,
            object: json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": item.key.name, "labels": all_labels, "annotations": annotations},
            }),
        })
    }
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
    let account = account::step(world, &mapping.host.name);
    Plan {
        mapping: Some(mapping),
        ..Plan::nothing()
    }
    .and(pair::patch_step(Side::Host, item, host, change.host, None))
    .and(account)
}

/// Deletes a namespace of the host, or takes the marks off one that was there before.
fn leave(world: &World, item: &Reference, settings: &NamespaceSettings, host: &Value) -> Plan {
    if !is_imported(host) {
        return pair::delete(Side::Host, item, host);
    }
    let ours = labels(world, settings);
    let marks = pair::patch_step(Side::Host, item, host, Some(without_marks(host, &ours)), None);
    let account = account::removal(world, &pair::key_of(host).name);
    Plan::nothing().and(account).and(marks)
}

/// The change of metadata that takes our marks off, and these labels.
pub(super) fn without_marks(host: &Value, labels: &json::Strings) -> Value {
    let unmarked = |field: &str| {
        let all = json::strings(host, &["metadata", field]);
        let ours = all
            .into_keys()
            .filter(|key| key.starts_with(keys::PREFIX) || (field == "labels" && labels.contains_key(key)));
        ours.map(|key| (key, Value::Null)).collect::<Map<_, _>>()
    };
    json!({"labels": unmarked("labels"), "annotations": unmarked("annotations")})
}

/// The virtual namespaces that have one of the host to themselves, also those that are not there any more.
pub(super) fn marked(world: &World) -> impl Iterator<Item = Reference> {
    let all = world.host_namespaces().into_iter();
    all.filter_map(|host| world.virtual_namespace(&host))
        .map(|name| Reference::new(Kind::Namespace, "", &name))
}

/// The virtual namespace that has to be looked at because one of the host changed that can be its own.
pub(super) fn of_host(world: &World, change: &Change) -> Option<Reference> {
    let name = world.names.virtual_of(&change.object()?.key().name)?;
    Some(Reference::new(Kind::Namespace, "", &name))
}

/// The same because the account of its pods changed.
pub(super) fn of_account(world: &World, key: &ObjectKey) -> Option<Reference> {
    let ours = key.name == world.settings.workload_service_account && needs_account(&world.settings);
    let namespace = world.names.virtual_of(&key.namespace).filter(|_| ours)?;
    Some(Reference::new(Kind::Namespace, "", &namespace))
}

/// A plan that makes nothing in a namespace of the host that is not ours.
pub(super) fn in_our_own(world: &World, item: &Reference, mut plan: Plan) -> Plan {
    let Some(target) = world
        .names
        .own(&item.key.namespace)
        .filter(|_| item.kind.is_namespaced())
    else {
        return plan;
    };
    let host = world.host.get(Kind::Namespace, "", &target).map(|host| host.value());
    // Nothing can be made in one that is going, either.
    let going = host.as_ref().is_some_and(pair::is_deleting);
    if !going && world.virtual_namespace(&target).as_ref() == Some(&item.key.namespace) {
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
    if host.is_some() && !going {
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

/// The end of a copy that nobody else takes away when the virtual cluster is: it lies in a namespace that stays, or that
/// is not owned.
pub(super) fn at_the_end(world: &World, item: &Reference) -> Option<Plan> {
    let copied = item.kind.is_namespaced() && world.settings.is_copied(item.kind);
    if world.names.own(&item.key.namespace).is_none() || !copied || !world.is_ending() {
        return None;
    }
    Some(match pair::load(world, item) {
        Pair::Host(host) | Pair::Both(_, host) | Pair::Replaced(_, host) if is_imported(&host) => {
            Plan::nothing().and(strangers::unmark(item, &host))
        }
        Pair::Host(host) | Pair::Both(_, host) | Pair::Replaced(_, host) => pair::delete(Side::Host, item, &host),
        Pair::Virtual(_) | Pair::Taken(_) | Pair::Nothing => Plan::nothing(),
    })
}

#[cfg(test)]
mod tests;
