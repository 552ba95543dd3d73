//! What another server describes, to be shown in the document of this one (kube-openapi `pkg/aggregator`).

use std::collections::BTreeMap;

use serde_json::Value;

const REFERENCE: &str = "$ref";
pub(super) const DEFINITIONS: &str = "#/definitions/";
const PARAMETERS: &str = "#/parameters/";
/// Lists the kinds that a definition is of, which does not make it another one.
const KINDS: &str = "x-kubernetes-group-version-kind";

/// A part of an OpenAPI 2.0 document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    pub(super) paths: BTreeMap<String, Value>,
    pub(super) definitions: BTreeMap<String, Value>,
    pub(super) parameters: BTreeMap<String, Value>,
}

impl Part {
    /// What a document says of the paths that begin with a prefix, and of all that they refer to.
    pub fn of(document: &Value, prefix: &str) -> Self {
        let entries = |section: &str| document.get(section).and_then(Value::as_object).into_iter().flatten();
        let paths: BTreeMap<String, Value> = entries("paths")
            .filter(|(path, _)| path.starts_with(prefix))
            .map(|(path, item)| (path.clone(), item.clone()))
            .collect();
        let mut part = Part {
            paths,
            ..Part::default()
        };
        let mut wanted: Vec<String> = part.paths.values().flat_map(references).collect();
        while let Some(reference) = wanted.pop() {
            let (section, name, known) = if let Some(name) = reference.strip_prefix(DEFINITIONS) {
                ("definitions", name, &mut part.definitions)
            } else if let Some(name) = reference.strip_prefix(PARAMETERS) {
                ("parameters", name, &mut part.parameters)
            } else {
                continue;
            };
            let found = document.get(section).and_then(|section| section.get(name));
            if let Some(found) = found.filter(|_| !known.contains_key(name)) {
                known.insert(name.to_owned(), found.clone());
                wanted.extend(references(found));
            }
        }
        part
    }

    /// The same for a document in which some names are taken: what means the same is left out, what means something else
    /// gets another name.
    /// `taken` says what a name means, and where it stands.
    pub(super) fn beside(&self, taken: impl Fn(&str, &str) -> Option<Value>) -> Self {
        let mut part = self.clone();
        let mut renamed: BTreeMap<String, String> = BTreeMap::new();
        for (prefix, entries) in [(DEFINITIONS, &mut part.definitions), (PARAMETERS, &mut part.parameters)] {
            for name in entries.keys().cloned().collect::<Vec<_>>() {
                let Some(other) = taken(prefix, &name) else { continue };
                let Some(own) = entries.remove(&name) else { continue };
                if without_kinds(&own) == without_kinds(&other) {
                    continue;
                }
                let free = |name: &String| taken(prefix, name).is_none() && !entries.contains_key(name);
                if let Some(new) = (2..).map(|number| format!("{name}_v{number}")).find(free) {
                    renamed.insert(format!("{prefix}{name}"), format!("{prefix}{new}"));
                    entries.insert(new, own);
                }
            }
        }
        if !renamed.is_empty() {
            let all = part.paths.values_mut().chain(part.definitions.values_mut());
            all.chain(part.parameters.values_mut())
                .for_each(|value| rename(value, &renamed));
        }
        part
    }

    /// Adds what is not there yet.
    pub(super) fn take(&mut self, other: Part) {
        for (own, others) in [
            (&mut self.paths, other.paths),
            (&mut self.definitions, other.definitions),
            (&mut self.parameters, other.parameters),
        ] {
            for (name, value) in others {
                own.entry(name).or_insert(value);
            }
        }
    }
}

/// Everything that a value refers to.
fn references(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get(REFERENCE).and_then(Value::as_str).map(str::to_owned));
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    found
}

fn rename(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let new = value
                    .as_str()
                    .filter(|_| field == REFERENCE)
                    .and_then(|name| names.get(name));
                match new.cloned() {
                    Some(new) => *value = Value::String(new),
                    None => rename(value, names),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        _ => {}
    }
}

fn without_kinds(definition: &Value) -> Value {
    let mut definition = definition.clone();
    if let Some(fields) = definition.as_object_mut() {
        fields.remove(KINDS);
    }
    definition
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        let refer = |name: &str| json!({"$ref": format!("#/definitions/{name}")});
        json!({
            "paths": {
                "/apis/g/v1/": {"get": {"parameters": [{"$ref": "#/parameters/p"}], "schema": refer("List")}},
                "/apis/other/v1/": {"get": {"schema": refer("Other")}},
            },
            "definitions": {
                "List": {"properties": {"items": {"items": refer("Thing")}, "meta": refer("Meta")}},
                "Thing": {"properties": {"own": refer("Thing")}},
                "Meta": {"type": "object", "x-kubernetes-group-version-kind": [{"kind": "A"}]},
                "Other": {},
            },
            "parameters": {"p": {"in": "query"}, "q": {}},
        })
    }

    #[test]
    fn only_what_is_needed_is_taken() {
        let part = Part::of(&document(), "/apis/g/v1/");
        let names = |entries: &BTreeMap<String, Value>| entries.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&part.paths), ["/apis/g/v1/"]);
        assert_eq!(names(&part.definitions), ["List", "Meta", "Thing"]);
        assert_eq!(names(&part.parameters), ["p"]);
        assert_eq!(Part::of(&json!({"paths": 1}), ""), Part::default());
    }

    #[test]
    fn names_that_mean_something_else_are_changed() {
        let part = Part::of(&document(), "/apis/g/v1/");
        let fitted = part.beside(|section, name| match (section, name) {
            (DEFINITIONS, "Meta") => {
                Some(json!({"type": "object", "x-kubernetes-group-version-kind": [{"kind": "B"}]}))
            }
            (DEFINITIONS, "Thing" | "Thing_v2") => Some(json!({"type": "string"})),
            _ => None,
        });
        assert!(!fitted.definitions.contains_key("Meta") && !fitted.definitions.contains_key("Thing"));
        assert_eq!(
            fitted.definitions["Thing_v3"]["properties"]["own"]["$ref"],
            "#/definitions/Thing_v3"
        );
        let list = &fitted.definitions["List"]["properties"];
        assert_eq!(list["items"]["items"]["$ref"], "#/definitions/Thing_v3");
        assert_eq!(list["meta"]["$ref"], "#/definitions/Meta");
        let mut all = Part::default();
        all.take(fitted.clone());
        all.take(part);
        assert_eq!(all.paths, fitted.paths);
        assert_eq!(all.definitions.len(), 4);
    }
}
