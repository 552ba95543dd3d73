//! Controller revisions: the past templates of a StatefulSet or DaemonSet (`pkg/controller/history`).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::DeleteParams;
use kube::{Api, Client, Resource};
use serde_json::{Map, Value, json};

use super::hash::{fnv32, safe_encode};
use super::ownership::{describe, reference_to};
use crate::error::{During, Result, ignore_not_found};

/// Label of a revision with the hash of its content.
const HASH_LABEL: &str = "controller.kubernetes.io/hash";
/// Label of pods (and of the revisions of a DaemonSet) with their revision.
pub(crate) const REVISION_LABEL: &str = "controller-revision-hash";
/// How many old revisions are kept unless the owner says otherwise.
const DEFAULT_LIMIT: i32 = 10;
/// Longest part of an owner's name in the name of its revisions.
const PREFIX_LIMIT: usize = 223;

/// The content of a revision: a patch that brings the template back. Empty structs that Go always writes are there, so that
/// the hash is upstream's.
pub(crate) fn content(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).unwrap_or_default();
    if let Some(fields) = template.as_object_mut() {
        fields.insert("$patch".to_owned(), json!("replace"));
        fields.entry("metadata").or_insert_with(|| json!({}));
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            let containers = fields
                .get_mut("spec")
                .and_then(|spec| spec.get_mut(list))
                .and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.entry("resources").or_insert_with(|| json!({}));
            }
        }
    }
    json!({ "spec": { "template": template } })
}

/// JSON as Go writes it: sorted keys, no spaces, `<`, `>` and `&` escaped.
fn go_json(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            let members: Vec<String> = sorted
                .into_iter()
                .map(|(key, value)| format!("{}:{}", go_string(key), go_json(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(go_json).collect::<Vec<_>>().join(",")),
        Value::String(text) => go_string(text),
        other => other.to_string(),
    }
}

fn go_string(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    quoted
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// The hash in a revision's name (`HashControllerRevision`).
fn hash(content: &Value, collisions: Option<i32>) -> String {
    let probe = collisions.map(|count| count.to_string()).unwrap_or_default();
    safe_encode(&fnv32(&[go_json(content).as_bytes(), probe.as_bytes()]).to_string())
}

/// A revision of `template`; its name follows from its content, so the same template finds itself again.
pub(crate) fn new_revision<O>(
    owner: &O,
    template: &PodTemplateSpec,
    revision: i64,
    collisions: Option<i32>,
) -> ControllerRevision
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let content = content(template);
    let hash = hash(&content, collisions);
    let mut labels = template
        .metadata
        .as_ref()
        .and_then(|meta| meta.labels.clone())
        .unwrap_or_default();
    labels.insert(HASH_LABEL.to_owned(), hash.clone());
    named_revision(owner, labels, &hash, content, revision)
}

/// A revision with a given hash.
pub(crate) fn named_revision<O>(
    owner: &O,
    labels: BTreeMap<String, String>,
    hash: &str,
    content: Value,
    revision: i64,
) -> ControllerRevision
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let meta = owner.meta();
    let name = meta.name.as_deref().unwrap_or_default();
    let prefix = &name[..name.len().min(PREFIX_LIMIT)];
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{prefix}-{hash}")),
            namespace: meta.namespace.clone(),
            labels: Some(labels),
            annotations: meta.annotations.clone(),
            owner_references: Some(vec![reference_to(owner)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(content)),
        revision,
    }
}

fn without_empty(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept: Map<String, Value> = fields
                .iter()
                .map(|(key, value)| (key.clone(), without_empty(value)))
                .filter(|(key, value)| {
                    !(value.is_null() || (key == "resources" || key == "metadata") && *value == json!({}))
                })
                .collect();
            Value::Object(kept)
        }
        Value::Array(items) => Value::Array(items.iter().map(without_empty).collect()),
        other => other.clone(),
    }
}

/// Whether a revision holds this content, however empty fields were written.
pub(crate) fn holds(revision: &ControllerRevision, content: &Value) -> bool {
    revision
        .data
        .as_ref()
        .is_some_and(|data| without_empty(&data.0) == without_empty(content))
}

/// The template a revision brings back.
pub(crate) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.get("spec")?.get("template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// Orders revisions, the newest last.
pub(crate) fn sort(revisions: &mut [Arc<ControllerRevision>]) {
    let key = |revision: &ControllerRevision| {
        let created = revision.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (revision.revision, created, revision.metadata.name.clone())
    };
    revisions.sort_by_key(|revision| key(revision));
}

/// Deletes the revisions beyond the limit that nothing uses, the oldest first.
pub(crate) async fn forget<O>(
    client: &Client,
    owner: &O,
    sorted: &[Arc<ControllerRevision>],
    limit: Option<i32>,
    in_use: impl Fn(&ControllerRevision) -> bool,
) -> Result
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let namespace = owner.meta().namespace.as_deref().unwrap_or_default();
    let api: Api<ControllerRevision> = Api::namespaced(client.clone(), namespace);
    for revision in excess(sorted, limit.unwrap_or(DEFAULT_LIMIT), in_use) {
        let name = revision.metadata.name.as_deref().unwrap_or_default();
        ignore_not_found(api.delete(name, &DeleteParams::default()).await)
            .during(format_args!("deleting old revision {name} of {}", describe(owner)))?;
    }
    Ok(())
}

fn excess(
    sorted: &[Arc<ControllerRevision>],
    limit: i32,
    in_use: impl Fn(&ControllerRevision) -> bool,
) -> Vec<Arc<ControllerRevision>> {
    let unused: Vec<_> = sorted.iter().filter(|revision| !in_use(revision)).cloned().collect();
    let count = unused.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    unused.into_iter().take(count).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::StatefulSet;

    use super::*;

    #[test]
    fn json_is_written_as_go_writes_it() {
        let value = json!({ "b": [1, true, null], "a": "<x> & \"y\"\n" });
        assert_eq!(
            go_json(&value),
            r#"{"a":"\u003cx\u003e \u0026 \"y\"\n","b":[1,true,null]}"#
        );
    }

    #[test]
    fn the_oldest_unused_revisions_go() {
        let all: Vec<_> = (1..=4)
            .map(|revision| {
                Arc::new(ControllerRevision {
                    revision,
                    ..ControllerRevision::default()
                })
            })
            .collect();
        let table: [(i32, &[i64]); 4] = [(0, &[1, 3, 4]), (1, &[1, 3]), (3, &[]), (9, &[])];
        for (limit, gone) in table {
            let excess = excess(&all, limit, |revision| revision.revision == 2);
            let numbers: Vec<i64> = excess.iter().map(|revision| revision.revision).collect();
            assert_eq!(numbers, gone, "limit {limit}");
        }
    }

    #[test]
    fn a_revision_brings_its_template_back() {
        let template: PodTemplateSpec = serde_json::from_value(json!({
            "metadata": { "labels": { "app": "db" } },
            "spec": { "containers": [{ "name": "c", "image": "v1" }] },
        }))
        .unwrap();
        let mut set = StatefulSet::default();
        set.metadata.name = Some("db".into());
        let revision = new_revision(&set, &template, 1, Some(0));
        assert!(revision.metadata.name.as_deref().unwrap().starts_with("db-"));
        assert!(holds(&revision, &content(&template)));
        let mut back = super::template(&revision).unwrap();
        back.spec.as_mut().unwrap().containers[0].resources = None;
        assert_eq!(back, template);
        assert_ne!(
            new_revision(&set, &template, 1, Some(1)).metadata.name,
            revision.metadata.name
        );
    }
}
