//! Priority: resolves `priorityClassName` into the number the scheduler sorts by (`plugin/pkg/admission/priority`).
//!
//! The two system classes are fixed. Other classes become usable when PriorityClass is served.

use crate::admission::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;

pub(super) const NAME: &str = "Priority";

/// Upstream's system classes and their values.
const SYSTEM: [(&str, i64); 2] = [
    ("system-cluster-critical", 2_000_000_000),
    ("system-node-critical", 2_000_001_000),
];
/// The priority of pods without a class.
const DEFAULT: i64 = 0;
/// What pods of these classes do to others.
const PREEMPTION: &str = "PreemptLowerPriority";

pub(super) struct Priority;

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit<'a>(
        &'a self,
        _lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let result = resolve(attributes, object);
        Box::pin(async { result })
    }
}

fn resolve(attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), Status> {
    if attributes.resource != GroupResource::new("", "pods") || !attributes.subresource.is_empty() {
        return Ok(());
    }
    if attributes.operation == Operation::Update {
        // A pod keeps its priority when an update leaves it out.
        if let Some(old) = attributes.old {
            for field in ["priority", "preemptionPolicy"] {
                if meta::at(pod, &["spec", field]).is_none() {
                    meta::copy(pod, old, &["spec", field]);
                }
            }
        }
        return Ok(());
    }
    if attributes.operation != Operation::Create {
        return Ok(());
    }
    let class = meta::str_at(pod, &["spec", "priorityClassName"]).unwrap_or_default();
    let priority = match SYSTEM.iter().find(|(name, _)| *name == class) {
        Some((_, value)) => *value,
        None if class.is_empty() => DEFAULT,
        None => return Err(attributes.forbidden(pod, format!("no PriorityClass with name {class} was found"))),
    };
    if let Some(given) = meta::i64_at(pod, &["spec", "priority"])
        && given != priority
    {
        return Err(attributes.forbidden(pod, format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        )));
    }
    if let Some(given) = meta::str_at(pod, &["spec", "preemptionPolicy"])
        && given != PREEMPTION
    {
        return Err(attributes.forbidden(pod, format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {PREEMPTION} from the given PriorityClass name"
        )));
    }
    meta::set(pod, &["spec", "priority"], priority);
    meta::set_default(pod, &["spec", "preemptionPolicy"], PREEMPTION);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::attributes;
    use serde_json::json;

    #[test]
    fn classes_become_numbers() {
        for (spec, expected) in [
            (json!({}), Ok(0)),
            (json!({"priorityClassName": "system-node-critical"}), Ok(2_000_001_000)),
            (
                json!({"priorityClassName": "nope"}),
                Err("pods \"p\" is forbidden: no PriorityClass with name nope was found"),
            ),
            (
                json!({"preemptionPolicy": "Never"}),
                Err(
                    "pods \"p\" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name",
                ),
            ),
        ] {
            let mut pod = json!({"spec": spec});
            let mut warnings = Vec::new();
            let result = resolve(
                &attributes(Operation::Create, "pods", "n", "p", &mut warnings),
                &mut pod,
            );
            let got = result
                .map(|()| meta::i64_at(&pod, &["spec", "priority"]).unwrap())
                .map_err(|s| s.message);
            assert_eq!(got, expected.map_err(str::to_owned));
        }
    }
}
