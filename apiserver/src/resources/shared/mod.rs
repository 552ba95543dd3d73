//! What several kinds have in common.

pub(crate) mod cells;
pub(crate) mod generation;
pub(crate) mod pod_defaults;
pub(crate) mod status;
