//! Types of expressions, and when a value of one may stand where another is wanted (cel-go `checker/types.go`).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The type of an expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    /// Known only when the expression is evaluated.
    Dyn,
    /// Any message, whose type is known only when the expression is evaluated.
    Any,
    /// The type of what is wrong.
    Error,
    /// The type of `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// Signed numbers of 64 bits.
    Int,
    /// Unsigned numbers of 64 bits.
    Uint,
    /// Floating point numbers of 64 bits.
    Double,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// Lengths of time.
    Duration,
    /// Points in time.
    Timestamp,
    /// Lists of one type.
    List(Arc<Type>),
    /// Maps from one type to another.
    Map(Arc<(Type, Type)>),
    /// Objects with named fields.
    Struct(Arc<str>),
    /// Types with functions but without fields, and what they are made of.
    Opaque(Arc<str>, Arc<[Type]>),
    /// A type that is not yet known.
    Param(Arc<str>),
    /// The type of a type.
    Type(Option<Arc<Type>>),
}

/// The name of types whose values may be absent.
const OPTIONAL: &str = "optional_type";

impl Type {
    /// Lists of a type.
    #[must_use]
    pub fn list(of: Type) -> Type {
        Type::List(Arc::new(of))
    }

    /// Maps from a type to a type.
    #[must_use]
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new((key, value)))
    }

    /// Objects with a name.
    #[must_use]
    pub fn object(name: &str) -> Type {
        Type::Struct(name.into())
    }

    /// Types without fields or parts.
    #[must_use]
    pub fn opaque(name: &str) -> Type {
        Type::Opaque(name.into(), Arc::new([]))
    }

    /// Values that may be absent.
    #[must_use]
    pub fn optional(of: Type) -> Type {
        Type::Opaque(OPTIONAL.into(), Arc::new([of]))
    }

    pub(super) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn | Type::Any)
    }

    pub(super) fn is_dyn_or_error(&self) -> bool {
        self.is_dyn() || *self == Type::Error
    }

    /// What an optional type is made of.
    pub(super) fn unwrap_optional(&self) -> Option<&Type> {
        match self {
            Type::Opaque(name, parts) if **name == *OPTIONAL => parts.first(),
            _ => None,
        }
    }

    /// The name of the type without what it is made of.
    pub(super) fn name(&self) -> &str {
        match self {
            Type::Dyn => "dyn",
            Type::Any => "any",
            Type::Error => "!error!",
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Duration => "duration",
            Type::Timestamp => "timestamp",
            Type::List(_) => "list",
            Type::Map(_) => "map",
            Type::Struct(name) | Type::Opaque(name, _) | Type::Param(name) => name,
            Type::Type(_) => "type",
        }
    }

    pub(super) fn parts(&self) -> Vec<&Type> {
        match self {
            Type::List(of) => vec![of],
            Type::Map(entry) => vec![&entry.0, &entry.1],
            Type::Opaque(_, parts) => parts.iter().collect(),
            Type::Type(Some(of)) => vec![of],
            _ => Vec::new(),
        }
    }

    fn with_parts(&self, change: &mut impl FnMut(&Type) -> Type) -> Type {
        match self {
            Type::List(of) => Type::list(change(of)),
            Type::Map(entry) => Type::map(change(&entry.0), change(&entry.1)),
            Type::Opaque(name, parts) => Type::Opaque(name.clone(), parts.iter().map(change).collect()),
            Type::Type(Some(of)) => Type::Type(Some(Arc::new(change(of)))),
            other => other.clone(),
        }
    }

    /// How cel-go names the type outside of complaints by its checker: durations and times have their long names.
    #[must_use]
    pub fn runtime_name(&self) -> String {
        match self {
            Type::Duration => "google.protobuf.Duration".to_owned(),
            Type::Timestamp => "google.protobuf.Timestamp".to_owned(),
            Type::Any => "google.protobuf.Any".to_owned(),
            Type::Null => "null_type".to_owned(),
            _ => {
                let parts: Vec<String> = self.parts().into_iter().map(Type::runtime_name).collect();
                if parts.is_empty() {
                    self.name().to_owned()
                } else {
                    format!("{}({})", self.name(), parts.join(", "))
                }
            }
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let parts = self.parts();
        if !parts.is_empty() {
            let parts: Vec<String> = parts.into_iter().map(Type::to_string).collect();
            write!(f, "({})", parts.join(", "))?;
        }
        Ok(())
    }
}

