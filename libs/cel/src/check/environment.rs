//! What an expression may name: variables, functions of its own, and objects with fields.

use super::declarations::{self, Overload};
use super::types::Type;
use crate::parse::Syntax;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The objects that expressions may look into, by the name of their type.
pub trait Fields {
    /// Whether there are objects of this type.
    fn has(&self, object: &str) -> bool;
    /// The type of a field; none if objects of the type have no such field.
    fn field(&self, object: &str, field: &str) -> Option<Type>;
    /// Whether the name of the type may be written in an expression, to make such an object.
    fn is_named(&self, _object: &str) -> bool {
        true
    }
}

/// What is declared for an expression on top of Kubernetes' functions.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Type>,
    functions: Vec<&'static str>,
    fields: Vec<Arc<dyn Fields + Send + Sync>>,
    pub(crate) syntax: Syntax,
}

impl Environment {
    /// Only Kubernetes' functions.
    #[must_use]
    pub fn new() -> Environment {
        Environment::default()
    }

    /// With a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, of: Type) -> Environment {
        self.variables.insert(name.to_owned(), of);
        self
    }

    /// With functions, each as a signature: `[receiver] name(arguments): result`.
    #[must_use]
    pub fn functions(mut self, signatures: &[&'static str]) -> Environment {
        self.functions.extend(signatures);
        self
    }

    /// With objects.
    #[must_use]
    pub fn objects(mut self, fields: Arc<dyn Fields + Send + Sync>) -> Environment {
        self.fields.push(fields);
        self
    }

    /// With macros that are not known everywhere.
    #[must_use]
    pub fn syntax(mut self, syntax: Syntax) -> Environment {
        self.syntax = syntax;
        self
    }

    pub(super) fn name(&self, name: &str) -> Option<Type> {
        if let Some(of) = self.variables.get(name) {
            return Some(of.clone());
        }
        if self
            .fields
            .iter()
            .any(|fields| fields.has(name) && fields.is_named(name))
        {
            return Some(Type::Type(Some(Arc::new(Type::object(name)))));
        }
        Some(Type::Type(Some(Arc::new(declarations::named_type(name)?))))
    }

    pub(super) fn function(&self, name: &str) -> Vec<Overload> {
        let mut found = declarations::overloads(name);
        let own = self
            .functions
            .iter()
            .filter(|line| declarations::function_name(line) == name);
        found.extend(own.filter_map(|line| declarations::overload(line)));
        found
    }

    pub(super) fn has_object(&self, object: &str) -> bool {
        self.fields.iter().any(|fields| fields.has(object))
    }

    pub(super) fn field(&self, object: &str, field: &str) -> Option<Type> {
        self.fields.iter().find_map(|fields| fields.field(object, field))
    }
}
