//! The `status` subresource: writes the status and leaves everything else alone.

use super::{checks, generation};
use crate::registry::strategy::{Context, MetadataChecks, Privilege, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::{Value, json};

/// What a write to a part of an object does to its metadata.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// It is written, too.
    Written,
    /// It is reset as [`reset_metadata`] does.
    Reset,
    /// All of it stays but the managed fields.
    Kept,
}

/// Takes from the old object the metadata that a status write must not touch (`metav1.ResetObjectMetaForStatus`).
pub(crate) fn reset_metadata(new: &mut Value, old: &Value) {
    for field in [
        "deletionTimestamp",
        "generation",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
    ] {
        meta::copy(new, old, &["metadata", field]);
    }
}

fn keep_metadata(new: &mut Value, old: &Value) {
    let mut kept = json!({ "metadata": old["metadata"] });
    for field in ["managedFields", "resourceVersion"] {
        meta::copy(&mut kept, new, &["metadata", field]);
    }
    meta::copy(new, &kept, &["metadata"]);
}

/// What a kind with a status and a generation starts with: an empty one and the first.
pub(crate) fn begin(obj: &mut Value) {
    meta::set(obj, &["status"], json!({}));
    generation::first(obj);
}

/// What an update of the object itself leaves alone: its status. The generation follows the fields in `counted`.
pub(crate) fn keep(new: &mut Value, old: &Value, counted: &[&[&str]]) {
    meta::copy(new, old, &["status"]);
    generation::follow(new, old, counted);
}

/// The hooks of a `status` subresource.
pub(crate) struct Status {
    /// The kind's defaulting.
    pub(crate) default: fn(&mut Value),
    /// What a status write cannot change, as dotted paths.
    pub(crate) keeps: &'static [&'static str],
    /// What it does to metadata.
    pub(crate) metadata: Metadata,
    /// Which checks of metadata upstream repeats.
    pub(crate) metadata_checks: MetadataChecks,
    /// More that the server decides.
    pub(crate) prepare: fn(new: &mut Value, old: &Value),
    /// What a status write wants that a label of the namespace has to grant.
    pub(crate) privilege: fn(new: &Value, old: Option<&Value>) -> Option<Privilege>,
    /// The checks of a status write.
    pub(crate) validate: fn(new: &Value, old: &Value) -> ErrorList,
}

impl Status {
    /// A status that keeps `spec` and has no rules of its own.
    pub(crate) const fn plain(default: fn(&mut Value)) -> Self {
        Status {
            default,
            keeps: &["spec"],
            metadata: Metadata::Written,
            metadata_checks: MetadataChecks::Update,
            prepare: |_, _| {},
            privilege: |_, _| None,
            validate: |_, _| ErrorList::new(),
        }
    }
}

/// What the status of a kind with replicas counts, and how upstream words what is wrong with it.
pub(crate) struct Counts {
    /// What must not be negative, in upstream's order.
    pub(crate) counted: &'static [&'static str],
    /// The parts of all replicas.
    pub(crate) parts: &'static [&'static str],
    /// What more than is ready cannot be available than.
    pub(crate) ready: &'static str,
}

/// `ValidateReplicaSetStatus`, which is also that of ReplicationControllers.
pub(crate) static REPLICAS: Counts = Counts {
    counted: &[
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
        "terminatingReplicas",
    ],
    parts: &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
    ready: "readyReplicas",
};

/// The numbers in a status.
pub(crate) fn count(counts: &Counts, new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("status");
    let none = Value::Null;
    let status = meta::at(new, &["status"]).unwrap_or(&none);
    let before = meta::at(old, &["status"]).unwrap_or(&none);
    let number = |field: &str| meta::i64_at(status, &[field]).unwrap_or_default();
    let mut errors = ErrorList::new();
    for field in counts.counted {
        errors.extend(checks::non_negative(status, field, &path));
    }
    for field in counts.parts {
        if number(field) > number("replicas") {
            let detail = "cannot be greater than status.replicas";
            errors.push(Error::invalid(&path.child(field), number(field), detail));
        }
    }
    if !counts.parts.is_empty() && number("availableReplicas") > number("readyReplicas") {
        let detail = format!("cannot be greater than {}", counts.ready);
        let path = path.child("availableReplicas");
        errors.push(Error::invalid(&path, number("availableReplicas"), detail));
    }
    errors.extend(checks::not_decremented(status, before, "collisionCount", &path));
    errors
}

impl Strategy for Status {
    fn default(&self, obj: &mut Value) {
        (self.default)(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        for path in self.keeps {
            let path: Vec<&str> = path.split('.').collect();
            meta::copy(new, old, &path);
        }
        match self.metadata {
            Metadata::Written => {}
            Metadata::Reset => reset_metadata(new, old),
            Metadata::Kept => keep_metadata(new, old),
        }
        meta::copy(new, old, &["metadata", "generation"]);
        (self.prepare)(new, old);
    }

    fn privilege(&self, new: &Value, old: Option<&Value>) -> Option<Privilege> {
        (self.privilege)(new, old)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        (self.validate)(new, old)
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        self.metadata_checks
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        match self.metadata {
            Metadata::Written => self.keeps,
            Metadata::Reset | Metadata::Kept => &["spec", "metadata"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_written_reset_or_kept() {
        let old = json!({"metadata": {"name": "a", "labels": {"l": "old"}, "resourceVersion": "1", "managedFields": [1]}, "spec": 1});
        let sent = json!({"metadata": {"name": "a", "labels": {"l": "new"}, "generateName": "g-", "resourceVersion": "2",
            "managedFields": [2]}, "spec": 2, "status": 3});
        for (metadata, label, generate_name, resets) in [
            (Metadata::Written, "new", Some("g-"), &["spec"][..]),
            (Metadata::Reset, "old", Some("g-"), &["spec", "metadata"][..]),
            (Metadata::Kept, "old", None, &["spec", "metadata"][..]),
        ] {
            let status = Status {
                metadata,
                ..Status::plain(|_| {})
            };
            let mut new = sent.clone();
            let cx = Context {
                namespace: "",
                now: "",
                user: "",
            };
            status.prepare_for_update(&cx, &mut new, &old);
            assert_eq!((&new["spec"], &new["status"]), (&json!(1), &json!(3)));
            assert_eq!(new["metadata"]["labels"]["l"], label);
            assert_eq!(
                new["metadata"].get("generateName").and_then(Value::as_str),
                generate_name
            );
            assert_eq!(new["metadata"]["managedFields"], json!([2]));
            assert_eq!(new["metadata"]["resourceVersion"], "2");
            assert_eq!(status.reset_fields(), resets);
        }
    }
}
