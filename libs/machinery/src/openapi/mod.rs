//! OpenAPI documents of the served resources, made from the schema and a list of resources.
//!
//! Documents are written piece by piece to a writer, so that a caller can compress them on the way and nobody ever
//! holds one as a tree.

mod convert;
mod definitions;
mod gnostic;
mod operations;
mod parameters;
mod part;
mod shared;
mod v2;
mod v3;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::gvk::{GroupVersion, GroupVersionKind};
use crate::schema::{self, Details, Held, Patch, Property, Type, TypeRef};

pub use convert::Converted;
pub use part::Part;
pub use v2::Swagger;
pub use v3::Document;

/// A served resource.
#[derive(Clone)]
pub struct Resource<'a> {
    /// The kind of its objects.
    pub kind: GroupVersionKind,
    /// The name in paths.
    pub plural: &'a str,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// The verbs, as in discovery.
    pub verbs: &'a [&'a str],
    /// The schema of its objects.
    pub ty: Option<&'a Type>,
    /// The schema of a list of them.
    pub list: Option<&'a Type>,
    /// Whether a deletion answers with the object.
    pub returns_deleted: bool,
    /// What is served below its objects.
    pub subresources: Vec<Subresource<'a>>,
    /// What only kinds have that are defined at run time.
    pub custom: Option<Custom<'a>>,
}

/// The schemas of a kind that is defined at run time, made when they are written. Its types are only names
/// ([`custom_type`]).
#[derive(Clone)]
pub struct Custom<'a>(pub Arc<dyn Fn(SchemaOf) -> Value + 'a>);

/// One of the two schemas of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaOf {
    /// That of its objects.
    Object,
    /// That of a list of them.
    List,
}

/// A type of which documents need to know no more than its name, and that it has metadata of a type.
pub fn custom_type(name: &str, metadata: &str) -> Type {
    let details = Details {
        go_type: None,
        default: None,
        allowed: Held::Static(&[]),
        map_type: None,
        atomic_bytes: false,
        patch: Patch::default(),
        via: Held::Static(&[]),
    };
    let metadata = operations::meta_type(metadata).map(|ty| Property {
        name: "metadata".into(),
        description: "".into(),
        ty: TypeRef::Object(Held::Static(ty)),
        details: Held::Shared(Arc::new(details)),
        pointer: false,
        omit_empty: true,
        omit_zero: false,
        required: false,
        position: 0,
        number: 0,
    });
    Type {
        name: name.into(),
        description: "".into(),
        properties: metadata.into_iter().collect::<Vec<_>>().into(),
        kinds: Held::Static(&[]),
        any_version: false,
        atomic: false,
        open: true,
        hidden: false,
        message: false,
        json_type: None,
        format: None,
        unions: Held::Static(&[]),
    }
}

/// What is served besides resources and described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The version of the server.
    Version,
    /// The issuer of tokens.
    Issuer,
    /// The keys that tokens are checked with.
    Keys,
}

impl Page {
    /// All of them.
    pub const ALL: [Page; 3] = [Page::Version, Page::Issuer, Page::Keys];

    /// The path without slashes around it.
    pub fn path(self) -> &'static str {
        match self {
            Page::Version => "version",
            Page::Issuer => ".well-known/openid-configuration",
            Page::Keys => "openid/v1/jwks",
        }
    }
}

/// A served subresource.
#[derive(Clone)]
pub struct Subresource<'a> {
    /// The last segment of its path.
    pub name: &'a str,
    /// The kind it takes and answers.
    pub kind: GroupVersionKind,
    /// The verbs, as in discovery.
    pub verbs: &'a [&'a str],
    /// The schema of what it takes and answers; without one it is a stream or a plain text.
    pub ty: Option<&'a Type>,
}

impl<'a> Resource<'a> {
    /// A built-in resource, with the schemas of its kind.
    pub fn builtin(kind: GroupVersionKind, plural: &'a str, namespaced: bool, verbs: &'a [&'a str]) -> Self {
        let ty = |suffix: &str| schema::by_gvk(&kind.group, &kind.version, &format!("{}{suffix}", kind.kind));
        let (ty, list) = (ty(""), ty("List"));
        Resource {
            kind,
            plural,
            namespaced,
            verbs,
            ty,
            list,
            returns_deleted: false,
            subresources: Vec::new(),
            custom: None,
        }
    }

    /// Adds a subresource of a built-in kind.
    #[must_use]
    pub fn with(mut self, name: &'a str, kind: GroupVersionKind, verbs: &'a [&'a str]) -> Self {
        let ty = schema::by_gvk(&kind.group, &kind.version, &kind.kind);
        self.subresources.push(Subresource { name, kind, verbs, ty });
        self
    }

    fn group_version(&self) -> GroupVersion {
        GroupVersion::new(self.kind.group.clone(), self.kind.version.clone())
    }
}

/// The name and version of the API in the documents' head.
fn info() -> Value {
    json!({"title": "Kubernetes", "version": "1.36"})
}

/// The same in documents about kinds that are defined at run time.
fn custom_info() -> Value {
    json!({"title": "Kubernetes CRD Swagger", "version": "v0.1.0"})
}

type CustomSchemas<'a> = BTreeMap<&'a str, (&'a Custom<'a>, SchemaOf)>;

/// The schemas that definitions say, by the names of their types.
fn custom_schemas<'a>(resources: &'a [Resource<'a>]) -> CustomSchemas<'a> {
    let mut schemas = BTreeMap::new();
    for resource in resources {
        if let (Some(custom), Some(ty), Some(list)) = (&resource.custom, resource.ty, resource.list) {
            schemas.insert(&*ty.name, (custom, SchemaOf::Object));
            schemas.insert(&*list.name, (custom, SchemaOf::List));
        }
    }
    schemas
}

/// The one way to authenticate that the documents tell.
fn bearer_token() -> Value {
    json!({"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"})
}

fn kind_value(kind: &GroupVersionKind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

/// Writes `{"name": value, …}` without the braces, one entry at a time.
struct Entries<'w> {
    out: &'w mut dyn Write,
    first: bool,
}

impl<'w> Entries<'w> {
    fn new(out: &'w mut dyn Write) -> Self {
        Entries { out, first: true }
    }

    fn add(&mut self, name: &str, value: &Value) -> io::Result<()> {
        if !std::mem::take(&mut self.first) {
            self.out.write_all(b",")?;
        }
        serde_json::to_writer(&mut *self.out, name)?;
        self.out.write_all(b":")?;
        serde_json::to_writer(&mut *self.out, value)?;
        Ok(())
    }
}

/// An object of the entries that are there.
fn object<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
    let present = entries
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests;
