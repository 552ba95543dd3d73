//! Defaults in definitions: they fit where they stand (schema/defaulting `ValidateDefaults`).

use crate::rules::{BUDGET, Rules, Write};
use crate::{Form, MetadataRules, Structural, check, coerce, embedded, prune};
use machinery::field::{Error, ErrorList, Path, aggregate};
use serde_json::{Map, Value, json};

/// What is wrong with the defaults in a schema, as it is written at `path`.
#[must_use]
pub fn validate_defaults(written: &Value, schema: &Structural, path: &Path, metadata: MetadataRules<'_>) -> ErrorList {
    let mut validation = Validation {
        metadata,
        budget: Some(BUDGET),
        errors: ErrorList::new(),
    };
    let site = Site {
        path: path.clone(),
        whole: true,
        in_metadata: false,
        of: Within::new(schema),
    };
    validation.at(written, schema, &site);
    validation.errors
}

/// The way from an object to a value in it.
#[derive(Clone)]
enum Step {
    Field(String),
    Item,
}

/// The object that a value is in.
#[derive(Clone)]
struct Within {
    schema: Structural,
    trail: Vec<Step>,
}

impl Within {
    fn new(schema: &Structural) -> Within {
        Within {
            schema: schema.clone(),
            trail: Vec::new(),
        }
    }

    fn step(&self, step: Step) -> Within {
        let mut next = self.clone();
        next.trail.push(step);
        next
    }

    /// An object with this value at the end of the way.
    fn object(&self, value: &Value) -> Value {
        let wrapped = self.trail.iter().rev().fold(value.clone(), |value, step| match step {
            Step::Field(name) => Value::Object(Map::from_iter([(name.clone(), value)])),
            Step::Item => Value::Array(vec![value]),
        });
        let mut object = wrapped;
        if let Value::Object(fields) = &mut object {
            fields.entry("kind").or_insert_with(|| json!("Validation"));
            fields.entry("apiVersion").or_insert_with(|| json!("validation/v1"));
        }
        object
    }
}

/// Where a schema stands.
struct Site {
    path: Path,
    /// Whether its values are objects.
    whole: bool,
    /// Whether they are in the metadata of one.
    in_metadata: bool,
    of: Within,
}

impl Site {
    fn within(&self, path: Path, in_metadata: bool, step: Step) -> Site {
        Site {
            path,
            whole: false,
            in_metadata,
            of: self.of.step(step),
        }
    }
}

struct Validation<'m> {
    metadata: MetadataRules<'m>,
    /// What rules may still cost; none when too much was spent.
    budget: Option<u64>,
    errors: ErrorList,
}

