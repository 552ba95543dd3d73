//! Metadata of a host object, at creation and afterwards.
//!
//! Ownership is per key and survives restarts: the host object lists the label and annotation keys that came from the
//! virtual side. Those follow the virtual object; every other key is the host's and travels up, until it is changed in the virtual
//! cluster.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::agreed::{Agreed, Known, Newer};
use super::{Names, keys};
use crate::json::{self, Strings};

/// Annotations that describe the pair itself and are never copied in either direction.
const NEVER_COPIED: [&str; 13] = [
    keys::OBJECT_NAME,
    keys::OBJECT_NAMESPACE,
    keys::OBJECT_UID,
    keys::OBJECT_KIND,
    keys::OBJECT_HOST_NAME,
    keys::OBJECT_HOST_NAMESPACE,
    keys::VCLUSTER_NAME,
    keys::VCLUSTER_NAMESPACE,
    keys::MANAGED_ANNOTATIONS,
    keys::MANAGED_LABELS,
    keys::IMPORTED_FROM,
    keys::IMPORTED,
    keys::MADE_FOR,
];

/// Annotations of a host pod that it has as long as the virtual one has owners.
const OF_OWNERS: [&str; 2] = [keys::OWNER_REFERENCES, keys::OWNER_SET_KIND];

/// What the metadata of a new host object is made from.
pub struct Source<'a> {
    /// The naming rules.
    pub names: &'a Names,
    /// Written as `<group>/<version>, Kind=<Kind>`.
    pub kind: &'a str,
    /// The name on the host.
    pub host_name: &'a str,
    /// The virtual object.
    pub object: &'a Value,
    /// Annotation keys of this kind that stay where they are.
    pub excluded: &'a [&'a str],
    /// Labels that only the host object has.
    pub host_labels: Strings,
    /// Annotations that only the host object has; a virtual annotation of the same name wins.
    pub host_annotations: Strings,
    /// What both sides have had of the host's keys.
    pub agreed: &'a Agreed,
}

/// The metadata of a new host object: names, labels, annotations, and nothing the host API server fills in itself.
pub fn host_metadata(source: &Source<'_>) -> Value {
    let Wanted { labels, annotations } = wanted(source);
    let managed_annotations = owned_annotations(source);
    let managed_labels = owned_labels(source);
    let mut annotations = annotations;
    annotations.extend(bookkeeping(&managed_labels, &managed_annotations));
    let mut metadata = json!({"name": source.host_name, "labels": labels, "annotations": annotations});
    if is_namespaced(source) {
        metadata["namespace"] = json!(host_namespace(source));
    }
    metadata
}

/// The metadata changes that bring a pair together again.
#[derive(Debug, Default, PartialEq)]
pub struct MetadataChange {
    /// Merge patch of the host object's metadata.
    pub host: Option<Value>,
    /// Merge patch of the virtual object's metadata.
    pub virtual_: Option<Value>,
}

/// Compares a pair: keys that the virtual side owns go down, keys of the host go up.
pub fn reconcile_metadata(source: &Source<'_>, host: &Value) -> MetadataChange {
    let actual_labels = json::strings(host, &["metadata", "labels"]);
    let actual_annotations = json::strings(host, &["metadata", "annotations"]);
    let wanted = wanted(source);
    let uid = json::text(source.object, &["metadata", "uid"]);
    let labels = Side {
        map: "labels",
        actual: &actual_labels,
        wanted: &wanted.labels,
        virtual_owned: owned_labels(source),
        recorded: recorded(&actual_annotations, keys::MANAGED_LABELS),
        to_virtual: &|key| source.names.label_to_virtual(key).map(str::to_owned),
        outlived: &Names::is_namespace_label,
    };
    let annotations = Side {
        map: "annotations",
        actual: &actual_annotations,
        wanted: &wanted.annotations,
        virtual_owned: owned_annotations(source),
        recorded: recorded(&actual_annotations, keys::MANAGED_ANNOTATIONS),
        to_virtual: &|key| (!is_private(key, source.excluded)).then(|| key.to_owned()),
        outlived: &|key| OF_OWNERS.contains(&key),
    };
    let (labels, annotations) = source.agreed.revise(uid, |known| {
        (side_by_side(known, &labels), side_by_side(known, &annotations))
    });

    let mut host_annotations = annotations.down;
    for (key, value) in bookkeeping(&labels.owned, &annotations.owned) {
        if actual_annotations.get(&key) != Some(&value) {
            host_annotations.insert(key, json!(value));
        }
    }
    let up_labels = differing(labels.up, &json::strings(source.object, &["metadata", "labels"]));
    let up_annotations = differing(
        annotations.up,
        &json::strings(source.object, &["metadata", "annotations"]),
    );
    MetadataChange {
        host: patch(labels.down, host_annotations),
        virtual_: patch(up_labels, up_annotations),
    }
}

