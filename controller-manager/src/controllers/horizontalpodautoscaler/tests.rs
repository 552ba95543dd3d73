use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerSpec};
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::calculator::{Measured, Metrics, Pods, Tolerances, for_total_per_replica};
use super::history::{History, Range, within};
use super::plan::{Conditions, Start, decide, start};
use crate::common::status;

const NOW: &str = "2026-01-01T12:00:00Z";
const USUAL: Tolerances = Tolerances { down: 0.1, up: 0.1 };
const WINDOW: Duration = Duration::from_secs(300);

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn pod(name: &str, phase: &str, ready: bool, request: &str) -> Pod {
    let object = json!({
        "metadata": {"name": name, "namespace": "n"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": request}}}]},
        "status": {"phase": phase, "startTime": "2026-01-01T10:00:00Z", "conditions": [{
            "type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": "2026-01-01T10:00:10Z",
        }]},
    });
    serde_json::from_value(object).unwrap()
}

fn metrics(of: &[(&str, i64)]) -> Metrics {
    let one = |(name, value): &(&str, i64)| {
        let measured = Measured {
            value: *value,
            at: Some(now()),
            window: Duration::from_secs(15),
        };
        ((*name).to_owned(), measured)
    };
    of.iter().map(one).collect()
}

/// Replicas and percent that are used of the requests.
fn utilization(pods: &[Pod], of: &[(&str, i64)], target: i32) -> Result<(i32, i32), String> {
    let refs: Vec<&Pod> = pods.iter().collect();
    let judged = Pods {
        pods: &refs,
        cpu_initialization: Duration::from_secs(300),
        initial_readiness_delay: Duration::from_secs(30),
        now: now(),
    };
    let current = i32::try_from(pods.len()).unwrap();
    let found = judged.for_utilization(current, target, ("cpu", ""), USUAL, metrics(of));
    found.map(|(replicas, percent, _)| (replicas, percent))
}

fn running(count: usize) -> Vec<Pod> {
    (0..count)
        .map(|i| pod(&format!("p{i}"), "Running", true, "1"))
        .collect()
}

#[test]
fn utilization_decides() {
    let three = running(3);
    let used = |a, b, c| [("p0", a), ("p1", b), ("p2", c)];
    for (used, target, expected) in [
        (used(300, 500, 700), 30, (5, 50)),
        (used(300, 300, 300), 30, (3, 30)),
        (used(100, 300, 500), 50, (2, 30)),
        (used(320, 320, 320), 30, (3, 32)),
        (used(0, 0, 0), 30, (0, 0)),
    ] {
        assert_eq!(utilization(&three, &used, target), Ok(expected), "{used:?}");
    }
    assert!(
        utilization(&three, &[], 30)
            .unwrap_err()
            .contains("pods might be unready")
    );
    assert!(utilization(&[], &[], 30).unwrap_err().contains("no pods returned"));
    let without = [
        pod("p0", "Running", true, "1"),
        serde_json::from_value(json!({
            "metadata": {"name": "p1"}, "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Running"},
        }))
        .unwrap(),
    ];
    let why = utilization(&without, &[("p0", 100), ("p1", 1)], 30).unwrap_err();
    assert_eq!(why, "missing request for cpu in container c of Pod p1");
}

#[test]
fn what_is_not_known_never_turns_the_direction() {
    let three = running(3);
    // Up: a missing pod uses nothing.
    assert_eq!(utilization(&three, &[("p0", 800), ("p1", 800)], 50).unwrap().0, 3);
    assert_eq!(utilization(&three, &[("p0", 900), ("p1", 900)], 40).unwrap().0, 5);
    // Down: it uses all it asked for.
    assert_eq!(utilization(&three, &[("p0", 100), ("p1", 100)], 50).unwrap().0, 3);
    assert_eq!(utilization(&three, &[("p0", 100), ("p1", 100)], 60).unwrap().0, 2);
    // Pods that are not ready count for nothing on the way up.
    let mut unready = running(2);
    unready.push(pod("p2", "Pending", false, "1"));
    assert_eq!(
        utilization(&unready, &[("p0", 900), ("p1", 900), ("p2", 900)], 50)
            .unwrap()
            .0,
        4
    );
    // Failed pods are not there.
    let mut failed = running(2);
    failed.push(pod("p2", "Failed", false, "1"));
    assert_eq!(utilization(&failed, &[("p0", 1000), ("p1", 1000)], 50).unwrap().0, 4);
}

#[test]
fn totals_are_divided() {
    assert_eq!(for_total_per_replica(3, 8600, 2150, USUAL), (4, 2867));
    assert_eq!(for_total_per_replica(3, 8600, 2867, USUAL), (3, 2867));
}

