//! The node.k8s.io group.

mod runtimeclass;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![runtimeclass::resource()]
}
