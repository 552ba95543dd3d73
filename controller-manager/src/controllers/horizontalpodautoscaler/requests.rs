//! What pods have asked for, against which their usage is measured.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::quantity::Quantity;

/// The requests of pods for a resource, in thousandths; of one container where it is named (`calculateRequests`).
pub(super) fn requests(pods: &[&Pod], container: &str, resource: &str) -> Result<BTreeMap<String, i64>, String> {
    let of = |pod: &Pod| {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let request = if container.is_empty() && has_own(pod) {
            of_pod(pod, resource).ok_or_else(|| format!("missing pod-level request for {resource} in Pod {name}"))
        } else {
            of_containers(pod, container, resource)
        };
        request.map(|request| (name, request))
    };
    pods.iter().map(|pod| of(pod)).collect()
}

fn millis(list: Option<&BTreeMap<String, Text>>, resource: &str) -> Option<i64> {
    let text = list?.get(resource)?;
    Quantity::parse(&text.0).ok().map(|quantity| quantity.millis())
}

fn of_container(container: &Container, resource: &str) -> Option<i64> {
    millis(container.resources.as_ref()?.requests.as_ref(), resource)
}

fn own(pod: &Pod) -> Option<&BTreeMap<String, Text>> {
    pod.spec.as_ref()?.resources.as_ref()?.requests.as_ref()
}

/// Whether the pod itself asks for something that pods can ask for.
fn has_own(pod: &Pod) -> bool {
    let supported = |name: &String| matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-");
    own(pod).is_some_and(|requests| requests.keys().any(supported))
}

fn is_sidecar(container: &&Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// What the pod asks for, or what its containers need at most at once, and its overhead (`resourcehelpers.PodRequests`).
fn of_pod(pod: &Pod, resource: &str) -> Option<i64> {
    let spec = pod.spec.as_ref()?;
    let request = |container: &Container| of_container(container, resource);
    let mut known = false;
    let mut beside = 0_i64;
    let mut at_start = 0_i64;
    for init in spec.init_containers.iter().flatten() {
        known |= request(init).is_some();
        let own = request(init).unwrap_or_default();
        at_start = at_start.max(beside.saturating_add(own));
        if is_sidecar(&init) {
            beside = beside.saturating_add(own);
        }
    }
    let running = spec
        .containers
        .iter()
        .filter_map(request)
        .fold(0_i64, i64::saturating_add);
    known |= spec.containers.iter().any(|container| request(container).is_some());
    let of_containers = known.then(|| running.saturating_add(beside).max(at_start));
    let total = millis(own(pod), resource).or(of_containers);
    let overhead = millis(spec.overhead.as_ref(), resource);
    match (total, overhead) {
        (None, None) => None,
        (total, overhead) => Some(total.unwrap_or_default().saturating_add(overhead.unwrap_or_default())),
    }
}

fn of_containers(pod: &Pod, wanted: &str, resource: &str) -> Result<i64, String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let spec = pod.spec.as_ref();
    let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let sidecars = spec
        .into_iter()
        .flat_map(|spec| spec.init_containers.iter().flatten())
        .filter(is_sidecar);
    let mut sum = 0_i64;
    for container in containers.iter().chain(sidecars) {
        if !wanted.is_empty() && container.name != wanted {
            continue;
        }
        let missing = || {
            format!(
                "missing request for {resource} in container {} of Pod {name}",
                container.name
            )
        };
        sum = sum.saturating_add(of_container(container, resource).ok_or_else(missing)?);
        if container.name == wanted {
            return Ok(sum);
        }
    }
    if wanted.is_empty() {
        Ok(sum)
    } else {
        Err(format!("container {wanted} not found in Pod {name}"))
    }
}
