//! Namespaces. Deleting one only marks it: the namespace controller empties it and then finalizes it.

use super::super::shared::cells;
use super::super::shared::checks::complaints;
use super::super::shared::status::Status;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::{Action, Resource, Scope};
use crate::registry::strategy::{Context, ControlledDeletion, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::object::Selectable;
use machinery::{meta, names};
use serde_json::{Value, json};
use std::sync::Arc;

const TYPE: &str = "io.k8s.api.core.v1.Namespace";
/// The finalizer in `spec.finalizers` that the namespace controller removes last.
const KUBERNETES: &str = "kubernetes";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new("Status", "string", "The status of the namespace"),
        cells::AGE,
    ],
    cells: |obj, now| {
        let phase = meta::str_at(obj, &["status", "phase"]).unwrap_or_default();
        vec![cells::name(obj), phase.into(), cells::age(obj, now)]
    },
};

struct Namespace;

fn default(obj: &mut Value) {
    let name = meta::name(obj).to_owned();
    if !name.is_empty() {
        meta::set(obj, &["metadata", "labels", "kubernetes.io/metadata.name"], name);
    }
    meta::set_default(obj, &["status", "phase"], "Active");
}

impl Strategy for Namespace {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({"phase": "Active"}));
        let mut finalizers = meta::list_at(obj, &["spec", "finalizers"]).to_vec();
        if !finalizers.iter().any(|f| f == KUBERNETES) {
            finalizers.push(KUBERNETES.into());
        }
        meta::set(obj, &["spec", "finalizers"], finalizers);
        default(obj); // again, for a name that was generated after decoding
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["spec", "finalizers"]);
        meta::copy(new, old, &["status"]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("spec").child("finalizers");
        let finalizers = meta::list_at(obj, &["spec", "finalizers"])
            .iter()
            .filter_map(Value::as_str);
        finalizers
            .flat_map(|finalizer| validate_finalizer(finalizer, &path))
            .collect()
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_label_for(name, prefix)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn controlled_deletion(&self) -> Option<ControlledDeletion> {
        Some(ControlledDeletion {
            mark: |obj, _| meta::set(obj, &["status", "phase"], "Terminating"),
            notes_propagation: true,
        })
    }

    fn may_be_removed_by_update(&self, new: &Value) -> bool {
        meta::list_at(new, &["spec", "finalizers"]).is_empty()
    }
}

/// `namespaces/finalize`: what the namespace controller writes when nothing is left.
struct Finalize;

impl Strategy for Finalize {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
    }

    /// `ValidateNamespaceFinalizeUpdate`.
    fn validate_update(&self, _cx: &Context<'_>, new: &Value, _old: &Value) -> ErrorList {
        let path = Path::new("spec").child("finalizers");
        let mut errors = ErrorList::new();
        let finalizers = meta::list_at(new, &["spec", "finalizers"]);
        for (i, finalizer) in finalizers.iter().filter_map(Value::as_str).enumerate() {
            errors.extend(validate_finalizer(finalizer, &path.index(i)));
        }
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// `validateFinalizerName`, which reports at the list itself when the namespace is new.
fn validate_finalizer(finalizer: &str, path: &Path) -> ErrorList {
    let mut errors = complaints(path, finalizer, names::qualified_name(finalizer));
    if !finalizer.contains('/') && finalizer != KUBERNETES {
        let text = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(Error::invalid(path, finalizer, text));
    }
    errors
}

/// `ValidateNamespaceStatusUpdate`.
fn validate_status(new: &Value, _old: &Value) -> ErrorList {
    let phase = meta::str_at(new, &["status", "phase"]).unwrap_or_default();
    let (allowed, text) = if meta::is_deleting(new) {
        (
            "Terminating",
            "may only be 'Terminating' if `deletionTimestamp` is not empty",
        )
    } else {
        ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
    };
    if phase == allowed {
        return ErrorList::new();
    }
    vec![Error::invalid(&Path::new("status").child("Phase"), phase, text)]
}

pub(super) fn resource() -> Resource {
    let namespace = Resource {
        short_names: ["ns"].into(),
        scope: Scope::Cluster,
        verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
        selectable_fields: Selectable::Builtin(&[("status.phase", |obj| {
            meta::str_at(obj, &["status", "phase"]).unwrap_or_default().to_owned()
        })]),
        ..Resource::namespaced_kind(
            ("", "v1", "Namespace"),
            ("namespaces", "namespace"),
            TYPE,
            Namespace,
            &COLUMNS,
        )
    };
    namespace
        .with_subresource(
            "finalize",
            ("", "v1", "Namespace"),
            &["update"],
            Action::Object(Arc::new(Finalize)),
        )
        .with_object_subresource(
            "status",
            Status {
                validate: validate_status,
                ..Status::plain(default)
            },
        )
}
