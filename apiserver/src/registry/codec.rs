//! Between the bytes in the store and the tree that hooks work on.
//!
//! Stored values are written `{"kind":…,"apiVersion":…,"metadata":{…},…}` as upstream writes them, so that the items of a
//! list, which have neither kind nor version, are a cut of the stored bytes.

use super::resource::Resource;
use bytes::Bytes;
use machinery::gvk::GroupVersionKind;
use machinery::meta;
use machinery::object::{Index, Stored, with_resource_version};
pub use machinery::object::{to_bytes, type_prefix};
use machinery::schema::{self, Type, decode};
use machinery::status::Status;
use serde_json::Value;

/// Sets the type of an object.
pub fn set_kind(obj: &mut Value, kind: &GroupVersionKind) {
    meta::set(obj, &["kind"], kind.kind.clone());
    meta::set(obj, &["apiVersion"], kind.api_version());
}

/// The tree to store for an object of the served version: of the stored version, in the form that encoding it gives,
/// without a resourceVersion.
///
/// # Errors
/// 500 when a hook has made something that is none of its kind.
pub fn to_storage(resource: &Resource, mut obj: Value) -> Result<Value, Status> {
    if let Some(metadata) = obj.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        metadata.remove("selfLink");
    }
    if let Some((_, conversion)) = &resource.storage {
        obj = (conversion.to_storage)(obj);
    }
    let kind = resource.storage_gvk();
    set_kind(&mut obj, kind);
    if resource.custom.is_some() {
        machinery::numbers::as_encoded(&mut obj);
        return Ok(obj);
    }
    match schema::by_gvk(&kind.group, &kind.version, &kind.kind) {
        Some(ty) => decode::stored_form(&obj, ty).map_err(Status::internal),
        None => Ok(obj),
    }
}

/// The type of a kind.
///
/// # Errors
/// 500 for a kind that has no schema.
pub fn type_of(kind: &GroupVersionKind) -> Result<&'static Type, Status> {
    schema::by_gvk(&kind.group, &kind.version, &kind.kind)
        .ok_or_else(|| Status::internal(format!("the kind {kind} has no schema")))
}

/// A stored object in the served version, with its resourceVersion and the defaults of today.
///
/// # Errors
/// 500 when the store holds something else than JSON.
pub fn decode(resource: &Resource, stored: &Stored) -> Result<Value, Status> {
    let mut obj = parse(stored)?;
    if let Some((_, conversion)) = &resource.storage {
        obj = (conversion.from_storage)(obj);
        set_kind(&mut obj, &resource.gvk);
        // What is always there in one version may be left out in the other when it is empty.
        obj = decode::encoded_form(&obj, type_of(&resource.gvk)?).map_err(Status::internal)?;
    }
    if resource.custom.is_none() {
        // What is defined at run time has got its kind and defaults when it was read.
        set_kind(&mut obj, &resource.gvk);
        default(resource, &mut obj);
    }
    Ok(obj)
}

/// An object in another version of its kind, with the defaults of that version.
///
/// # Errors
/// 500 when a conversion makes something that is none of its kind.
pub fn convert(from: &Resource, to: &Resource, mut obj: Value) -> Result<Value, Status> {
    if let Some((_, conversion)) = &from.storage {
        obj = (conversion.to_storage)(obj);
    }
    if let Some((_, conversion)) = &to.storage {
        obj = (conversion.from_storage)(obj);
    }
    set_kind(&mut obj, &to.gvk);
    if to.custom.is_none() {
        obj = decode::encoded_form(&obj, type_of(&to.gvk)?).map_err(Status::internal)?;
    }
    default(to, &mut obj);
    Ok(obj)
}

/// Sets the defaults of an object of the served version.
pub fn default(resource: &Resource, obj: &mut Value) {
    resource.strategy.default(obj);
}

/// A stored object as it is served: its bytes as they are, unless the kind is stored in another version.
///
/// # Errors
/// 500 when the store holds something else than JSON.
pub fn served(resource: &Resource, stored: &Stored) -> Result<Bytes, Status> {
    if resource.storage.is_none() {
        Ok(stored.bytes.clone())
    } else {
        decode(resource, stored).map(|obj| to_bytes(&obj))
    }
}

/// A stored object without kind and version, as an item of a list. `prefix` is [`type_prefix`] of the served kind.
///
/// # Errors
/// 500 when the store holds something else than JSON.
pub fn list_item(resource: &Resource, prefix: &str, stored: &Stored) -> Result<ListItem, Status> {
    if resource.custom.is_some() {
        // Their lists show the type of every item.
        let bytes = &stored.bytes;
        return Ok(ListItem {
            opened: true,
            rest: bytes.clone(),
        });
    }
    if resource.storage.is_none() && stored.bytes.starts_with(prefix.as_bytes()) {
        return Ok(ListItem {
            opened: false,
            rest: stored.bytes.slice(prefix.len()..),
        });
    }
    let mut obj = decode(resource, stored)?;
    if let Some(fields) = obj.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    Ok(ListItem {
        opened: true,
        rest: to_bytes(&obj),
    })
}

/// An item of a list, without a copy of its bytes.
pub struct ListItem {
    /// Whether `rest` begins with the opening brace.
    pub opened: bool,
    /// The item.
    pub rest: Bytes,
}

/// An object that was computed but not stored, as if it had been read from the store. Without a revision it has no
/// resourceVersion, as the result of a dry run.
///
/// # Errors
/// 500 when a hook has made something that is none of its kind.
pub fn unstored(resource: &Resource, obj: Value, revision: u64) -> Result<Stored, Status> {
    let obj = to_storage(resource, obj)?;
    let index = Index::of(&obj, &resource.selectable_fields).into();
    let plain = to_bytes(&obj);
    let bytes = if revision == 0 {
        plain
    } else {
        with_resource_version(&plain, revision).unwrap_or(plain)
    };
    Ok(Stored { bytes, revision, index })
}

/// The tree of a stored object, in the stored version.
///
/// # Errors
/// 500 when the store holds something else than JSON.
pub fn parse(stored: &Stored) -> Result<Value, Status> {
    stored.decode().map_err(|error| {
        Status::internal(format!(
            "stored object {}/{}: {error}",
            stored.index.namespace, stored.index.name
        ))
    })
}
