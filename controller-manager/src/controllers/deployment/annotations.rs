//! The annotations through which deployment and replica sets remember revisions and sizes.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::sizes::{max_surge, replicas};

const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations that are not copied to the replica set.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// Longest list of past revisions that is kept, in characters.
const HISTORY_LIMIT: usize = 2000;

fn get<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

pub(crate) fn revision_text(meta: &ObjectMeta) -> Option<&str> {
    get(meta, REVISION)
}

/// Gives the deployment the revision of its new replica set.
pub(crate) fn copy_revision(from: &ObjectMeta, to: &mut ObjectMeta) {
    if let Some(revision) = revision_text(from) {
        to.annotations
            .get_or_insert_default()
            .insert(REVISION.to_owned(), revision.to_owned());
    }
}

/// The revision, zero when there is none.
pub(crate) fn revision(meta: &ObjectMeta) -> i64 {
    get(meta, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(crate) fn desired_replicas(meta: &ObjectMeta) -> Option<i32> {
    get(meta, DESIRED_REPLICAS)?.parse().ok()
}

pub(crate) fn max_replicas(meta: &ObjectMeta) -> Option<i32> {
    get(meta, MAX_REPLICAS)?.parse().ok()
}

fn put(annotations: &mut BTreeMap<String, String>, key: &str, value: String) -> bool {
    annotations.insert(key.to_owned(), value.clone()) != Some(value)
}

/// Records the deployment's size on a replica set. Whether anything changed.
pub(crate) fn set_replicas(deployment: &Deployment, meta: &mut ObjectMeta) -> bool {
    let annotations = meta.annotations.get_or_insert_default();
    let wanted = replicas(deployment);
    let desired = put(annotations, DESIRED_REPLICAS, wanted.to_string());
    let most = put(annotations, MAX_REPLICAS, (wanted + max_surge(deployment)).to_string());
    desired || most
}

/// Gives the new replica set the deployment's annotations and its revision. Whether anything changed
/// (`SetNewReplicaSetAnnotations`).
pub(crate) fn copy_to_replica_set(deployment: &Deployment, meta: &mut ObjectMeta, next: i64, exists: bool) -> bool {
    let mut changed = false;
    let old_text = revision_text(meta).map(str::to_owned);
    let old = revision(meta);
    let annotations = meta.annotations.get_or_insert_default();
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if !NOT_COPIED.contains(&key.as_str()) {
            changed |= put(annotations, key, value.clone());
        }
    }
    if old < next {
        changed |= put(annotations, REVISION, next.to_string());
        if let Some(old_text) = old_text.filter(|text| exists && !text.is_empty()) {
            let mut history: Vec<&str> = match annotations.get(REVISION_HISTORY).map(String::as_str) {
                None | Some("") => Vec::new(),
                Some(history) => history.split(',').collect(),
            };
            history.push(&old_text);
            let mut joined = history.join(",");
            while joined.len() > HISTORY_LIMIT && history.len() > 1 {
                history.remove(0);
                joined = history.join(",");
            }
            annotations.insert(REVISION_HISTORY.to_owned(), joined);
        }
    }
    if !exists {
        changed |= set_replicas(deployment, meta);
    }
    if meta.annotations.as_ref().is_some_and(BTreeMap::is_empty) {
        meta.annotations = None;
    }
    changed
}
