//! Every built-in resource: one file each, one line each.

mod admissionregistration;
pub(crate) mod apiextensions;
mod apiregistration;
mod apps;
mod authentication;
mod authorization;
mod autoscaling;
mod batch;
mod certificates;
mod coordination;
mod core;
mod discovery;
mod events;
mod flowcontrol;
mod networking;
mod node;
mod policy;
mod rbac;
mod resource;
mod scheduling;
mod shared;
mod storage;

use crate::registry::resource::Resource;

/// All built-in resources, in the order of discovery.
pub fn all() -> Vec<Resource> {
    [
        core::all(),
        admissionregistration::all(),
        apiextensions::all(),
        apiregistration::all(),
        apps::all(),
        authentication::all(),
        authorization::all(),
        autoscaling::all(),
        batch::all(),
        certificates::all(),
        coordination::all(),
        discovery::all(),
        events::all(),
        flowcontrol::all(),
        networking::all(),
        node::all(),
        policy::all(),
        rbac::all(),
        resource::all(),
        scheduling::all(),
        storage::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests;
