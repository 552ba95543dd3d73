//! Kubernetes object machinery: pure functions over objects. No IO, no async runtime, no HTTP.
//!
//! Objects are JSON trees ([`serde_json::Value`]) while they are being changed and raw bytes with parsed metadata
//! ([`object::Stored`]) while they are kept or served.

pub mod apply;
pub mod field;
pub mod gvk;
pub mod intstr;
pub mod jsonpath;
pub mod meta;
pub mod names;
pub mod numbers;
pub mod object;
pub mod openapi;
pub mod patch;
pub mod pod_resources;
pub mod pod_security;
#[cfg(test)]
mod properties;
pub mod quantity;
pub mod quota;
pub mod rbac;
pub mod references;
pub mod remote_user;
pub mod schema;
pub mod selector;
pub mod status;
pub mod time;
pub mod tree;
pub mod wire;
