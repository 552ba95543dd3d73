//! The pod security standards: what a pod asks for that its standard does not allow (k8s.io/pod-security-admission).

mod baseline;
mod checks;
mod policy;
mod restricted;

pub use checks::Violations;
pub use policy::{Level, Policy, Standard, Version};
