use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::plan::{Decision, State, decide, status};
use super::rank;
use crate::common::pod_control::Failed;
use crate::common::status::{as_returned, is_same};

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn pod(name: &str, fields: Value) -> Pod {
    let get = |key: &str| fields.get(key).cloned().unwrap_or(Value::Null);
    let ready = fields
        .get("readySince")
        .map(|since| json!([{ "type": "Ready", "status": "True", "lastTransitionTime": since }]));
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": "ns", "uid": name,
            "creationTimestamp": fields.get("created").cloned().unwrap_or(json!("2025-12-31T00:00:00Z")),
            "deletionTimestamp": get("deleted"),
            "labels": fields.get("labels").cloned().unwrap_or(json!({ "app": "web" })),
            "annotations": fields.get("cost").map(|cost| json!({ "controller.kubernetes.io/pod-deletion-cost": cost })),
        },
        "spec": { "containers": [], "nodeName": fields.get("node").cloned().unwrap_or(json!("n")) },
        "status": {
            "phase": fields.get("phase").cloned().unwrap_or(json!("Running")),
            "conditions": ready,
            "containerStatuses": fields.get("restarts").map(|count| json!([
                { "name": "c", "image": "", "imageID": "", "ready": true, "restartCount": count }
            ])),
        },
    }))
    .unwrap()
}

fn replica_set(replicas: i32, min_ready: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "ns", "uid": "rs", "generation": 3 },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": min_ready,
            "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web", "tier": "front" } } },
        },
    }))
    .unwrap()
}

/// What was written is not written again, however the server returns it.
pub(crate) fn rests() {
    fn state<'a>(rs: &'a ReplicaSet, owned: &'a [Arc<Pod>]) -> State<'a> {
        State { rs, owned, now: now() }
    }
    let ready: Vec<Arc<Pod>> = vec![Arc::new(pod("a", json!({ "readySince": "2025-12-31T00:00:00Z" })))];
    let quota = Failed::Create(kube::Error::Api(
        kube::core::Status::failure("quota", "Forbidden").boxed(),
    ));
    for (replicas, owned, failure) in [(1, &ready[..], None), (0, &[], None), (2, &ready[..], Some(&quota))] {
        let mut rs = replica_set(replicas, 0);
        let written = status(&state(&rs, owned), failure);
        for returned in as_returned(&written) {
            rs.status = Some(returned);
            let again = status(&state(&rs, owned), failure);
            assert!(is_same(rs.status.as_ref(), &again), "{:?} {again:?}", rs.status);
        }
        if failure.is_none() {
            let decision = decide(&state(&rs, owned), Vec::new);
            assert!(matches!(decision, Decision::Nothing), "{decision:?}");
        }
    }
}

#[test]
fn who_goes_first() {
    let ready = "2025-12-31T00:00:00Z";
    let table = [
        ("unassigned", json!({ "node": "" }), json!({ "readySince": ready })),
        ("pending", json!({ "phase": "Pending" }), json!({ "phase": "Unknown" })),
        ("unknown", json!({ "phase": "Unknown" }), json!({})),
        ("not ready", json!({}), json!({ "readySince": ready })),
        (
            "cheaper",
            json!({ "readySince": ready, "cost": "-1" }),
            json!({ "readySince": ready }),
        ),
        (
            "ready for less time",
            json!({ "readySince": "2025-12-31T23:59:50Z" }),
            json!({ "readySince": ready }),
        ),
        (
            "restarted more",
            json!({ "readySince": ready, "restarts": 3 }),
            json!({ "readySince": ready, "restarts": 1 }),
        ),
        ("younger", json!({ "created": "2025-12-31T23:59:00Z" }), json!({})),
    ];
    for (case, first, second) in table {
        let (first, second) = (pod("x", first), pod("y", second));
        assert!(rank::order(&first, &second, 1, 1, now()).is_lt(), "{case}");
        assert!(rank::order(&second, &first, 1, 1, now()).is_gt(), "{case}, reversed");
    }
    let (a, b) = (pod("a", json!({})), pod("b", json!({})));
    assert!(rank::order(&a, &b, 2, 1, now()).is_lt(), "more neighbours");
}

#[test]
fn how_many_to_create_or_delete() {
    let owned: Vec<Arc<Pod>> = vec![
        Arc::new(pod("a", json!({ "readySince": "2025-12-31T00:00:00Z" }))),
        Arc::new(pod("b", json!({ "phase": "Pending", "node": "" }))),
        Arc::new(pod("going", json!({ "deleted": "2026-01-01T00:00:00Z" }))),
    ];
    let run = |replicas| {
        let rs = replica_set(replicas, 0);
        decide(
            &State {
                rs: &rs,
                owned: &owned,
                now: now(),
            },
            Vec::new,
        )
    };
    assert!(matches!(run(2), Decision::Nothing));
    assert!(
        matches!(run(5), Decision::Create(3)),
        "a terminating pod does not count"
    );
    assert!(matches!(run(2000), Decision::Create(500)), "in bursts");
    let Decision::Delete(victims) = run(1) else { panic!() };
    assert_eq!(victims.len(), 1);
    assert_eq!(victims[0].metadata.name.as_deref(), Some("b"));
    let Decision::Delete(victims) = run(0) else { panic!() };
    assert_eq!(victims.len(), 2);
}

#[test]
fn the_status_counts_what_upstream_counts() {
    let owned: Vec<Arc<Pod>> = vec![
        Arc::new(pod(
            "old",
            json!({ "readySince": "2025-12-31T00:00:00Z", "labels": { "app": "web", "tier": "front" } }),
        )),
        Arc::new(pod("new", json!({ "readySince": "2025-12-31T23:59:55Z" }))),
        Arc::new(pod("going", json!({ "deleted": "2026-01-01T00:00:00Z" }))),
    ];
    let rs = replica_set(3, 10);
    let state = State {
        rs: &rs,
        owned: &owned,
        now: now(),
    };
    let healthy = status(&state, None);
    assert_eq!(
        (healthy.replicas, healthy.ready_replicas, healthy.available_replicas),
        (2, Some(2), Some(1))
    );
    assert_eq!(
        (healthy.fully_labeled_replicas, healthy.terminating_replicas),
        (Some(1), Some(1))
    );
    assert_eq!((healthy.observed_generation, &healthy.conditions), (Some(3), &None));
    let failure = Failed::Create(kube::Error::Api(
        kube::core::Status::failure("quota", "Forbidden").boxed(),
    ));
    let failed = status(&state, Some(&failure)).conditions.unwrap();
    assert_eq!(
        (failed[0].type_.as_str(), failed[0].reason.as_deref()),
        ("ReplicaFailure", Some("FailedCreate"))
    );
}

proptest! {
    /// The order never contradicts itself, so sorting with it is sound.
    #[test]
    fn the_order_is_antisymmetric(
        a in (0..3u8, any::<bool>(), 0..3i32, 0..100i64),
        b in (0..3u8, any::<bool>(), 0..3i32, 0..100i64),
    ) {
        let make = |name: &str, (phase, ready, cost, age): (u8, bool, i32, i64)| {
            let since = Timestamp::from_second(now().as_second() - age).unwrap().to_string();
            let mut fields = json!({ "phase": (["Running", "Pending", "Unknown"][usize::from(phase)]), "cost": cost.to_string() });
            if ready {
                fields["readySince"] = json!(since);
            }
            pod(name, fields)
        };
        let (a, b) = (make("a", a), make("b", b));
        prop_assert_eq!(rank::order(&a, &b, 1, 2, now()), rank::order(&b, &a, 2, 1, now()).reverse());
    }
}
