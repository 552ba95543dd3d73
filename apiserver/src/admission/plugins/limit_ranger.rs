//! LimitRanger: what the LimitRanges of a namespace demand of its pods and claims (`plugin/pkg/admission/limitranger`).

use crate::admission::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::pod_resources::{Amounts, amounts, of_containers};
use machinery::quantity::Quantity;
use machinery::status::Status;
use serde_json::Value;

pub(super) const NAME: &str = "LimitRanger";

/// Where a pod says what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// The lists of containers and what the annotation calls their members.
const CONTAINERS: [(&str, &str); 2] = [("containers", "container"), ("initContainers", "init container")];

pub(super) struct LimitRanger;

impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            if target(attributes) == Some(Target::Pod) {
                for range in ranges(lookup, attributes).await? {
                    fill(&range, object);
                }
            }
            Ok(())
        })
    }

    fn validate<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(target) = target(attributes) else {
                return Ok(());
            };
            for range in ranges(lookup, attributes).await? {
                let complaints = match target {
                    Target::Pod => check_pod(&range, object),
                    Target::Claim => check_claim(&range, object),
                };
                if let Some(why) = aggregate(complaints) {
                    return Err(attributes.forbidden(object, why));
                }
            }
            Ok(())
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Target {
    Pod,
    Claim,
}

/// What is limited: new pods and those that are resized, and claims.
fn target(attributes: &Attributes<'_>) -> Option<Target> {
    let deleting = attributes.old.is_some_and(meta::is_deleting);
    if deleting || !attributes.resource.group.is_empty() {
        return None;
    }
    match (
        attributes.resource.resource.as_str(),
        attributes.subresource,
        attributes.operation,
    ) {
        ("pods", "", Operation::Create) | ("pods", "resize", Operation::Update) => Some(Target::Pod),
        ("persistentvolumeclaims", "", Operation::Create | Operation::Update) => Some(Target::Claim),
        _ => None,
    }
}

async fn ranges(lookup: &dyn Lookup, attributes: &Attributes<'_>) -> Result<Vec<Value>, Status> {
    let resource = GroupResource::new("", "limitranges");
    lookup.list(&resource, attributes.namespace).await
}

fn limits<'a>(range: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> {
    let fits = move |limit: &&Value| meta::str_at(limit, &["type"]) == Some(kind);
    meta::list_at(range, &["spec", "limits"])
        .iter()
        .filter(fits)
        .collect::<Vec<_>>()
        .into_iter()
}

