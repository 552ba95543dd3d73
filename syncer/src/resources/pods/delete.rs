//! Deletion of pods, in both directions, with the grace that was asked for.

use serde_json::Value;

use super::pair;
use crate::engine::plan::{Plan, Step};
use crate::json;
use crate::kinds::Side;
use crate::names::Reference;

/// The default of `terminationGracePeriodSeconds`.
const DEFAULT_GRACE: i64 = 30;

/// The host copy is gone: nothing runs any more, so the virtual pod may go at once, as after a kubelet's last word.
pub(super) fn finish(item: &Reference, pod: &Value) -> Plan {
    // It waits for finalizers; asking again changes nothing.
    if pair::is_deleting(pod) && grace(pod) == Some(0) {
        return Plan::nothing();
    }
    Plan::step(pair::delete_step(Side::Virtual, item, pod, Some(0)))
}

/// The deletion that one side still has to hear of; `None` when neither is being deleted.
pub(super) fn propagate(item: &Reference, pod: &Value, host: &Value) -> Option<Plan> {
    let step: Option<Step> = match (pair::is_deleting(pod), pair::is_deleting(host)) {
        (false, false) => return None,
        (true, false) => Some(pair::delete_step(
            Side::Host,
            item,
            host,
            Some(grace(pod).unwrap_or(DEFAULT_GRACE)),
        )),
        (false, true) => Some(pair::delete_step(
            Side::Virtual,
            item,
            pod,
            Some(grace(host).unwrap_or(DEFAULT_GRACE)),
        )),
        // A second, more impatient deletion shortens the first.
        (true, true) => match (grace(pod), grace(host)) {
            (Some(virtual_), Some(host_grace)) if virtual_ < host_grace => {
                Some(pair::delete_step(Side::Host, item, host, Some(virtual_)))
            }
            (Some(virtual_), Some(host_grace)) if host_grace < virtual_ && host_grace > 0 => {
                Some(pair::delete_step(Side::Virtual, item, pod, Some(host_grace)))
            }
            _ => None,
        },
    };
    Some(Plan::nothing().and(step))
}

fn grace(object: &Value) -> Option<i64> {
    json::integer(object, &["metadata", "deletionGracePeriodSeconds"])
}
