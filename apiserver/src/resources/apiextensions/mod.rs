//! The apiextensions group: kinds that users add.

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    Vec::new()
}
