//! What backends have, for the aggregated discovery document (kube-aggregator `pkg/apiserver/handler_discovery.go`).

use super::openapi::Converted;
use super::{Aggregator, Backend};
use http::{StatusCode, header};
use machinery::openapi::Part;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The forms that a backend may answer in.
const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                      application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
/// How old it may get.
const REFRESH: Duration = Duration::from_secs(60);

/// What is known of the resources of a backend.
#[derive(Default)]
pub struct Discovered {
    resources: Option<Value>,
    etag: String,
    /// When it was found to be so.
    at: Option<Instant>,
    /// Whether the last attempt to learn it succeeded.
    current: bool,
    /// Its entries in the index of OpenAPI documents.
    pub(super) documents: Map<String, Value>,
    /// What it says of its paths in OpenAPI 2, and the tag of that.
    pub(super) part: Option<(String, Arc<Part>)>,
    /// What was made of that if it has nothing else.
    pub(super) converted: Option<Arc<Converted>>,
}

impl Backend {
    /// Its version in the aggregated document.
    pub fn entry(&self) -> Value {
        self.with_discovered(|known| {
            let mut entry = Map::new();
            entry.insert("version".to_owned(), self.spec.version.clone().into());
            if let Some(resources) = &known.resources {
                entry.insert("resources".to_owned(), resources.clone());
            }
            let freshness = if known.current { "Current" } else { "Stale" };
            entry.insert("freshness".to_owned(), freshness.into());
            Value::Object(entry)
        })
    }

    /// Marks what is known as something that may have changed.
    pub fn forget_freshness(&self) {
        self.with_discovered(|known| (known.current, known.at) = (false, None));
    }
}

impl Aggregator {
    /// Learns what a backend has, unless that was a moment ago.
    pub async fn discover(&self, backend: &Backend) {
        let recent =
            backend.with_discovered(|known| known.current && known.at.is_some_and(|at| at.elapsed() < REFRESH));
        if recent {
            return;
        }
        let began = Instant::now();
        self.learn_documents(backend).await;
        match self.learn(backend).await {
            Ok(learnt) => backend.with_discovered(|known| {
                if let Some((resources, etag)) = learnt {
                    (known.resources, known.etag) = (resources, etag);
                }
                (known.at, known.current) = (Some(began), true);
            }),
            Err(why) => {
                tracing::debug!(apiservice = backend.name, why, "cannot learn what an APIService has");
                backend.forget_freshness();
            }
        }
    }

    /// The resources of a backend and the tag of the document they stand in; `None` when nothing has changed.
    async fn learn(&self, backend: &Backend) -> Result<Option<(Option<Value>, String)>, String> {
        let known = backend.with_discovered(|known| known.etag.clone());
        let mut headers = vec![(header::ACCEPT, ACCEPT)];
        if !known.is_empty() {
            headers.push((header::IF_NONE_MATCH, known.as_str()));
        }
        let (_, answer) = self.ask(backend, "/apis", &headers, true).await;
        let answer = answer?;
        let text = |name| {
            answer
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let aggregated = is_aggregated(text(header::CONTENT_TYPE));
        match answer.status() {
            StatusCode::NOT_MODIFIED => return Ok(None),
            StatusCode::SERVICE_UNAVAILABLE => return Err("the service is unavailable".to_owned()),
            StatusCode::OK if aggregated => {
                let document: Value = serde_json::from_slice(answer.body()).map_err(|error| error.to_string())?;
                let found = in_document(&document, &backend.spec.group, &backend.spec.version);
                return Ok(Some((found, text(header::ETAG).to_owned())));
            }
            _ => {}
        }
        let path = backend.spec.path();
        let accept = [(header::ACCEPT, "application/json")];
        let (_, answer) = self.ask(backend, &path, &accept, false).await;
        let answer = answer?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{path} is answered with {}", answer.status()));
        }
        let list: Value = serde_json::from_slice(answer.body()).map_err(|error| error.to_string())?;
        Ok(Some((
            Some(from_list(machinery::meta::list_at(&list, &["resources"]))),
            String::new(),
        )))
    }
}

fn is_aggregated(content_type: &str) -> bool {
    ["g=apidiscovery.k8s.io", "as=APIGroupDiscoveryList"]
        .iter()
        .all(|part| content_type.split(';').any(|found| found.trim() == *part))
}

/// The resources of a group and version in an aggregated document.
fn in_document(document: &Value, group: &str, version: &str) -> Option<Value> {
    let items = machinery::meta::list_at(document, &["items"]);
    let name = |item: &Value| {
        machinery::meta::str_at(item, &["metadata", "name"])
            .unwrap_or_default()
            .to_owned()
    };
    let versions = items
        .iter()
        .filter(|item| name(item) == group)
        .flat_map(|item| machinery::meta::list_at(item, &["versions"]));
    let mut resources = versions
        .into_iter()
        .find(|found| found["version"] == version)?
        .get("resources")?
        .clone();
    for resource in resources.as_array_mut().into_iter().flatten() {
        with_kind(resource);
        let below = resource.get_mut("subresources").and_then(Value::as_array_mut);
        below.into_iter().flatten().for_each(with_kind);
    }
    Some(resources)
}

