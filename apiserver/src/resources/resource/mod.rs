//! The resource group: devices, and claims to them.

mod admin_access;
mod deviceclass;
mod devices;
mod policy;
mod request;
mod resourceclaim;
mod resourceclaimtemplate;
mod resourceslice;
mod rules;
mod status;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![
        deviceclass::resource(),
        resourceclaim::resource(),
        resourceclaimtemplate::resource(),
        resourceslice::resource(),
    ]
}
