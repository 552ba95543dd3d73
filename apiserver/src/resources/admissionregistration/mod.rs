//! The admissionregistration.k8s.io group: who else is asked before something is written.
//!
//! Expressions are compiled to see whether they are right, and kept as they are written.

mod matching;
mod mutatingadmissionpolicy;
mod mutatingadmissionpolicybinding;
mod mutatingwebhookconfiguration;
mod policy;
mod validatingadmissionpolicy;
mod validatingadmissionpolicybinding;
mod validatingwebhookconfiguration;
mod webhook;

use super::shared::generation;
use crate::registry::columns::Columns;
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::ErrorList;
use machinery::meta;
use serde_json::{Value, json};

pub(super) fn all() -> Vec<Resource> {
    vec![
        mutatingadmissionpolicy::resource(),
        mutatingadmissionpolicybinding::resource(),
        mutatingwebhookconfiguration::resource(),
        validatingadmissionpolicy::resource(),
        validatingadmissionpolicybinding::resource(),
        validatingwebhookconfiguration::resource(),
    ]
}

/// The hooks of every kind of the group: they differ in what they check and default.
struct Configuration {
    default: fn(&mut Value),
    validate: fn(new: &Value, old: Option<&Value>) -> ErrorList,
    /// The field whose changes the generation counts.
    counted: &'static str,
    has_status: bool,
}

impl Strategy for Configuration {
    /// Only the generation of webhooks counts so.
    fn tells_empty_from_none(&self) -> bool {
        self.counted == "webhooks"
    }

    fn default(&self, obj: &mut Value) {
        (self.default)(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        if self.has_status {
            meta::set(obj, &["status"], json!({}));
        }
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        if self.has_status {
            meta::copy(new, old, &["status"]);
        }
        generation::follow(new, old, &[&[self.counted]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        (self.validate)(obj, None)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        (self.validate)(new, Some(old))
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::Whole
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        if self.has_status { &["status"] } else { &[] }
    }
}

/// A kind of the group.
fn kind(
    kind: &'static str,
    names: (&'static str, &'static str),
    type_name: &'static str,
    configuration: Configuration,
    columns: &'static Columns,
) -> Resource {
    Resource {
        categories: ["api-extensions"].into(),
        ..Resource::cluster_kind(
            ("admissionregistration.k8s.io", "v1", kind),
            names,
            type_name,
            configuration,
            columns,
        )
    }
}
