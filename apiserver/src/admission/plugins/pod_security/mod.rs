//! PodSecurity: the labels of a namespace say how much its pods may ask for (k8s.io/pod-security-admission).

use crate::admission::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::{GroupKind, GroupResource};
use machinery::meta;
use machinery::pod_security::{Level, Policy, Standard, Violations};
use machinery::status::Status;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const NAME: &str = "PodSecurity";

/// Subresources of pods that change nothing the standards are about.
const IGNORED: [&str; 8] = [
    "exec",
    "attach",
    "binding",
    "eviction",
    "log",
    "portforward",
    "proxy",
    "status",
];
/// What makes pods, and where it keeps their template.
const CONTROLLERS: [(&str, &str, &[&str]); 8] = [
    ("", "podtemplates", &["template"]),
    ("", "replicationcontrollers", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
];
/// How many of the pods of a namespace are looked at when its standard becomes stricter.
const MOST_PODS: usize = 3000;

pub(super) struct PodSecurity;

impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn validate<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(judge(lookup, attributes, object))
    }
}

async fn judge(lookup: &dyn Lookup, attributes: &mut Attributes<'_>, object: &Value) -> Result<(), Status> {
    if !matches!(attributes.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    let whole = attributes.subresource.is_empty();
    match (
        attributes.resource.group.as_str(),
        attributes.resource.resource.as_str(),
    ) {
        ("", "namespaces") if whole => judge_namespace(lookup, attributes, object).await,
        ("", "pods") => {
            let unchanged = attributes.old.is_some_and(|old| !is_significant(object, old));
            if IGNORED.contains(&attributes.subresource) || unchanged {
                return Ok(());
            }
            judge_pod(lookup, attributes, object, object, true).await
        }
        (group, plural) if whole => {
            let found = CONTROLLERS.iter().find(|(g, p, _)| (*g, *p) == (group, plural));
            match found.and_then(|(_, _, path)| meta::at(object, path)) {
                Some(template) => judge_pod(lookup, attributes, object, template, false).await,
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Labels must make sense; pods that are there already are only warned of.
async fn judge_namespace(lookup: &dyn Lookup, attributes: &mut Attributes<'_>, object: &Value) -> Result<(), Status> {
    let (new, problems) = Policy::of(object);
    let old = attributes.old.map(Policy::of);
    if !problems.is_empty() && old.as_ref().is_none_or(|(_, before)| *before != problems) {
        let kind = GroupKind {
            group: attributes.kind.group.clone(),
            kind: attributes.kind.kind.clone(),
        };
        return Err(Status::invalid(&kind, meta::name(object), &problems));
    }
    let Some((old, _)) = old else { return Ok(()) };
    let relaxed = new.enforce.version == old.enforce.version && new.enforce.level <= old.enforce.level;
    if relaxed || new.enforce.level == Level::Privileged {
        return Ok(());
    }
    let name = meta::name(object);
    let pods = lookup.list(&GroupResource::new("", "pods"), name).await?;
    attributes.warnings.extend(warnings(name, &pods, new.enforce));
    Ok(())
}

/// What the pods of a namespace do that its new standard does not allow (`EvaluatePodsInNamespace`).
fn warnings(namespace: &str, pods: &[Value], standard: Standard) -> Vec<String> {
    let mut seen = BTreeSet::new();
    // One pod of every controller comes before all the others.
    let (mut first, others): (Vec<&Value>, Vec<&Value>) = pods.iter().partition(|pod| {
        let owners = meta::list_at(pod, &["metadata", "ownerReferences"]);
        let controller = owners.iter().find(|owner| owner["controller"] == true);
        controller.is_none_or(|owner| seen.insert(owner["uid"].as_str().unwrap_or_default().to_owned()))
    });
    first.extend(others);
    let looked_at = first.len().min(MOST_PODS);
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in &first[..looked_at] {
        let violations = Violations::of(pod, standard);
        if !violations.is_empty() {
            by_reason.entry(violations.reasons()).or_default().push(meta::name(pod));
        }
    }
    let mut warnings = Vec::new();
    if looked_at < first.len() {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {looked_at} of {} existing pods",
            first.len()
        ));
    }
    if !by_reason.is_empty() {
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{standard}\""
        ));
    }
    let mut lines: Vec<String> = by_reason
        .into_iter()
        .map(|(reason, pods)| {
            let name = pods.iter().min().copied().unwrap_or_default();
            match pods.len() {
                1 => format!("{name}: {reason}"),
                2 => format!("{name} (and 1 other pod): {reason}"),
                many => format!("{name} (and {} other pods): {reason}", many - 1),
            }
        })
        .collect();
    lines.sort();
    warnings.extend(lines);
    warnings
}

/// Judges a pod, or the template of what makes pods, which is never refused.
async fn judge_pod(
    lookup: &dyn Lookup,
    attributes: &mut Attributes<'_>,
    object: &Value,
    pod: &Value,
    enforce: bool,
) -> Result<(), Status> {
    let namespaces = GroupResource::new("", "namespaces");
    let Some(namespace) = lookup.find(&namespaces, "", attributes.namespace).await? else {
        let missing = format!("failed to lookup namespace \"{}\"", attributes.namespace);
        return if enforce {
            Err(Status::internal(missing))
        } else {
            Ok(())
        };
    };
    let (policy, _) = Policy::of(&namespace);
    if enforce {
        let violations = Violations::of(pod, policy.enforce);
        if !violations.is_empty() {
            let why = format!("violates PodSecurity \"{}\": {violations}", policy.enforce);
            return Err(attributes.forbidden(object, why));
        }
    }
    let violations = Violations::of(pod, policy.warn);
    if !violations.is_empty() {
        let text = format!("would violate PodSecurity \"{}\": {violations}", policy.warn);
        attributes.warnings.push(text);
    }
    Ok(())
}

/// Whether an update brings in something new: a container or another image (`isSignificantPodUpdate`).
fn is_significant(new: &Value, old: &Value) -> bool {
    let list = |pod, field| meta::list_at(pod, &["spec", field]);
    let same_image = |(new, old): (&Value, &Value)| new["image"] == old["image"];
    let ordered = ["containers", "initContainers"].into_iter().any(|field| {
        let (new, old) = (list(new, field), list(old, field));
        new.len() != old.len() || !new.iter().zip(old).all(same_image)
    });
    let (ephemeral, known) = (list(new, "ephemeralContainers"), list(old, "ephemeralContainers"));
    let is_new = |container: &Value| {
        let before = known.iter().find(|old| old["name"] == container["name"]);
        before.is_none_or(|old| !same_image((container, old)))
    };
    ordered || ephemeral.iter().any(is_new)
}

#[cfg(test)]
mod tests;
