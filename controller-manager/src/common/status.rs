//! Writing the status of an object, and only when it says something new: every write wakes all who watch, ourselves included.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{
    DaemonSet, DaemonSetStatus, ReplicaSet, ReplicaSetStatus, StatefulSet, StatefulSetStatus,
};
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus};
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::ownership::describe;
use crate::error::{During, Result};

/// A kind whose status is written by its controller.
pub(crate) trait HasStatus:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
    type Status: Clone + PartialEq + Serialize;
    fn status(&mut self) -> &mut Option<Self::Status>;
    fn current(&self) -> Option<&Self::Status>;
}

macro_rules! has_status {
    ($($kind:ty: $status:ty;)*) => {
        $(impl HasStatus for $kind {
            type Status = $status;
            fn status(&mut self) -> &mut Option<$status> {
                &mut self.status
            }
            fn current(&self) -> Option<&$status> {
                self.status.as_ref()
            }
        })*
    };
}

has_status! {
    ReplicaSet: ReplicaSetStatus;
    StatefulSet: StatefulSetStatus;
    DaemonSet: DaemonSetStatus;
    Job: JobStatus;
    HorizontalPodAutoscaler: HorizontalPodAutoscalerStatus;
    PodDisruptionBudget: PodDisruptionBudgetStatus;
}

/// Gives the object this status unless it has it.
pub(crate) async fn write<K: HasStatus>(client: &Client, object: &K, status: &K::Status) -> Result {
    if is_same(object.current(), status) {
        return Ok(());
    }
    let mut updated = object.clone();
    *updated.status() = Some(status.clone());
    let meta = object.meta();
    let api: Api<K> = Api::namespaced(client.clone(), meta.namespace.as_deref().unwrap_or_default());
    let name = meta.name.as_deref().unwrap_or_default();
    let written = api.replace_status(name, &PostParams::default(), &updated).await;
    written
        .map(|_| ())
        .during(format_args!("updating the status of {}", describe(object)))
}

/// Whether both say the same. A number that is absent is zero and an absent list is empty, because servers differ in what they
/// leave out; compared strictly, a status they store differently would be written again for ever.
pub(crate) fn is_same<T: PartialEq + Serialize>(old: Option<&T>, new: &T) -> bool {
    let said = |status: &T| serde_json::to_value(status).map(without_zeros).ok();
    match old {
        None => said(new).is_some_and(|said| is_zero(&said)),
        Some(old) => old == new || said(old).is_some_and(|old| Some(old) == said(new)),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn without_zeros(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept: Map<String, Value> = fields
                .into_iter()
                .map(|(key, value)| (key, without_zeros(value)))
                .filter(|(_, value)| !is_zero(value))
                .collect();
            Value::Object(kept)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_zeros).collect()),
        other => other,
    }
}

/// What an API server may return for a status it was given: as it was written, and with everything left out that is zero.
#[cfg(test)]
pub(crate) fn as_returned<T: Serialize + DeserializeOwned>(status: &T) -> [T; 2] {
    let written = serde_json::to_value(status).unwrap();
    [written.clone(), without_zeros(written)].map(|value| serde_json::from_value(value).unwrap())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_counts_as_a_change() {
        let condition = |message: &str| json!([{ "type": "A", "status": "True", "message": message }]);
        let table = [
            (
                json!({ "replicas": 0 }),
                json!({ "replicas": 0, "availableReplicas": 0 }),
                true,
            ),
            (
                json!({ "replicas": 1 }),
                json!({ "replicas": 1, "conditions": [] }),
                true,
            ),
            (
                json!({ "replicas": 1 }),
                json!({ "replicas": 1, "readyReplicas": 1 }),
                false,
            ),
            (
                json!({ "replicas": 1, "conditions": condition("a") }),
                json!({ "replicas": 1, "conditions": condition("") }),
                false,
            ),
        ];
        for (old, new, same) in table {
            let [old, new]: [ReplicaSetStatus; 2] = [old, new].map(|value| serde_json::from_value(value).unwrap());
            assert_eq!(is_same(Some(&old), &new), same, "{old:?} {new:?}");
            assert_eq!(is_same(Some(&new), &old), same, "{new:?} {old:?}");
        }
        assert!(is_same(None, &ReplicaSetStatus::default()));
    }
}