fn spec(extra: Value) -> HorizontalPodAutoscalerSpec {
    let mut spec = json!({"minReplicas": 2, "maxReplicas": 10, "scaleTargetRef": {"kind": "Deployment", "name": "d"}});
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

#[test]
fn bounds_need_no_measurements() {
    let spec = spec(json!({}));
    assert_eq!(start(&spec, 0), Start::Disabled);
    assert!(matches!(start(&spec, 11), Start::Bound(10, _)) && matches!(start(&spec, 1), Start::Bound(2, _)));
    assert_eq!(start(&spec, 2), Start::Measure);
}

/// The replicas after wishes at these seconds, each applied at once, and the reasons of the last conditions.
fn steps(spec: &HorizontalPodAutoscalerSpec, mut current: i32, wishes: &[(i64, i32)]) -> (Vec<i32>, Vec<String>) {
    let (mut history, mut conditions) = (History::default(), Conditions::new());
    history.begin(current, now());
    let mut seen = Vec::new();
    for (at, wish) in wishes {
        let said = (&mut conditions, later(*at));
        let (desired, _) = decide(spec, current, (*wish, "cpu"), &mut history, WINDOW, said);
        if desired != current
            && let Some(behavior) = &spec.behavior
        {
            let rules = if desired > current {
                &behavior.scale_up
            } else {
                &behavior.scale_down
            };
            history.scaled(current, desired, rules.as_ref(), later(*at));
        }
        current = desired;
        seen.push(desired);
    }
    let reasons = conditions
        .into_iter()
        .map(|condition| condition.reason.unwrap_or_default());
    (seen, reasons.collect())
}

#[test]
fn without_rules_it_goes_up_at_once_and_down_after_a_while() {
    let spec = spec(json!({}));
    let (seen, reasons) = steps(&spec, 2, &[(0, 9), (15, 9), (30, 3), (60, 3)]);
    assert_eq!(seen, [4, 8, 9, 9]);
    assert_eq!(reasons, ["ScaleDownStabilized", "DesiredWithinRange"]);
    assert_eq!(steps(&spec, 9, &[(0, 3), (301, 3), (302, 1)]).0, [9, 3, 3]);
    let (seen, reasons) = steps(&spec, 8, &[(0, 99)]);
    assert_eq!((seen[0], reasons[1].as_str()), (10, "TooManyReplicas"));
}

#[test]
fn rules_hold_back() {
    let rules = |policies: Value, window: i64, select: &str| json!({"policies": policies, "stabilizationWindowSeconds": window, "selectPolicy": select});
    let pods = |value: i64, period: i64| json!({"type": "Pods", "value": value, "periodSeconds": period});
    let percent = |value: i64, period: i64| json!({"type": "Percent", "value": value, "periodSeconds": period});
    let with = |up: Value, down: Value| spec(json!({"behavior": {"scaleUp": up, "scaleDown": down}}));
    let usual = || rules(json!([percent(100, 15)]), 0, "Max");

    let slow = with(rules(json!([pods(1, 60)]), 0, "Max"), usual());
    let (seen, reasons) = steps(&slow, 2, &[(0, 9), (15, 9), (61, 9)]);
    assert_eq!(seen, [3, 3, 4]);
    assert_eq!(reasons, ["ReadyForNewScale", "ScaleUpLimit"]);
    let least = with(rules(json!([pods(4, 60), percent(50, 60)]), 0, "Min"), usual());
    assert_eq!(steps(&least, 2, &[(0, 9)]).0, [3]);
    let most = with(rules(json!([pods(4, 60), percent(50, 60)]), 0, "Max"), usual());
    assert_eq!(steps(&most, 2, &[(0, 9)]).0, [6]);
    let never = with(usual(), rules(json!([percent(100, 15)]), 0, "Disabled"));
    let (seen, reasons) = steps(&never, 9, &[(0, 2)]);
    assert_eq!((seen[0], reasons[1].as_str()), (9, "ScaleDownLimit"));
    let down = with(usual(), rules(json!([percent(10, 60), pods(2, 60)]), 0, "Min"));
    assert_eq!(steps(&down, 10, &[(0, 2), (30, 2), (61, 2)]).0, [9, 9, 8]);
    let patient = with(rules(json!([percent(100, 15)]), 60, "Max"), usual());
    let (seen, reasons) = steps(&patient, 2, &[(0, 4), (30, 4), (61, 4), (62, 4)]);
    assert_eq!(seen[..2], [2, 2]);
    assert_eq!(seen[3], 4);
    assert_eq!(reasons[0], "ReadyForNewScale");
}

proptest! {
    #[test]
    fn nothing_leaves_the_range(current in 1..50_i32, wishes in prop::collection::vec((0..900_i64, 0..10_000_i32), 1..20)) {
        let spec = HorizontalPodAutoscalerSpec { max_replicas: 60, ..spec(json!({})) };
        let (seen, _) = steps(&spec, current.max(2), &wishes);
        prop_assert!(seen.iter().all(|replicas| (2..=60).contains(replicas)), "{seen:?}");
    }

    #[test]
    fn no_numbers_panic(
        current in any::<i32>(), desired in any::<i32>(), value in any::<i32>(), period in any::<i32>(), total in any::<i64>(),
    ) {
        let range = Range { current, least: 0, most: i32::MAX };
        within(range, desired);
        let rules: HPAScalingRules = serde_json::from_value(json!({
            "policies": [{"type": "Pods", "value": value, "periodSeconds": period}, {"type": "Percent", "value": value, "periodSeconds": period}],
        })).unwrap();
        let mut history = History::default();
        history.scaled(current, desired, Some(&rules), now());
        history.within_rules(range, desired, (&rules, &rules), now());
        for_total_per_replica(current, total, i64::from(value), USUAL);
    }
}

/// A status that was written is not written again.
pub(crate) fn rests() {
    let mut conditions = Conditions::new();
    let mut history = History::default();
    history.begin(3, now());
    let spec = spec(json!({}));
    let mut written = BTreeMap::new();
    for at in [0, 15, 30] {
        decide(&spec, 3, (3, "cpu"), &mut history, WINDOW, (&mut conditions, later(at)));
        written.insert(at, conditions.clone());
    }
    assert_eq!(written[&0], written[&30]);
    let status = k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerStatus {
        conditions: Some(conditions),
        current_replicas: Some(3),
        desired_replicas: 3,
        ..Default::default()
    };
    for returned in status::as_returned(&status) {
        assert!(status::is_same(Some(&returned), &status));
    }
}

#[test]
fn comes_to_rest() {
    rests();
}
