//! Reads a file key by key against the table. YAML's positions are known only while a value is being read, so every check
//! happens there.

use crate::checks::check;
use crate::former::advice;
use crate::keys::{Content, Key, Kind, Support};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The document with all defaults filled in. The error comes with its line, from 1.
pub(crate) fn read(text: &str, root: &Key) -> Result<Value, (Option<usize>, String)> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok(root.defaults());
    }
    let seed = Seed {
        key: root,
        path: String::new(),
    };
    seed.deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|error| {
            let text = error.to_string();
            // What we say is marked, so that the reader's own decoration can be told from it.
            let message = match text.split_once(MARK).and_then(|(_, rest)| rest.split_once(MARK)) {
                Some((message, _)) => message.to_owned(),
                None => text,
            };
            (error.location().map(|location| location.line()), message)
        })
}

/// Brackets our own messages within those of the YAML reader.
const MARK: char = '\u{1}';

fn fault<E: serde::de::Error>(message: impl fmt::Display) -> E {
    E::custom(format!("{MARK}{message}{MARK}"))
}

/// Reads what stands under a key.
struct Seed<'a> {
    key: &'a Key,
    path: String,
}

impl Seed<'_> {
    fn name(&self) -> &str {
        if self.path.is_empty() { "the file" } else { &self.path }
    }

    /// A complete value that is not a section's mapping.
    fn finish<E: serde::de::Error>(&self, value: Value) -> Result<Value, E> {
        let Content::Leaf { kind, default, support } = &self.key.content else {
            return match value {
                Value::Null => Ok(self.key.defaults()),
                _ => Err(fault(format_args!("{} must be a mapping of keys", self.name()))),
            };
        };
        if !kind.fits(&value) {
            return Err(fault(format_args!("{} must be {}", self.path, kind.words())));
        }
        let value = merged(default, canonical(*kind, value));
        if *support == Support::DefaultOnly && value != *default {
            let default = if is_empty(default) {
                String::new()
            } else {
                format!(" or set it to {default}")
            };
            return Err(fault(format_args!(
                "{} is not supported yet: remove it{default}",
                self.path
            )));
        }
        if *support != Support::DefaultOnly {
            check(&self.path, &value).map_err(|problem| fault(format_args!("{}: {problem}", self.path)))?;
        }
        Ok(value)
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// `"true"` and `true` say the same where auto is allowed.
fn canonical(kind: Kind, value: Value) -> Value {
    match (kind, value.as_str()) {
        (Kind::Auto, Some("true")) => Value::Bool(true),
        (Kind::Auto, Some("false")) => Value::Bool(false),
        _ => value,
    }
}

/// The file's value over the default, as Helm merges values: mappings key by key, and null restores the default of the
/// key or takes an entry away.
fn merged(default: &Value, value: Value) -> Value {
    match (default, value) {
        (default, Value::Null) => default.clone(),
        (Value::Object(defaults), Value::Object(fields)) => {
            let mut all = defaults.clone();
            for (name, field) in fields {
                match (field, all.get(&name)) {
                    (Value::Null, _) => drop(all.remove(&name)),
                    (field, Some(below)) => {
                        let field = merged(&below.clone(), field);
                        all.insert(name, field);
                    }
                    (field, None) => drop(all.insert(name, field)),
                }
            }
            Value::Object(all)
        }
        (_, value) => value,
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value for {}", self.name())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.finish(value.into())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.finish(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.finish(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.finish(value.into())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.finish(value.into())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.finish(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(item) = items.next_element::<Value>()? {
            values.push(item);
        }
        self.finish(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let Content::Section(_) = &self.key.content else {
            let mut fields = Map::new();
            while let Some((name, value)) = entries.next_entry::<String, Value>()? {
                if fields.insert(name.clone(), value).is_some() {
                    return Err(fault(format_args!("{}.{name} is there twice", self.path)));
                }
            }
            return self.finish(fields.into());
        };
        let mut fields = match self.key.defaults() {
            Value::Object(fields) => fields,
            _ => return Err(A::Error::custom("a section has no defaults")),
        };
        let mut seen: Vec<String> = Vec::new();
        while let Some(seed) = entries.next_key_seed(Name {
            section: &self,
            seen: &seen,
        })? {
            let name = seed.key.name.clone();
            let value = entries.next_value_seed(seed)?;
            fields.insert(name.clone(), value);
            seen.push(name);
        }
        Ok(fields.into())
    }
}

/// Reads a key of a section.
struct Name<'a, 'b> {
    section: &'b Seed<'a>,
    seen: &'b [String],
}

impl<'de, 'a> DeserializeSeed<'de> for Name<'a, '_> {
    type Value = Seed<'a>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seed<'a>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, 'a> Visitor<'de> for Name<'a, '_> {
    type Value = Seed<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a key of {}", self.section.name())
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Seed<'a>, E> {
        let path = match self.section.path.as_str() {
            "" => name.to_owned(),
            section => format!("{section}.{name}"),
        };
        if self.seen.iter().any(|seen| seen == name) {
            return Err(fault(format_args!("{path} is there twice")));
        }
        match self.section.key.child(name) {
            Some(key) => Ok(Seed { key, path }),
            None => Err(match advice(&path) {
                Some(advice) => fault(format_args!("{path} is no key of vcluster.yaml any more: {advice}")),
                None => fault(format_args!(
                    "{path} is not a key of vcluster.yaml{}",
                    hint(self.section.key, name)
                )),
            }),
        }
    }
}

/// The key of the section that is nearly called so, if there is one.
fn hint(section: &Key, name: &str) -> String {
    let Content::Section(keys) = &section.content else {
        return String::new();
    };
    let nearest = keys.iter().map(|key| (distance(&key.name, name), &key.name)).min();
    match nearest {
        Some((distance, key)) if distance <= 2 => format!("; is {key} meant?"),
        _ => String::new(),
    }
}

/// How many letters to add, take away or change, regardless of case.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, right) in b.iter().enumerate() {
            let change = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = change.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
