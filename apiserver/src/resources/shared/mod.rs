//! What several kinds have in common.

pub(crate) mod addresses;
pub(crate) mod cells;
pub(crate) mod checks;
pub(crate) mod conditions;
pub(crate) mod diff;
pub(crate) mod generation;
pub(crate) mod image;
pub(crate) mod internal;
pub(crate) mod pod_defaults;
pub(crate) mod status;
pub(crate) mod webhooks;
