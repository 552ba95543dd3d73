//! What decoding JSON into Go's typed structs and encoding it again does to an object: unknown fields go, nulls go, zero
//! values go or come by Go's omitempty rules, and times, quantities and bytes take their canonical form.
//!
//! Lists and maps that are given but empty differ from none at all until the object is encoded: defaults and checks can
//! tell them apart in Go. So [`decode`] keeps them, and [`encoded_form`] and [`super::empty::leave_out_empty`] take them away.
//!
//! Rules and texts: sigs.k8s.io/json and the UnmarshalJSON/MarshalJSON methods of apimachinery.

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde_json::{Map, Value};

use super::empty::{absent, is_empty, is_list_or_map, is_omitted, zero, zero_object};
use super::json::{self, Node, SyntaxError};
use super::model::{Property, Scalar, Type, TypeRef};
use super::scalar;
use super::tree::Tree;

/// A decoded object and what strict field validation has to say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The object as the server stores and serves it, but for lists and maps that are given and empty.
    pub value: Value,
    /// Unknown and duplicate fields in the order they were met, such as `unknown field "spec.foo"`.
    pub strict: Vec<String>,
}

/// Why a JSON text is no object of the type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// It is no JSON.
    Syntax(SyntaxError),
    /// A field has the wrong type or form.
    Type(String),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Syntax(error) => error.fmt(f),
            DecodeError::Type(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<SyntaxError> for DecodeError {
    fn from(error: SyntaxError) -> Self {
        DecodeError::Syntax(error)
    }
}

/// Decodes a JSON text into an object of type `ty`.
///
/// # Errors
/// When the text is no JSON or a field has the wrong type; unknown and repeated fields are no errors here.
pub fn decode(text: &[u8], ty: &Type) -> Result<Decoded, DecodeError> {
    decode_node(json::parse(text)?, ty)
}

/// Decodes a JSON tree into an object of type `ty`, as after a patch.
///
/// # Errors
/// When a field has the wrong type.
pub fn decode_value(value: &Value, ty: &Type) -> Result<Decoded, DecodeError> {
    decode_node(Node::from(value), ty)
}

/// The same for a tree whose numbers are as they were written.
///
/// # Errors
/// When a field has the wrong type.
pub fn decode_tree(tree: &Tree, ty: &Type) -> Result<Decoded, DecodeError> {
    decode_node(Node::from(tree), ty)
}

/// The form that encoding an object of type `ty` gives: that of [`decode_value`] without the empty lists and maps that
/// Go leaves out.
///
/// # Errors
/// When a field has the wrong type.
pub fn encoded_form(value: &Value, ty: &Type) -> Result<Value, DecodeError> {
    in_form(value, ty, Form::Encoded)
}

/// The form in which an object of type `ty` is stored and read again: that of [`encoded_form`] but for what the stored
/// form (protobuf) cannot tell apart, an empty list and none.
///
/// # Errors
/// When a field has the wrong type.
pub fn stored_form(value: &Value, ty: &Type) -> Result<Value, DecodeError> {
    in_form(value, ty, Form::Stored)
}

fn in_form(value: &Value, ty: &Type, form: Form) -> Result<Value, DecodeError> {
    let mut decoder = Decoder {
        form,
        ..Decoder::default()
    };
    let value = decoder.object(Node::from(value), ty, ty.go_type(), None)?;
    decoder.finish(value)
}

/// Reads a JSON text that has no schema; only repeated fields are reported. Floats stay floats, even if they are integers.
///
/// # Errors
/// When the text is no JSON or has a number that is too large.
pub fn decode_untyped(text: &[u8]) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder {
        exact: true,
        ..Decoder::default()
    };
    let value = decoder.any(json::parse(text)?);
    Ok(Decoded {
        value: decoder.finish(value)?,
        strict: decoder.strict,
    })
}

/// Decodes a JSON text that is a list of objects of type `ty`.
///
/// # Errors
/// When the text is no JSON or a field has the wrong type.
pub fn decode_list(text: &[u8], ty: &Type) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder::default();
    let items = match json::parse(text)? {
        Node::Null => Vec::new(),
        Node::Array(items) => items,
        other => return Err(decoder.mismatch(other.kind(), &format!("[]{}", ty.go_type()))),
    };
    let mut values = Vec::with_capacity(items.len());
    for (i, item) in items.into_iter().enumerate() {
        values.push(decoder.inside(format_args!("[{i}]"), |d| match item {
            Node::Null => Ok(zero_object(ty)),
            item => d.object(item, ty, ty.go_type(), None),
        })?);
    }
    Ok(Decoded {
        value: decoder.finish(Value::Array(values))?,
        strict: decoder.strict,
    })
}

