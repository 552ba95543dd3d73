//! What the status of a pod may say (`ValidatePodStatusUpdate`).

use super::super::super::shared::addresses;
use super::super::super::shared::checks::{complaints, immutable, one_of, present, same, text};
use super::super::super::shared::internal;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const COUNTED: &str = "must be a non-negative integer";
/// Conditions whose names are not checked.
const KNOWN_CONDITIONS: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];
const LISTS: [&str; 3] = [
    "containerStatuses",
    "initContainerStatuses",
    "ephemeralContainerStatuses",
];
const HEALTH: [&str; 3] = ["Healthy", "Unhealthy", "Unknown"];
/// The longest message about the health of a resource, in bytes.
const MESSAGE_MAX: usize = 1024;

/// Checks a new status against the pod's spec and its old status.
pub(super) fn validate(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("status");
    let none = Value::Null;
    let status = meta::at(new, &["status"]).unwrap_or(&none);
    let before = meta::at(old, &["status"]).unwrap_or(&none);
    let spec = meta::at(new, &["spec"]).unwrap_or(&none);
    let mut errors = validate_conditions(status, &path.child("conditions"));
    let nominated = text(status, &["nominatedNodeName"]);
    if !nominated.is_empty() && nominated != text(before, &["nominatedNodeName"]) {
        let path = path.child("nominatedNodeName");
        errors.extend(complaints(&path, nominated, names::dns1123_subdomain(nominated)));
        if !text(old, &["spec", "nodeName"]).is_empty() {
            let detail = "may not be set on pods that are already bound to a node";
            errors.push(Error::forbidden(&path, detail));
        }
    }
    errors.extend(counted(status, &path));
    errors.extend(immutable(
        status.get("qosClass"),
        before.get("qosClass"),
        &path.child("qosClass"),
    ));
    errors.extend(validate_transitions(status, before, spec, &path));
    errors.extend(validate_claims(status, spec, &path.child("resourceClaimStatuses")));
    if let Some(claim) = meta::at(status, &["extendedResourceClaimStatus"]) {
        errors.extend(validate_extended(
            claim,
            spec,
            &path.child("extendedResourceClaimStatus"),
        ));
    }
    errors.extend(validate_addresses(status, before, "podIPs", &path));
    let hosts = meta::list_at(status, &["hostIPs"]);
    if let Some(first) = hosts.first().map(|host| text(host, &["ip"]))
        && first != text(status, &["hostIP"])
    {
        let path = path.child("hostIPs").index(0).child("ip");
        errors.push(Error::invalid(&path, first, "must be equal to `hostIP`"));
    }
    errors.extend(validate_addresses(status, before, "hostIPs", &path));
    errors.extend(LISTS.iter().flat_map(|list| validate_users(status, spec, list, &path)));
    errors.extend(validate_allocated(status, spec, &path));
    errors
}

fn counted(owner: &Value, path: &Path) -> Option<Error> {
    let generation = meta::i64_at(owner, &["observedGeneration"]).filter(|generation| *generation < 0)?;
    Some(Error::invalid(&path.child("observedGeneration"), generation, COUNTED))
}

fn validate_conditions(status: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, condition) in meta::list_at(status, &["conditions"]).iter().enumerate() {
        let path = path.index(i);
        errors.extend(counted(condition, &path));
        let kind = text(condition, &["type"]);
        if !KNOWN_CONDITIONS.contains(&kind) {
            errors.extend(complaints(&path.child("Type"), kind, names::qualified_name(kind)));
        }
    }
    errors
}

