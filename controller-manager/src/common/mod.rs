//! What several controllers need: ownership, expectations, pod helpers, hashes, revision history, status writes.

pub(crate) mod attribute_classes;
pub(crate) mod conditions;
pub(crate) mod deletion;
pub(crate) mod discovery;
pub(crate) mod expectations;
pub(crate) mod go_dump;
pub(crate) mod hash;
pub(crate) mod history;
pub(crate) mod intstr;
pub(crate) mod ownership;
pub(crate) mod pod_control;
pub(crate) mod pods;
pub(crate) mod selector;
pub(crate) mod services;
pub(crate) mod slices;
pub(crate) mod status;