/// What is known about types that were not known at first.
#[derive(Debug, Clone, Default)]
pub(super) struct Mapping {
    known: HashMap<Arc<str>, Type>,
}

impl Mapping {
    fn find(&self, of: &Type) -> Option<&Type> {
        match of {
            Type::Param(name) => self.known.get(name),
            _ => None,
        }
    }

    pub(super) fn learn(&mut self, of: &Type, is: &Type) {
        if let Type::Param(name) = of {
            self.known.insert(name.clone(), is.clone());
        }
    }

    /// The mapping in which every value fits where it is wanted, if there is one.
    pub(super) fn fitting(&self, wanted: &[Type], given: &[Type]) -> Option<Mapping> {
        let mut mapping = self.clone();
        mapping.all_fit(wanted, given).then_some(mapping)
    }

    fn all_fit(&mut self, wanted: &[Type], given: &[Type]) -> bool {
        wanted.len() == given.len() && wanted.iter().zip(given).all(|(a, b)| self.fits(a, b))
    }

    fn fits(&mut self, a: &Type, b: &Type) -> bool {
        if matches!(b, Type::Param(_)) {
            let (valid, known) = self.substitutes(a, b);
            if valid || known {
                return valid;
            }
        }
        if matches!(a, Type::Param(_)) {
            return self.substitutes(b, a).0;
        }
        if a.is_dyn_or_error() || b.is_dyn_or_error() {
            return true;
        }
        if *a == Type::Null || *b == Type::Null {
            let other = if *a == Type::Null { b } else { a };
            return matches!(
                other,
                Type::Null | Type::Opaque(..) | Type::Struct(_) | Type::Duration | Type::Timestamp
            );
        }
        match (a, b) {
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) => self.fits(a, b),
            (Type::Map(a), Type::Map(b)) => self.fits(&a.0, &b.0) && self.fits(&a.1, &b.1),
            (Type::Opaque(a, of), Type::Opaque(b, with)) => a == b && self.all_fit(of, with),
            _ => a == b,
        }
    }

    /// Whether a type may stand for an unknown one, and whether something was known about that.
    fn substitutes(&mut self, is: &Type, of: &Type) -> (bool, bool) {
        if is == of {
            return (true, true);
        }
        if let Some(known) = self.find(of).cloned() {
            if *is == known {
                return (true, true);
            }
            if self.fits(is, &known) {
                let general = most_general(is, &known).clone();
                if self.independent(of, &general) {
                    self.learn(of, &general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.independent(of, is) {
            self.learn(of, is);
            return (true, false);
        }
        (false, false)
    }

    /// Whether a type does not occur in another.
    fn independent(&self, one: &Type, within: &Type) -> bool {
        if one == within {
            return false;
        }
        match within {
            Type::Param(_) => self.find(within).is_none_or(|known| self.independent(one, known)),
            _ => within.parts().into_iter().all(|part| self.independent(one, part)),
        }
    }

    /// A type with everything known put in; what is still unknown becomes [`Type::Dyn`] if `settle`.
    pub(super) fn apply(&self, to: &Type, settle: bool) -> Type {
        if let Some(known) = self.find(to) {
            return self.apply(known, settle);
        }
        match to {
            Type::Param(_) if settle => Type::Dyn,
            _ => to.with_parts(&mut |part| self.apply(part, settle)),
        }
    }
}

/// The type of a collection with values of both types.
pub(super) fn most_general<'t>(a: &'t Type, b: &'t Type) -> &'t Type {
    if as_general(a, b) { a } else { b }
}

fn as_general(a: &Type, b: &Type) -> bool {
    if a.is_dyn() || matches!(a, Type::Param(_)) {
        return true;
    }
    if b.is_dyn() || matches!(b, Type::Param(_)) {
        return false;
    }
    match (a, b) {
        (Type::Type(_), Type::Type(_)) => true,
        (Type::Opaque(a, of), Type::Opaque(b, with)) => {
            a == b && of.len() == with.len() && of.iter().zip(with.iter()).all(|(a, b)| as_general(a, b))
        }
        (Type::List(a), Type::List(b)) => as_general(a, b),
        (Type::Map(a), Type::Map(b)) => as_general(&a.0, &b.0) && as_general(&a.1, &b.1),
        _ => a == b,
    }
}