/// Whether a container of some list that ended with `code` may run again (`ContainerShouldRestart`).
fn may_restart(container: &Value, spec: &Value, code: i64) -> bool {
    let applies = |rule: &&Value| {
        let named = meta::list_at(rule, &["exitCodes", "values"])
            .iter()
            .any(|c| c.as_i64() == Some(code));
        match text(rule, &["exitCodes", "operator"]) {
            "In" => named,
            "NotIn" => !named,
            _ => false,
        }
    };
    let own = meta::str_at(container, &["restartPolicy"]);
    let mut rules = meta::list_at(container, &["restartPolicyRules"]).iter();
    if own.is_some() && rules.any(|rule| applies(&rule)) {
        return true;
    }
    match own.unwrap_or_else(|| text(spec, &["restartPolicy"])) {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

/// What has ended stays so, unless it may be started again.
fn validate_transitions(status: &Value, before: &Value, spec: &Value, path: &Path) -> ErrorList {
    let containers = |list: &str| meta::list_at(spec, &[list]);
    let all_restart = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| containers(list))
        .flat_map(|container| meta::list_at(container, &["restartPolicyRules"]))
        .any(|rule| text(rule, &["action"]) == "RestartAllContainers");
    let mut errors = ErrorList::new();
    for (list, specs) in LISTS.iter().zip([Some("containers"), Some("initContainers"), None]) {
        if all_restart && specs.is_some() {
            continue;
        }
        for (i, was) in meta::list_at(before, &[list]).iter().enumerate() {
            let Some(ended) = meta::at(was, &["state", "terminated"]) else {
                continue;
            };
            let code = meta::i64_at(ended, &["exitCode"]).unwrap_or_default();
            let named = |other: &&Value| text(other, &["name"]) == text(was, &["name"]);
            let Some(is) = meta::list_at(status, &[list]).iter().find(named) else {
                continue;
            };
            let container = specs.and_then(|specs| containers(specs).iter().find(named));
            let allowed = container.is_some_and(|container| may_restart(container, spec, code));
            if meta::at(is, &["state", "terminated"]).is_none() && !allowed {
                let detail = "may not be transitioned to non-terminated state";
                errors.push(Error::forbidden(&path.child(list).index(i).child("state"), detail));
            }
        }
    }
    errors
}

fn validate_claims(status: &Value, spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, claim) in meta::list_at(status, &["resourceClaimStatuses"]).iter().enumerate() {
        let (name, path) = (text(claim, &["name"]), path.index(i));
        let known = meta::list_at(spec, &["resourceClaims"])
            .iter()
            .any(|claim| text(claim, &["name"]) == name);
        if !known {
            let detail = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(Error::invalid(&path.child("name"), name, detail));
        }
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        if let Some(object) = meta::str_at(claim, &["resourceClaimName"]) {
            let found = names::dns1123_subdomain(object);
            errors.extend(complaints(&path.child("resourceClaimName"), object, found));
        }
    }
    errors
}

fn validate_extended(claim: &Value, spec: &Value, path: &Path) -> ErrorList {
    let mappings = meta::list_at(claim, &["requestMappings"]);
    let list = path.child("requestMappings");
    let mut errors = ErrorList::new();
    if mappings.is_empty() {
        errors.push(Error::required(&list, "at least one request mapping is required"));
    }
    let mut seen = BTreeSet::new();
    const PARTS: [&str; 3] = ["containerName", "resourceName", "requestName"];
    for (i, mapping) in mappings.iter().enumerate() {
        let item = list.index(i);
        let [container, resource, request] = PARTS.map(|part| text(mapping, &[part]));
        let found = ["containers", "initContainers"]
            .iter()
            .flat_map(|list| meta::list_at(spec, &[list]))
            .find(|known| text(known, &["name"]) == container);
        match found {
            None => {
                let detail = "must match the name of an entry in spec.initContainers.name or spec.containers.name";
                errors.push(Error::invalid(&item.child("containerName"), container, detail));
            }
            Some(found) if meta::at(found, &["resources", "requests", resource]).is_none() => {
                let detail = "must match the extended resource name of an entry in \
                              spec.initContainers.resources.requests or spec.containers.resources.requests";
                errors.push(Error::invalid(&item.child("resourceName"), resource, detail));
            }
            Some(_) => {}
        }
        // Upstream leaves the list and the index out of this path.
        errors.extend(complaints(
            &path.child("requestName"),
            request,
            names::dns1123_label(request),
        ));
        if !seen.insert((container, resource, request)) {
            let duplicate = |part: &&str| Error::duplicate(&item.child(part), text(mapping, &[part]));
            errors.extend(PARTS.iter().map(duplicate));
        }
    }
    match text(claim, &["resourceClaimName"]) {
        "" => errors.extend(present(claim, "resourceClaimName", path)),
        name => errors.extend(complaints(
            &path.child("resourceClaimName"),
            name,
            names::dns1123_subdomain(name),
        )),
    }
    errors
}