/// Some clients expect a kind everywhere.
fn with_kind(entry: &mut Value) {
    if let Some(entry) = entry.as_object_mut() {
        let kind = entry.entry("responseKind").or_insert_with(no_kind);
        if kind.is_null() {
            *kind = no_kind();
        }
    }
}

fn no_kind() -> Value {
    json!({"group": "", "version": "", "kind": ""})
}

/// The resources of an `APIResourceList` in the form of the aggregated document
/// (k8s.io/apiserver `endpoints.ConvertGroupVersionIntoToDiscovery`).
fn from_list(list: &[Value]) -> Value {
    let text = |entry: &Value, field: &str| machinery::meta::str_at(entry, &[field]).unwrap_or_default().to_owned();
    let scope = |entry: &Value| {
        if entry["namespaced"] == true {
            "Namespaced"
        } else {
            "Cluster"
        }
    };
    let verbs = |entry: &Value| {
        entry
            .get("verbs")
            .filter(|verbs| verbs.is_array())
            .cloned()
            .unwrap_or_else(|| json!([]))
    };
    let kind = |entry: &Value| json!({"group": text(entry, "group"), "version": text(entry, "version"), "kind": text(entry, "kind")});
    let mut resources: Vec<Value> = Vec::new();
    for entry in list.iter().filter(|entry| !text(entry, "name").contains('/')) {
        let mut resource = json!({
            "resource": text(entry, "name"),
            "responseKind": kind(entry),
            "scope": scope(entry),
            "singularResource": text(entry, "singularName"),
            "verbs": verbs(entry),
        });
        for field in ["shortNames", "categories"] {
            if let Some(names) = entry
                .get(field)
                .filter(|names| names.as_array().is_some_and(|names| !names.is_empty()))
            {
                resource[field] = names.clone();
            }
        }
        resources.push(resource);
    }
    for entry in list {
        let name = text(entry, "name");
        let Some((parent, subresource)) = name.split_once('/') else {
            continue;
        };
        let found = resources.iter().position(|resource| resource["resource"] == parent);
        let at = found.unwrap_or_else(|| {
            resources.push(json!({
                "resource": parent, "responseKind": no_kind(), "scope": scope(entry), "singularResource": "", "verbs": [],
            }));
            resources.len() - 1
        });
        let below = json!({"subresource": subresource, "responseKind": kind(entry), "verbs": verbs(entry)});
        match resources[at].get_mut("subresources").and_then(Value::as_array_mut) {
            Some(list) => list.push(below),
            None => resources[at]["subresources"] = json!([below]),
        }
    }
    Value::Array(resources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_entries_of_the_aggregated_document() {
        let list = [
            json!({"name": "nodes", "singularName": "node", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get"]}),
            json!({"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"], "shortNames": ["pm"]}),
            json!({"name": "pods/exec", "namespaced": true, "kind": "X", "group": "g", "version": "v1", "verbs": ["create"]}),
            json!({"name": "orphans/status", "namespaced": true, "verbs": ["get"]}),
        ];
        let found = from_list(&list);
        assert_eq!(
            found[1],
            json!({
                "resource": "pods", "responseKind": {"group": "", "version": "", "kind": "PodMetrics"}, "scope": "Namespaced",
                "singularResource": "", "verbs": ["get", "list"], "shortNames": ["pm"],
                "subresources": [{
                    "subresource": "exec", "responseKind": {"group": "g", "version": "v1", "kind": "X"}, "verbs": ["create"],
                }],
            })
        );
        assert_eq!(found[0]["scope"], "Cluster");
        assert_eq!(
            (&found[2]["resource"], &found[2]["responseKind"]),
            (&json!("orphans"), &no_kind())
        );
    }

    #[test]
    fn the_own_version_is_taken_from_a_document() {
        let document = json!({"items": [{"metadata": {"name": "g"}, "versions": [
            {"version": "v1", "resources": [{"resource": "a", "subresources": [{"subresource": "s"}]}]},
            {"version": "v2"},
        ]}]});
        let found = in_document(&document, "g", "v1").unwrap();
        assert_eq!(found[0]["responseKind"], no_kind());
        assert_eq!(found[0]["subresources"][0]["responseKind"], no_kind());
        assert_eq!(in_document(&document, "g", "v2"), None);
        assert_eq!(in_document(&document, "h", "v1"), None);
        assert!(is_aggregated(
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        ));
        assert!(!is_aggregated("application/json"));
    }
}
