//! What the other virtual cluster has: its resources and their OpenAPI documents, as far as they are shown here.

use serde_json::{Map, Value, json};

use crate::json;
use crate::settings::Proxied;

/// The resources of a version that are shown (`APIResourceList`).
pub(super) fn resources(mut list: Value, version: &Proxied) -> Value {
    if let Some(resources) = list.get_mut("resources").and_then(Value::as_array_mut) {
        resources.retain(|resource| {
            let name = json::text(resource, &["name"]);
            is_shown(version, name.split('/').next().unwrap_or_default())
        });
    }
    list
}

/// The name of a version in an index of OpenAPI documents.
pub(super) fn name(version: &Proxied) -> String {
    format!("apis/{}/{}", version.group, version.version)
}

/// The index of documents: of each version what its own cluster's index says.
pub(super) fn index<'a>(found: impl Iterator<Item = (&'a Proxied, &'a Value)>) -> Value {
    let entries = found.filter_map(|(version, index)| {
        let name = name(version);
        let entry = index.get("paths")?.get(&name)?.clone();
        Some((name, entry))
    });
    json!({"paths": entries.collect::<Map<String, Value>>()})
}

/// The document of a version, with the paths of the resources that are shown.
pub(super) fn description(mut document: Value, version: &Proxied) -> Value {
    let root = format!("/{}/", name(version));
    if let Some(paths) = json::object_mut(&mut document, "paths") {
        paths.retain(|path, _| match path.strip_prefix(&root) {
            Some("") => true,
            Some(rest) => {
                let rest = rest.strip_prefix("watch/").unwrap_or(rest);
                let rest = rest.strip_prefix("namespaces/{namespace}/").unwrap_or(rest);
                is_shown(version, rest.split('/').next().unwrap_or_default())
            }
            None => false,
        });
    }
    document
}

fn is_shown(version: &Proxied, resource: &str) -> bool {
    version.resources.is_empty() || version.resources.contains(resource)
}

#[cfg(test)]
mod tests {
    use super::super::tests::versions;
    use super::*;

    #[test]
    fn only_resources_that_are_asked_for_are_shown() {
        let list = json!({"kind": "APIResourceList", "resources": [
            {"name": "widgets"}, {"name": "widgets/status"}, {"name": "gadgets"}, {"name": "widgetsets"},
        ]});
        let names = |version: &Proxied| {
            let shown = resources(list.clone(), version);
            let items = json::items(&shown, &["resources"]).iter();
            items
                .map(|resource| json::text(resource, &["name"]).to_owned())
                .collect::<Vec<_>>()
        };
        let known = versions();
        assert_eq!(names(&known[0]), ["widgets", "widgets/status"]);
        assert_eq!(names(&known[1]).len(), 4);
    }

    #[test]
    fn documents_have_the_paths_of_these_resources() {
        let paths = [
            "/apis/example.com/v1/",
            "/apis/example.com/v1/widgets",
            "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}/status",
            "/apis/example.com/v1/namespaces/{namespace}/gadgets",
            "/apis/example.com/v1/watch/widgets",
            "/apis/apps/v1/",
        ];
        let paths: Map<String, Value> = paths.map(|path| (path.to_owned(), json!({}))).into_iter().collect();
        let shown = description(json!({"paths": paths, "components": {}}), &versions()[0]);
        let shown: Vec<&String> = shown["paths"].as_object().expect("paths").keys().collect();
        assert_eq!(shown.len(), 4, "{shown:?}");
        assert!(
            !shown
                .iter()
                .any(|path| path.contains("gadgets") || path.contains("apps"))
        );
    }

    #[test]
    fn an_index_has_own_versions_only() {
        let entry = json!({"serverRelativeURL": "/openapi/v3/apis/example.com/v1?hash=1"});
        let known = versions();
        let theirs = json!({"paths": {"apis/example.com/v1": entry, "apis/apps/v1": {}}});
        let shown = index(known.iter().map(|version| (version, &theirs)));
        assert_eq!(shown, json!({"paths": {"apis/example.com/v1": entry}}));
    }
}
