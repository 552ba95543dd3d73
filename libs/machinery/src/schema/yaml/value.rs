//! The JSON value of a document (go.yaml.in/yaml/v2 `decode.go`, the decoder; sigs.k8s.io/yaml, the conversion).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::{Map, Value};

use super::nodes::{Document, Index, Kind};
use super::scalar::{Scalar, resolve};
use super::{MAX_DEPTH, YamlError};
use crate::field::go_quote;
use crate::schema::json::float_value;

/// So much of a short document may come from aliases.
const ALIAS_SHARE: f64 = 0.99;
/// From so many decoded nodes on, less may.
const ALIAS_LOW: f64 = 400_000.0;
/// From so many on, a tenth may.
const ALIAS_HIGH: f64 = 4_000_000.0;

/// The value, and a line about each key that is set again.
pub(super) fn of(document: &Document) -> Result<(Value, Vec<String>), YamlError> {
    let mut decoder = Decoder {
        document,
        within: Vec::new(),
        count: 0,
        aliased: 0,
        repeated: Vec::new(),
    };
    let value = match document.root {
        None => Value::Null,
        Some(root) => decoder.decode(root, 0)?.into_json()?,
    };
    Ok((value, decoder.repeated))
}

/// A decoded node, before keys become texts.
enum Decoded {
    Scalar(Scalar),
    List(Vec<Decoded>),
    Fields(Vec<(Scalar, Decoded)>),
}

struct Decoder<'d> {
    document: &'d Document,
    /// The aliases that are being decoded.
    within: Vec<Index>,
    count: u64,
    /// How many of them are there by way of an alias.
    aliased: u64,
    repeated: Vec<String>,
}

impl Decoder<'_> {
    fn decode(&mut self, index: Index, depth: usize) -> Result<Decoded, YamlError> {
        self.enter(depth)?;
        match &self.document.node(index).kind {
            Kind::Scalar { tag, text, plain } => resolve(tag.as_deref(), text, *plain).map(Decoded::Scalar),
            Kind::Sequence(items) => {
                let items = items.iter().map(|item| self.decode(*item, depth + 1));
                items.collect::<Result<_, _>>().map(Decoded::List)
            }
            Kind::Mapping(_) => {
                let mut fields = Fields::default();
                self.mapping(index, &mut fields, depth)?;
                Ok(Decoded::Fields(fields.list))
            }
            Kind::Alias { name, target } => self.alias(index, name, |decoder| decoder.decode(*target, depth + 1)),
        }
    }

    /// Counts what is decoded.
    fn enter(&mut self, depth: usize) -> Result<(), YamlError> {
        if depth > MAX_DEPTH {
            return Err(YamlError::too_deep(MAX_DEPTH));
        }
        self.count += 1;
        self.aliased += u64::from(!self.within.is_empty());
        let (count, aliased) = (self.count as f64, self.aliased as f64);
        let over = ((count - ALIAS_LOW) / (ALIAS_HIGH - ALIAS_LOW)).clamp(0.0, 1.0);
        let allowed = ALIAS_SHARE - (ALIAS_SHARE - 0.1) * over;
        if self.aliased > 100 && self.count > 1000 && aliased / count > allowed {
            return Err(YamlError::new("document contains excessive aliasing"));
        }
        Ok(())
    }

    fn alias<T>(
        &mut self,
        index: Index,
        name: &str,
        inner: impl FnOnce(&mut Self) -> Result<T, YamlError>,
    ) -> Result<T, YamlError> {
        if self.within.contains(&index) {
            return Err(YamlError::new(format_args!("anchor '{name}' value contains itself")));
        }
        self.within.push(index);
        let result = inner(self);
        self.within.pop();
        result
    }

    /// Sets the fields of a mapping, or of the alias of one.
    fn mapping(&mut self, index: Index, fields: &mut Fields, depth: usize) -> Result<(), YamlError> {
        let document = self.document;
        let pairs = match &document.node(index).kind {
            Kind::Mapping(pairs) => pairs,
            Kind::Alias { name, target } => {
                return self.alias(index, name, |decoder| {
                    decoder.enter(depth)?;
                    decoder.mapping(*target, fields, depth + 1)
                });
            }
            Kind::Scalar { .. } | Kind::Sequence(_) => return Err(no_mapping()),
        };
        for (key, value) in pairs {
            if self.is_merge(*key) {
                self.merge(*value, fields, depth)?;
                continue;
            }
            let key = match self.decode(*key, depth + 1)? {
                Decoded::Scalar(key) => key,
                other => return Err(YamlError::new(format_args!("invalid map key: {}", other.in_go()))),
            };
            let decoded = self.decode(*value, depth + 1)?;
            let line = document.node(*value).line;
            if let Some(key) = fields.set(key, decoded) {
                self.repeated.push(format!("line {line}: key {key} already set in map"));
            }
        }
        Ok(())
    }

    fn is_merge(&self, key: Index) -> bool {
        matches!(&self.document.node(key).kind, Kind::Scalar { tag, text, plain }
            if text == "<<" && (*plain || tag.as_deref() == Some("tag:yaml.org,2002:merge")))
    }

    /// What stands behind `<<`: a mapping or a list of them, of which the first counts most.
    fn merge(&mut self, index: Index, fields: &mut Fields, depth: usize) -> Result<(), YamlError> {
        self.enter(depth)?;
        match &self.document.node(index).kind {
            Kind::Sequence(items) => items
                .iter()
                .rev()
                .try_for_each(|item| self.mapping(*item, fields, depth + 1)),
            _ => self.mapping(index, fields, depth + 1),
        }
    }
}

