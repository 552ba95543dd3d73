//! The batch group.

mod job;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![job::resource()]
}
