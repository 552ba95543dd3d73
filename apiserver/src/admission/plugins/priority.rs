//! Priority: resolves `priorityClassName` into the number the scheduler sorts by, and sees to it that only one class is
//! the default (`plugin/pkg/admission/priority`).

use crate::admission::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;

pub(super) const NAME: &str = "Priority";

/// What pods do to others unless their class says something else.
const PREEMPTION: &str = "PreemptLowerPriority";

pub(super) struct Priority;

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(resolve(lookup, attributes, object))
    }

    fn validate<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(check_default(lookup, attributes, object))
    }
}

fn classes() -> GroupResource {
    GroupResource::new("scheduling.k8s.io", "priorityclasses")
}

fn is_default(class: &Value) -> bool {
    meta::bool_at(class, &["globalDefault"]) == Some(true)
}

fn value_of(class: &Value) -> i64 {
    meta::i64_at(class, &["value"]).unwrap_or_default()
}

/// The default class; the lowest where there are several.
async fn default_class(lookup: &dyn Lookup) -> Result<Option<Value>, Status> {
    let all = lookup.list(&classes(), "").await?;
    Ok(all.into_iter().filter(is_default).min_by_key(value_of))
}

async fn resolve(lookup: &dyn Lookup, attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), Status> {
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
    let named = meta::str_at(pod, &["spec", "priorityClassName"])
        .unwrap_or_default()
        .to_owned();
    let class = if named.is_empty() {
        default_class(lookup).await?
    } else {
        let class = lookup.find(&classes(), "", &named).await?;
        let missing = || attributes.forbidden(pod, format!("no PriorityClass with name {named} was found"));
        Some(class.ok_or_else(missing)?)
    };
    let priority = class.as_ref().map(value_of).unwrap_or_default();
    let policy = class
        .as_ref()
        .and_then(|class| meta::str_at(class, &["preemptionPolicy"]));
    let policy = policy.unwrap_or(PREEMPTION);
    if let Some(given) = meta::i64_at(pod, &["spec", "priority"])
        && given != priority
    {
        return Err(attributes.forbidden(pod, format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        )));
    }
    if let Some(given) = meta::str_at(pod, &["spec", "preemptionPolicy"])
        && given != policy
    {
        return Err(attributes.forbidden(pod, format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        )));
    }
    if let Some(class) = class.as_ref().filter(|_| named.is_empty()) {
        meta::set(pod, &["spec", "priorityClassName"], meta::name(class));
    }
    meta::set(pod, &["spec", "priority"], priority);
    meta::set(pod, &["spec", "preemptionPolicy"], policy);
    Ok(())
}

/// Only one class may be the default.
async fn check_default(lookup: &dyn Lookup, attributes: &Attributes<'_>, class: &Value) -> Result<(), Status> {
    let written = matches!(attributes.operation, Operation::Create | Operation::Update);
    if attributes.resource != classes() || !attributes.subresource.is_empty() || !written || !is_default(class) {
        return Ok(());
    }
    let Some(default) = default_class(lookup).await? else {
        return Ok(());
    };
    let name = meta::name(&default);
    if attributes.operation == Operation::Update && name == meta::name(class) {
        return Ok(());
    }
    let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
    Err(attributes.forbidden(class, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::{Objects, attributes};
    use serde_json::json;

    fn class(name: &str, value: i64, default: bool, policy: &str) -> (&'static str, Value) {
        let class =
            json!({"metadata": {"name": name}, "value": value, "globalDefault": default, "preemptionPolicy": policy});
        ("priorityclasses", class)
    }

    async fn priority(lookup: &Objects, spec: &Value) -> Result<(i64, String), String> {
        let mut pod = json!({"spec": spec});
        let mut warnings = Vec::new();
        let attributes = attributes(Operation::Create, "pods", "n", "p", &mut warnings);
        resolve(lookup, &attributes, &mut pod).await.map_err(|s| s.message)?;
        let policy = meta::str_at(&pod, &["spec", "preemptionPolicy"]).unwrap().to_owned();
        Ok((meta::i64_at(&pod, &["spec", "priority"]).unwrap(), policy))
    }

    #[tokio::test]
    async fn classes_become_numbers() {
        let lookup = Objects::of(&[class("high", 5000, false, "Never")]);
        let with_default = Objects::of(&[class("high", 5000, false, "Never"), class("usual", 7, true, PREEMPTION)]);
        for (lookup, spec, expected) in [
            (&lookup, json!({}), Ok((0, PREEMPTION))),
            (&with_default, json!({}), Ok((7, PREEMPTION))),
            (&lookup, json!({"priorityClassName": "high"}), Ok((5000, "Never"))),
            (
                &lookup,
                json!({"priorityClassName": "nope"}),
                Err("pods \"p\" is forbidden: no PriorityClass with name nope was found"),
            ),
            (
                &lookup,
                json!({"preemptionPolicy": "Never"}),
                Err(
                    "pods \"p\" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name",
                ),
            ),
        ] {
            let expected = expected
                .map(|(n, policy)| (n, policy.to_owned()))
                .map_err(str::to_owned);
            assert_eq!(priority(lookup, &spec).await, expected, "{spec}");
        }
    }

    #[tokio::test]
    async fn there_is_one_default() {
        let lookup = Objects::of(&[class("usual", 7, true, PREEMPTION)]);
        for (name, operation, refused) in [
            ("other", Operation::Create, true),
            ("usual", Operation::Update, false),
            ("other", Operation::Update, true),
            ("other", Operation::Delete, false),
        ] {
            let mut warnings = Vec::new();
            let mut attributes = attributes(operation, "priorityclasses", "", name, &mut warnings);
            attributes.resource = classes();
            let (_, class) = class(name, 8, true, PREEMPTION);
            let result = check_default(&lookup, &attributes, &class).await;
            assert_eq!(result.is_err(), refused, "{operation:?} {name}");
        }
    }
}
