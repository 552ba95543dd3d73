//! The events.k8s.io group.

mod event;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![event::resource()]
}
