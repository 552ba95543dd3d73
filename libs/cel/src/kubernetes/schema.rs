//! The rules in schemas of custom resources (`x-kubernetes-validations`): what `self` is, and what a rule may cost
//! (k8s.io/apiserver `pkg/cel/common/schemas.go`, apiextensions-apiserver `pkg/apiserver/schema/cel`).

use crate::check::{Cost, Environment, Fields, Sizes, Type};
use crate::{Identity, Key, List, Program, RESERVED, Value, compile};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The largest request, in bytes: no value can be larger.
const MAX_REQUEST: i64 = 3 * 1024 * 1024;
const MAX_TEXT: i64 = MAX_REQUEST - 2;
/// The sizes of times in JSON, with their quotation marks.
const DATE: i64 = 12;
const MIN_DATE_TIME: i64 = 21;
const MAX_DATE_TIME: i64 = 32;
const MIN_DURATION: i64 = 3;
const MAX_DURATION: i64 = 32;
const EMPTY_TEXT: i64 = 2;
/// The name of the type of `self`.
const SELF: &str = "selfType";

/// What a part of a schema declares.
#[derive(Debug, Clone)]
pub struct Declared {
    shape: Shape,
    /// The most elements, characters or bytes.
    max: i64,
    /// The smallest size in JSON.
    min_size: i64,
}

#[derive(Debug, Clone)]
enum Shape {
    Simple(Type),
    List(Arc<Declared>, Identity),
    Map(Arc<Declared>),
    Object(Arc<BTreeMap<String, Declared>>),
}

/// A rule that was compiled.
#[derive(Debug)]
pub struct Rule {
    /// What it may cost, once.
    pub cost: u64,
    /// Whether it compares with what was there before.
    pub uses_old: bool,
    /// The program.
    pub program: Program,
}

fn text<'s>(schema: &'s Json, field: &str) -> &'s str {
    schema.get(field).and_then(Json::as_str).unwrap_or_default()
}

fn number(schema: &Json, field: &str) -> Option<i64> {
    schema.get(field).and_then(Json::as_i64).map(|number| number.max(0))
}

fn is_true(schema: &Json, field: &str) -> bool {
    schema.get(field) == Some(&Json::Bool(true))
}

/// The name of a field as expressions spell it; none if they cannot.
#[must_use]
pub fn escape(name: &str) -> Option<String> {
    let starts = name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    if !starts
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
    {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let escaped = name.replace("__", "__underscores__");
    Some(
        escaped
            .replace('.', "__dot__")
            .replace('-', "__dash__")
            .replace('/', "__slash__"),
    )
}

/// What tells the items of a list apart; fields as expressions spell them.
fn identity(schema: &Json) -> Identity {
    match text(schema, "x-kubernetes-list-type") {
        "set" => Identity::Value,
        "map" => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Json::as_array);
            let keys = keys.into_iter().flatten().filter_map(Json::as_str);
            Identity::Keys(keys.map(|key| escape(key).unwrap_or_else(|| key.to_owned())).collect())
        }
        _ => Identity::Place,
    }
}

impl Declared {
    fn simple(of: Type, max: i64, min_size: i64) -> Declared {
        Declared {
            shape: Shape::Simple(of),
            max,
            min_size,
        }
    }

    /// What a schema declares; none if nothing is known about its values. `whole` objects have a kind and metadata.
    #[must_use]
    pub fn of(schema: &Json, whole: bool) -> Option<Declared> {
        let max_length = number(schema, "maxLength");
        if is_true(schema, "x-kubernetes-int-or-string") {
            return Some(Declared::simple(
                Type::Dyn,
                max_length.map_or(MAX_TEXT, |max| max * 4),
                1,
            ));
        }
        match text(schema, "type") {
            "array" => {
                let items = schema.get("items")?;
                let items = Declared::of(items, is_true(items, "x-kubernetes-embedded-resource"))?;
                let max = number(schema, "maxItems").unwrap_or(MAX_TEXT / (items.min_size + 1));
                Some(Declared {
                    shape: Shape::List(Arc::new(items), identity(schema)),
                    max,
                    min_size: 2,
                })
            }
            "object" => Declared::object(schema, whole),
            "string" => Some(Declared::text(schema, max_length)),
            "boolean" => Some(Declared::simple(Type::Bool, 0, 4)),
            "number" => Some(Declared::simple(Type::Double, 0, 1)),
            "integer" => Some(Declared::simple(Type::Int, 0, 1)),
            _ => None,
        }
    }

