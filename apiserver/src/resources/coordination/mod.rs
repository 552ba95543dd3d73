//! The coordination.k8s.io group.

mod lease;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![lease::resource()]
}
