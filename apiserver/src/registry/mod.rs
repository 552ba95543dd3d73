//! The one pipeline that every resource goes through, and the definitions that make resources differ.

pub mod columns;
pub mod resource;
pub mod strategy;