struct Wanted {
    labels: Strings,
    annotations: Strings,
}

fn wanted(source: &Source<'_>) -> Wanted {
    let metadata = &source.object["metadata"];
    let namespace = json::text(metadata, &["namespace"]);
    let scope = is_namespaced(source).then_some(namespace);
    let mut labels = source
        .names
        .labels_to_host(&json::strings(metadata, &["labels"]), scope);
    labels.extend(source.host_labels.clone());

    let mut annotations = source.host_annotations.clone();
    annotations.extend(copied_annotations(source));
    annotations.insert(keys::OBJECT_NAME.to_owned(), json::text(metadata, &["name"]).to_owned());
    annotations.insert(keys::OBJECT_UID.to_owned(), json::text(metadata, &["uid"]).to_owned());
    annotations.insert(keys::OBJECT_KIND.to_owned(), source.kind.to_owned());
    annotations.insert(keys::OBJECT_HOST_NAME.to_owned(), source.host_name.to_owned());
    if is_namespaced(source) {
        annotations.insert(keys::OBJECT_NAMESPACE.to_owned(), namespace.to_owned());
        annotations.insert(
            keys::OBJECT_HOST_NAMESPACE.to_owned(),
            host_namespace(source).into_owned(),
        );
    }
    if !is_namespaced(source) || host_namespace(source) != source.names.host_namespace() {
        // Outside of the control plane's namespace, the marker alone can be that of two virtual clusters.
        let (name, namespace) = (source.names.vcluster(), source.names.host_namespace());
        annotations.insert(keys::VCLUSTER_NAME.to_owned(), name.to_owned());
        annotations.insert(keys::VCLUSTER_NAMESPACE.to_owned(), namespace.to_owned());
    }
    Wanted { labels, annotations }
}

fn is_namespaced(source: &Source<'_>) -> bool {
    !json::text(source.object, &["metadata", "namespace"]).is_empty()
}

/// The namespace of the host object.
fn host_namespace<'a>(source: &Source<'a>) -> Cow<'a, str> {
    let of = |field| json::text(source.object, &["metadata", field]);
    source.names.namespace_of(source.kind, of("namespace"), of("name"))
}

fn is_excluded(key: &str, excluded: &[&str]) -> bool {
    NEVER_COPIED.contains(&key) || excluded.contains(&key)
}

/// Annotations of the host object that the virtual object never sees.
fn is_private(key: &str, excluded: &[&str]) -> bool {
    key.starts_with(keys::PREFIX) || is_excluded(key, excluded)
}

/// Annotations of the product mean something on the host. A virtual object may have one only where its copy has one
/// anyway, as the copies that a virtual cluster inside this one makes do.
fn copied_annotations(source: &Source<'_>) -> Strings {
    let mut annotations = json::strings(source.object, &["metadata", "annotations"]);
    annotations.retain(|key, _| {
        !is_excluded(key, source.excluded)
            && (!key.starts_with(keys::PREFIX) || source.host_annotations.contains_key(key))
    });
    annotations
}

fn owned_annotations(source: &Source<'_>) -> BTreeSet<String> {
    copied_annotations(source).into_keys().collect()
}

