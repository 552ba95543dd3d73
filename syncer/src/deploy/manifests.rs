//! A text with manifests, and the order of what is to be done with them.

use std::collections::BTreeSet;
use std::fmt;

use machinery::schema::yaml;
use serde_json::Value;

use super::DEFAULT_NAMESPACE;
use crate::json;

/// Which object: group, kind, namespace and name. It stays the same one in another version.
pub(super) type Identity<'a> = (&'a str, &'a str, &'a str, &'a str);

/// One object to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Manifest(pub(super) Value);

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, kind, namespace, name) = self.identity();
        write!(f, "{kind} {namespace}/{name}")
    }
}

impl Manifest {
    fn new(object: Value) -> Result<Self, String> {
        let manifest = Self(object);
        for (field, text) in [("apiVersion", manifest.api_version()), ("kind", manifest.kind())] {
            if text.is_empty() {
                return Err(format!("a manifest has no {field}"));
            }
        }
        if manifest.name().is_empty() {
            return Err(format!(
                "a {} has no metadata.name: what is applied must have one",
                manifest.kind()
            ));
        }
        Ok(manifest)
    }

    pub(super) fn api_version(&self) -> &str {
        json::text(&self.0, &["apiVersion"])
    }

    pub(super) fn kind(&self) -> &str {
        json::text(&self.0, &["kind"])
    }

    pub(super) fn name(&self) -> &str {
        json::text(&self.0, &["metadata", "name"])
    }

    /// The namespace that it is in if its kind is in any.
    pub(super) fn namespace(&self) -> &str {
        match json::text(&self.0, &["metadata", "namespace"]) {
            "" => DEFAULT_NAMESPACE,
            namespace => namespace,
        }
    }

    fn group(&self) -> &str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    fn identity(&self) -> Identity<'_> {
        (self.group(), self.kind(), self.namespace(), self.name())
    }

    /// Whether it defines a kind of others.
    pub(super) fn is_definition(&self) -> bool {
        (self.group(), self.kind()) == ("apiextensions.k8s.io", "CustomResourceDefinition")
    }
}

/// Reads documents that are separated by `---` at the beginning of a line; lists stand for what is in them.
pub(super) fn parse(text: &str) -> Result<Vec<Manifest>, String> {
    let mut found = Vec::new();
    for (index, document) in text.split("\n---").enumerate() {
        let wrong = |problem: &str| format!("document {}: {problem}", index + 1);
        let decoded = yaml::parse(document.as_bytes()).map_err(|error| wrong(&error.to_string()))?;
        match decoded.value {
            Value::Null => {}
            Value::Object(fields) if fields.is_empty() => {}
            object @ Value::Object(_) => flatten(object, &mut found).map_err(|problem| wrong(&problem))?,
            _ => return Err(wrong("it is no object")),
        }
    }
    Ok(found)
}

fn flatten(mut object: Value, found: &mut Vec<Manifest>) -> Result<(), String> {
    let is_list = json::text(&object, &["kind"]).ends_with("List");
    match object.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => {
            for item in items {
                found.push(Manifest::new(item)?);
            }
        }
        Some(other) => {
            json::put(&mut object, "items", Some(other));
            found.push(Manifest::new(object)?);
        }
        None => found.push(Manifest::new(object)?),
    }
    Ok(())
}

/// Definitions of custom resources, then everything else, both as they were written.
pub(super) fn in_order(manifests: &[Manifest]) -> impl Iterator<Item = &Manifest> {
    let definitions = manifests.iter().filter(|manifest| manifest.is_definition());
    definitions.chain(manifests.iter().filter(|manifest| !manifest.is_definition()))
}

/// What is no longer wanted, in the opposite order.
pub(super) fn gone<'a>(former: &'a [Manifest], wanted: &[Manifest]) -> Vec<&'a Manifest> {
    let wanted: BTreeSet<Identity<'_>> = wanted.iter().map(Manifest::identity).collect();
    let mut gone: Vec<&Manifest> = in_order(former)
        .filter(|manifest| !wanted.contains(&manifest.identity()))
        .collect();
    gone.reverse();
    gone
}
