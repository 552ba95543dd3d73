//! RuntimeClass: adds to new pods what their class costs and where it runs (`plugin/pkg/admission/runtimeclass`).

use crate::admission::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::field::go_quote;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;

pub(super) const NAME: &str = "RuntimeClass";

const OTHER_OVERHEAD: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
const OVERHEAD_WITHOUT_CLASS: &str =
    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";

pub(super) struct RuntimeClass;

impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(admit(lookup, attributes, object))
    }

    fn validate<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(validate(lookup, attributes, object))
    }
}

fn is_concerned(attributes: &Attributes<'_>) -> bool {
    attributes.operation == Operation::Create
        && attributes.subresource.is_empty()
        && attributes.resource == GroupResource::new("", "pods")
}

async fn class_of(lookup: &dyn Lookup, attributes: &Attributes<'_>, pod: &Value) -> Result<Option<Value>, Status> {
    let Some(name) = meta::str_at(pod, &["spec", "runtimeClassName"]) else {
        return Ok(None);
    };
    let classes = GroupResource::new("node.k8s.io", "runtimeclasses");
    let class = lookup.find(&classes, "", name).await?;
    let missing = || format!("pod rejected: RuntimeClass {} not found", go_quote(name));
    class.map(Some).ok_or_else(|| attributes.forbidden(pod, missing()))
}

/// What every pod of a class costs, when the class says so.
fn overhead(class: Option<&Value>) -> Option<Value> {
    let overhead = meta::at(class?, &["overhead"]).filter(|overhead| !overhead.is_null())?;
    Some(overhead.get("podFixed").cloned().unwrap_or_default())
}

fn overhead_of(pod: &Value) -> Option<&Value> {
    meta::at(pod, &["spec", "overhead"]).filter(|overhead| !overhead.is_null())
}

async fn admit(lookup: &dyn Lookup, attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), Status> {
    if !is_concerned(attributes) {
        return Ok(());
    }
    let Some(class) = class_of(lookup, attributes, pod).await? else {
        return Ok(());
    };
    if let Some(fixed) = overhead(Some(&class)) {
        if overhead_of(pod).is_some_and(|given| *given != fixed) {
            return Err(attributes.forbidden(pod, OTHER_OVERHEAD));
        }
        meta::set(pod, &["spec", "overhead"], fixed);
    }
    for (key, value) in meta::map_at(&class, &["scheduling", "nodeSelector"])
        .into_iter()
        .flatten()
    {
        let (wanted, given) = (
            value.as_str().unwrap_or_default(),
            meta::str_at(pod, &["spec", "nodeSelector", key]),
        );
        if let Some(given) = given.filter(|given| *given != wanted) {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {given}"
            );
            return Err(attributes.forbidden(pod, why));
        }
        meta::set(pod, &["spec", "nodeSelector", key], value.clone());
    }
    if meta::at(&class, &["scheduling"]).is_some() {
        let mut tolerations = meta::list_at(pod, &["spec", "tolerations"]).to_vec();
        tolerations.extend_from_slice(meta::list_at(&class, &["scheduling", "tolerations"]));
        let merged = merge(tolerations);
        if !merged.is_empty() {
            meta::set(pod, &["spec", "tolerations"], merged);
        }
    }
    Ok(())
}

async fn validate(lookup: &dyn Lookup, attributes: &Attributes<'_>, pod: &Value) -> Result<(), Status> {
    if !is_concerned(attributes) {
        return Ok(());
    }
    let class = class_of(lookup, attributes, pod).await?;
    match (overhead(class.as_ref()), overhead_of(pod)) {
        (Some(fixed), given) if given != Some(&fixed) => Err(attributes.forbidden(pod, OTHER_OVERHEAD)),
        (None, Some(_)) => Err(attributes.forbidden(pod, OVERHEAD_WITHOUT_CLASS)),
        _ => Ok(()),
    }
}