/// The addresses of a pod or its host: one per family. What was wrong before may stay.
fn validate_addresses(status: &Value, before: &Value, list: &str, path: &Path) -> ErrorList {
    let path = path.child(list);
    let texts = |owner| -> Vec<String> {
        let addresses = meta::list_at(owner, &[list]);
        addresses.iter().map(|a| text(a, &["ip"]).to_owned()).collect()
    };
    let (addresses, known) = (texts(status), texts(before));
    let mut errors = ErrorList::new();
    for (i, address) in addresses.iter().enumerate() {
        if !known.contains(address) {
            errors.extend(addresses::ip(address, &path.index(i)));
        }
    }
    if addresses.len() < 2 {
        return errors;
    }
    let read: Vec<_> = addresses.iter().map(|address| addresses::read_ip(address)).collect();
    if let Some(bad) = read.iter().position(Option::is_none) {
        let detail = format!(
            "failed to check for dual stack with error:invalid IP[{bad}]: {}",
            addresses[bad]
        );
        errors.push(Error::internal(&path, detail));
    }
    let families: BTreeSet<bool> = read.iter().flatten().map(std::net::IpAddr::is_ipv4).collect();
    let both = read.iter().all(Option::is_some) && families.len() == 2;
    if !both || addresses.len() > 2 {
        let detail = "may specify no more than one IP for each IP family";
        let kind = if list == "podIPs" { "PodIP" } else { "HostIP" };
        let items = meta::list_at(status, &[list]).to_vec();
        let shown: Vec<String> = items.iter().map(|item| internal::show(kind, item)).collect();
        errors.push(Error::invalid(&path, items, detail).showing(format!("[{}]", shown.join(","))));
    }
    errors
}

/// The identities of the processes, which only Linux has (`validateContainerStatusUsers`).
fn validate_users(status: &Value, spec: &Value, list: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, container) in meta::list_at(status, &[list]).iter().enumerate() {
        let Some(user) = meta::at(container, &["user"]) else {
            continue;
        };
        let path = path.child(list).index(i).child("user").child("linux");
        let Some(linux) = meta::at(user, &["linux"]) else {
            continue;
        };
        if text(spec, &["os", "name"]) == "windows" {
            let detail = "cannot be set for a windows pod";
            errors.push(Error::forbidden(&path, detail));
            continue;
        }
        let id = |number: Option<i64>, path: &Path| {
            let number = number.filter(|number| !(0..=i64::from(i32::MAX)).contains(number))?;
            Some(Error::invalid(
                path,
                number,
                names::inclusive_range(0, i64::from(i32::MAX)),
            ))
        };
        for field in ["uid", "gid"] {
            errors.extend(id(meta::i64_at(linux, &[field]), &path.child(field)));
        }
        for (j, group) in meta::list_at(linux, &["supplementalGroups"]).iter().enumerate() {
            errors.extend(id(group.as_i64(), &path.child("supplementalGroups").index(j)));
        }
    }
    errors
}

/// The health of devices (`validateContainerStatusAllocatedResourcesStatus`).
fn validate_allocated(status: &Value, spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (list, specs) in LISTS.iter().zip([Some("containers"), Some("initContainers"), None]) {
        for (i, container) in meta::list_at(status, &[list]).iter().enumerate() {
            let path = path.child(list).index(i).child("allocatedResourcesStatus");
            let allocated = meta::list_at(container, &["allocatedResourcesStatus"]);
            let Some(specs) = specs else {
                if !allocated.is_empty() {
                    let detail = "must not be specified in container status";
                    errors.push(Error::forbidden(&path, detail));
                }
                continue;
            };
            let owner = meta::list_at(spec, &[specs])
                .iter()
                .find(|known| same(known.get("name"), container.get("name")));
            errors.extend(validate_devices(allocated, owner, &path));
        }
    }
    errors
}

