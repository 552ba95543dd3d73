//! The model of a schema, without what only people read.

use machinery::meta;
use serde_json::{Map, Number, Value};
use std::sync::Arc;

use crate::formats;

/// Fields that have no place in a structural schema, with their names in messages.
const UNSUPPORTED: [(&str, &str); 7] = [
    ("id", "id"),
    ("$schema", "schema"),
    ("$ref", "$ref"),
    ("patternProperties", "patternProperties"),
    ("dependencies", "dependencies"),
    ("additionalItems", "additionalItems"),
    ("definitions", "definitions"),
];

/// The type that a schema names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// None.
    #[default]
    Any,
    /// `array`
    Array,
    /// `boolean`
    Boolean,
    /// `integer`
    Integer,
    /// `number`
    Number,
    /// `object`
    Object,
    /// `string`
    String,
    /// Something else, which nothing is.
    Unknown,
}

impl Kind {
    const NAMES: [(&'static str, Kind); 6] = [
        ("array", Kind::Array),
        ("boolean", Kind::Boolean),
        ("integer", Kind::Integer),
        ("number", Kind::Number),
        ("object", Kind::Object),
        ("string", Kind::String),
    ];

    fn named(name: &str) -> Kind {
        match name {
            "" => Kind::Any,
            name => {
                let known = Kind::NAMES.iter().find(|(known, _)| *known == name);
                known.map_or(Kind::Unknown, |(_, kind)| *kind)
            }
        }
    }

    /// The name of the type; empty for none.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Any => "",
            Kind::Unknown => "unknown",
            kind => Kind::NAMES
                .iter()
                .find(|(_, known)| *known == kind)
                .map_or("", |(name, _)| name),
        }
    }
}

/// What identifies the items of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListType {
    /// Nothing is said: the list is one value.
    #[default]
    Unset,
    /// The list is one value.
    Atomic,
    /// The items themselves.
    Set,
    /// The values of these fields.
    Map(Box<[Box<str>]>),
}

/// What is said about fields that have no schema of their own.
#[derive(Debug, Clone, Default)]
pub enum Additional {
    /// Nothing.
    #[default]
    Unset,
    /// There are none.
    None,
    /// They are anything.
    Any,
    /// They are like this.
    Schema(Arc<Node>),
}

/// A rule in a schema (`x-kubernetes-validations`), as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuleText {
    pub(crate) rule: Box<str>,
    pub(crate) message: Box<str>,
    pub(crate) message_expression: Box<str>,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) field_path: Box<str>,
    pub(crate) optional_old: bool,
}

/// A field and what it is.
type Named = (Box<str>, Arc<Node>);

