//! The scheduling.k8s.io group.

mod priorityclass;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![priorityclass::resource()]
}