fn validate_devices(allocated: &[Value], owner: Option<&Value>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, resource) in allocated.iter().enumerate() {
        let path = path.index(i);
        errors.extend(owner.and_then(|owner| validate_owned(text(resource, &["name"]), owner, &path.child("name"))));
        let mut ids = BTreeSet::new();
        for (j, device) in meta::list_at(resource, &["resources"]).iter().enumerate() {
            let path = path.child("resources").index(j);
            errors.extend(one_of(text(device, &["health"]), &HEALTH, &path.child("health")));
            let message = meta::str_at(device, &["message"]);
            errors.extend(message.and_then(|message| match message.len() {
                0 => Some(Error::required(
                    &path.child("message"),
                    "must be non-empty if specified",
                )),
                length if length > MESSAGE_MAX => Some(Error::too_long(&path.child("message"), MESSAGE_MAX)),
                _ => None,
            }));
            let id = text(device, &["resourceID"]);
            if !ids.insert(id) {
                errors.push(Error::duplicate(&path.child("resourceID"), id));
            }
        }
    }
    errors
}

/// The resource must be one that the container asks for, by itself or through a claim.
fn validate_owned(name: &str, owner: &Value, path: &Path) -> Option<Error> {
    let (asked, detail) = match name.strip_prefix("claim:") {
        None => (
            meta::at(owner, &["resources", "requests", name]).is_some(),
            "must match one of the container's resource requests",
        ),
        Some(claim) => (
            meta::list_at(owner, &["resources", "claims"]).iter().any(|known| {
                let whole = text(known, &["name"]);
                match text(known, &["request"]) {
                    "" => whole == claim,
                    request => claim == format!("{whole}/{request}"),
                }
            }),
            "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or \
             'claim:<claimName>' if request is empty",
        ),
    };
    (!asked).then(|| Error::invalid(path, name, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn complaints(spec: Value, new: Value, old: Value) -> Vec<String> {
        let pod = |status| json!({"spec": spec, "status": status});
        let errors = validate(&pod(new), &pod(old));
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_has_ended_only_runs_again_where_it_may() {
        let ended = json!({"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 3}}}]});
        let runs = json!({"containerStatuses": [{"name": "c", "state": {"running": {}}}]});
        let refusal = ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"];
        let rule = |codes: Value| json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": codes}}]);
        for (policy, container, allowed) in [
            ("Always", json!({"name": "c"}), true),
            ("OnFailure", json!({"name": "c"}), true),
            ("Never", json!({"name": "c"}), false),
            ("Never", json!({"name": "c", "restartPolicy": "Always"}), true),
            (
                "Always",
                json!({"name": "c", "restartPolicy": "Never", "restartPolicyRules": rule(json!([3]))}),
                true,
            ),
            (
                "Always",
                json!({"name": "c", "restartPolicy": "Never", "restartPolicyRules": rule(json!([4]))}),
                false,
            ),
        ] {
            let spec = json!({"restartPolicy": policy, "containers": [container]});
            let found = complaints(spec, runs.clone(), ended.clone());
            let expected: &[&str] = if allowed { &[] } else { &refusal };
            assert_eq!(found, expected, "{policy} {container}");
        }
    }

    #[test]
    fn addresses_are_one_of_a_family() {
        for (status, expected) in [
            (json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}), vec![]),
            (
                json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}),
                vec![
                    r#"status.podIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"10.0.0.2"}]: may specify no more than one IP for each IP family"#,
                ],
            ),
            (
                json!({"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.2"}]}),
                vec!["status.hostIPs[0].ip: Invalid value: \"10.0.0.2\": must be equal to `hostIP`"],
            ),
        ] {
            assert_eq!(complaints(json!({}), status, json!({})), expected);
        }
    }

    #[test]
    fn the_rest_refers_to_the_spec() {
        let spec = json!({"containers": [{"name": "c"}]});
        for (status, expected) in [
            (
                json!({"resourceClaimStatuses": [{"name": "r"}]}),
                "status.resourceClaimStatuses[0].name: Invalid value: \"r\": must match the name of an entry in `spec.resourceClaims`",
            ),
            (
                json!({"conditions": [{"type": "a b"}]}),
                "status.conditions[0].Type: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ),
            (
                json!({"containerStatuses": [{"name": "c", "allocatedResourcesStatus": [{"name": "x.y/z", "resources": []}]}]}),
                "status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: \"x.y/z\": must match one of the container's resource requests",
            ),
        ] {
            assert_eq!(complaints(spec.clone(), status, json!({})), [expected]);
        }
    }
}