/// Decodes a tree the way upstream does after a strategic merge patch: not through text but by assigning values
/// (apimachinery `pkg/runtime/converter.go`), which is laxer about numbers, words its errors differently and reports
/// unknown fields sorted.
///
/// # Errors
/// When a field has the wrong type.
pub fn assign(value: &Value, ty: &Type) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder {
        assigning: true,
        ..Decoder::default()
    };
    let value = decoder.object(Node::from(value), ty, ty.go_type(), None)?;
    decoder.strict.sort();
    Ok(Decoded {
        value,
        strict: decoder.strict,
    })
}

/// The word Go's error messages use for this kind of value.
pub fn go_kind(value: &Value) -> &'static str {
    Node::from(value).kind()
}

fn decode_node(node: Node<'_>, ty: &Type) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder::default();
    let value = match node {
        Node::Null => zero_object(ty),
        node => decoder.object(node, ty, ty.go_type(), None)?,
    };
    Ok(Decoded {
        value: decoder.finish(value)?,
        strict: decoder.strict,
    })
}

#[derive(Default)]
struct Decoder<'t> {
    strict: Vec<String>,
    /// The first value of the wrong type; Go reads on, and stops only where a type with a decoder of its own complains.
    mistyped: Option<DecodeError>,
    /// The path for messages of strict validation: fields and indices.
    path: String,
    /// The path for type errors: fields only, below the innermost struct's name.
    fields: Vec<String>,
    struct_name: Option<&'t str>,
    /// Whether values are assigned rather than decoded from text.
    assigning: bool,
    /// Whether floats that are integers stay floats where nothing is known about values.
    exact: bool,
    form: Form,
}

/// What becomes of empty lists and maps.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Form {
    /// They stay, as in a Go struct.
    #[default]
    Given,
    /// Those that Go leaves out go.
    Encoded,
    /// The others become null besides.
    Stored,
}

impl<'t> Decoder<'t> {
    /// Runs `inner` one path segment deeper.
    fn inside<R>(&mut self, segment: fmt::Arguments<'_>, inner: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        // Writing to a String cannot fail.
        let _ = self.path.write_fmt(segment);
        let result = inner(self);
        self.path.truncate(length);
        result
    }

    fn in_field<R>(&mut self, name: &str, inner: impl FnOnce(&mut Self) -> R) -> R {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.inside(format_args!("{dot}{name}"), inner)
    }

    fn report(&mut self, what: &str, name: &str) {
        let assigning = self.assigning;
        let message = self.in_field(name, |d| match assigning {
            true => format!("{what} \"{}\"", d.path),
            false => format!("{what} {}", crate::field::go_quote(&d.path)),
        });
        if !self.strict.contains(&message) {
            self.strict.push(message);
        }
    }

    /// Notes a value of the wrong type, which is as good as absent.
    fn skip(&mut self, error: DecodeError) -> Result<Value, DecodeError> {
        if self.assigning {
            return Err(error);
        }
        self.mistyped.get_or_insert(error);
        Ok(Value::Null)
    }

    /// The result, unless some value had the wrong type.
    fn finish<T>(&mut self, result: T) -> Result<T, DecodeError> {
        self.mistyped.take().map_or(Ok(result), Err)
    }

    fn mismatch(&self, found: &str, go_type: &str) -> DecodeError {
        DecodeError::Type(match self.struct_name {
            Some(name) => {
                let path = self.fields.join(".");
                format!("json: cannot unmarshal {found} into Go struct field {name}.{path} of type {go_type}")
            }
            None => format!("json: cannot unmarshal {found} into Go value of type {go_type}"),
        })
    }

    /// The error for a value that cannot be assigned; `None` when decoding from text.
    fn unfit(&self, node: &Node<'_>, what: &str) -> Option<DecodeError> {
        self.assigning
            .then(|| DecodeError::Type(format!("cannot restore {what} {}", scalar::reflect_kind(node))))
    }

