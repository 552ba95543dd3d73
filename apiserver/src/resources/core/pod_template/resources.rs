//! Resources of containers and pods (`ValidateContainerResourceRequirements`, `validatePodResources`).

use super::complaints;
use machinery::field::{Error, ErrorList, Path};
use machinery::quantity::Quantity;
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const HUGE_PAGES: &str = "hugepages-";
/// Names without a domain that mean something anywhere, a container being one place of several.
const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "services.nodeports",
    "services.loadbalancers",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "requests.storage",
    "storage",
];
const OF_CONTAINERS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Whether a resource is one of Kubernetes' own.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a resource is one that a device plugin may offer (`IsExtendedResourceName`).
pub(in super::super::super) fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether a resource is pages of some size, or requests of them.
pub(in super::super) fn is_huge_pages_of_quota(name: &str) -> bool {
    name.strip_prefix("requests.").unwrap_or(name).starts_with(HUGE_PAGES)
}

/// Whether more of it may be used than was requested.
pub(in super::super) fn may_be_overcommitted(name: &str) -> bool {
    is_native(name) && !name.starts_with(HUGE_PAGES)
}

/// Checks the resources of a container; `claims` are the names of the pod's resource claims.
pub(super) fn validate(container: &Value, claims: &BTreeSet<&str>, path: &Path) -> ErrorList {
    let mut errors = validate_lists(container, path, validate_name);
    let names = || {
        ["limits", "requests"]
            .iter()
            .filter_map(|list| meta::map_at(container, &["resources", list]))
            .flat_map(serde_json::Map::keys)
    };
    if names().any(|n| n.starts_with(HUGE_PAGES)) && !names().any(|n| n == "cpu" || n == "memory") {
        errors.push(Error::forbidden(path, "HugePages require cpu or memory"));
    }
    errors.extend(validate_claims(container, claims, path));
    errors
}

/// The claims that resources name.
fn validate_claims(owner: &Value, claims: &BTreeSet<&str>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, claim) in meta::list_at(owner, &["resources", "claims"]).iter().enumerate() {
        let path = path.child("claims").index(i);
        let name = meta::str_at(claim, &["name"]).unwrap_or_default();
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        errors.extend(super::unique(name, &mut seen, &path));
        if !claims.contains(name) {
            let known: Vec<&str> = claims.iter().copied().collect();
            let mut error = Error::not_found(&path, name);
            error.detail = if known.is_empty() {
                "must be one of the names in pod.spec.resourceClaims which is empty".to_owned()
            } else {
                format!(
                    "must be one of the names in pod.spec.resourceClaims: {}",
                    known.join(", ")
                )
            };
            errors.push(error);
        }
    }
    errors
}

/// Checks the resources of a whole pod, whose resource claims have the names `claims`.
pub(super) fn validate_pod(spec: &Value, claims: &BTreeSet<&str>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if meta::at(spec, &["resources", "claims"]).is_some() {
        let detail = "claims may not be set for Resources at pod-level";
        errors.push(Error::forbidden(&path.child("claims"), detail));
    }
    errors.extend(validate_lists(spec, path, |name, path| {
        let errors = validate_any_name(name, path);
        let supported = matches!(name, "cpu" | "memory") || name.starts_with(HUGE_PAGES);
        if errors.is_empty() && !supported {
            return vec![Error::not_supported(path, name, &["cpu", "hugepages-", "memory"])];
        }
        errors
    }));
    errors.extend(validate_claims(spec, claims, path));
    errors.extend(validate_consistency(spec, path));
    errors
}

/// What the containers ask for fits into what the pod does (`validatePodResourceConsistency`).
fn validate_consistency(spec: &Value, path: &Path) -> ErrorList {
    let amount =
        |owner: &Value, list: &str, name: &str| Quantity::parse(meta::str_at(owner, &["resources", list, name])?).ok();
    let of_pod = |list: &str| {
        meta::map_at(spec, &["resources", list])
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
    };
    let mut errors = ErrorList::new();
    for list in ["requests", "limits"] {
        for name in of_pod(list).filter(|name| list == "requests" || name.starts_with(HUGE_PAGES)) {
            let (Some(whole), Some(sum)) = (amount(spec, list, name), total(spec, list, name)) else {
                continue;
            };
            if sum > whole {
                let detail = format!("must be greater than or equal to aggregate container {list} of {sum}");
                errors.push(Error::invalid(&path.child(list).key(name), whole.to_string(), detail));
            }
        }
    }
    for (i, container) in meta::list_at(spec, &["containers"]).iter().enumerate() {
        for name in of_pod("limits") {
            if let (Some(whole), Some(limit)) = (amount(spec, "limits", name), amount(container, "limits", name))
                && limit > whole
            {
                let path = path.child("containers").index(i).key(name).child("limits");
                let detail = format!("must be less than or equal to pod limits of {whole}");
                errors.push(Error::invalid(&path, limit.to_string(), detail));
            }
        }
    }
    errors
}

