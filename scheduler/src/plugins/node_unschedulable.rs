//! Cordoned nodes take no new pods but those that tolerate it.

use k8s_openapi::api::core::v1::Taint;

use super::taint_toleration::is_tolerated;
use super::{Cycle, Verdict, refuse};
use crate::cache::NodeInfo;

pub(crate) fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Verdict {
    let cordoned = node
        .node
        .spec
        .as_ref()
        .and_then(|spec| spec.unschedulable)
        .unwrap_or(false);
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    if !cordoned || is_tolerated(&taint, &cycle.pod.tolerations) {
        return Ok(());
    }
    refuse("node(s) were unschedulable")
}
