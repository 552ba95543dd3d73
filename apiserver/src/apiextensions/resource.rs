//! The runtime resources of a definition: one for each version that is served.

use super::definition::{Definition, version_name};
use super::kind::{Kind, Structure};
use super::strategy::{CustomResource, Status};
use super::table::Columns;
use crate::registry::resource::{Action, Resource, ScalePaths, Scope, Subresource, Verbs, Words};
use crate::registry::structure::{Custom, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::gvk::{GroupVersionKind, compare_versions};
use machinery::jsonpath::JsonPath;
use machinery::meta;
use machinery::object::{CustomField, Selectable};
use machinery::patch::go_value;
use machinery::schema::{Held, Text};
use serde_json::Value;
use std::sync::Arc;

/// What custom resources answer, in discovery's order.
const VERBS: Verbs = &[
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];
/// The same while the definition goes.
const VERBS_TO_THE_END: Verbs = &["delete", "deletecollection", "get", "list", "watch"];
/// Why nothing can be created while the definition goes.
const TERMINATING: &str = "create not allowed while custom resource definition is terminating";

/// The resources of all versions that are served, each with the fields by which its objects are selected.
pub(super) fn all(definition: &Definition, kind: &Arc<Kind>) -> Vec<Resource> {
    let versions = definition.versions.iter().enumerate();
    let served = versions.filter(|(_, version)| version["served"] == true);
    let all = forms(definition);
    served
        .map(|(place, version)| resource(definition, kind, place, version, &all))
        .collect()
}

/// The resource of the version in which objects are stored, whether it is served or not.
pub(super) fn stored(definition: &Definition, kind: &Arc<Kind>) -> Option<Resource> {
    let mut versions = definition.versions.iter().enumerate();
    let (place, version) = versions.find(|(_, version)| version["storage"] == true)?;
    Some(resource(definition, kind, place, version, &forms(definition)))
}

/// All versions with the kinds of their subresources.
fn forms(definition: &Definition) -> Arc<[Version]> {
    let form = |version: &Value| {
        let own = GroupVersionKind::new(&*definition.group, version_name(version), definition.named("kind"));
        let kinds = [("status", own), ("scale", scale_kind())];
        Version {
            name: version_name(version).to_owned(),
            below: kinds
                .into_iter()
                .filter(|(name, _)| below(version, name).is_some())
                .collect(),
        }
    };
    definition.versions.iter().map(form).collect()
}

fn scale_kind() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", "Scale")
}

/// What a version says about a subresource.
fn below<'a>(version: &'a Value, name: &str) -> Option<&'a Value> {
    meta::at(version, &["subresources", name]).filter(|below| below.is_object())
}

fn resource(
    definition: &Definition,
    kind: &Arc<Kind>,
    place: usize,
    version: &Value,
    versions: &Arc<[Version]>,
) -> Resource {
    let gvk = GroupVersionKind::new(&*definition.group, version_name(version), definition.named("kind"));
    let below = |name: &str| below(version, name);
    let strategy = CustomResource {
        kind: kind.clone(),
        place,
        gvk: gvk.clone(),
        namespaced: definition.namespaced,
        has_status: below("status").is_some(),
    };
    let mut subresources = Vec::new();
    let mut add = |name, gvk: GroupVersionKind, action| {
        subresources.push(Subresource {
            name,
            gvk,
            verbs: &["get", "patch", "update"],
            action,
            tables: true,
        });
    };
    if below("status").is_some() {
        add(
            "status",
            gvk.clone(),
            Action::Object(Arc::new(Status(strategy.clone()))),
        );
    }
    if let Some(scale) = below("scale") {
        let paths = Action::Scale(Held::Shared(Arc::new(scale_paths(scale))));
        add("scale", scale_kind(), paths);
    }
    let stored = definition.storage_version();
    let is_served = |name: &str| {
        definition
            .versions
            .iter()
            .any(|v| version_name(v) == name && v["served"] == true)
    };
    let structure = Structure {
        kind: kind.clone(),
        place,
    };
    let words = |field: &str| Words::from(meta::list_at(&definition.names, &[field]));
    Resource {
        plural: definition.named("plural").into(),
        singular: definition.named("singular").into(),
        list_kind: definition.named("listKind").into(),
        short_names: words("shortNames"),
        categories: words("categories"),
        scope: if definition.namespaced {
            Scope::Namespaced
        } else {
            Scope::Cluster
        },
        verbs: if definition.state.terminating {
            VERBS_TO_THE_END
        } else {
            VERBS
        },
        type_name: "",
        custom: Some(Custom {
            structure: Arc::new(structure),
            versions: versions.clone(),
            announced: definition.state.established,
            stored: is_served(stored).then(|| GroupVersionKind::new(&*definition.group, stored, &*gvk.kind)),
            stamp: STANDARD.encode(definition.digest),
            closed: definition.state.terminating.then_some(TERMINATING),
        }),
        storage_key: storage_key(definition).as_str().into(),
        storage: None,
        foreign: &[],
        strategy: Arc::new(strategy),
        selectable_fields: selectable([version]),
        field_names: &[],
        columns: Held::Shared(Arc::new(Columns::of(version))),
        internal_annotations: &[],
        deprecation: deprecation(definition, version).map(|text| text.as_str().into()),
        subresources,
        gvk,
    }
}