    fn text(schema: &Json, max_length: Option<i64>) -> Declared {
        match text(schema, "format") {
            "byte" => Declared::simple(Type::Bytes, max_length.unwrap_or(MAX_TEXT), EMPTY_TEXT),
            "duration" => Declared::simple(Type::Duration, MAX_DURATION, MIN_DURATION),
            "date" => Declared::simple(Type::Timestamp, DATE, DATE),
            "date-time" => Declared::simple(Type::Timestamp, MAX_DATE_TIME, MIN_DATE_TIME),
            _ => {
                let known = schema
                    .get("enum")
                    .and_then(Json::as_array)
                    .filter(|known| !known.is_empty());
                let longest = |known: &Vec<Json>| {
                    let lengths = known.iter().filter_map(Json::as_str).map(str::len);
                    i64::try_from(lengths.max().unwrap_or_default()).unwrap_or(MAX_TEXT)
                };
                let unlimited = known.map_or(MAX_TEXT, longest);
                let max = max_length.map_or(unlimited, |max| max.saturating_mul(4));
                Declared::simple(Type::String, max, EMPTY_TEXT)
            }
        }
    }

    fn object(schema: &Json, whole: bool) -> Option<Declared> {
        if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            let values = Declared::of(values, is_true(values, "x-kubernetes-embedded-resource"))?;
            let max = number(schema, "maxProperties").unwrap_or(MAX_TEXT / (values.min_size + 6));
            return Some(Declared {
                shape: Shape::Map(Arc::new(values)),
                max,
                min_size: 2,
            });
        }
        let required = |name: &str| {
            let names = schema.get("required").and_then(Json::as_array);
            names.is_some_and(|names| names.iter().any(|each| each == name))
        };
        let mut fields = BTreeMap::new();
        let mut min_size = 2;
        let properties = schema.get("properties").and_then(Json::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let Some(declared) = Declared::of(property, is_true(property, "x-kubernetes-embedded-resource")) else {
                continue;
            };
            if required(name) && property.get("default").is_none() {
                min_size += i64::try_from(name.len()).unwrap_or_default() + declared.min_size + 4;
            }
            if let Some(name) = escape(name) {
                fields.insert(name, declared);
            }
        }
        if whole {
            let plain = || Declared::simple(Type::String, MAX_TEXT, EMPTY_TEXT);
            let metadata = ["name", "generateName"].map(|name| (name.to_owned(), plain()));
            fields.insert("kind".to_owned(), plain());
            fields.insert("apiVersion".to_owned(), plain());
            let shape = Shape::Object(Arc::new(metadata.into()));
            fields.insert(
                "metadata".to_owned(),
                Declared {
                    shape,
                    max: 0,
                    min_size: 2,
                },
            );
        }
        Some(Declared {
            shape: Shape::Object(Arc::new(fields)),
            max: 0,
            min_size,
        })
    }

    /// A JSON value as rules see it. What is not what is declared is seen as it is.
    #[must_use]
    pub fn value(&self, json: &Json) -> Value {
        self.declared_value(json).unwrap_or_else(|| Value::from_json(json))
    }

    fn declared_value(&self, json: &Json) -> Option<Value> {
        Some(match (&self.shape, json) {
            (_, Json::Null) => Value::Null,
            (Shape::Simple(Type::Double), json) => Value::Double(json.as_f64()?),
            (Shape::Simple(Type::Bytes), Json::String(text)) => Value::Bytes(crate::text::from_base64(text)?.into()),
            (Shape::Simple(Type::Duration), Json::String(text)) => Value::Duration(crate::time::parse_duration(text)?),
            (Shape::Simple(Type::Timestamp), Json::String(text)) => {
                let whole = if text.len() == 10 {
                    format!("{text}T00:00:00Z")
                } else {
                    text.clone()
                };
                Value::Timestamp(crate::time::parse_timestamp(&whole)?)
            }
            (Shape::Simple(_), json) => Value::from_json(json),
            (Shape::List(of, by), Json::Array(items)) => {
                let items = items.iter().map(|item| of.value(item)).collect();
                Value::List(List::new(items, by.clone()))
            }
            (Shape::Map(of), Json::Object(entries)) => {
                let entry = |(name, value): (&String, &Json)| (Key::String(name.as_str().into()), of.value(value));
                Value::Map(Arc::new(entries.iter().map(entry).collect()))
            }
            (Shape::Object(fields), Json::Object(given)) => {
                // Fields that nothing is declared about cannot be seen.
                let known = given.iter().filter_map(|(name, value)| {
                    let name = escape(name)?;
                    let value = fields.get(&name)?.value(value);
                    Some((Key::String(name.into()), value))
                });
                Value::Map(Arc::new(known.collect()))
            }
            _ => return None,
        })
    }

    /// What is declared about a field.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<Declared> {
        match &self.shape {
            Shape::Object(fields) => fields.get(&escape(name)?).cloned(),
            _ => None,
        }
    }

    /// What is declared about the items of a list or the values of a map.
    #[must_use]
    pub fn elements(&self) -> Option<Declared> {
        match &self.shape {
            Shape::List(of, _) | Shape::Map(of) => Some((**of).clone()),
            _ => None,
        }
    }

    /// How many such values fit into a request.
    #[must_use]
    pub fn most_in_a_request(&self) -> u64 {
        u64::try_from(MAX_REQUEST / (self.min_size + 1)).unwrap_or_default()
    }

    /// The type, where objects are named after their place.
    fn type_at(&self, place: &str) -> Type {
        match &self.shape {
            Shape::Simple(of) => of.clone(),
            Shape::List(of, _) => Type::list(of.type_at(&format!("{place}.@idx"))),
            Shape::Map(of) => Type::map(Type::String, of.type_at(&format!("{place}.@elem"))),
            Shape::Object(_) => Type::object(place),
        }
    }

    /// Compiles a rule about such a value.
    ///
    /// # Errors
    /// Upstream's words for what is wrong with it.
    pub fn rule(&self, text: &str, optional_old: bool) -> Result<Rule, String> {
        let rule = self
            .compile(text, optional_old)
            .map_err(|issues| format!("compilation failed: {issues}"))?;
        if *rule.program.result_type() != Type::Bool {
            return Err("cel expression must evaluate to a bool".to_owned());
        }
        if let Some(failure) = rule.program.failing_literal() {
            return Err(format!("program instantiation failed: {failure}"));
        }
        Ok(rule)
    }

    /// Compiles the message of a rule.
    ///
    /// # Errors
    /// Upstream's words for what is wrong with it.
    pub fn message(&self, text: &str, optional_old: bool) -> Result<Rule, String> {
        let failed = |issues| format!("messageExpression compilation failed: {issues}");
        let message = self.compile(text, optional_old).map_err(failed)?;
        if *message.program.result_type() != Type::String {
            return Err("messageExpression must evaluate to a string".to_owned());
        }
        if let Some(failure) = message.program.failing_literal() {
            return Err(format!("messageExpression instantiation failed: {failure}"));
        }
        Ok(message)
    }

    fn compile(&self, text: &str, optional_old: bool) -> Result<Rule, crate::Issues> {
        let of = self.type_at(SELF);
        let old = if optional_old {
            Type::optional(of.clone())
        } else {
            of.clone()
        };
        let environment = Environment::new()
            .variable("self", of)
            .variable("oldSelf", old)
            .objects(Arc::new(SelfFields(self.clone())));
        let program = compile(text, &environment, Some(self))?;
        Ok(Rule {
            cost: program.cost().map_or(u64::MAX, |cost| cost.max),
            uses_old: program.mentions("oldSelf"),
            program,
        })
    }

    /// The part at a place of the type's name, as [`Declared::type_at`] makes it.
    fn at(&self, place: &str) -> Option<Declared> {
        let mut parts = place.split('.');
        if parts.next() != Some(SELF) {
            return None;
        }
        parts.try_fold(self.clone(), |declared, part| match (part, &declared.shape) {
            ("@idx", Shape::List(of, _)) | ("@elem", Shape::Map(of)) => Some((**of).clone()),
            (name, Shape::Object(fields)) => fields.get(name).cloned(),
            _ => None,
        })
    }
}

