//! The containers of a pod (`validateContainers`, `validateInitContainers`, `validateEphemeralContainers`).

use super::volumes::Volumes;
use super::{claims, complaints, env, handlers, mounts, resources, restart, security, unique};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: [&str; 2] = ["File", "FallbackToLogsOnError"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
/// What an ephemeral container cannot have, in the order of upstream's type.
const NOT_EPHEMERAL: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];
const NOT_FOR_EPHEMERAL: &str = "cannot be set for an Ephemeral Container";

/// What the containers of a pod share.
struct Pod<'a> {
    volumes: &'a Volumes<'a>,
    claims: BTreeSet<&'a str>,
    grace: i64,
    restart_policy: &'a str,
    host_users: bool,
}

/// Checks every container of a pod spec.
pub(super) fn validate(spec: &Value, volumes: &Volumes<'_>, path: &Path) -> ErrorList {
    let pod = Pod {
        volumes,
        claims: claims::names(spec),
        grace: meta::i64_at(spec, &["terminationGracePeriodSeconds"]).unwrap_or_default(),
        restart_policy: meta::str_at(spec, &["restartPolicy"]).unwrap_or_default(),
        host_users: meta::bool_at(spec, &["hostUsers"]) != Some(false),
    };
    let containers = meta::list_at(spec, &["containers"]);
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    if containers.is_empty() {
        errors.push(Error::required(&path.child("containers"), ""));
    }
    for (i, container) in containers.iter().enumerate() {
        let path = path.child("containers").index(i);
        errors.extend(pod.validate(container, &path));
        errors.extend(unique(name(container), &mut seen, &path.child("name")));
        errors.extend(handlers::validate(container, pod.grace, &path));
        errors.extend(restart::validate(container, &path));
    }
    errors.extend(mounts::validate_host_ports(containers, &path.child("containers")));
    for (i, container) in meta::list_at(spec, &["initContainers"]).iter().enumerate() {
        let list = path.child("initContainers");
        let path = list.index(i);
        errors.extend(pod.validate(container, &path));
        errors.extend(restart::validate_init(container, &path));
        errors.extend(
            Some(name(container))
                .filter(|name| !name.is_empty())
                .and_then(|name| unique(name, &mut seen, &path.child("name"))),
        );
        errors.extend(mounts::validate_host_ports(std::slice::from_ref(container), &list));
        if meta::str_at(container, &["restartPolicy"]) == Some("Always") {
            errors.extend(handlers::validate(container, pod.grace, &path));
            continue;
        }
        for field in ["lifecycle"].into_iter().chain(handlers::PROBES) {
            if container.get(field).is_some() {
                let detail = "may not be set for init containers without restartPolicy=Always";
                errors.push(Error::forbidden(&path.child(field), detail));
            }
        }
    }
    for (i, container) in meta::list_at(spec, &["ephemeralContainers"]).iter().enumerate() {
        let path = path.child("ephemeralContainers").index(i);
        errors.extend(pod.validate(container, &path));
        errors.extend(pod_only(container, &path));
        errors.extend(validate_ephemeral(spec, container, &mut seen, &path));
    }
    errors
}

/// What is wrong with a container of a pod, but not of a template (`validateContainerOnlyForPod`).
pub(super) fn pod_only(container: &Value, path: &Path) -> Option<Error> {
    let image = meta::str_at(container, &["image"]).unwrap_or_default();
    let detail = "must not have leading or trailing whitespace";
    (image.trim() != image).then(|| Error::invalid(&path.child("image"), image, detail))
}

fn name(container: &Value) -> &str {
    meta::str_at(container, &["name"]).unwrap_or_default()
}

fn validate_ephemeral<'a>(spec: &Value, container: &'a Value, seen: &mut BTreeSet<&'a str>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(unique(name(container), seen, &path.child("name")));
    let target = meta::str_at(container, &["targetContainerName"]).unwrap_or_default();
    let known = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| meta::list_at(spec, &[list]))
        .any(|c| name(c) == target);
    if !target.is_empty() && !known {
        errors.push(Error::not_found(&path.child("targetContainerName"), target));
    }
    // Of the objects only the resources are no pointer, so that only they may be empty; a list is there when it is given.
    let is_set = |field: &str, value: &Value| match value {
        Value::Null => false,
        Value::Object(map) => field != "resources" || !map.is_empty(),
        _ => true,
    };
    for field in NOT_EPHEMERAL {
        if container.get(field).is_some_and(|value| is_set(field, value)) {
            errors.push(Error::forbidden(&path.child(field), NOT_FOR_EPHEMERAL));
        }
    }
    for (i, mount) in meta::list_at(container, &["volumeMounts"]).iter().enumerate() {
        for field in ["subPath", "subPathExpr"] {
            if !meta::str_at(mount, &[field]).unwrap_or_default().is_empty() {
                let path = path.child("volumeMounts").index(i).child(field);
                errors.push(Error::forbidden(&path, NOT_FOR_EPHEMERAL));
            }
        }
    }
    errors
}

impl Pod<'_> {
    /// What holds for every kind of container (`validateContainerCommon`).
    fn validate(&self, container: &Value, path: &Path) -> ErrorList {
        let text = |field: &str| meta::str_at(container, &[field]).unwrap_or_default();
        let mut errors = ErrorList::new();
        if text("name").is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else {
            let found = names::dns1123_label(text("name"));
            errors.extend(complaints(&path.child("name"), text("name"), found));
        }
        if text("image").is_empty() {
            errors.push(Error::required(&path.child("image"), ""));
        }
        let choice = |field: &str, known: &[&str]| match text(field) {
            "" => Some(Error::required(&path.child(field), "")),
            value if known.contains(&value) => None,
            other => Some(Error::not_supported(&path.child(field), other, known)),
        };
        errors.extend(choice("terminationMessagePolicy", &MESSAGE_POLICIES));
        errors.extend(validate_ports(container, &path.child("ports")));
        errors.extend(env::validate(container, path));
        errors.extend(mounts::validate(container, self.volumes, path));
        errors.extend(choice("imagePullPolicy", &PULL_POLICIES));
        errors.extend(resources::validate(container, &self.claims, &path.child("resources")));
        errors.extend(resources::validate_resize(
            container,
            self.restart_policy,
            &path.child("resizePolicy"),
        ));
        errors.extend(security::validate_container(container, self.host_users, path));
        errors
    }
}

/// `validateContainerPorts`.
fn validate_ports(container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, port) in meta::list_at(container, &["ports"]).iter().enumerate() {
        let path = path.index(i);
        let name = meta::str_at(port, &["name"]).unwrap_or_default();
        if !name.is_empty() {
            let found = names::port_name(name);
            if found.is_empty() {
                errors.extend(unique(name, &mut seen, &path.child("name")));
            }
            errors.extend(complaints(&path.child("name"), name, found));
        }
        let number = |field: &str| meta::i64_at(port, &[field]).unwrap_or_default();
        let (inner, host) = (number("containerPort"), number("hostPort"));
        if inner == 0 {
            errors.push(Error::required(&path.child("containerPort"), ""));
        } else {
            let found = names::port_number(inner);
            errors.extend(complaints(&path.child("containerPort"), inner, found));
        }
        if host != 0 {
            errors.extend(complaints(&path.child("hostPort"), host, names::port_number(host)));
        }
        match meta::str_at(port, &["protocol"]).unwrap_or_default() {
            "" => errors.push(Error::required(&path.child("protocol"), "")),
            known if PROTOCOLS.contains(&known) => {}
            other => errors.push(Error::not_supported(&path.child("protocol"), other, &PROTOCOLS)),
        }
    }
    errors
}
