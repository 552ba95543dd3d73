//! Custom resources: a CustomResourceDefinition becomes the same runtime resources as built-in kinds have, one for each of its
//! versions, and goes the same way through the registry (apiextensions-apiserver `pkg/apiserver`, `pkg/registry/customresource`).
//!
//! Schemas are compiled when the first request needs them, and objects are cached when somebody lists or watches them.

mod convert;
mod definition;
mod kind;
mod resource;
mod serving;
mod strategy;
mod table;
mod versioned;

pub use serving::{CustomResources, Environment};
