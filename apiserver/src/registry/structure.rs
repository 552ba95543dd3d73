//! What kinds have that are defined at run time, where built-in kinds have a type.

use machinery::gvk::GroupVersionKind;
use machinery::openapi::SchemaOf;
use machinery::schema::Type;
use machinery::schema::decode::Decoded;
use serde_json::Value;
use std::sync::Arc;
use structural::publish::Dialect;

/// What a definition says about the objects of one version of its kind.
pub trait Structure: Send + Sync {
    /// The type by which the owners of fields are kept.
    fn ty(&self) -> &Type;

    /// Checks and cleans the metadata of what was sent, and prunes what is not specified. What says that it is something
    /// else stays as it is: it is refused later.
    ///
    /// # Errors
    /// What is wrong with the metadata.
    fn decode(&self, object: Value) -> Result<Decoded, String>;

    /// The schema of the kind or of a list of it, as OpenAPI documents have it.
    fn published(&self, dialect: Dialect, part: SchemaOf) -> Value;

    /// The object in another version of the same kind, as far as the owners of its fields are concerned.
    ///
    /// # Errors
    /// When the kind has no such version.
    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, String>;

    /// The type of another version of the same kind, which need not be served.
    fn ty_in(&self, api_version: &str) -> Option<&Type>;

    /// Whether versions differ in nothing but their name and schema.
    fn renames(&self) -> bool;
}

/// A version of a kind that is defined at run time.
pub struct Version {
    /// Its name.
    pub name: String,
    /// The kind of each of its subresources.
    pub below: Vec<(&'static str, GroupVersionKind)>,
}

/// What only those kinds have that are defined at run time.
pub struct Custom {
    /// How objects are understood.
    pub structure: Arc<dyn Structure>,
    /// Whether discovery shows it.
    pub announced: bool,
    /// All versions, also those that are not served.
    pub versions: Arc<[Version]>,
    /// The stored version, when it is among those that are served.
    pub stored: Option<GroupVersionKind>,
    /// What changes when the definition does.
    pub stamp: String,
    /// Why no more objects can be made.
    pub closed: Option<&'static str>,
}
