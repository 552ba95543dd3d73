//! What an autoscaler does with what its measurements ask for (`horizontal.go`, `reconcileAutoscaler`).

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    HPAScalingRules, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::history::{DOWN_STABILIZED, History, Range, UP_STABILIZED, within};

pub(super) type Conditions = Vec<HorizontalPodAutoscalerCondition>;

/// What is to be done without looking at measurements.
#[derive(Debug, PartialEq)]
pub(super) enum Start {
    /// Look at them.
    Measure,
    /// Nothing: somebody has scaled it to none.
    Disabled,
    /// Scale to this, for this reason.
    Bound(i32, &'static str),
}

/// The fewest replicas.
pub(super) fn least(spec: &HorizontalPodAutoscalerSpec) -> i32 {
    spec.min_replicas.unwrap_or(1)
}

/// Whether the number of replicas needs measurements.
pub(super) fn start(spec: &HorizontalPodAutoscalerSpec, current: i32) -> Start {
    if current == 0 {
        Start::Disabled
    } else if current > spec.max_replicas {
        Start::Bound(spec.max_replicas, "Current number of replicas above Spec.MaxReplicas")
    } else if current < least(spec) {
        Start::Bound(least(spec), "Current number of replicas below Spec.MinReplicas")
    } else {
        Start::Measure
    }
}

/// How many replicas there will be, for a wish that `metric` has led to, and why, for an event.
pub(super) fn decide(
    spec: &HorizontalPodAutoscalerSpec,
    current: i32,
    (wish, metric): (i32, &str),
    history: &mut History,
    window: Duration,
    (conditions, now): (&mut Conditions, Timestamp),
) -> (i32, String) {
    let desired = wish.max(0);
    let reason = if desired > current {
        format!("{metric} above target")
    } else if desired < current {
        "All metrics below target".to_owned()
    } else {
        String::new()
    };
    let range = Range {
        current,
        least: least(spec),
        most: spec.max_replicas,
    };
    let rules = spec.behavior.as_ref();
    let (stable, held) = match rules {
        None => (history.stabilize(desired, window, now), DOWN_STABILIZED),
        Some(rules) => {
            let of = |rules: Option<&HPAScalingRules>| {
                let seconds = rules.and_then(|rules| rules.stabilization_window_seconds);
                seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
            };
            let up = of(rules.scale_up.as_ref()).unwrap_or_default();
            let down = of(rules.scale_down.as_ref()).unwrap_or(window);
            let held = if desired >= current {
                UP_STABILIZED
            } else {
                DOWN_STABILIZED
            };
            (history.stabilize_between(current, desired, (up, down), now), held)
        }
    };
    let able = if stable == desired {
        ("ReadyForNewScale", "recommended size matches current size")
    } else {
        held
    };
    set(conditions, "AbleToScale", true, able.0, able.1.to_owned(), now);
    let (replicas, why, sentence) = match rules {
        None => within(range, stable),
        Some(rules) => {
            let none = HPAScalingRules::default();
            let (up, down) = (rules.scale_up.as_ref(), rules.scale_down.as_ref());
            history.within_rules(range, stable, (up.unwrap_or(&none), down.unwrap_or(&none)), now)
        }
    };
    set(
        conditions,
        "ScalingLimited",
        replicas != stable,
        why,
        sentence.to_owned(),
        now,
    );
    (replicas, reason)
}

/// Sets a condition; the time of the transition moves with the status only.
pub(super) fn set(conditions: &mut Conditions, kind: &str, holds: bool, reason: &str, message: String, now: Timestamp) {
    let status = if holds { "True" } else { "False" };
    let found = conditions.iter_mut().find(|condition| condition.type_ == kind);
    let (reason, message) = (Some(reason.to_owned()), Some(message));
    match found {
        Some(condition) => {
            if condition.status != status {
                condition.last_transition_time = Some(Time(now));
                condition.status = status.to_owned();
            }
            (condition.reason, condition.message) = (reason, message);
        }
        None => conditions.push(HorizontalPodAutoscalerCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: Some(Time(now)),
            reason,
            message,
        }),
    }
}
