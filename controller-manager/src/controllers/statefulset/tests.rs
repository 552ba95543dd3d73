//! Plays stateful sets through: pods become ready as a kubelet would make them, one step at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::identity;
use super::plan::{Action, State, plan};
use crate::common::status::{as_returned, is_same};

fn set(replicas: i32, extra: Value) -> StatefulSet {
    let mut spec = json!({
        "replicas": replicas,
        "serviceName": "db",
        "selector": { "matchLabels": { "app": "db" } },
        "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } },
        "template": { "metadata": { "labels": { "app": "db" } }, "spec": { "containers": [{ "name": "c", "image": "v1" }] } },
    });
    for (key, value) in extra.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(
        json!({ "metadata": { "name": "db", "namespace": "ns", "uid": "s1", "generation": 1 }, "spec": spec }),
    )
    .unwrap()
}

struct World {
    set: StatefulSet,
    /// The template before the update.
    old: StatefulSet,
    current: String,
    update: String,
    pods: BTreeMap<String, Arc<Pod>>,
    log: Vec<String>,
}

impl World {
    fn new(set: StatefulSet) -> Self {
        Self {
            old: set.clone(),
            set,
            current: "r1".into(),
            update: "r1".into(),
            pods: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    fn step(&mut self) -> bool {
        let pods: Vec<_> = self.pods.values().cloned().collect();
        let state = State {
            set: &self.set,
            pods: &pods,
            current_set: &self.old,
            current_revision: &self.current,
            update_revision: &self.update,
            collisions: None,
            now: Timestamp::from_second(1_000_000).unwrap(),
        };
        let plan = plan(&state);
        let mut acted = false;
        for action in plan.actions {
            match action {
                Action::Create { pod, .. } => {
                    let name = pod.metadata.name.clone().unwrap();
                    self.log.push(format!("+{name}:{}", identity::revision(&pod)));
                    let mut pod = *pod;
                    pod.status = serde_json::from_value(json!({ "phase": "Pending" })).unwrap();
                    self.pods.insert(name, Arc::new(pod));
                    acted = true;
                }
                Action::Delete(pod) | Action::Restart(pod) => {
                    let name = pod.metadata.name.clone().unwrap();
                    self.log.push(format!("-{name}"));
                    self.pods.remove(&name);
                    acted = true;
                }
                Action::Relabel(_) | Action::Claims { .. } => {}
            }
        }
        if let Some(current) = &plan.status.current_revision {
            self.current.clone_from(current);
        }
        acted |= self.set.status.as_ref() != Some(&plan.status);
        self.set.status = Some(plan.status);
        acted
    }

    /// The kubelet's part.
    fn make_ready(&mut self) {
        for pod in self.pods.values_mut() {
            let mut ready = pod.as_ref().clone();
            ready.status = serde_json::from_value(json!({
                "phase": "Running",
                "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "1970-01-02T00:00:00Z" }],
            }))
            .unwrap();
            *pod = Arc::new(ready);
        }
    }

    fn settle(&mut self) {
        let mut idle = 0;
        for _ in 0..100 {
            idle = if self.step() { 0 } else { idle + 1 };
            self.make_ready();
            if idle == 2 {
                return;
            }
        }
        panic!("never settles: {:?}", self.log);
    }

    fn roll_out(&mut self) {
        self.update = "r2".into();
        self.old = self.set.clone();
        self.log.clear();
        self.settle();
    }
}

/// What was written is not written again, however the server returns it.
pub(crate) fn rests() {
    for replicas in [0, 2] {
        let mut world = World::new(set(replicas, json!({})));
        world.settle();
        let settled = world.set.status.clone().unwrap();
        for status in as_returned(&settled) {
            world.set.status = Some(status.clone());
            world.step();
            assert!(is_same(Some(&status), world.set.status.as_ref().unwrap()), "{status:?}");
        }
    }
}

#[test]
fn pods_come_in_order_and_wait_for_each_other() {
    let mut world = World::new(set(3, json!({})));
    world.step();
    world.step();
    assert_eq!(world.log, ["+db-0:r1"], "the first is not ready");
    world.settle();
    assert_eq!(world.log, ["+db-0:r1", "+db-1:r1", "+db-2:r1"]);
    let status = world.set.status.clone().unwrap();
    assert_eq!(
        (status.replicas, status.ready_replicas, status.current_replicas),
        (3, Some(3), Some(3))
    );
    let pod = &world.pods["db-1"];
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!(
        (spec.hostname.as_deref(), spec.subdomain.as_deref()),
        (Some("db-1"), Some("db"))
    );
    assert_eq!(
        pod.metadata.labels.as_ref().unwrap()["apps.kubernetes.io/pod-index"],
        "1"
    );
}

#[test]
fn parallel_pods_come_at_once() {
    let mut world = World::new(set(3, json!({ "podManagementPolicy": "Parallel" })));
    world.step();
    assert_eq!(world.log.len(), 3);
}

#[test]
fn scaling_down_takes_the_highest_first() {
    let mut world = World::new(set(3, json!({})));
    world.settle();
    world.log.clear();
    world.set.spec.as_mut().unwrap().replicas = Some(1);
    world.settle();
    assert_eq!(world.log, ["-db-2", "-db-1"]);
}

#[test]
fn ordinals_may_start_later() {
    let mut world = World::new(set(2, json!({ "ordinals": { "start": 5 } })));
    world.settle();
    assert_eq!(world.pods.keys().collect::<Vec<_>>(), ["db-5", "db-6"]);
}

#[test]
fn an_update_goes_down_to_the_partition() {
    let mut world = World::new(set(3, json!({})));
    world.settle();
    world.roll_out();
    assert_eq!(
        world.log,
        ["-db-2", "+db-2:r2", "-db-1", "+db-1:r2", "-db-0", "+db-0:r2"]
    );
    assert_eq!(world.current, "r2");

    let partition = json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } } });
    let mut world = World::new(set(3, partition));
    world.settle();
    world.roll_out();
    assert_eq!(world.log, ["-db-2", "+db-2:r2"]);
    assert_eq!(world.current, "r1");
    world.pods.remove("db-0");
    world.log.clear();
    world.settle();
    assert_eq!(world.log, ["+db-0:r1"], "below the partition the old template is kept");
}

