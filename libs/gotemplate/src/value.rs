//! The values that templates compute with.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value as Json;

/// A value; copies of it are cheap.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// No value at all: what a map does not have, and what is left of a null that went through a pipeline.
    Missing,
    /// A null of the data.
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    List(Rc<[Value]>),
    Map(Rc<BTreeMap<String, Value>>),
}

impl From<&Json> for Value {
    fn from(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Float(number.as_f64().unwrap_or_default()),
            Json::String(text) => Self::text(text),
            Json::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Json::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.clone(), Self::from(value)));
                Self::Map(Rc::new(fields.collect()))
            }
        }
    }
}

/// What can be compared with what (`basicKind` of text/template/funcs.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basic {
    None,
    Bool,
    Int,
    Float,
    Text,
}

impl Value {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Missing | Self::Null)
    }

    /// What is handed on by a pipeline: nulls become nothing.
    pub(crate) fn concrete(self) -> Self {
        match self {
            Self::Null => Self::Missing,
            value => value,
        }
    }

    /// Whether `if` takes it for true: it is not the zero of its type, and not empty.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Missing | Self::Null => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(fields) => !fields.is_empty(),
        }
    }

    pub(crate) fn basic(&self) -> Basic {
        match self {
            Self::Bool(_) => Basic::Bool,
            Self::Int(_) => Basic::Int,
            Self::Float(_) => Basic::Float,
            Self::Text(_) => Basic::Text,
            Self::Missing | Self::Null | Self::List(_) | Self::Map(_) => Basic::None,
        }
    }

    /// What Go calls the type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Missing | Self::Null => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
        }
    }
}