    /// Decodes a struct; what `before` has set stays unless `node` sets it, as when a field is repeated.
    fn object(
        &mut self,
        node: Node<'_>,
        ty: &'t Type,
        go_type: &str,
        before: Option<Value>,
    ) -> Result<Value, DecodeError> {
        let Node::Object(written) = node else {
            let found = node.kind();
            let error = self
                .unfit(&node, "struct from:")
                .unwrap_or_else(|| self.mismatch(found, go_type));
            return self.skip(error);
        };
        let mut out = fields_of(before);
        let mut seen = vec![false; ty.properties.len()];
        for (key, node) in written {
            let Ok(index) = ty.properties.binary_search_by(|p| (*p.name).cmp(&key)) else {
                if ty.open {
                    let value = self.in_field(&key, |d| d.any(node));
                    out.insert(key.into_owned(), value);
                } else {
                    self.report("unknown field", &key);
                }
                continue;
            };
            let property = &ty.properties[index];
            if std::mem::replace(&mut seen[index], true) {
                self.report("duplicate field", &key);
            }
            if node == Node::Null {
                if property.pointer || is_unset_by_null(&property.ty) {
                    out.remove(&*property.name);
                }
                continue;
            }
            let outer = self.struct_name.replace(ty.struct_name());
            let depth = self.fields.len();
            self.fields
                .extend(embedding(ty.struct_name(), property.details.via.len()));
            if !ty.kinds.is_empty() && matches!(&*key, "apiVersion" | "kind") {
                self.fields.push("TypeMeta".to_owned());
            }
            self.fields.push(key.clone().into_owned());
            let before = out.remove(&*key);
            let value = self.in_field(&key, |d| d.property(node, property, before))?;
            self.fields.truncate(depth);
            self.struct_name = outer;
            out.insert(key.into_owned(), value);
        }
        for property in ty.properties.iter() {
            let name: &str = &property.name;
            match out.get_mut(name) {
                Some(value)
                    if is_omitted(property, value)
                        && !(self.form == Form::Given && is_list_or_map(&property.ty) && !value.is_null()) =>
                {
                    out.remove(name);
                }
                Some(value)
                    if self.form == Form::Stored
                        && ty.message
                        && !property.pointer
                        && !property.omit_empty
                        && is_list_or_map(&property.ty)
                        && is_empty(value) =>
                {
                    *value = Value::Null;
                }
                Some(_) => {}
                None => {
                    if let Some(value) = absent(property) {
                        out.insert(name.to_owned(), value);
                    }
                }
            }
        }
        Ok(Value::Object(out))
    }

    fn property(
        &mut self,
        node: Node<'_>,
        property: &'t Property,
        before: Option<Value>,
    ) -> Result<Value, DecodeError> {
        let go_type = match &property.details.go_type {
            Some(own) => Cow::Borrowed(&**own),
            None => Cow::Owned(String::new()),
        };
        self.value(node, &property.ty, &go_type, before)
    }

    /// Decodes a value; `go_type` is empty where it follows from `ty`. Structs, maps and the elements of lists add to what
    /// is there from `before`: Go decodes a repeated field into the same place.
    fn value(
        &mut self,
        node: Node<'_>,
        ty: &'t TypeRef,
        go_type: &str,
        before: Option<Value>,
    ) -> Result<Value, DecodeError> {
        if node == Node::Null {
            return Ok(before.filter(|_| !is_unset_by_null(ty)).unwrap_or_else(|| zero(ty)));
        }
        let named = |ty: &TypeRef| {
            if go_type.is_empty() {
                ty.go_type()
            } else {
                go_type.to_owned()
            }
        };
        match (ty, node) {
            (TypeRef::Scalar(kind), node) if self.assigning => {
                scalar::assign(*kind, node, &named(ty)).map_err(DecodeError::Type)
            }
            (TypeRef::Scalar(kind), node) => {
                let error = match scalar::decode(*kind, node) {
                    Ok(value) => return Ok(value),
                    Err(scalar::Error::Mismatch { found, wanted }) => match wanted {
                        Some(wanted) => self.mismatch(&found, wanted),
                        None => self.mismatch(&found, &named(ty)),
                    },
                    Err(scalar::Error::Malformed(text)) => DecodeError::Type(text),
                };
                if kind.is_plain() { self.skip(error) } else { Err(error) }
            }
            (TypeRef::Object(object), node) => self.object(node, object, &named(ty), before),
            (TypeRef::Any(_), node) => Ok(self.any(node)),
            (TypeRef::Array(array), Node::Array(items)) => {
                let element = go_type.strip_prefix("[]").unwrap_or_default();
                let mut before = match before {
                    Some(Value::Array(items)) => items.into_iter(),
                    _ => Vec::new().into_iter(),
                };
                let decode = |(i, item)| {
                    let before = before.next();
                    self.inside(format_args!("[{i}]"), |d| d.value(item, &array.items, element, before))
                };
                Ok(Value::Array(
                    items.into_iter().enumerate().map(decode).collect::<Result<_, _>>()?,
                ))
            }
            (TypeRef::Map(values), Node::Object(written)) => {
                let element = go_type.split_once(']').map_or("", |(_, element)| element);
                let mut out = fields_of(before);
                let inherited: Vec<String> = out.keys().cloned().collect();
                let mut seen = vec![false; inherited.len()];
                for (key, node) in written {
                    let first = match inherited.binary_search_by(|known| (**known).cmp(&key)) {
                        Ok(found) => !std::mem::replace(&mut seen[found], true),
                        Err(_) => !out.contains_key(&*key),
                    };
                    if !first {
                        self.report("duplicate field", &key);
                    }
                    let mut value = self.in_field(&key, |d| d.value(node, values, element, None))?;
                    if self.form == Form::Stored
                        && value.is_null()
                        && matches!(&**values, TypeRef::Scalar(Scalar::Bytes))
                    {
                        // Protobuf has no absent values in maps.
                        value = Value::from("");
                    }
                    out.insert(key.into_owned(), value);
                }
                Ok(Value::Object(out))
            }
            (TypeRef::Array(_), node) => {
                let unfit = self.unfit(&node, "slice from");
                let error = unfit.unwrap_or_else(|| self.mismatch(node.kind(), &named(ty)));
                self.skip(error)
            }
            (TypeRef::Map(_), node) => {
                let unfit = self.unfit(&node, "map from");
                let error = unfit.unwrap_or_else(|| self.mismatch(node.kind(), &named(ty)));
                self.skip(error)
            }
        }
    }

