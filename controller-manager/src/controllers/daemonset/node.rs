//! Which nodes a daemon set runs on, and its pod for one of them (`pkg/controller/daemon`).

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Taint,
    Toleration,
};

use crate::common::history::REVISION_LABEL;
use crate::common::ownership::reference_to;
use crate::common::pod_control::generated_pod;

/// Daemons stay on nodes in trouble: key and effect of the taints they tolerate.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
const NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");
const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";

/// The node a daemon pod is for: the one it was scheduled to, or the one its affinity names.
pub(crate) fn target(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let assigned = spec
        .and_then(|spec| spec.node_name.clone())
        .filter(|name| !name.is_empty());
    assigned
        .or_else(|| spec.and_then(named_by_affinity))
        .unwrap_or_default()
}

fn named_by_affinity(spec: &PodSpec) -> Option<String> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    let field = required
        .node_selector_terms
        .iter()
        .flat_map(|term| term.match_fields.iter().flatten());
    let mut names = field.filter(|field| field.key == "metadata.name" && field.operator == "In");
    names.find_map(|field| field.values.as_ref()?.first().cloned())
}

/// The pod of one node.
pub(crate) fn new_pod(set: &DaemonSet, node: &str, hash: &str) -> Pod {
    let spec = set.spec.clone().unwrap_or_default();
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let mut pod = generated_pod(namespace, &spec.template, reference_to(set));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.to_owned(), hash.to_owned());
    if let Some(generation) = set
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(GENERATION_ANNOTATION))
    {
        labels.insert("pod-template-generation".to_owned(), generation.clone());
    }
    let spec = pod.spec.get_or_insert_default();
    tolerate(spec);
    pin(spec, node);
    pod
}

fn tolerate(spec: &mut PodSpec) {
    let network = spec.host_network.unwrap_or(false).then_some(NETWORK);
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in TOLERATED.into_iter().chain(network) {
        let toleration = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
}

/// The scheduler places the pod, but only on this node (`ReplaceDaemonSetPodNodeNameNodeAffinity`).
fn pin(spec: &mut PodSpec, node: &str) {
    let field = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let affinity = spec.affinity.get_or_insert_with(Affinity::default);
    let affinity = affinity.node_affinity.get_or_insert_with(NodeAffinity::default);
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .get_or_insert_with(NodeSelector::default);
    if required.node_selector_terms.is_empty() {
        required.node_selector_terms.push(NodeSelectorTerm::default());
    }
    for term in &mut required.node_selector_terms {
        term.match_fields = Some(vec![field.clone()]);
    }
}

/// Whether the set should start a pod on the node, and whether one that is there may stay (`NodeShouldRunDaemonPod`).
pub(crate) fn should_run(set: &DaemonSet, node: &Node) -> (bool, bool) {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let pod = new_pod(set, name, "");
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let asked = spec.node_name.as_deref().unwrap_or_default();
    if !(asked.is_empty() || asked == name) || !matches_node(spec, node) {
        return (false, false);
    }
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default();
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let repelled = |effect: &str| {
        taints
            .iter()
            .any(|taint| taint.effect == effect && !is_tolerated(taint, tolerations))
    };
    match (repelled("NoSchedule"), repelled("NoExecute")) {
        (false, false) => (true, true),
        (_, evicts) => (false, !evicts),
    }
}

/// Whether any of the tolerations covers the taint.
pub(crate) fn is_tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    tolerations.iter().any(|toleration| {
        let effect = text(&toleration.effect).is_empty() || text(&toleration.effect) == taint.effect;
        let key = text(&toleration.key).is_empty() || text(&toleration.key) == taint.key;
        let value = match text(&toleration.operator).as_str() {
            "Exists" => true,
            "" | "Equal" => !text(&toleration.key).is_empty() && text(&toleration.value) == text(&taint.value),
            _ => false,
        };
        effect && key && value
    })
}

fn matches_node(spec: &PodSpec, node: &Node) -> bool {
    let label = |key: &str| {
        node.metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(key))
            .map(String::as_str)
    };
    let name = node.metadata.name.as_deref();
    let selected = spec
        .node_selector
        .iter()
        .flatten()
        .all(|(key, value)| label(key) == Some(value));
    let required = spec.affinity.as_ref().and_then(|affinity| {
        affinity
            .node_affinity
            .as_ref()?
            .required_during_scheduling_ignored_during_execution
            .as_ref()
    });
    let term_matches = |term: &NodeSelectorTerm| {
        let expressions = term.match_expressions.iter().flatten();
        let fields = term.match_fields.iter().flatten();
        expressions.into_iter().all(|one| holds(one, label(&one.key)))
            && fields
                .into_iter()
                .all(|one| holds(one, name.filter(|_| one.key == "metadata.name")))
    };
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(term_matches))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|one| one == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let both = value
        .and_then(number)
        .zip(values.first().and_then(|bound| number(bound)));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => both.is_some_and(|(value, bound)| value > bound),
        "Lt" => both.is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}
