//! The schemas of custom resources (apiextensions-apiserver `pkg/apiserver/schema`, `pkg/apiserver/validation`): what an object
//! loses by them, what they add, and what is wrong with it. Everything here is a function of schema and object.

mod apply;
mod check;
mod coerce;
mod correlate;
mod defaults;
mod definition;
mod embedded;
pub mod field_path;
pub mod formats;
mod lists;
mod node;
mod prune;
pub mod publish;
pub mod rules;
mod scale;
mod validator;

pub use coerce::{Coercion, Malformed};
pub use definition::validate_defaults;
pub use embedded::MetadataRules;
pub use node::{Additional, Kind, ListType, Node};
pub use rules::{Findings, Rules, Write};
pub use scale::Scale;
pub use validator::Validator;

use check::Form;
use correlate::Correlated;
use machinery::field::{ErrorList, Path};
use machinery::schema::Type;
use serde_json::Value;
use std::sync::Arc;

/// The schema of a kind in one version. Clones share it.
#[derive(Debug, Clone)]
pub struct Structural {
    root: Arc<Node>,
}

impl Structural {
    /// Reads a version's `openAPIV3Schema` as it is written.
    ///
    /// # Errors
    /// It has parts that no structural schema has (upstream `NewStructural`).
    pub fn parse(schema: &Value) -> Result<Structural, String> {
        Ok(Structural {
            root: Arc::new(Node::parse(schema)?),
        })
    }

    /// Reads a version's schema to serve objects by it: its defaults lose what objects would lose (`PruneDefaults`).
    ///
    /// # Errors
    /// It has parts that no structural schema has.
    pub fn for_serving(schema: &Value) -> Result<Structural, String> {
        let mut root = Node::parse(schema)?;
        defaults::prune_defaults(&mut root);
        Ok(Structural { root: Arc::new(root) })
    }

    /// The schema of objects of which nothing is known: they keep all they have.
    #[must_use]
    pub fn anything() -> Structural {
        Structural {
            root: Arc::new(Node::anything()),
        }
    }

    /// What the schema says about whole objects.
    #[must_use]
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The schema of a field of the object, such as its status; none if the schema does not name it.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<Structural> {
        let root = Arc::clone(self.root.property(name)?);
        Some(Structural { root })
    }

    /// Takes away what the schema does not know, but for kind and metadata of the object and of embedded ones. Answers the
    /// paths of what is gone, in order.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        prune::prune(object, &self.root, true)
    }

    /// Takes away nulls where the schema allows none and has no default for them
    /// (`PruneNonNullableNullsWithoutDefaults`).
    pub fn drop_nulls(&self, object: &mut Value) {
        prune::drop_nulls(object, Some(&self.root));
    }

    /// Sets what is missing and has a default, and what is null though it must not be.
    pub fn default(&self, object: &mut Value) {
        defaults::set(object, &self.root);
    }

    /// Brings an object that was read into the form it is kept in: metadata as those of every kind, nothing that the schema
    /// does not know, no nulls that it does not allow (`unstructuredSchemaCoercer`). Answers the paths of unknown fields.
    ///
    /// # Errors
    /// Kind, version or metadata, of the object or of one within it, are of the wrong type.
    pub fn coerce(&self, object: &mut Value, how: Coercion) -> Result<Vec<String>, Malformed> {
        coerce::whole(object, Some(&self.root), how)
    }

    /// What is wrong with a value. `path` is where it stands: the empty path for whole objects.
    #[must_use]
    pub fn validate(&self, value: &Value, path: &Path) -> ErrorList {
        check::value(value, &self.root, path, None, Form::Served)
    }

    /// What is wrong with a value that was `old` before; what did not change is not complained about.
    #[must_use]
    pub fn validate_update(&self, new: &Value, old: &Value, path: &Path) -> ErrorList {
        let before = Correlated::new(new, old, &self.root);
        check::value(new, &self.root, path, Some(before), Form::Served)
    }

    /// The type by which server-side apply sees whole objects; `name` is its name in OpenAPI. If they are `open`, they may have
    /// fields that the schema does not name (`spec.preserveUnknownFields`).
    #[must_use]
    pub fn apply_type(&self, name: &str, kind: machinery::schema::Kind, open: bool) -> Type {
        apply::type_of(&self.root, name, kind, open)
    }

    /// Items that occur twice in lists that are sets or maps (`ValidateListSetsAndMaps`).
    #[must_use]
    pub fn validate_lists(&self, object: &Value) -> ErrorList {
        lists::validate(object, &self.root, &Path::root())
    }

    /// What is wrong with kind and metadata of the objects within an object (schema/objectmeta `Validate`).
    #[must_use]
    pub fn validate_embedded(&self, object: &Value, rules: MetadataRules<'_>) -> ErrorList {
        embedded::validate(object, &self.root, false, &Path::root(), rules)
    }
}

/// Brings an object whose kind keeps unknown fields (`spec.preserveUnknownFields`) into the form it is kept in.
///
/// # Errors
/// Kind, version or metadata are of the wrong type.
pub fn coerce_unpruned(object: &mut Value, how: Coercion) -> Result<Vec<String>, Malformed> {
    coerce::whole(object, None, how)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
