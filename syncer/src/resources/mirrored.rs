//! Kinds without namespaces that the virtual cluster shows as they are on the host. Who changes the virtual object gets it
//! back as it was.

use serde_json::{Map, Value, json};

use super::{ownership, pair};
use crate::engine::plan::{Note, Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Reference, keys};
use crate::world::World;

/// What differs between kinds.
#[derive(Clone, Copy)]
pub(super) struct Mirrored {
    /// Top-level fields beside the metadata that can change.
    pub fields: &'static [&'static str],
    /// Top-level fields that cannot: another value makes another object.
    pub fixed: &'static [&'static str],
    /// Takes away what the virtual cluster is not to see.
    pub hide: fn(&mut Value),
    /// Whether the status is shown.
    pub status: bool,
    /// Objects of these names are shown whatever is selected, and never taken away: both clusters have them by themselves.
    pub exempt: &'static [&'static str],
    /// Whether an object of this name has a place in the virtual cluster.
    pub fits: fn(&World, &str) -> bool,
    /// Objects of ours carry the mark, and others are left alone.
    pub marked: bool,
}

/// A kind of which nothing but metadata is shown.
pub(super) const PLAIN: Mirrored = Mirrored {
    fields: &[],
    fixed: &[],
    hide: |_| (),
    status: false,
    exempt: &[],
    fits: |_, _| true,
    marked: false,
};

pub(super) fn plan_ingress_class(world: &World, item: &Reference) -> Plan {
    let mirrored = Mirrored {
        fields: &["spec"],
        ..PLAIN
    };
    plan(world, item, &mirrored)
}

pub(super) fn plan_runtime_class(world: &World, item: &Reference) -> Plan {
    let mirrored = Mirrored {
        fields: &["overhead", "scheduling"],
        fixed: &["handler"],
        ..PLAIN
    };
    plan(world, item, &mirrored)
}

pub(super) fn plan_csi_driver(world: &World, item: &Reference) -> Plan {
    let mirrored = Mirrored {
        fields: &["spec"],
        ..PLAIN
    };
    plan(world, item, &mirrored)
}

/// What the drivers of a node offer: shown with the node.
pub(super) fn plan_csi_node(world: &World, item: &Reference) -> Plan {
    let mirrored = Mirrored {
        fields: &["spec"],
        fits: |world, name| world.virtual_side.get(Kind::Node, "", name).is_some(),
        marked: true,
        ..PLAIN
    };
    plan(world, item, &mirrored)
}

/// The host's object, if it is selected.
fn selected(world: &World, kind: Kind, name: &str, mirrored: &Mirrored) -> Option<Value> {
    let mut host = world.host.get(kind, "", name)?.value();
    let selector = world.settings.from_host.get(&kind)?;
    let shown = mirrored.exempt.contains(&name) || selector.matches_labels(json::at(&host, &["metadata", "labels"]));
    (mirrored.hide)(&mut host);
    shown.then_some(host)
}

/// Decides about one object.
pub(super) fn plan(world: &World, item: &Reference, mirrored: &Mirrored) -> Plan {
    let name = item.key.name.as_str();
    let actual = world.virtual_side.get(item.kind, "", name).map(|object| object.value());
    let mark = mirrored.marked.then(|| world.names.vcluster());
    let is_marked = |object: &Value| Some(json::text(object, &["metadata", "labels", keys::MARKER])) == mark;
    let shown = selected(world, item.kind, name, mirrored).filter(|_| (mirrored.fits)(world, name));
    match (shown, actual) {
        (None, None) => Plan::nothing(),
        (None, Some(actual)) if mirrored.marked && !is_marked(&actual) => Plan::nothing(),
        (None, Some(_)) if mirrored.exempt.contains(&name) => Plan::nothing(),
        (None, Some(actual)) => pair::delete(Side::Virtual, item, &actual),
        (Some(host), None) => Plan::step(Step::Create {
            side: Side::Virtual,
            kind: item.kind,
            object: copy(world, item, &host, mirrored, mark),
        }),
        (Some(host), Some(actual)) if pair::is_deleting(&actual) || pair::is_deleting(&host) => Plan::nothing(),
        (Some(host), Some(actual)) => {
            // What the host leaves out may be a default that only the virtual cluster's server writes down.
            let differs = |field: &&str| host.get(*field).is_some_and(|value| actual.get(*field) != Some(value));
            if mirrored.fixed.iter().any(differs) {
                return pair::delete(Side::Virtual, item, &actual);
            }
            let status = mirrored.status.then(|| pair::status_step(world, item, &actual, &host));
            update(item, &actual, &copy(world, item, &host, mirrored, mark), mirrored).and(status.flatten())
        }
    }
}

fn metadata(object: &Value) -> Map<String, Value> {
    ["labels", "annotations"]
        .iter()
        .map(|map| ((*map).to_owned(), json!(json::strings(object, &["metadata", map]))))
        .collect()
}

fn copy(world: &World, item: &Reference, host: &Value, mirrored: &Mirrored, mark: Option<&str>) -> Value {
    let mut metadata = metadata(host);
    if let Some(mark) = mark {
        metadata["labels"][keys::MARKER] = json!(mark);
    }
    metadata.insert("name".to_owned(), json!(item.key.name));
    let mut object = json!({
        "apiVersion": item.kind.api_version(), "kind": item.kind.name(), "metadata": metadata,
    });
    for field in mirrored.fields.iter().chain(mirrored.fixed) {
        json::put(&mut object, field, host.get(*field).cloned());
    }
    if let Some(spec) = object.get_mut("spec") {
        *spec = ownership::shown(world, item.kind, spec);
    }
    object
}

fn update(item: &Reference, actual: &Value, wanted: &Value, mirrored: &Mirrored) -> Plan {
    let metadata = json::merge_diff(
        &Value::Object(self::metadata(actual)),
        &Value::Object(self::metadata(wanted)),
    );
    let content = |object: &Value| Value::Object(super::copied::fields(object, mirrored.fields));
    let rest = json::merge_diff(&content(actual), &content(wanted));
    Plan::nothing().and(pair::patch_step(Side::Virtual, item, actual, metadata, rest))
}

/// Why an object that names a class of the host is not synced: only selected classes may be used.
pub(super) fn limit(world: &World, object: &str, name: &str, kind: Kind, words: &str, class: &str) -> Option<Note> {
    let selector = world.settings.from_host.get(&kind)?;
    if selector.is_empty() || class.is_empty() {
        return None;
    }
    let host = world.host.get(kind, "", class).map(|class| class.value());
    let reason = match host {
        Some(host) if selector.matches_labels(json::at(&host, &["metadata", "labels"])) => return None,
        Some(_) => format!(
            "in the host does not match the selector under 'sync.fromHost.{}.selector'",
            section(kind)
        ),
        None => "couldn't be reached in the host".to_owned(),
    };
    Some(Note::warning(format!(
        "did not sync {object} {name:?} to host because the {words} {class:?} {reason}"
    )))
}

/// The key of vcluster.yaml under which a kind is configured.
fn section(kind: Kind) -> &'static str {
    match kind {
        Kind::IngressClass => "ingressClasses",
        Kind::RuntimeClass => "runtimeClasses",
        Kind::PriorityClass => "priorityClasses",
        Kind::StorageClass => "storageClasses",
        other => other.plural(),
    }
}
