//! Taints repel pods that do not tolerate them.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::{Cycle, Verdict, refuse};
use crate::cache::NodeInfo;
use crate::pod::PodInfo;

fn taints(node: &NodeInfo) -> &[Taint] {
    node.node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default()
}

/// Whether any of the tolerations covers the taint (`Toleration.ToleratesTaint`).
pub(crate) fn is_tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| {
        let empty = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
        let effect = empty(&toleration.effect) || toleration.effect.as_deref() == Some(taint.effect.as_str());
        let key = empty(&toleration.key) || toleration.key.as_deref() == Some(taint.key.as_str());
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let number = |value: &Option<String>| text(value).parse::<i64>().ok();
        effect
            && key
            && match toleration.operator.as_deref().unwrap_or("Equal") {
                "Exists" => true,
                "" | "Equal" => !empty(&toleration.key) && text(&toleration.value) == text(&taint.value),
                "Lt" => number(&taint.value)
                    .zip(number(&toleration.value))
                    .is_some_and(|(taint, limit)| taint < limit),
                "Gt" => number(&taint.value)
                    .zip(number(&toleration.value))
                    .is_some_and(|(taint, limit)| taint > limit),
                _ => false,
            }
    })
}

/// Whether no taint of the node repels the pod.
pub(crate) fn admits(pod: &PodInfo, node: &NodeInfo) -> bool {
    let repels = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    taints(node)
        .iter()
        .filter(repels)
        .all(|taint| is_tolerated(taint, &pod.tolerations))
}

pub(crate) fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Verdict {
    if admits(cycle.pod, node) {
        return Ok(());
    }
    refuse("node(s) had untolerated taint(s)")
}

/// How many taints would rather not have the pod.
pub(crate) fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let soft = taints(node).iter().filter(|taint| taint.effect == "PreferNoSchedule");
    let relevant: Vec<Toleration> = cycle
        .pod
        .tolerations
        .iter()
        .filter(|toleration| matches!(toleration.effect.as_deref(), None | Some("" | "PreferNoSchedule")))
        .cloned()
        .collect();
    i64::try_from(soft.filter(|taint| !is_tolerated(taint, &relevant)).count()).unwrap_or(i64::MAX)
}