/// Leaves out what another toleration tolerates as well (`MergeTolerations`).
fn merge(all: Vec<Value>) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::new();
    for (i, toleration) in all.iter().enumerate() {
        let covered = merged.iter().any(|other| tolerates_more(other, toleration));
        let later = all.iter().skip(i + 1);
        let covered_later = later
            .into_iter()
            .any(|other| other != toleration && tolerates_more(other, toleration));
        if !covered && !covered_later {
            merged.push(toleration.clone());
        }
    }
    merged
}

/// Whether `more` tolerates all that `less` does.
fn tolerates_more(more: &Value, less: &Value) -> bool {
    let text = |toleration: &'_ Value, field: &str| meta::str_at(toleration, &[field]).unwrap_or_default().to_owned();
    let differs = |field: &str| text(more, field) != text(less, field);
    if more == less {
        return true;
    }
    if differs("key") && !(text(more, "key").is_empty() && text(more, "operator") == "Exists") {
        return false;
    }
    if differs("effect") && !text(more, "effect").is_empty() {
        return false;
    }
    let seconds = |toleration: &Value| meta::i64_at(toleration, &["tolerationSeconds"]);
    if text(more, "effect") == "NoExecute"
        && let Some(limit) = seconds(more)
        && seconds(less).is_none_or(|wanted| wanted > limit)
    {
        return false;
    }
    match text(more, "operator").as_str() {
        "" | "Equal" => text(less, "operator") == "Equal" && !differs("value"),
        "Exists" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::{Objects, attributes};
    use serde_json::json;

    async fn admitted(spec: Value) -> Result<Value, String> {
        let class = json!({
            "metadata": {"name": "rt"},
            "overhead": {"podFixed": {"cpu": "100m"}},
            "scheduling": {"nodeSelector": {"rt": "1"}, "tolerations": [{"key": "rt", "operator": "Exists"}]},
        });
        let lookup = Objects::of(&[("runtimeclasses", class)]);
        let mut pod = json!({"spec": spec});
        let mut warnings = Vec::new();
        let attributes = attributes(Operation::Create, "pods", "n", "p", &mut warnings);
        admit(&lookup, &attributes, &mut pod).await.map_err(|s| s.message)?;
        validate(&lookup, &attributes, &pod).await.map_err(|s| s.message)?;
        Ok(pod["spec"].take())
    }

    #[tokio::test]
    async fn pods_get_what_their_class_says() {
        let refused = |why: &str| Err(format!("pods \"p\" is forbidden: {why}"));
        for (spec, expected) in [
            (json!({}), Ok(json!({}))),
            (
                json!({"runtimeClassName": "rt", "nodeSelector": {"a": "b"}}),
                Ok(json!({
                    "runtimeClassName": "rt",
                    "nodeSelector": {"a": "b", "rt": "1"},
                    "overhead": {"cpu": "100m"},
                    "tolerations": [{"key": "rt", "operator": "Exists"}],
                })),
            ),
            (
                json!({"runtimeClassName": "rt", "nodeSelector": {"rt": "2"}}),
                refused("conflict: runtimeClass.scheduling.nodeSelector[rt] = 1; pod.spec.nodeSelector[rt] = 2"),
            ),
            (
                json!({"runtimeClassName": "rt", "overhead": {"cpu": "1"}}),
                refused(OTHER_OVERHEAD),
            ),
            (json!({"overhead": {"cpu": "1"}}), refused(OVERHEAD_WITHOUT_CLASS)),
            (
                json!({"runtimeClassName": "no"}),
                refused("pod rejected: RuntimeClass \"no\" not found"),
            ),
        ] {
            assert_eq!(admitted(spec.clone()).await, expected, "{spec}");
        }
    }

    #[test]
    fn redundant_tolerations_go() {
        let all = json!({"operator": "Exists"});
        let one = json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
        let longer = json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9});
        assert_eq!(merge(vec![one.clone(), all.clone()]), [all]);
        assert_eq!(merge(vec![one.clone(), longer.clone()]), [longer]);
        assert_eq!(merge(vec![one.clone(), one.clone()]), [one]);
    }
}