/// What a schema says about a value.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// The type.
    pub kind: Kind,
    /// Whether null is a value.
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`
    pub preserves: bool,
    /// `x-kubernetes-embedded-resource`
    pub embedded: bool,
    /// `x-kubernetes-int-or-string`
    pub int_or_string: bool,
    /// The value of what is missing.
    pub default: Option<Value>,
    /// What the items of a list are.
    pub items: Option<Arc<Node>>,
    /// What the fields that are known are, by name.
    properties: Box<[Named]>,
    /// What the other fields are.
    pub additional: Additional,
    /// What identifies the items of a list.
    pub list_type: ListType,
    /// Whether a map is one value; none if nothing is said.
    pub atomic_map: Option<bool>,
    pub(crate) limits: Option<Box<Limits>>,
    pub(crate) rules: Box<[RuleText]>,
}

/// What values are allowed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub(crate) format: Box<str>,
    /// Whether values of the type have this format, so that it counts.
    pub(crate) format_known: bool,
    pub(crate) pattern: Box<str>,
    pub(crate) maximum: Option<Number>,
    pub(crate) exclusive_maximum: bool,
    pub(crate) minimum: Option<Number>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) multiple_of: Option<Number>,
    pub(crate) max_length: Option<i64>,
    pub(crate) min_length: Option<i64>,
    pub(crate) max_items: Option<i64>,
    pub(crate) min_items: Option<i64>,
    pub(crate) unique_items: bool,
    pub(crate) max_properties: Option<i64>,
    pub(crate) min_properties: Option<i64>,
    pub(crate) required: Box<[Box<str>]>,
    pub(crate) known: Box<[Value]>,
    pub(crate) all_of: Box<[Node]>,
    pub(crate) any_of: Box<[Node]>,
    pub(crate) one_of: Box<[Node]>,
    pub(crate) not: Option<Node>,
}

/// Whether a field of a schema says nothing.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

impl Node {
    /// Reads a schema.
    ///
    /// # Errors
    /// It has parts that no structural schema has.
    pub(crate) fn parse(schema: &Value) -> Result<Node, String> {
        for (field, name) in UNSUPPORTED {
            let given = schema.get(field);
            if given.is_some_and(|given| !is_zero(given) || field == "additionalItems" && !given.is_null()) {
                return Err(format!("OpenAPIV3Schema '{name}' is not supported"));
            }
        }
        let is_true = |field: &str| meta::bool_at(schema, &[field]) == Some(true);
        let preserves = meta::bool_at(schema, &["x-kubernetes-preserve-unknown-fields"]);
        if preserves == Some(false) {
            let why = "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined";
            return Err(why.to_owned());
        }
        let items = match schema.get("items") {
            None | Some(Value::Null) => None,
            Some(Value::Array(_)) => return Err("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned()),
            Some(items) => Some(Arc::new(Node::parse(items)?)),
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        let properties = properties.map_or_else(|| Ok(Vec::new()), named)?;
        let additional = match schema.get("additionalProperties") {
            None | Some(Value::Null) => Additional::Unset,
            Some(Value::Bool(true)) => Additional::Any,
            Some(Value::Bool(false)) => Additional::None,
            Some(values) => Additional::Schema(Arc::new(Node::parse(values)?)),
        };
        let kind = Kind::named(text(schema, "type"));
        let int_or_string = is_true("x-kubernetes-int-or-string");
        Ok(Node {
            kind,
            nullable: is_true("nullable"),
            preserves: preserves == Some(true),
            embedded: is_true("x-kubernetes-embedded-resource"),
            int_or_string,
            default: schema.get("default").filter(|default| !default.is_null()).cloned(),
            items,
            properties: properties.into(),
            additional,
            list_type: match text(schema, "x-kubernetes-list-type") {
                "atomic" => ListType::Atomic,
                "set" => ListType::Set,
                "map" => ListType::Map(texts(schema, "x-kubernetes-list-map-keys")),
                _ => ListType::Unset,
            },
            atomic_map: match text(schema, "x-kubernetes-map-type") {
                "atomic" => Some(true),
                "granular" => Some(false),
                _ => None,
            },
            limits: Limits::parse(schema, if int_or_string { Kind::Any } else { kind })?,
            rules: meta::list_at(schema, &["x-kubernetes-validations"])
                .iter()
                .map(RuleText::parse)
                .collect(),
        })
    }

    /// Objects of which nothing is known.
    pub(crate) fn anything() -> Node {
        Node {
            kind: Kind::Object,
            preserves: true,
            ..Node::default()
        }
    }

    /// What a field is, if the schema names it.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Arc<Node>> {
        let found = self
            .properties
            .binary_search_by(|(known, _)| (**known).cmp(name))
            .ok()?;
        self.properties.get(found).map(|(_, node)| node)
    }

    /// The fields that the schema names, in order.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &Arc<Node>)> {
        self.properties.iter().map(|(name, node)| (&**name, node))
    }

    pub(crate) fn properties_mut(&mut self) -> impl Iterator<Item = (&str, &mut Arc<Node>)> {
        self.properties.iter_mut().map(|(name, node)| (&**name, node))
    }

    /// What the fields are that the schema does not name; none if it has no schema for them.
    #[must_use]
    pub fn values(&self) -> Option<&Arc<Node>> {
        match &self.additional {
            Additional::Schema(node) => Some(node),
            _ => None,
        }
    }

    /// The schema of a field, named or not.
    pub(crate) fn field(&self, name: &str) -> Option<&Node> {
        self.property(name).or_else(|| self.values()).map(|node| &**node)
    }

    /// Whether rules are said about the value or about a part of it.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        let parts = self.items.iter().chain(self.values());
        let mut parts = parts.chain(self.properties.iter().map(|(_, node)| node));
        !self.rules.is_empty() || parts.any(|part| part.has_rules())
    }

    pub(crate) fn format(&self) -> &str {
        self.limits.as_ref().map_or("", |limits| &limits.format)
    }
}

fn named(properties: &Map<String, Value>) -> Result<Vec<Named>, String> {
    let mut named: Vec<Named> = Vec::with_capacity(properties.len());
    for (name, property) in properties {
        named.push((name.as_str().into(), Arc::new(Node::parse(property)?)));
    }
    // However the map that was read is ordered.
    named.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(named)
}

fn text<'s>(schema: &'s Value, field: &str) -> &'s str {
    schema.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn texts(schema: &Value, field: &str) -> Box<[Box<str>]> {
    let texts = meta::list_at(schema, &[field]).iter().filter_map(Value::as_str);
    texts.map(Box::from).collect()
}

impl RuleText {
    fn parse(rule: &Value) -> RuleText {
        RuleText {
            rule: text(rule, "rule").into(),
            message: text(rule, "message").into(),
            message_expression: text(rule, "messageExpression").into(),
            reason: rule.get("reason").and_then(Value::as_str).map(Box::from),
            field_path: text(rule, "fieldPath").into(),
            optional_old: meta::bool_at(rule, &["optionalOldSelf"]) == Some(true),
        }
    }
}

impl Limits {
    /// The limits that a schema of this type has, if it has any.
    fn parse(schema: &Value, kind: Kind) -> Result<Option<Box<Limits>>, String> {
        const FIELDS: [&str; 20] = [
            "format",
            "pattern",
            "maximum",
            "exclusiveMaximum",
            "minimum",
            "exclusiveMinimum",
            "multipleOf",
            "maxLength",
            "minLength",
            "maxItems",
            "minItems",
            "uniqueItems",
            "maxProperties",
            "minProperties",
            "required",
            "enum",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
        ];
        if !FIELDS.iter().any(|field| schema.get(*field).is_some()) {
            return Ok(None);
        }
        let number = |field: &str| match schema.get(field) {
            Some(Value::Number(number)) => Some(number.clone()),
            _ => None,
        };
        let size = |field: &str| meta::i64_at(schema, &[field]);
        let is_true = |field: &str| meta::bool_at(schema, &[field]) == Some(true);
        let alternatives = |field: &str| -> Result<Box<[Node]>, String> {
            meta::list_at(schema, &[field]).iter().map(Node::parse).collect()
        };
        let format = text(schema, "format");
        Ok(Some(Box::new(Limits {
            format: format.into(),
            format_known: formats::is_known(kind.name(), format),
            pattern: text(schema, "pattern").into(),
            maximum: number("maximum"),
            exclusive_maximum: is_true("exclusiveMaximum"),
            minimum: number("minimum"),
            exclusive_minimum: is_true("exclusiveMinimum"),
            multiple_of: number("multipleOf"),
            max_length: size("maxLength"),
            min_length: size("minLength"),
            max_items: size("maxItems"),
            min_items: size("minItems"),
            unique_items: is_true("uniqueItems"),
            max_properties: size("maxProperties"),
            min_properties: size("minProperties"),
            required: texts(schema, "required"),
            known: meta::list_at(schema, &["enum"]).into(),
            all_of: alternatives("allOf")?,
            any_of: alternatives("anyOf")?,
            one_of: alternatives("oneOf")?,
            not: schema
                .get("not")
                .filter(|not| !not.is_null())
                .map(Node::parse)
                .transpose()?,
        })))
    }
}
