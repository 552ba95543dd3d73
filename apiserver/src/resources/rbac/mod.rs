//! The rbac.authorization.k8s.io group.

mod bindings;
mod clusterrole;
mod clusterrolebinding;
mod role;
mod rolebinding;
mod rules;

use crate::registry::resource::Resource;

/// The group's name.
const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn all() -> Vec<Resource> {
    vec![
        clusterrolebinding::resource(),
        clusterrole::resource(),
        rolebinding::resource(),
        role::resource(),
    ]
}