impl Validation<'_> {
    fn at(&mut self, written: &Value, schema: &Structural, site: &Site) {
        let node = schema.root();
        if node.embedded && !site.whole {
            let own = Site {
                path: site.path.clone(),
                whole: true,
                in_metadata: false,
                of: Within::new(schema),
            };
            return self.at(written, schema, &own);
        }
        if let Some(default) = &node.default {
            self.default(written, default, schema, site);
        }
        if let (Some(items), Some(written)) = (&node.items, written.get("items")) {
            let items = Structural { root: items.clone() };
            let site = site.within(site.path.child("items"), site.in_metadata, Step::Item);
            self.at(written, &items, &site);
        }
        for (name, property) in node.properties() {
            if self.budget.is_none() {
                return;
            }
            let Some(written) = written.get("properties").and_then(|properties| properties.get(name)) else {
                continue;
            };
            let in_metadata = site.in_metadata || site.whole && prune::OBJECT_FIELDS.contains(&name);
            let property = Structural { root: property.clone() };
            let path = site.path.child("properties").key(name);
            let site = site.within(path, in_metadata, Step::Field(name.to_owned()));
            self.at(written, &property, &site);
        }
    }

    fn default(&mut self, written: &Value, default: &Value, schema: &Structural, site: &Site) {
        let node = schema.root();
        let path = site.path.child("default");
        if site.in_metadata {
            if let Some(why) = self.malformed(default, &site.of) {
                let detail = format!("must result in valid metadata: {why}");
                self.errors.push(Error::invalid(&path, default.clone(), detail));
                return;
            }
        } else {
            let mut pruned = default.clone();
            prune::prune(&mut pruned, node, site.whole);
            if pruned != *default {
                let detail = "must not have unknown fields";
                self.errors.push(Error::invalid(&path, default.clone(), detail));
            }
            let found = match coerce::check(&mut default.clone(), node, site.whole, &path) {
                Some(error) => vec![error],
                None => embedded::validate(default, node, site.whole, &path, self.metadata),
            };
            if !found.is_empty() {
                self.errors.extend(found);
                return;
            }
        }
        let found = check::value(default, node, &path, None, Form::Defined);
        if !found.is_empty() {
            self.errors.extend(found);
            return;
        }
        let Some(rules) = Rules::compile(written, schema, site.whole) else {
            return;
        };
        // A default takes the place of another value as well as of none.
        for write in [Write::Replace(default, default), Write::Create(default)] {
            let Some(budget) = self.budget else { return };
            let (found, left) = rules.validate(write, &path, budget);
            self.budget = left;
            if !found.errors.is_empty() {
                self.errors.extend(found.errors);
                return;
            }
        }
    }

    /// Why an object with this value in its metadata is none.
    fn malformed(&self, default: &Value, of: &Within) -> Option<String> {
        let (root, nowhere) = (of.schema.root(), Path::root());
        let mut object = of.object(default);
        if let Some(error) = coerce::check(&mut object, root, true, &nowhere) {
            return Some(error.to_string());
        }
        let errors = embedded::validate(&object, root, true, &nowhere, self.metadata);
        (!errors.is_empty()).then(|| aggregate(&errors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fit_their_schema() {
        let metadata = |object: &Value, _: bool| match machinery::meta::name(object) {
            "bad" => vec![Error::invalid(&Path::new("metadata").child("name"), "bad", "no")],
            _ => ErrorList::new(),
        };
        let named = |name: Value| {
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "properties": {
                "metadata": {"type": "object", "properties": {"name": {"type": "string", "default": name}}}}})
        };
        for (property, expected) in [
            (json!({"type": "integer", "default": 1}), vec![]),
            (
                json!({"type": "integer", "default": "x"}),
                vec![r#"s.properties[a].default: Invalid value: "string":  in body must be of type integer: "string""#],
            ),
            (
                json!({"type": "object", "default": {"y": 1}, "properties": {"x": {"type": "string"}}}),
                vec![r#"s.properties[a].default: Invalid value: {"y":1}: must not have unknown fields"#],
            ),
            (
                json!({"type": "integer", "default": 1, "x-kubernetes-validations": [
                    {"rule": "self > 3"}, {"rule": "self >= oldSelf"}, {"rule": "self > 9", "message": "too small"}]}),
                vec![
                    "s.properties[a].default: Invalid value: 1: failed rule: self > 3",
                    "s.properties[a].default: Invalid value: 1: too small",
                ],
            ),
            (
                json!({"type": "integer", "default": 1, "x-kubernetes-validations": [
                    {"rule": "oldSelf.hasValue()", "optionalOldSelf": true}]}),
                vec!["s.properties[a].default: Invalid value: 1: failed rule: oldSelf.hasValue()"],
            ),
            (
                json!({"type": "string", "default": "c", "enum": ["a", "b"]}),
                vec![r#"s.properties[a].default: Unsupported value: "c": supported values: "a", "b""#],
            ),
            (
                json!({"type": "array", "items": {"type": "string", "default": 5}}),
                vec![
                    r#"s.properties[a].items.default: Invalid value: "integer":  in body must be of type string: "integer""#,
                ],
            ),
            (json!({"x-kubernetes-int-or-string": true, "default": true}), vec![]),
            (named(json!("fine")), vec![]),
            (
                named(json!("bad")),
                vec![
                    r#"s.properties[a].properties[metadata].properties[name].default: Invalid value: "bad": must result in valid metadata: metadata.name: Invalid value: "bad": no"#,
                ],
            ),
        ] {
            let written = json!({"type": "object", "properties": {"a": property}});
            let schema = Structural::parse(&written).unwrap();
            let found = validate_defaults(&written, &schema, &Path::new("s"), &metadata);
            let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{written}");
        }
    }
}
