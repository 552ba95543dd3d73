//! The flowcontrol.apiserver group. The objects are kept for those who manage them; this server limits requests by
//! number.

mod flowschema;
mod prioritylevelconfiguration;
mod validate;

use super::shared::status::{self, Metadata, Status};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::ErrorList;
use serde_json::Value;

pub(super) fn all() -> Vec<Resource> {
    vec![flowschema::resource(), prioritylevelconfiguration::resource()]
}

/// A status that keeps metadata too.
fn status(default: fn(&mut Value)) -> Status {
    Status {
        metadata: Metadata::Kept,
        validate: |new, _| validate::status(new),
        ..Status::plain(default)
    }
}

/// The hooks of both kinds, which differ in their defaults and in what is checked of a spec.
struct Configuration {
    default: fn(&mut Value),
    validate: fn(&Value) -> ErrorList,
}

impl Strategy for Configuration {
    fn default(&self, obj: &mut Value) {
        (self.default)(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        status::begin(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        status::keep(new, old, &[&["spec"]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        (self.validate)(obj)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, _old: &Value) -> ErrorList {
        (self.validate)(new)
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::Whole
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}
