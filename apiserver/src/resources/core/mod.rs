//! The core group.

mod binding;
mod configmap;
mod endpoints;
pub(super) mod event;
mod namespace;
mod node;
mod persistentvolumeclaim;
mod pod;
pub(super) mod pod_template;
mod secret;
pub(crate) mod service;
mod serviceaccount;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![
        binding::resource(),
        configmap::resource(),
        endpoints::resource(),
        event::resource(),
        namespace::resource(),
        node::resource(),
        persistentvolumeclaim::resource(),
        pod::resource(),
        secret::resource(),
        serviceaccount::resource(),
        service::resource(),
    ]
}
