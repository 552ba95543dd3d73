//! The flowcontrol.apiserver group. The objects are kept for those who manage them; this server limits requests by
//! number.

mod flowschema;
mod prioritylevelconfiguration;
mod validate;

use super::shared::status::{SPEC_AND_METADATA, Status};
use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![flowschema::resource(), prioritylevelconfiguration::resource()]
}

/// A status that keeps metadata too.
fn status(default: fn(&mut serde_json::Value)) -> Status {
    Status {
        keeps: SPEC_AND_METADATA,
        validate: |new, _| validate::status(new),
        ..Status::plain(default)
    }
}
