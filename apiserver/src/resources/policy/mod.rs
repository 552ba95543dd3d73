//! The policy group.

mod poddisruptionbudget;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![poddisruptionbudget::resource()]
}