/// Gives containers the defaults and notes which they took.
fn fill(range: &Value, pod: &mut Value) {
    let mut notes = Vec::new();
    for (list, called) in CONTAINERS {
        let containers = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = meta::str_at(container, &["name"]).unwrap_or_default().to_owned();
            let mut set = |from: &str, to: &str| -> Vec<String> {
                let mut set = Vec::new();
                for limit in limits(range, "Container") {
                    for (resource, amount) in meta::map_at(limit, &[from]).into_iter().flatten() {
                        let given = meta::at(container, &["resources", to, resource]).is_some();
                        if !given {
                            meta::set(container, &["resources", to, resource], amount.clone());
                            set.push(resource.clone());
                        }
                    }
                }
                set.sort_unstable();
                set
            };
            let (maximum, request) = (set("default", "limits"), set("defaultRequest", "requests"));
            for (set, what) in [(request, "request"), (maximum, "limit")] {
                if !set.is_empty() {
                    notes.push(format!("{} {what} for {called} {name}", set.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        meta::set(pod, &["metadata", "annotations", ANNOTATION], note);
    }
}

fn check_pod(range: &Value, pod: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    for limit in meta::list_at(range, &["spec", "limits"]) {
        match meta::str_at(limit, &["type"]).unwrap_or_default() {
            "Container" => {
                for (list, _) in CONTAINERS {
                    for container in meta::list_at(pod, &["spec", list]) {
                        let requests = amounts(container, &["resources", "requests"]);
                        let limits = amounts(container, &["resources", "limits"]);
                        complaints.extend(check("Container", limit, &requests, &limits));
                    }
                }
            }
            "Pod" => {
                let (requests, limits) = (of_containers(pod, "requests"), of_containers(pod, "limits"));
                complaints.extend(check("Pod", limit, &requests, &limits));
            }
            _ => {}
        }
    }
    complaints
}

/// Claims have requests only.
fn check_claim(range: &Value, claim: &Value) -> Vec<String> {
    const KIND: &str = "PersistentVolumeClaim";
    let requests = amounts(claim, &["spec", "resources", "requests"]);
    let mut complaints = Vec::new();
    for limit in limits(range, KIND) {
        for (name, bound) in amounts(limit, &["min"]) {
            complaints.extend(check_min(KIND, &name, bound, &requests, &Amounts::new()));
        }
        for (name, bound) in amounts(limit, &["max"]) {
            complaints.extend(match requests.get(&name) {
                None => Some(format!(
                    "maximum {name} usage per {KIND} is {bound}.  No request is specified"
                )),
                Some(request) => above("request", KIND, &name, bound, *request),
            });
        }
    }
    complaints
}

fn check(kind: &str, limit: &Value, requests: &Amounts, limits: &Amounts) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, bound) in amounts(limit, &["min"]) {
        complaints.extend(check_min(kind, &name, bound, requests, limits));
    }
    for (name, bound) in amounts(limit, &["max"]) {
        complaints.extend(match limits.get(&name) {
            None => Some(format!(
                "maximum {name} usage per {kind} is {bound}.  No limit is specified"
            )),
            Some(limit) => above("limit", kind, &name, bound, *limit).or_else(|| {
                let request = requests.get(&name)?;
                above("request", kind, &name, bound, *request)
            }),
        });
    }
    for (name, bound) in amounts(limit, &["maxLimitRequestRatio"]) {
        complaints.extend(check_ratio(kind, &name, bound, requests.get(&name), limits.get(&name)));
    }
    complaints
}

fn check_min(kind: &str, name: &str, bound: Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let below = |what: &str, amount: &Quantity| {
        (*amount < bound).then(|| format!("minimum {name} usage per {kind} is {bound}, but {what} is {amount}"))
    };
    match requests.get(name) {
        None => Some(format!(
            "minimum {name} usage per {kind} is {bound}.  No request is specified"
        )),
        Some(request) => below("request", request).or_else(|| below("limit", limits.get(name)?)),
    }
}

fn above(what: &str, kind: &str, name: &str, bound: Quantity, amount: Quantity) -> Option<String> {
    (amount > bound).then(|| format!("maximum {name} usage per {kind} is {bound}, but {what} is {amount}"))
}

fn check_ratio(
    kind: &str,
    name: &str,
    bound: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let start = format!("{name} max limit to request ratio per {kind} is {bound}, but");
    let positive = |amount: Option<&Quantity>| amount.map(Quantity::millis).filter(|millis| *millis != 0);
    let Some(request) = positive(request) else {
        return Some(format!("{start} no request is specified or request is 0"));
    };
    let Some(limit) = positive(limit) else {
        return Some(format!("{start} no limit is specified or limit is 0"));
    };
    let ratio = limit as f64 / request as f64;
    (ratio * 1000.0 > bound.millis() as f64).then(|| format!("{start} provided ratio is {ratio:.6}"))
}

/// Several complaints as one (apimachinery `util/errors.NewAggregate`).
fn aggregate(mut complaints: Vec<String>) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    complaints.retain(|text| seen.insert(text.clone()));
    match complaints.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::{Objects, attributes};
    use serde_json::json;

    fn range() -> Value {
        json!({"metadata": {"name": "l", "namespace": "n"}, "spec": {"limits": [
            {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"},
                "min": {"cpu": "50m"}, "maxLimitRequestRatio": {"cpu": "10"}},
            {"type": "Pod", "max": {"cpu": "2"}},
            {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]}})
    }

    #[tokio::test]
    async fn pods_get_defaults_and_keep_within_bounds() {
        let lookup = Objects::of(&[("limitranges", range())]);
        for (resources, expected) in [
            (json!({}), None),
            (
                json!({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}),
                Some("maximum cpu usage per Container is 1, but limit is 2"),
            ),
            (
                json!({"requests": {"cpu": "10m"}}),
                Some(
                    "[minimum cpu usage per Container is 50m, but request is 10m, cpu max limit to request ratio per Container is 10, but provided ratio is 50.000000]",
                ),
            ),
        ] {
            let mut pod = json!({"spec": {"containers": [{"name": "c", "resources": resources}]}});
            let mut warnings = Vec::new();
            let mut attributes = attributes(Operation::Create, "pods", "n", "p", &mut warnings);
            LimitRanger.admit(&lookup, &mut attributes, &mut pod).await.unwrap();
            let result = LimitRanger.validate(&lookup, &mut attributes, &pod).await;
            let expected = expected.map(|why| format!("pods \"p\" is forbidden: {why}"));
            assert_eq!(result.err().map(|s| s.message), expected);
        }
        let mut pod = json!({"spec": {"containers": [{"name": "c"}]}});
        fill(&range(), &mut pod);
        assert_eq!(
            pod["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
        );
    }

    #[test]
    fn claims_are_limited_by_their_request() {
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        assert!(check_claim(&range(), &claim("1Gi")).is_empty());
        assert_eq!(
            check_claim(&range(), &claim("2Gi")),
            ["maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"]
        );
    }
}
