//! The one pipeline that every resource goes through, and the definitions that make resources differ.

pub mod allocators;
pub mod before;
pub mod catalog;
pub mod codec;
pub mod columns;
pub mod frames;
mod gates;
pub mod managers;
pub mod object_meta;
pub mod request;
pub mod resource;
pub mod store;
pub mod strategy;
pub mod structure;
pub mod unstored;
