//! The internal types that messages show (`pkg/apis/*/types.go`): Go name and served name of every field, with what
//! a struct embeds among its own.

mod others;
mod pods;
mod volumes;

use serde_json::Value;

/// How a field is printed.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// As it is served, `null` when absent.
    Plain,
    /// As it is served, and as this text when absent.
    Zero(&'static str),
    /// A struct that is always there.
    Struct(&'static str),
    /// A struct, `null` when absent.
    Pointer(&'static str),
    /// A list of structs, `null` when absent.
    List(&'static str),
    /// A label selector, `null` when absent.
    Selector,
}

/// A field.
pub(super) struct Field {
    /// Its name in Go.
    pub(super) name: &'static str,
    /// How it is printed.
    pub(super) kind: Kind,
    served: &'static str,
}

impl Field {
    /// The value of the field in a served struct. A pod's internal security context also has fields that are served
    /// beside it; it finds them where they are because it is given the whole spec.
    pub(super) fn value_in<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        if self.served.is_empty() {
            return Some(value);
        }
        let beside = || {
            value
                .get("securityContext")
                .and_then(|context| context.get(self.served))
        };
        value.get(self.served).or_else(beside)
    }
}

const fn field(name: &'static str, served: &'static str, kind: Kind) -> Field {
    Field { name, kind, served }
}

const PLAIN: Kind = Kind::Plain;
const TEXT: Kind = Kind::Zero("\"\"");
const NUMBER: Kind = Kind::Zero("0");
const QUANTITY: Kind = Kind::Zero("\"0\"");
const SELECTOR: Kind = Kind::Selector;
const FLAG: Kind = Kind::Zero("false");

const fn inline(name: &'static str) -> Kind {
    Kind::Struct(name)
}

const fn pointer(name: &'static str) -> Kind {
    Kind::Pointer(name)
}

const fn list(name: &'static str) -> Kind {
    Kind::List(name)
}

/// All types.
pub(super) fn all() -> impl Iterator<Item = &'static (&'static str, &'static [Field])> {
    [pods::TYPES, volumes::TYPES, others::TYPES].into_iter().flatten()
}

/// The fields of a type; none of one that is not there.
pub(super) fn fields(name: &str) -> &'static [Field] {
    all().find(|(n, _)| *n == name).map_or(&[], |(_, fields)| *fields)
}
