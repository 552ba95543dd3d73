//! Which rules a standard consists of, and how violations are worded (k8s.io/pod-security-admission `policy`).

use super::policy::{Level, Standard, Version};
use super::{baseline, restricted};
use crate::meta;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// What a pod does that a rule does not allow: the reason, and what exactly.
pub(super) type Violation = (String, String);
/// Judges a pod, or the template of one, by the rules of a version.
type Check = fn(&Value, Version) -> Option<Violation>;

/// The rules of the level `baseline` in upstream's order: since which minor version, and since which minor version the
/// level `restricted` has a stricter one instead.
const BASELINE: [(Check, u32, Option<u32>); 12] = [
    (baseline::app_armor, 0, None),
    (baseline::capabilities, 0, Some(22)),
    (baseline::host_namespaces, 0, None),
    (baseline::host_path_volumes, 0, Some(0)),
    (baseline::host_ports, 0, None),
    (baseline::probe_hosts, 34, None),
    (baseline::privileged, 0, None),
    (baseline::proc_mount, 0, Some(35)),
    (baseline::se_linux, 0, None),
    (baseline::seccomp, 0, Some(19)),
    (baseline::sysctls, 0, None),
    (baseline::windows_host_process, 0, None),
];
/// What the level `restricted` adds.
const RESTRICTED: [(Check, u32); 7] = [
    (restricted::privilege_escalation, 8),
    (restricted::capabilities, 22),
    (restricted::proc_mount, 35),
    (restricted::volumes, 0),
    (restricted::run_as_non_root, 0),
    (restricted::run_as_user, 23),
    (restricted::seccomp, 19),
];

/// Everything a pod does that its standard does not allow.
#[derive(Debug)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Judges a pod, or the template of one.
    pub fn of(pod: &Value, standard: Standard) -> Self {
        let Standard { level, version } = standard;
        let strict = level == Level::Restricted;
        let baseline = BASELINE
            .iter()
            .filter(|(_, since, replaced)| {
                let replaced = strict && replaced.is_some_and(|minor| version.has(minor));
                level >= Level::Baseline && version.has(*since) && !replaced
            })
            .map(|(check, ..)| check);
        let restricted = RESTRICTED
            .iter()
            .filter(|(_, since)| strict && version.has(*since))
            .map(|(check, _)| check);
        Violations(
            baseline
                .chain(restricted)
                .filter_map(|check| check(pod, version))
                .collect(),
        )
    }

    /// Whether it does nothing of the kind.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The reasons only.
    pub fn reasons(&self) -> String {
        let reasons: Vec<&str> = self.0.iter().map(|(reason, _)| reason.as_str()).collect();
        reasons.join(", ")
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.0.iter().map(|(reason, detail)| format!("{reason} ({detail})"));
        f.write_str(&texts.collect::<Vec<_>>().join(", "))
    }
}

/// All containers of a pod: init containers, containers, ephemeral containers.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let fields = ["initContainers", "containers", "ephemeralContainers"];
    fields
        .into_iter()
        .flat_map(|field| meta::list_at(pod, &["spec", field]))
}

/// The names of the containers for which something holds.
pub(super) fn containers_where(pod: &Value, mut holds: impl FnMut(&Value) -> bool) -> Vec<&str> {
    let found = containers(pod).filter(|container| holds(container));
    found
        .map(|container| container["name"].as_str().unwrap_or_default())
        .collect()
}

/// A field of the security context of a container.
pub(super) fn of_container<'a>(container: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let context = container.get("securityContext")?;
    meta::at(context, path).filter(|value| !value.is_null())
}

/// A field of the security context of a pod.
pub(super) fn of_pod<'a>(pod: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let context = meta::at(pod, &["spec", "securityContext"])?;
    meta::at(context, path).filter(|value| !value.is_null())
}

/// Whether a pod has users of its own, which are nobody on the node.
pub(super) fn has_own_users(pod: &Value) -> bool {
    meta::bool_at(pod, &["spec", "hostUsers"]) == Some(false)
}

/// Whether a pod is for Windows, where some rules mean nothing.
pub(super) fn is_for_windows(pod: &Value) -> bool {
    meta::str_at(pod, &["spec", "os", "name"]) == Some("windows")
}

/// `"a", "b"`.
pub(super) fn quoted<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect();
    items.join(", ")
}

/// The word for one or for many.
pub(super) fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"` or `containers "a", "b"`.
pub(super) fn named(names: &[&str]) -> String {
    let word = plural("container", "containers", names.len());
    format!("{word} {}", quoted(names))
}

/// Who does something: the pod, containers, or both; nothing when nobody does.
pub(super) fn setters(pod: bool, containers: &[&str]) -> Option<String> {
    let pod = pod.then(|| "pod".to_owned());
    let containers = (!containers.is_empty()).then(|| named(containers));
    let all: Vec<String> = pod.into_iter().chain(containers).collect();
    (!all.is_empty()).then(|| all.join(" and "))
}

/// A text, or nothing for anything else.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Texts, each once and sorted.
pub(super) type Words = BTreeSet<String>;