impl Sizes for Declared {
    fn size(&self, path: &[String]) -> Option<Cost> {
        let (_, parts) = path.split_first()?;
        let mut declared = self.clone();
        for part in parts {
            declared = match (part.as_str(), &declared.shape) {
                ("@items" | "@values", Shape::List(of, _) | Shape::Map(of)) => (**of).clone(),
                ("@keys", Shape::Map(_)) => Declared::simple(Type::String, 0, EMPTY_TEXT),
                (name, Shape::Object(fields)) => fields.get(name)?.clone(),
                _ => return None,
            };
        }
        Some(Cost {
            min: 0,
            max: u64::try_from(declared.max).unwrap_or_default(),
        })
    }
}

struct SelfFields(Declared);

impl Fields for SelfFields {
    fn has(&self, object: &str) -> bool {
        self.0
            .at(object)
            .is_some_and(|declared| matches!(declared.shape, Shape::Object(_)))
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        match self.0.at(object)?.shape {
            Shape::Object(fields) => Some(fields.get(field)?.type_at(&format!("{object}.{field}"))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_know_the_fields_of_their_schema() {
        let schema = json!({"type": "object", "properties": {
            "s": {"type": "string", "maxLength": 10},
            "n-x": {"type": "integer"},
            "l": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "m": {"type": "object", "additionalProperties": {"type": "integer"}},
            "t": {"type": "string", "format": "date-time"},
            "any": {"x-kubernetes-int-or-string": true},
        }});
        let declared = Declared::of(&schema, true).unwrap();
        for (rule, expected) in [
            ("self.s == 'a' && self.n__dash__x > 1", None),
            ("self.l.all(x, x.a != '')", None),
            ("self.m['a'] == 1 && self.t > timestamp('2020-01-01T00:00:00Z')", None),
            ("self.metadata.name == self.kind", None),
            ("type(self.any) == int", None),
            ("self.s == oldSelf.s", None),
            (
                "self.nope",
                Some("compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n | self.nope\n | ....^"),
            ),
            ("self.s", Some("cel expression must evaluate to a bool")),
        ] {
            let found = declared.rule(rule, false);
            assert_eq!(found.as_ref().err().map(String::as_str), expected, "{rule}");
            assert_eq!(
                found.is_ok_and(|rule| rule.uses_old),
                rule.contains("oldSelf"),
                "{rule}"
            );
        }
        let cost = declared
            .rule("self.l.all(x, self.l.all(y, x.a == y.a))", false)
            .unwrap()
            .cost;
        assert!(cost > 10_000_000, "{cost}");
        assert!(declared.rule("self.s.contains('x')", false).unwrap().cost < 100);
        assert!(declared.rule("oldSelf.hasValue()", true).unwrap().uses_old);
    }

    #[test]
    fn names_are_escaped() {
        for (name, escaped) in [
            ("a", Some("a")),
            ("a-b.c/d", Some("a__dash__b__dot__c__slash__d")),
            ("in", Some("__in__")),
            ("a__b", Some("a__underscores__b")),
            ("1a", None),
            ("a b", None),
        ] {
            assert_eq!(escape(name).as_deref(), escaped, "{name}");
        }
    }
}