/// What all containers of a pod ask for at one time: those that keep running together, or with them the hungriest of
/// those that run before (component-helpers `AggregateContainerRequests`).
fn total(spec: &Value, list: &str, name: &str) -> Option<Quantity> {
    let amount = |container: &Value| Quantity::parse(meta::str_at(container, &["resources", list, name])?).ok();
    let add = |sum: Option<Quantity>, more: Option<Quantity>| match (sum, more) {
        (Some(sum), Some(more)) => Some(sum.plus(&more)),
        (sum, more) => sum.or(more),
    };
    let containers = meta::list_at(spec, &["containers"]).iter().map(amount);
    let mut running = containers.fold(None, add);
    let (mut sidecars, mut peak): (Option<Quantity>, Option<Quantity>) = (None, None);
    for container in meta::list_at(spec, &["initContainers"]) {
        let own = amount(container);
        let during = if meta::str_at(container, &["restartPolicy"]) == Some("Always") {
            running = add(running, own);
            sidecars = add(sidecars, own);
            sidecars
        } else {
            add(own, sidecars)
        };
        peak = peak.max(during);
    }
    running.max(peak)
}

fn validate_lists(owner: &Value, path: &Path, rule: fn(&str, &Path) -> ErrorList) -> ErrorList {
    let mut errors = ErrorList::new();
    let amount = |list: &str, name: &str| {
        meta::str_at(owner, &["resources", list, name]).and_then(|text| Quantity::parse(text).ok())
    };
    for list in ["limits", "requests"] {
        let names = meta::map_at(owner, &["resources", list]);
        for name in names.into_iter().flat_map(serde_json::Map::keys) {
            let item = path.child(list).key(name);
            errors.extend(rule(name, &item));
            let Some(quantity) = amount(list, name) else { continue };
            if quantity.sign() < 0 {
                let detail = "must be greater than or equal to 0";
                errors.push(Error::invalid(&item, quantity.to_string(), detail));
            }
            if !is_native(name) && quantity.millis() % 1000 != 0 {
                errors.push(Error::invalid(&item, quantity.to_string(), "must be an integer"));
            }
            if list == "limits" {
                continue;
            }
            let (path, limits) = (path.child("requests"), path.child("limits"));
            match amount("limits", name) {
                Some(limit) if quantity != limit && !may_be_overcommitted(name) => {
                    let detail = format!("must be equal to {name} limit of {limit}");
                    errors.push(Error::invalid(&path, quantity.to_string(), detail));
                }
                Some(limit) if quantity > limit => {
                    let detail = format!("must be less than or equal to {name} limit of {limit}");
                    errors.push(Error::invalid(&path, quantity.to_string(), detail));
                }
                None if !may_be_overcommitted(name) => {
                    let detail = "Limit must be set for non overcommitable resources";
                    errors.push(Error::required(&limits, detail));
                }
                _ => {}
            }
        }
    }
    errors
}

/// `validateResourceName`.
pub(in super::super) fn validate_any_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = complaints(path, name, names::qualified_name(name));
    let standard = STANDARD.contains(&name) || is_huge_pages_of_quota(name);
    if errors.is_empty() && !name.contains('/') && !standard {
        let detail = "must be a standard resource type or fully qualified";
        errors.push(Error::invalid(path, name, detail));
    }
    errors
}

/// `validateContainerResourceName`.
pub(in super::super::super) fn validate_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = validate_any_name(name, path);
    if !name.contains('/') {
        if !OF_CONTAINERS.contains(&name) && !name.starts_with(HUGE_PAGES) {
            errors.push(Error::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && name.starts_with("requests.") {
        let detail = "doesn't follow extended resource name standard";
        errors.push(Error::invalid(path, name, detail));
    }
    errors
}

/// `validateResizePolicy`.
pub(super) fn validate_resize(container: &Value, pod_restart_policy: &str, path: &Path) -> ErrorList {
    const RESOURCES: [&str; 2] = ["cpu", "memory"];
    const POLICIES: [&str; 2] = ["NotRequired", "RestartContainer"];
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, item) in meta::list_at(container, &["resizePolicy"]).iter().enumerate() {
        let text = |field: &str| meta::str_at(item, &[field]).unwrap_or_default();
        let (resource, policy) = (text("resourceName"), text("restartPolicy"));
        errors.extend(super::unique(resource, &mut seen, &path.index(i)));
        match resource {
            "" => errors.push(Error::required(path, "")),
            known if RESOURCES.contains(&known) => {}
            other => errors.push(Error::not_supported(path, other, &RESOURCES)),
        }
        match policy {
            "" => errors.push(Error::required(path, "")),
            known if POLICIES.contains(&known) => {}
            other => errors.push(Error::not_supported(path, other, &POLICIES)),
        }
        if pod_restart_policy == "Never" && policy != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(Error::invalid(path, policy, detail));
        }
    }
    errors
}
