//! Plays deployments through: the plan is applied to a small model of the API server until nothing changes.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::json;

use super::plan::{Action, State, plan};
use super::{annotations, sizes, status};
use crate::common::status::as_returned;

fn deployment(replicas: i32, surge: &str, unavailable: &str) -> Deployment {
    let value = |text: &str| text.parse::<i32>().map_or_else(|_| json!(text), |number| json!(number));
    serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": "d1", "generation": 1, "annotations": { "note": "x" } },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 1,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": { "maxSurge": value(surge), "maxUnavailable": value(unavailable) },
            },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "c", "image": "v1" }] },
            },
        },
    }))
    .unwrap()
}

/// Objects as an API server and the replica set controller would keep them.
struct World {
    deployment: Deployment,
    sets: Vec<Arc<ReplicaSet>>,
    clock: i64,
    /// Fewest available pods and most pods seen.
    low: i32,
    high: i32,
}

impl World {
    fn new(deployment: Deployment) -> Self {
        Self {
            deployment,
            sets: Vec::new(),
            clock: 1_000,
            low: i32::MAX,
            high: 0,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.clock).unwrap()
    }

    fn step(&mut self) -> Vec<Action> {
        self.clock += 1;
        let now = self.now();
        let old_pods_run = false;
        let state = State {
            deployment: &self.deployment,
            owned: &self.sets,
            old_pods_run,
            now,
        };
        let actions = plan(&state);
        for action in &actions {
            match action {
                Action::CreateReplicaSet(rs) => {
                    let mut rs = rs.as_ref().clone();
                    rs.metadata.creation_timestamp = Some(Time(now));
                    rs.metadata.uid = rs.metadata.name.clone();
                    rs.metadata.generation = Some(1);
                    self.sets.push(Arc::new(rs));
                }
                Action::UpdateReplicaSet { rs, .. } => {
                    let index = self
                        .sets
                        .iter()
                        .position(|set| set.metadata.name == rs.metadata.name)
                        .unwrap();
                    self.sets[index] = Arc::new(rs.as_ref().clone());
                }
                Action::DeleteReplicaSet(rs) => self.sets.retain(|set| set.metadata.name != rs.metadata.name),
                Action::UpdateStatus(deployment) => {
                    self.deployment.status = deployment.status.clone();
                    self.deployment.metadata.annotations = deployment.metadata.annotations.clone();
                }
            }
        }
        actions
    }

    /// Lets every replica set bring at most `ready` more pods up; pods that are too many go at once.
    fn run_pods(&mut self, ready: i32) {
        for rs in &mut self.sets {
            let mut changed = rs.as_ref().clone();
            let size = sizes::size(&changed);
            let available = (sizes::available(&changed) + ready).min(size);
            let status = changed.status.get_or_insert_default();
            status.replicas = size;
            status.ready_replicas = Some(available);
            status.available_replicas = Some(available);
            status.terminating_replicas = Some(0);
            status.observed_generation = changed.metadata.generation;
            *rs = Arc::new(changed);
        }
        self.low = self.low.min(self.sets.iter().map(|rs| sizes::available(rs)).sum());
        self.high = self.high.max(self.sets.iter().map(|rs| sizes::size(rs)).sum());
    }

    fn settle(&mut self) {
        for _ in 0..400 {
            let idle = self.step().is_empty();
            let before = self.sets.clone();
            self.run_pods(1);
            if idle && before == self.sets {
                return;
            }
        }
        panic!("never settles: {:#?}", self.deployment.status);
    }

    fn set_image(&mut self, image: &str) {
        let container = Container {
            name: "c".into(),
            image: Some(image.into()),
            ..Container::default()
        };
        let spec = self.deployment.spec.as_mut().unwrap();
        spec.template.spec = Some(PodSpec {
            containers: vec![container],
            ..PodSpec::default()
        });
        self.deployment.metadata.generation = self.deployment.metadata.generation.map(|generation| generation + 1);
    }

    fn sizes(&self) -> Vec<i32> {
        self.sets.iter().map(|rs| sizes::size(rs)).collect()
    }

    fn reason(&self) -> String {
        status::progressing(&self.deployment).unwrap().reason.clone().unwrap()
    }
}

/// What was written is not written again, however the server returns it and however late it is.
pub(crate) fn rests() {
    let mut world = World::new(deployment(3, "1", "0"));
    world.settle();
    world.set_image("v2");
    world.settle();
    let settled = world.deployment.status.clone().unwrap();
    for status in as_returned(&settled) {
        world.deployment.status = Some(status);
        world.clock += 10_000;
        assert_eq!(world.step(), [], "{:?}", world.deployment.status);
    }
    world.deployment.spec.as_mut().unwrap().paused = Some(true);
    world.settle();
    assert_eq!(world.step(), []);
}