#[test]
fn on_delete_replaces_only_what_was_deleted() {
    let mut world = World::new(set(2, json!({ "updateStrategy": { "type": "OnDelete" } })));
    world.settle();
    world.roll_out();
    assert_eq!(world.log, Vec::<String>::new());
    world.pods.remove("db-1");
    world.settle();
    assert_eq!(world.log, ["+db-1:r2"]);
}

#[test]
fn a_broken_update_can_be_replaced() {
    let mut world = World::new(set(2, json!({})));
    world.settle();
    world.update = "r2".into();
    world.step();
    world.step();
    assert_eq!(world.log.last().map(String::as_str), Some("+db-1:r2"));
    world.log.clear();
    world.step();
    world.step();
    assert_eq!(world.log, Vec::<String>::new(), "waits for the new pod");
}

#[test]
fn names_are_read_strictly() {
    let set = set(1, json!({}));
    let pod = |name: &str| {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        identity::ordinal(&set, &pod)
    };
    let table = [
        ("db-0", Some(0)),
        ("db-12", Some(12)),
        ("db-01", None),
        ("db-", None),
        ("db-x", None),
        ("dbx-1", None),
        ("db--1", None),
        ("db-+1", None),
    ];
    for (name, expected) in table {
        assert_eq!(pod(name), expected, "{name}");
    }
}

#[test]
fn claims_follow_the_retention_policy() {
    let templates = json!([{ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"] } }]);
    let owner = |deleted: &str, scaled: &str, condemned| {
        let policy = json!({ "whenDeleted": deleted, "whenScaled": scaled });
        let set = set(
            1,
            json!({ "volumeClaimTemplates": templates, "persistentVolumeClaimRetentionPolicy": policy }),
        );
        let claims = identity::claims(&set, 0);
        assert_eq!(claims[0].metadata.name.as_deref(), Some("data-db-0"));
        assert_eq!(claims[0].metadata.labels.as_ref().unwrap()["app"], "db");
        let mut pod = identity::new_pod(&set, 0, "r1");
        assert_eq!(pod.spec.as_ref().unwrap().volumes.as_ref().unwrap()[0].name, "data");
        pod.metadata.uid = Some("p0".into());
        identity::claim_owner(&set, Some(&pod), condemned).map(|owner| owner.uid)
    };
    let table = [
        ("Retain", "Retain", true, None),
        ("Delete", "Retain", true, Some("s1")),
        ("Delete", "Delete", true, Some("p0")),
        ("Retain", "Delete", true, Some("p0")),
        ("Retain", "Delete", false, None),
        ("Delete", "Delete", false, Some("s1")),
    ];
    for (deleted, scaled, condemned, expected) in table {
        assert_eq!(
            owner(deleted, scaled, condemned).as_deref(),
            expected,
            "{deleted} {scaled} {condemned}"
        );
    }
    let claim = PersistentVolumeClaim::default();
    let plain = set(1, json!({}));
    assert_eq!(
        identity::corrected_owners(&plain, None, &claim, false),
        None,
        "nothing to correct, no write"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// From any set of pods the set arrives at exactly the pods asked for.
    #[test]
    fn it_always_arrives(before in 0..6i32, after in 0..6i32, parallel in any::<bool>(), lost in prop::collection::vec(0..6i32, 0..3)) {
        let policy = if parallel { "Parallel" } else { "OrderedReady" };
        let mut world = World::new(set(before, json!({ "podManagementPolicy": policy })));
        world.settle();
        for ordinal in lost {
            world.pods.remove(&format!("db-{ordinal}"));
        }
        world.set.spec.as_mut().unwrap().replicas = Some(after);
        world.roll_out();
        let expected: Vec<String> = (0..after).map(|ordinal| format!("db-{ordinal}")).collect();
        prop_assert_eq!(world.pods.keys().cloned().collect::<Vec<_>>(), expected);
        prop_assert!(world.pods.values().all(|pod| identity::revision(pod) == "r2"));
    }
}
