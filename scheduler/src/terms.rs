//! Selectors over labels of nodes, pods and namespaces.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

use crate::cache::{NodeInfo, Snapshot};
use crate::pod::PodInfo;

/// No selector selects nothing; an empty one selects everything.
pub(crate) fn selects(selector: Option<&LabelSelector>, labels: &BTreeMap<String, String>) -> bool {
    selector.is_some_and(|selector| Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels)))
}

/// Whether a node satisfies one term; an empty term satisfies nobody.
pub(crate) fn node_matches_term(term: &NodeSelectorTerm, node: &NodeInfo) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let field = |key: &str| (key == "metadata.name").then_some(node.name.as_str());
    expressions
        .iter()
        .all(|requirement| holds(requirement, node.label(&requirement.key)))
        && fields
            .iter()
            .all(|requirement| holds(requirement, field(&requirement.key)))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|one| one == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = values.first().and_then(|text| number(text));
    let compare = |wanted: std::cmp::Ordering| {
        value
            .and_then(number)
            .zip(bound)
            .is_some_and(|(value, bound)| value.cmp(&bound) == wanted)
    };
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(std::cmp::Ordering::Greater),
        "Lt" => compare(std::cmp::Ordering::Less),
        _ => false,
    }
}

/// Whether `candidate` is one of the pods a term of `owner` means.
pub(crate) fn pod_matches_term(
    term: &PodAffinityTerm,
    owner: &PodInfo,
    candidate: &PodInfo,
    snapshot: &Snapshot,
) -> bool {
    let listed = term.namespaces.as_deref().unwrap_or_default();
    let nothing = BTreeMap::new();
    let labels = snapshot.namespaces.get(&candidate.namespace).unwrap_or(&nothing);
    let in_namespace = if listed.is_empty() && term.namespace_selector.is_none() {
        candidate.namespace == owner.namespace
    } else {
        listed.contains(&candidate.namespace) || selects(term.namespace_selector.as_ref(), labels)
    };
    in_namespace && selects(term.label_selector.as_ref(), &candidate.labels)
}
