use serde_json::{Value, json};

use super::*;
use crate::common::status::{as_returned, is_same};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn budget(spec: Value, status: Value) -> PodDisruptionBudget {
    let metadata = json!({ "name": "b", "namespace": "n", "generation": 2 });
    serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": status })).unwrap()
}

fn pod(name: &str, ready: bool, deleting: bool) -> Arc<Pod> {
    let deleted = deleting.then_some("2026-01-01T00:00:00Z");
    let ready = if ready { "True" } else { "False" };
    Arc::new(
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "n", "labels": { "app": "a" }, "deletionTimestamp": deleted },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap(),
    )
}

/// What was written is not written again, however late it is.
pub(crate) fn rests() {
    let counts = Counts {
        expected: 3,
        desired: 2,
        healthy: 3,
    };
    let fresh = budget(json!({ "minAvailable": 2 }), json!({ "disruptionsAllowed": 0 }));
    let written = plan::status(&fresh, counts, std::collections::BTreeMap::new(), at(1));
    let failed = plan::failed(&fresh, "why", at(1));
    for returned in as_returned(&written) {
        let seen = PodDisruptionBudget {
            status: Some(returned),
            ..fresh.clone()
        };
        let again = plan::status(&seen, counts, std::collections::BTreeMap::new(), at(1000));
        assert!(is_same(seen.status.as_ref(), &again));
    }
    for returned in as_returned(&failed) {
        let seen = PodDisruptionBudget {
            status: Some(returned),
            ..fresh.clone()
        };
        assert!(is_same(seen.status.as_ref(), &plan::failed(&seen, "why", at(1000))));
    }
}

#[test]
fn how_many_have_to_be_healthy() {
    for (spec, relative, expected, desired) in [
        (json!({ "minAvailable": 2 }), false, 5, 2),
        (json!({ "minAvailable": "50%" }), true, 5, 3),
        (json!({ "maxUnavailable": 1 }), true, 5, 4),
        (json!({ "maxUnavailable": "30%" }), true, 5, 3),
        (json!({ "maxUnavailable": 9 }), true, 5, 0),
        (json!({}), false, 5, 0),
    ] {
        let spec_ = serde_json::from_value(spec.clone()).unwrap();
        assert_eq!(plan::is_relative(&spec_), relative, "{spec}");
        assert_eq!(plan::desired(&spec_, expected), desired, "{spec}");
    }
}

#[test]
fn how_many_may_go() {
    for (expected, desired, healthy, allowed, reason) in [
        (3, 2, 3, 1, "SufficientPods"),
        (3, 2, 2, 0, "InsufficientPods"),
        (3, 2, 1, 0, "InsufficientPods"),
        (0, 0, 1, 0, "InsufficientPods"),
    ] {
        let counts = Counts {
            expected,
            desired,
            healthy,
        };
        let status = plan::status(
            &budget(json!({}), json!(null)),
            counts,
            std::collections::BTreeMap::new(),
            at(1),
        );
        assert_eq!(status.disruptions_allowed, Some(allowed), "{counts:?}");
        assert_eq!(status.observed_generation, Some(2));
        let condition = &status.conditions.unwrap()[0];
        assert_eq!(
            (condition.type_.as_str(), condition.reason.as_str()),
            ("DisruptionAllowed", reason)
        );
        assert_eq!(condition.status == "True", allowed > 0);
    }
}

#[test]
fn granted_evictions_count_as_gone_for_a_while() {
    let status = json!({
        "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
        "disruptedPods": { "going": Time(at(900)), "next": Time(at(950)), "stays": Time(at(800)), "left": Time(at(990)), "unknown": Time(at(990)) },
    });
    let pods = [
        pod("going", true, false),
        pod("next", true, false),
        pod("stays", true, false),
        pod("left", true, true),
        pod("other", true, false),
        pod("broken", false, false),
    ];
    let disrupted = plan::disrupted(&budget(json!({}), status), &pods, at(1000));
    assert_eq!(disrupted.pods.keys().collect::<Vec<_>>(), ["going", "next"]);
    assert_eq!(disrupted.check_after.map(|wait| wait.as_secs()), Some(20));
    assert_eq!(disrupted.survivors, [pods[2].clone()]);
    assert_eq!(plan::healthy(&pods, &disrupted.pods), 2);
}

#[test]
fn marks_end_when_nobody_comes() {
    let marked = |status: &str, reason: &str, deleting: bool, phase: &str| -> Pod {
        let deleted = deleting.then_some("2026-01-01T00:00:00Z");
        let condition =
            json!({ "type": plan::MARK, "status": status, "reason": reason, "lastTransitionTime": Time(at(1000)) });
        serde_json::from_value(json!({
            "metadata": { "name": "p", "deletionTimestamp": deleted },
            "status": { "phase": phase, "conditions": [condition] },
        }))
        .unwrap()
    };
    for (pod, now, expected) in [
        (
            marked("True", "EvictionByEvictionAPI", false, "Running"),
            1030,
            Some(90),
        ),
        (marked("True", "EvictionByEvictionAPI", false, "Running"), 2000, Some(0)),
        (marked("False", "EvictionByEvictionAPI", false, "Running"), 2000, None),
        (marked("True", "TerminationByKubelet", false, "Running"), 2000, None),
        (marked("True", "EvictionByEvictionAPI", true, "Running"), 2000, None),
        (marked("True", "EvictionByEvictionAPI", false, "Failed"), 2000, None),
    ] {
        let wait = plan::unmark_after(&pod, at(now)).map(|wait| wait.as_secs());
        assert_eq!(wait, expected, "{pod:?}");
    }
}

#[test]
fn an_empty_selector_covers_everything_and_none_nothing() {
    for (spec, expected) in [
        (json!({}), false),
        (json!({ "selector": {} }), true),
        (json!({ "selector": { "matchLabels": { "app": "a" } } }), true),
        (json!({ "selector": { "matchLabels": { "app": "b" } } }), false),
    ] {
        assert_eq!(
            covers(&budget(spec.clone(), json!(null)), &pod("p", true, false)),
            expected,
            "{spec}"
        );
    }
}
