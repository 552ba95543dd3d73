//! The schema as structured-merge-diff sees it: everything is a scalar, a list or a map, and lists and maps are either
//! one value or have elements with owners of their own (kube-openapi `schemaconv`).

use serde_json::Value;

use super::fieldset::PathElement;
use crate::schema::{ListType, MapType, Property, Scalar, Text, Type, TypeRef};

/// A type at a place in an object.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    kind: Kind<'a>,
    /// What the property says about its map, where that differs from the type.
    map_type: Option<MapType>,
}

#[derive(Clone, Copy)]
enum Kind<'a> {
    Type(&'a Type),
    Ref(&'a TypeRef),
    /// Anything; maps have owners field by field.
    Deduced,
    /// Anything, as one value.
    Atomic,
    /// Nothing is known, because a set names a path the schema does not have.
    Missing,
}

/// What a value is treated as.
pub(super) enum Atom<'a> {
    Scalar(ScalarKind),
    List(ListAtom<'a>),
    Map(MapAtom<'a>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ScalarKind {
    Numeric,
    String,
    Boolean,
    Untyped,
}

pub(super) struct ListAtom<'a> {
    pub(super) items: View<'a>,
    pub(super) identity: Identity<'a>,
}

/// What identifies a list's elements.
#[derive(Clone, Copy)]
pub(super) enum Identity<'a> {
    Atomic,
    Value,
    Keys(&'a [Text]),
}

pub(super) struct MapAtom<'a> {
    pub(super) atomic: bool,
    /// The type with the named fields, for objects.
    named: Option<&'a Type>,
    /// What values of other keys are.
    values: Option<View<'a>>,
    /// Whether nothing at all is declared about it.
    pub(super) undeclared: bool,
}

/// The form of a value, as far as it decides what an untyped place is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Null,
    Scalar,
    List,
    Map,
}

fn shape(value: &Value) -> Shape {
    match value {
        Value::Null => Shape::Null,
        Value::Array(_) => Shape::List,
        Value::Object(_) => Shape::Map,
        _ => Shape::Scalar,
    }
}

impl<'a> View<'a> {
    /// The root of an object of this type.
    pub(super) fn root(ty: &'a Type) -> Self {
        View {
            kind: Kind::Type(ty),
            map_type: None,
        }
    }

    /// The root of an object without schema.
    pub(super) fn deduced() -> Self {
        View {
            kind: Kind::Deduced,
            map_type: None,
        }
    }

    fn missing() -> Self {
        View {
            kind: Kind::Missing,
            map_type: None,
        }
    }

    fn atomic() -> Self {
        View {
            kind: Kind::Atomic,
            map_type: None,
        }
    }

    fn of(ty: &'a TypeRef, map_type: Option<MapType>) -> Self {
        let kind = match ty {
            TypeRef::Object(ty) => Kind::Type(ty),
            // Raw values of built-in types have one owner each; what a custom type leaves open is looked into.
            TypeRef::Any(Some(_)) => Kind::Atomic,
            TypeRef::Any(None) => Kind::Deduced,
            other => Kind::Ref(other),
        };
        View { kind, map_type }
    }

    fn of_property(property: &'a Property) -> Self {
        Self::of(&property.ty, property.details.map_type)
    }

