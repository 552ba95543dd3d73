//! Every built-in resource: one file each, one line each.

mod apps;
mod autoscaling;
mod batch;
mod coordination;
mod core;
mod discovery;
mod events;
mod rbac;
mod shared;

use crate::registry::resource::Resource;

/// All built-in resources, in the order of discovery.
pub fn all() -> Vec<Resource> {
    [
        core::all(),
        apps::all(),
        autoscaling::all(),
        batch::all(),
        coordination::all(),
        discovery::all(),
        events::all(),
        rbac::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