fn no_mapping() -> YamlError {
    YamlError::new("map merge requires map or sequence of maps as the value")
}

/// The fields of a mapping in the order in which they were first set.
#[derive(Default)]
struct Fields {
    list: Vec<(Scalar, Decoded)>,
    /// Where they are in the list.
    places: HashMap<String, usize>,
}

impl Fields {
    /// Sets a field; answers the key as Go prints it when it had been set before.
    fn set(&mut self, key: Scalar, value: Decoded) -> Option<String> {
        // Keys of different types are different ones.
        match self.places.entry(format!("{key:?}")) {
            Entry::Occupied(place) => {
                self.list[*place.get()].1 = value;
                Some(in_go(&key))
            }
            Entry::Vacant(place) => {
                place.insert(self.list.len());
                self.list.push((key, value));
                None
            }
        }
    }
}

/// The form of `%#v`.
fn in_go(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Null => "interface {}(nil)".to_owned(),
        Scalar::Bool(value) => value.to_string(),
        Scalar::Int(number) => number.to_string(),
        Scalar::Unsigned(number) => format!("{number:#x}"),
        Scalar::Float(number) => number.to_string(),
        Scalar::Text(text) => go_quote(text),
    }
}

impl Decoded {
    /// The form of `%#v`.
    fn in_go(&self) -> String {
        match self {
            Decoded::Scalar(scalar) => in_go(scalar),
            Decoded::List(items) => {
                let items: Vec<String> = items.iter().map(Decoded::in_go).collect();
                format!("[]interface {{}}{{{}}}", items.join(", "))
            }
            Decoded::Fields(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(key, value)| format!("{}:{}", in_go(key), value.in_go()))
                    .collect();
                format!("map[interface {{}}]interface {{}}{{{}}}", fields.join(", "))
            }
        }
    }

    fn into_json(self) -> Result<Value, YamlError> {
        Ok(match self {
            Decoded::Scalar(Scalar::Null) => Value::Null,
            Decoded::Scalar(Scalar::Bool(value)) => value.into(),
            Decoded::Scalar(Scalar::Int(number)) => number.into(),
            Decoded::Scalar(Scalar::Unsigned(number)) => number.into(),
            Decoded::Scalar(Scalar::Float(number)) => {
                if !number.is_finite() {
                    let sign = if number == f64::INFINITY { "+" } else { "" };
                    let text = number.to_string().replace("inf", "Inf");
                    return Err(YamlError(format!("json: unsupported value: {sign}{text}")));
                }
                float_value(number)
            }
            Decoded::Scalar(Scalar::Text(text)) => text.into(),
            Decoded::List(items) => items
                .into_iter()
                .map(Decoded::into_json)
                .collect::<Result<Vec<Value>, YamlError>>()?
                .into(),
            Decoded::Fields(fields) => {
                let mut map = Map::new();
                for (key, value) in fields {
                    map.insert(key_text(key)?, value.into_json()?);
                }
                Value::Object(map)
            }
        })
    }
}

/// Keys that are no strings become their text, as JSON has only strings.
fn key_text(key: Scalar) -> Result<String, YamlError> {
    Ok(match key {
        Scalar::Text(text) => text,
        Scalar::Bool(value) => value.to_string(),
        Scalar::Int(number) => number.to_string(),
        Scalar::Float(number) if number.is_finite() => number.to_string(),
        Scalar::Float(number) if number.is_nan() => ".nan".to_owned(),
        Scalar::Float(number) if number > 0.0 => ".inf".to_owned(),
        Scalar::Float(_) => "-.inf".to_owned(),
        Scalar::Null => return Err(unsupported_key("%!s(<nil>)", "interface {}(nil)")),
        Scalar::Unsigned(number) => return Err(unsupported_key("uint64", &format!("{number:#x}"))),
    })
}

fn unsupported_key(kind: &str, key: &str) -> YamlError {
    YamlError(format!("unsupported map key of type: {kind}, key: {key}"))
}