    /// What a value at this place is treated as; `None` where nothing is known.
    pub(super) fn atom(&self, value: Option<&Value>) -> Option<Atom<'a>> {
        let is_atomic = |by_type: bool| self.map_type.map_or(by_type, |t| t == MapType::Atomic);
        let untyped = |items: View<'a>, atomic: bool| match value.map_or(Shape::Null, shape) {
            Shape::Scalar => Atom::Scalar(ScalarKind::Untyped),
            Shape::List => Atom::List(ListAtom {
                items: View::atomic(),
                identity: Identity::Atomic,
            }),
            Shape::Map | Shape::Null => Atom::Map(MapAtom {
                atomic,
                named: None,
                values: Some(items),
                undeclared: !atomic,
            }),
        };
        Some(match self.kind {
            Kind::Missing => return None,
            Kind::Deduced => untyped(View::deduced(), false),
            Kind::Atomic => untyped(View::atomic(), true),
            Kind::Type(ty) => Atom::Map(MapAtom {
                atomic: is_atomic(ty.atomic),
                named: Some(ty),
                values: ty.open.then(View::deduced),
                undeclared: false,
            }),
            Kind::Ref(TypeRef::Map(values)) => Atom::Map(MapAtom {
                atomic: is_atomic(false),
                named: None,
                values: Some(View::of(values, None)),
                undeclared: false,
            }),
            Kind::Ref(TypeRef::Array(array)) => Atom::List(ListAtom {
                items: View::of(&array.items, None),
                identity: match &array.list_type {
                    None | Some(ListType::Atomic) => Identity::Atomic,
                    Some(ListType::Set) => Identity::Value,
                    Some(ListType::Map(keys)) => Identity::Keys(keys),
                },
            }),
            Kind::Ref(TypeRef::Scalar(scalar)) => Atom::Scalar(match scalar {
                Scalar::Boolean => ScalarKind::Boolean,
                Scalar::Int32 | Scalar::Int64 | Scalar::Double => ScalarKind::Numeric,
                Scalar::String | Scalar::Bytes => ScalarKind::String,
                Scalar::Quantity | Scalar::IntOrString | Scalar::Time | Scalar::MicroTime => ScalarKind::Untyped,
            }),
            Kind::Ref(TypeRef::Object(_) | TypeRef::Any(_)) => return None,
        })
    }

    /// What two values at this place are treated as: one thing, or each as its own where they differ in form and the
    /// schema does not tell.
    pub(super) fn atoms(&self, left: Option<&Value>, right: Option<&Value>) -> (Option<Atom<'a>>, Option<Atom<'a>>) {
        match (left, right) {
            (Some(left), Some(right)) => {
                let told = !matches!(self.kind, Kind::Deduced | Kind::Atomic);
                let first = if told || shape(left) == shape(right) {
                    None
                } else {
                    self.atom(Some(left))
                };
                (first, self.atom(Some(right)))
            }
            (left, None) => (None, self.atom(left)),
            (None, right) => (None, self.atom(right)),
        }
    }

    /// The place a path element leads to, whatever value is there.
    pub(super) fn child(&self, element: &PathElement) -> View<'a> {
        match (self.kind, element) {
            (Kind::Deduced, PathElement::Field(_)) => View::deduced(),
            (Kind::Deduced | Kind::Atomic, _) => View::atomic(),
            _ => match (self.atom(None), element) {
                (Some(Atom::Map(map)), PathElement::Field(name)) => map.field(name).unwrap_or_else(View::missing),
                (Some(Atom::List(list)), PathElement::Key(_)) => list.items,
                _ => View::missing(),
            },
        }
    }

    /// Whether the schema names this field.
    pub(super) fn names(&self, element: &PathElement) -> bool {
        match (self.kind, element) {
            (Kind::Type(ty), PathElement::Field(name)) => ty.property(name).is_some(),
            _ => false,
        }
    }
}

impl<'a> MapAtom<'a> {
    /// What the value of a field is; `None` when the field is not declared.
    pub(super) fn field(&self, name: &str) -> Option<View<'a>> {
        let named = self.named.and_then(|ty| ty.property(name)).map(View::of_property);
        named.or(self.values)
    }

    /// Whether the field is one of those the schema names.
    pub(super) fn names(&self, name: &str) -> bool {
        self.named.is_some_and(|ty| ty.property(name).is_some())
    }
}

impl<'a> ListAtom<'a> {
    /// The path element of a list's item.
    ///
    /// # Errors
    /// When the item has no key or its type cannot be one.
    pub(super) fn element_of(&self, item: &Value) -> Result<PathElement, String> {
        let message = |text: &str| Err(text.to_owned());
        match (self.identity, item) {
            (Identity::Atomic, _) => message("invalid indexing of non-associative list"),
            (Identity::Value, Value::Object(_)) => {
                message("associative list without keys has an element that's a map type")
            }
            (Identity::Value, Value::Array(_)) => message("not supported: associative list with lists as elements"),
            (Identity::Value, Value::Null) => {
                message("associative list without keys has an element that's an explicit null")
            }
            (Identity::Value, item) => Ok(PathElement::Value(item.clone())),
            (Identity::Keys(_), Value::Null) => message("associative list with keys may not have a null element"),
            (Identity::Keys(keys), Value::Object(fields)) => {
                let mut found = Vec::with_capacity(keys.len());
                for key in keys {
                    let value = fields.get(&**key).cloned().or_else(|| self.default_of(key));
                    found.extend(value.map(|value| (key.to_string(), value)));
                }
                if found.is_empty() {
                    let names: Vec<String> = keys.iter().map(|key| crate::field::go_quote(key)).collect();
                    return Err(format!(
                        "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
                         values for any key fields)",
                        names.join(" ")
                    ));
                }
                found.sort_by(|(l, _), (r, _)| l.cmp(r));
                Ok(PathElement::Key(found))
            }
            (Identity::Keys(_), _) => message("associative list with keys may not have non-map elements"),
        }
    }

    fn default_of(&self, key: &str) -> Option<Value> {
        let Kind::Type(ty) = self.items.kind else { return None };
        let default = ty.property(key)?.details.default.as_deref()?;
        serde_json::from_str(default).ok()
    }
}
