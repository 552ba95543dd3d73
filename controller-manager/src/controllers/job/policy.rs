//! What a job's policies say about failed pods and about success (`pod_failure_policy.go`, `success_policy.go`).

use std::collections::BTreeSet;

use client::ObjectKey;
use k8s_openapi::api::batch::v1::{Job, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::Pod;

use super::indexes;
use crate::common::pods;

/// What a failed pod means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// One failure towards the backoff limit.
    Count,
    /// No failure at all.
    Ignore,
    /// The index of the pod is not tried again.
    FailIndex,
    /// The whole job has failed, for this reason.
    FailJob(String),
}

/// The first rule that matches decides.
pub(crate) fn failure(job: &Job, pod: &Pod) -> Verdict {
    let policy = job.spec.as_ref().and_then(|spec| spec.pod_failure_policy.as_ref());
    // Rules apply to pods that failed, not to those that are only on their way out.
    if pods::phase(pod) != "Failed" {
        return Verdict::Count;
    }
    for (index, rule) in policy.iter().flat_map(|policy| &policy.rules).enumerate() {
        let Some(cause) = matches(rule, pod) else { continue };
        return match rule.action.as_str() {
            "Ignore" => Verdict::Ignore,
            // Without a limit per index the API server does not let this action in.
            "FailIndex" => Verdict::FailIndex,
            "FailJob" => Verdict::FailJob(format!("{cause} matching FailJob rule at index {index}")),
            _ => Verdict::Count,
        };
    }
    Verdict::Count
}

fn matches(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let key = ObjectKey::of(&pod.metadata);
    if let Some(requirement) = &rule.on_exit_codes {
        let (container, code) = failed_container(requirement, pod)?;
        return Some(format!(
            "Container {container} for pod {key} failed with exit code {code}"
        ));
    }
    let pattern = rule.on_pod_conditions.iter().flatten().find(|pattern| {
        let wanted = pattern.status.as_deref().unwrap_or("True");
        pods::condition(pod, &pattern.type_).is_some_and(|condition| condition.status == wanted)
    })?;
    Some(format!("Pod {key} has condition {}", pattern.type_))
}

fn failed_container<'a>(requirement: &PodFailurePolicyOnExitCodesRequirement, pod: &'a Pod) -> Option<(&'a str, i32)> {
    let named = requirement.container_name.as_deref();
    pods::container_statuses(pod)
        .filter(|status| named.is_none_or(|name| name == status.name))
        .filter_map(|status| {
            let code = status.state.as_ref()?.terminated.as_ref()?.exit_code;
            Some((status.name.as_str(), code))
        })
        .find(|(_, code)| {
            let listed = requirement.values.contains(code);
            *code != 0
                && if requirement.operator == "NotIn" {
                    !listed
                } else {
                    listed
                }
        })
}

/// The index of the success rule that the succeeded indexes meet.
pub(crate) fn success(job: &Job, succeeded: &BTreeSet<i32>, completions: i32) -> Option<usize> {
    let policy = job.spec.as_ref()?.success_policy.as_ref()?;
    policy.rules.iter().position(|rule| {
        let enough = |met: usize| {
            rule.succeeded_count
                .is_some_and(|count| usize::try_from(count).is_ok_and(|count| met >= count))
        };
        let Some(text) = rule.succeeded_indexes.as_deref() else {
            return enough(succeeded.len());
        };
        let wanted = indexes::parse(text, completions);
        let met = wanted.intersection(succeeded).count();
        // A rule whose indexes cannot be read is met by nothing.
        !wanted.is_empty() && (met == wanted.len() || enough(met))
    })
}