fn owned_labels(source: &Source<'_>) -> BTreeSet<String> {
    let labels = json::strings(source.object, &["metadata", "labels"]);
    source.names.label_keys_to_host(&labels).into_keys().collect()
}

fn recorded(annotations: &Strings, key: &str) -> Option<BTreeSet<String>> {
    annotations.get(key).map(|list| {
        list.lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    })
}

fn bookkeeping(labels: &BTreeSet<String>, annotations: &BTreeSet<String>) -> Vec<(String, String)> {
    let list = |keys: &BTreeSet<String>| keys.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    vec![
        (keys::MANAGED_LABELS.to_owned(), list(labels)),
        (keys::MANAGED_ANNOTATIONS.to_owned(), list(annotations)),
    ]
}

struct Side<'a> {
    /// Which of the two maps this is.
    map: &'static str,
    actual: &'a Strings,
    wanted: &'a Strings,
    virtual_owned: BTreeSet<String>,
    /// `None` on objects made before ownership was recorded: then the virtual side owns what it has.
    recorded: Option<BTreeSet<String>>,
    to_virtual: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a key that is not wanted was once ours.
    outlived: &'a dyn Fn(&str) -> bool,
}

struct Outcome {
    down: Map<String, Value>,
    up: Map<String, Value>,
    owned: BTreeSet<String>,
}

fn side_by_side(known: &mut Known, side: &Side<'_>) -> Outcome {
    let recorded = side.recorded.clone().unwrap_or_else(|| side.virtual_owned.clone());
    let spot = |key: &str| format!("{}/{key}", side.map);
    let mut outcome = Outcome {
        down: Map::new(),
        up: Map::new(),
        owned: BTreeSet::new(),
    };
    for (key, value) in side.wanted {
        let theirs = side.actual.get(key);
        if side.virtual_owned.contains(key) && !recorded.contains(key) {
            let newer = known.compare(&spot(key), Some(value), theirs);
            // As long as nothing else is known, what the host has is its own.
            let is_hosts = newer == Newer::Host || (newer != Newer::Virtual && theirs.is_some());
            if is_hosts {
                if theirs != Some(value)
                    && let Some(virtual_key) = (side.to_virtual)(key)
                {
                    outcome.up.insert(virtual_key, json!(theirs));
                }
                continue;
            }
        }
        if side.virtual_owned.contains(key) {
            outcome.owned.insert(key.clone());
        }
        if theirs != Some(value) {
            outcome.down.insert(key.clone(), json!(value));
        }
    }
    for (key, value) in side.actual {
        if side.wanted.contains_key(key) {
            continue;
        }
        if recorded.contains(key) || (side.outlived)(key) {
            outcome.down.insert(key.clone(), Value::Null);
        } else if let Some(virtual_key) = (side.to_virtual)(key) {
            if known.compare(&spot(key), None, Some(value)) == Newer::Virtual {
                outcome.down.insert(key.clone(), Value::Null);
            } else {
                outcome.up.insert(virtual_key, json!(value));
            }
        }
    }
    // Of what is recorded, who has changed it makes no difference; of what is gone, nothing has to be known.
    known.keep(|what| {
        let Some((map, key)) = what.split_once('/') else {
            return true;
        };
        let is_there = side.actual.contains_key(key) || side.wanted.contains_key(key);
        map != side.map || (is_there && !recorded.contains(key))
    });
    outcome
}

fn differing(changes: Map<String, Value>, current: &Strings) -> Map<String, Value> {
    changes
        .into_iter()
        .filter(|(key, value)| current.get(key).map(String::as_str) != value.as_str())
        .collect()
}

fn patch(labels: Map<String, Value>, annotations: Map<String, Value>) -> Option<Value> {
    let mut patch = Map::new();
    if !labels.is_empty() {
        patch.insert("labels".to_owned(), Value::Object(labels));
    }
    if !annotations.is_empty() {
        patch.insert("annotations".to_owned(), Value::Object(annotations));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}