/// The key below the store's prefix.
pub(super) fn storage_key(definition: &Definition) -> String {
    format!("{}/{}", definition.group, definition.named("plural"))
}

fn scale_paths(scale: &Value) -> ScalePaths {
    let path = |field: &str| -> Text {
        let path = meta::str_at(scale, &[field]).unwrap_or_default();
        path.strip_prefix('.').unwrap_or(path).into()
    };
    ScalePaths {
        spec_replicas: path("specReplicasPath"),
        status_replicas: path("statusReplicasPath"),
        selector: path("labelSelectorPath"),
    }
}

/// The selectable fields of some versions.
pub(super) fn selectable<'a>(versions: impl IntoIterator<Item = &'a Value>) -> Selectable {
    let mut fields: Vec<CustomField> = Vec::new();
    for version in versions {
        for field in meta::list_at(version, &["selectableFields"]) {
            let path = meta::str_at(field, &["jsonPath"]).unwrap_or_default();
            let name = path.strip_prefix('.').unwrap_or(path);
            let known = fields.iter().any(|field| *field.path == *name);
            if let (false, Ok(path)) = (known, JsonPath::parse(path)) {
                fields.push(CustomField {
                    path: name.into(),
                    read: Box::new(move |object| text_at(&path, object)),
                });
            }
        }
    }
    Selectable::Custom(fields.into())
}

fn text_at(path: &JsonPath, object: &Value) -> String {
    match path.find(object).as_deref() {
        Ok([found]) if !found.is_null() => go_value(found),
        _ => String::new(),
    }
}

/// What every request for a deprecated version is warned of (`defaultDeprecationWarning`).
fn deprecation(definition: &Definition, version: &Value) -> Option<String> {
    if version["deprecated"] != true {
        return None;
    }
    if let Some(text) = meta::str_at(version, &["deprecationWarning"]) {
        return Some(text.to_owned());
    }
    let (name, kind) = (version_name(version), definition.named("kind"));
    let text = format!("{} {kind} is deprecated", definition.api_version(name));
    let better = definition.versions.iter().filter(|other| {
        other["served"] == true && other["deprecated"] != true && compare_versions(version_name(other), name).is_gt()
    });
    let best = better.map(version_name).max_by(|a, b| compare_versions(a, b));
    Some(match best {
        Some(best) => format!("{text}; use {} {kind}", definition.api_version(best)),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn definition(change: impl Fn(&mut Value)) -> Definition {
        let mut object = json!({
            "metadata": {"name": "as.g.io", "uid": "u"},
            "spec": {"group": "g.io", "scope": "Namespaced", "names": {}, "versions": [
                {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}}},
                {"name": "v1beta1", "served": true, "deprecated": true, "selectableFields": [{"jsonPath": ".spec.n"}]},
                {"name": "v1alpha1", "served": false},
            ]},
            "status": {
                "acceptedNames": {"plural": "as", "singular": "a", "kind": "A", "listKind": "AList", "shortNames": ["x"]},
                "conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}],
            },
        });
        change(&mut object);
        let text = object.to_string().into();
        Definition::read(object, text).unwrap()
    }

    fn resources(definition: &Definition) -> Vec<Resource> {
        all(definition, &Kind::of(definition))
    }

    #[test]
    fn versions_that_are_served_become_resources() {
        let resources = resources(&definition(|_| {}));
        let names: Vec<String> = resources
            .iter()
            .map(|r| format!("{} {}", r.gvk, &*r.storage_key))
            .collect();
        assert_eq!(names, ["g.io/v1, Kind=A g.io/as", "g.io/v1beta1, Kind=A g.io/as"]);
        assert_eq!(resources[0].subresources.len(), 2);
        assert_eq!(resources[0].deprecation.as_deref(), None);
        assert_eq!(
            resources[1].deprecation.as_deref(),
            Some("g.io/v1beta1 A is deprecated; use g.io/v1 A")
        );
        assert!(resources[1].selectable_fields.contains("spec.n"));
        let custom = resources[1].custom.as_ref().unwrap();
        assert_eq!(custom.stored.as_ref().map(|gvk| &*gvk.version), Some("v1"));
    }

    #[test]
    fn nothing_is_made_of_a_definition_that_goes() {
        let going = definition(|object| {
            let conditions = object["status"]["conditions"].as_array_mut().unwrap();
            conditions.push(json!({"type": "Terminating", "status": "True"}));
        });
        let resources = resources(&going);
        assert!(resources.iter().all(|r| !r.verbs.contains(&"create")));
        assert!(resources.iter().all(|r| r.custom.as_ref().unwrap().closed.is_some()));
    }

    #[test]
    fn values_are_selected_as_go_prints_them() {
        let Selectable::Custom(fields) = selectable([&json!({"selectableFields": [{"jsonPath": ".spec.n"}]})]) else {
            panic!("fields of a definition are read at run time");
        };
        let read = |object: Value| (fields[0].read)(&object);
        assert_eq!(read(json!({"spec": {"n": 5}})), "5");
        assert_eq!(read(json!({"spec": {"n": true}})), "true");
        assert_eq!(read(json!({"spec": {}})), "");
    }
}