    /// Keeps everything; only repeated fields are noticed.
    fn any(&mut self, node: Node<'_>) -> Value {
        match node {
            Node::Array(items) => {
                let keep = |(i, item)| self.inside(format_args!("[{i}]"), |d| d.any(item));
                Value::Array(items.into_iter().enumerate().map(keep).collect())
            }
            Node::Object(written) => {
                let mut out = Map::new();
                for (key, node) in written {
                    if out.contains_key(&*key) {
                        self.report("duplicate field", &key);
                    }
                    let value = self.in_field(&key, |d| d.any(node));
                    out.insert(key.into_owned(), value);
                }
                Value::Object(out)
            }
            Node::Number(text) if !json::fits_untyped(&text) => {
                let error = self.mismatch(&format!("number {text}"), "float64");
                self.mistyped.get_or_insert(error);
                Value::Null
            }
            node if self.exact => node.into_exact_value(),
            node => node.into_value(),
        }
    }
}

/// The structs that lie between a struct and its property where JSON has none, which type errors name.
fn embedding(outer: &str, depth: usize) -> impl Iterator<Item = String> {
    const EMBEDDED: [(&str, &str); 17] = [
        ("ConfigMapEnvSource", "LocalObjectReference"),
        ("ConfigMapKeySelector", "LocalObjectReference"),
        ("ConfigMapProjection", "LocalObjectReference"),
        ("ConfigMapVolumeSource", "LocalObjectReference"),
        ("DeviceAllocationConfiguration", "DeviceConfiguration"),
        ("DeviceClaimConfiguration", "DeviceConfiguration"),
        ("DeviceClassConfiguration", "DeviceConfiguration"),
        ("EphemeralContainer", "EphemeralContainerCommon"),
        ("IngressRule", "IngressRuleValue"),
        ("NamedRuleWithOperations", "RuleWithOperations"),
        ("PersistentVolumeSpec", "PersistentVolumeSource"),
        ("Probe", "ProbeHandler"),
        ("RuleWithOperations", "Rule"),
        ("SecretEnvSource", "LocalObjectReference"),
        ("SecretKeySelector", "LocalObjectReference"),
        ("SecretProjection", "LocalObjectReference"),
        ("Volume", "VolumeSource"),
    ];
    let next = |outer: &&str| {
        let found = EMBEDDED.iter().find(|(name, _)| name == outer);
        found.map(|(_, inner)| *inner)
    };
    std::iter::successors(next(&outer), next).take(depth).map(str::to_owned)
}

/// Whether null takes away what an earlier field of the same name has set: it leaves plain values and structs as they are.
fn is_unset_by_null(ty: &TypeRef) -> bool {
    match ty {
        TypeRef::Scalar(kind) => !kind.is_plain() || *kind == Scalar::Bytes,
        TypeRef::Array(_) | TypeRef::Map(_) => true,
        TypeRef::Object(_) | TypeRef::Any(_) => false,
    }
}

fn fields_of(before: Option<Value>) -> Map<String, Value> {
    match before {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