#[test]
fn a_new_deployment_becomes_one_replica_set() {
    let mut world = World::new(deployment(3, "25%", "25%"));
    let first = world.step();
    let Some(Action::CreateReplicaSet(rs)) = first
        .iter()
        .find(|action| matches!(action, Action::CreateReplicaSet(_)))
    else {
        panic!("{first:?}");
    };
    let hash = rs.metadata.labels.as_ref().unwrap()["pod-template-hash"].clone();
    assert_eq!(rs.metadata.name, Some(format!("web-{hash}")));
    let spec = rs.spec.as_ref().unwrap();
    assert_eq!(spec.selector.match_labels.as_ref().unwrap()["pod-template-hash"], hash);
    let annotations = rs.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "1");
    assert_eq!(annotations["deployment.kubernetes.io/desired-replicas"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/max-replicas"], "4");
    assert_eq!(annotations["note"], "x");
    world.settle();
    let status = world.deployment.status.clone().unwrap();
    assert_eq!(
        (status.replicas, status.available_replicas, status.unavailable_replicas),
        (Some(3), Some(3), None)
    );
    assert_eq!(status.terminating_replicas, Some(0));
    assert_eq!(world.reason(), "NewReplicaSetAvailable");
}

#[test]
fn a_rollout_and_back_keeps_history() {
    let mut world = World::new(deployment(4, "1", "1"));
    world.settle();
    world.set_image("v2");
    world.settle();
    assert_eq!(world.sizes(), [0, 4]);
    world.set_image("v1");
    world.settle();
    assert_eq!(world.sizes(), [4, 0], "the old replica set is the new one again");
    let annotations = world.sets[0].metadata.annotations.clone().unwrap();
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(annotations::revision_text(&world.deployment.metadata), Some("3"));
    world.set_image("v3");
    world.settle();
    assert_eq!(
        world.sizes(),
        [0, 4],
        "one old replica set is kept, the oldest revision went"
    );
}

#[test]
fn recreate_empties_before_it_fills() {
    let mut recreate = deployment(3, "0", "0");
    let strategy = recreate.spec.as_mut().unwrap().strategy.as_mut().unwrap();
    strategy.type_ = Some("Recreate".into());
    strategy.rolling_update = None;
    let mut world = World::new(recreate);
    world.settle();
    world.set_image("v2");
    world.step();
    assert_eq!(world.sizes(), [0], "nothing new while old pods may run");
    world.settle();
    assert_eq!((world.sizes(), world.high), (vec![0, 3], 3));
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut world = World::new(deployment(2, "1", "0"));
    world.settle();
    let spec = world.deployment.spec.as_mut().unwrap();
    spec.paused = Some(true);
    spec.replicas = Some(5);
    world.set_image("v2");
    world.settle();
    assert_eq!(world.sizes(), [5]);
    assert_eq!(world.reason(), "DeploymentPaused");
}

#[test]
fn a_stuck_rollout_times_out_and_a_finished_one_does_not() {
    let mut world = World::new(deployment(1, "1", "0"));
    world.step();
    world.step();
    assert!(status::check_again_in(&world.deployment, world.now()).is_some());
    world.clock += 700;
    world.step();
    assert_eq!(world.reason(), "ProgressDeadlineExceeded");
    let mut world = World::new(deployment(1, "1", "0"));
    world.settle();
    world.clock += 700;
    world.step();
    assert_eq!(world.reason(), "NewReplicaSetAvailable");
    assert_eq!(status::check_again_in(&world.deployment, world.now()), None);
}

/// The example of upstream's documentation: 10 pods with surge 3 grow to 15 in the middle of a rollout.
#[test]
fn scaling_in_the_middle_of_a_rollout_is_proportional() {
    let mut world = World::new(deployment(10, "3", "2"));
    world.settle();
    world.set_image("v2");
    world.step();
    world.step();
    world.step();
    assert_eq!(world.sizes(), [8, 5]);
    world.deployment.spec.as_mut().unwrap().replicas = Some(15);
    world.step();
    assert_eq!(world.sizes(), [11, 7]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every rollout ends, and on its way there are never more pods than the surge allows nor fewer than availability asks.
    #[test]
    fn rollouts_respect_their_limits(replicas in 1..20i32, surge in 0..6i32, unavailable in 0..6i32, ready in 1..4i32) {
        let mut world = World::new(deployment(replicas, &surge.to_string(), &unavailable.to_string()));
        world.settle();
        world.low = i32::MAX;
        world.high = 0;
        world.set_image("v2");
        for _ in 0..200 {
            world.step();
            world.run_pods(ready);
        }
        prop_assert_eq!(world.sizes(), vec![0, replicas]);
        let (surge, unavailable) = if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) };
        prop_assert!(world.high <= replicas + surge, "{} pods", world.high);
        prop_assert!(world.low >= replicas - unavailable.min(replicas), "{} available", world.low);
        prop_assert!(status::is_complete(&world.deployment, world.deployment.status.as_ref()));
    }
}
