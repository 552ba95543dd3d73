//! The core group.

mod binding;
mod componentstatus;
mod configmap;
mod endpoints;
pub(super) mod event;
mod limitrange;
mod namespace;
mod node;
pub(super) mod persistentvolume;
pub(super) mod persistentvolumeclaim;
mod pod;
pub(super) mod pod_template;
mod podtemplate;
mod replicationcontroller;
mod resourcequota;
mod secret;
pub(crate) mod service;
mod serviceaccount;
mod volume_sources;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![
        binding::resource(),
        componentstatus::resource(),
        configmap::resource(),
        endpoints::resource(),
        event::resource(),
        limitrange::resource(),
        namespace::resource(),
        node::resource(),
        persistentvolumeclaim::resource(),
        persistentvolume::resource(),
        pod::resource(),
        podtemplate::resource(),
        replicationcontroller::resource(),
        resourcequota::resource(),
        secret::resource(),
        serviceaccount::resource(),
        service::resource(),
    ]
}
