//! The apps group.

mod controllerrevision;
mod daemonset;
pub(super) mod deployment;
mod replicaset;
mod statefulset;
mod template;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![
        controllerrevision::resource(),
        daemonset::resource(),
        deployment::resource(),
        replicaset::resource(),
        statefulset::resource(),
    ]
}
