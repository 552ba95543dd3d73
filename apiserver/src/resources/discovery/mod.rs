//! The discovery.k8s.io group.

mod endpointslice;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![endpointslice::resource()]
}
