//! What is known about the API types: their properties and how those are decoded, defaulted, patched, applied and documented.

mod bytes;
pub mod decode;
pub mod empty;
pub mod encode;
pub mod json;
pub mod model;
mod scalar;
pub mod tree;
pub mod yaml;

pub use model::{Array, Details, Held, Kind, ListType, MapType, Patch, Property, Scalar, Text, Type, TypeRef, Union};

pub(crate) use bytes::decode_base64;

use crate::gvk::GroupVersionKind;
use serde_json::Value;

/// The built-in types, generated from `data/types.json`.
mod table {
    use super::model::*;

    include!(concat!(env!("OUT_DIR"), "/types.rs"));
}

/// The built-in type of this OpenAPI name, such as `io.k8s.api.core.v1.Pod`.
pub fn builtin(name: &str) -> Option<&'static Type> {
    let found = table::TYPES.binary_search_by(|ty| (*ty.name).cmp(name)).ok()?;
    table::TYPES.get(found).copied()
}

/// The built-in type that is served as this kind.
pub fn by_gvk(group: &str, version: &str, kind: &str) -> Option<&'static Type> {
    let key = (kind, group, version);
    match table::KINDS.binary_search_by(|(k, g, v, _)| (*k, *g, *v).cmp(&key)) {
        Ok(found) => table::KINDS.get(found).map(|(_, _, _, ty)| *ty),
        Err(_) => table::TYPES
            .iter()
            .copied()
            .find(|ty| ty.any_version && ty.struct_name() == kind),
    }
}

/// Takes from a decoded object of a built-in kind the empty lists and maps that Go does not encode.
pub fn leave_out_empty(kind: &GroupVersionKind, object: &mut Value) {
    if let Some(ty) = by_gvk(&kind.group, &kind.version, &kind.kind) {
        empty::leave_out_empty(object, ty);
    }
}

/// All built-in types, sorted by name.
pub fn builtins() -> &'static [&'static Type] {
    table::TYPES
}
