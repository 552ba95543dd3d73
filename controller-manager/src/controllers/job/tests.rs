//! Plays jobs through: pods are created, end as the test says, lose their finalizers when released.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::backoff::Backoff;
use super::indexes;
use super::per_index::FAILURES_KEY;
use super::plan::{NewPod, State, has_finalizer, is_finished, plan};
use super::{new_pod, policy};
use crate::common::status::{as_returned, is_same};

fn job(spec: Value) -> Job {
    let mut spec = spec;
    if spec.get("template").is_none() {
        spec["template"] = json!({ "spec": { "restartPolicy": "Never", "containers": [{ "name": "main" }] } });
    }
    serde_json::from_value(json!({ "metadata": { "name": "work", "namespace": "ns", "uid": "j1" }, "spec": spec }))
        .unwrap()
}

struct World {
    job: Job,
    pods: BTreeMap<String, Arc<Pod>>,
    backoff: Backoff,
    clock: i64,
    next: usize,
    most: usize,
}

impl World {
    fn new(spec: Value) -> Self {
        Self {
            job: job(spec),
            pods: BTreeMap::new(),
            backoff: Backoff::default(),
            clock: 1_000_000,
            next: 0,
            most: 0,
        }
    }

    fn step(&mut self) -> bool {
        self.clock += 1;
        if is_finished(&self.job) {
            return false;
        }
        let pods: Vec<_> = self.pods.values().cloned().collect();
        let now = Timestamp::from_second(self.clock).unwrap();
        let plan = plan(&State {
            job: &self.job,
            pods: &pods,
            up_to_date: true,
            backoff: self.backoff,
            now,
        });
        let acted = !is_same(self.job.status.as_ref(), &plan.status)
            || !plan.create.is_empty()
            || !plan.delete.is_empty()
            || !plan.release.is_empty();
        self.backoff = plan.backoff;
        self.job.status = Some(plan.status);
        for new in plan.create {
            self.next += 1;
            let mut pod = new_pod(&self.job, &new);
            let name = format!("p{:03}", self.next);
            pod.metadata.name = Some(name.clone());
            pod.metadata.uid = Some(name.clone());
            pod.metadata.creation_timestamp = Some(Time(now));
            self.pods.insert(name, Arc::new(pod));
        }
        for pod in plan.delete {
            self.edit(pod.metadata.name.as_deref().unwrap(), |pod| {
                pod.metadata.deletion_timestamp = Some(Time(now))
            });
        }
        for pod in plan.release {
            self.edit(pod.metadata.name.as_deref().unwrap(), |pod| {
                pod.metadata.finalizers = None
            });
        }
        // What is being deleted and held by nobody is gone; what runs is killed.
        self.pods
            .retain(|_, pod| pod.metadata.deletion_timestamp.is_none() || has_finalizer(pod));
        self.most = self.most.max(
            self.pods
                .values()
                .filter(|pod| crate::common::pods::is_active(pod))
                .count(),
        );
        acted
    }

    fn edit(&mut self, name: &str, change: impl FnOnce(&mut Pod)) {
        if let Some(slot) = self.pods.get_mut(name) {
            let mut pod = slot.as_ref().clone();
            change(&mut pod);
            *slot = Arc::new(pod);
        }
    }

    fn active(&self) -> Vec<String> {
        self.pods
            .iter()
            .filter(|(_, pod)| crate::common::pods::is_active(pod))
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn end(&mut self, name: &str, code: i32) {
        let status = json!({
            "phase": if code == 0 { "Succeeded" } else { "Failed" },
            "containerStatuses": [{ "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "terminated": { "exitCode": code } } }],
        });
        self.edit(name, |pod| pod.status = serde_json::from_value(status).unwrap());
    }

    fn settle(&mut self) {
        for _ in 0..50 {
            if !self.step() {
                return;
            }
        }
        panic!("never settles: {:#?}", self.job.status);
    }

    fn condition(&self, kind: &str) -> Option<String> {
        let conditions = self.job.status.as_ref()?.conditions.as_ref()?;
        conditions
            .iter()
            .find(|one| one.type_ == kind && one.status == "True")
            .map(|one| one.reason.clone().unwrap())
    }

    fn counts(&self) -> (i32, i32, i32) {
        let status = self.job.status.clone().unwrap();
        (
            status.active.unwrap_or(0),
            status.succeeded.unwrap_or(0),
            status.failed.unwrap_or(0),
        )
    }
}

/// What was written is not written again, however the server returns it and however late it is.
pub(crate) fn rests() {
    let table = [
        json!({ "completions": 3, "parallelism": 2 }),
        json!({ "completions": 3, "parallelism": 2, "suspend": true }),
        json!({ "completions": 3, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1 }),
    ];
    for spec in table {
        let mut world = World::new(spec);
        world.settle();
        let settled = world.job.status.clone().unwrap();
        for status in as_returned(&settled) {
            world.job.status = Some(status);
            world.clock += 10_000;
            assert!(!world.step(), "{:?}", world.job);
        }
    }
}

#[test]
fn a_job_runs_to_completion() {
    let mut world = World::new(json!({ "completions": 3, "parallelism": 2 }));
    world.settle();
    assert_eq!((world.active().len(), world.counts()), (2, (2, 0, 0)));
    assert!(world.pods.values().all(|pod| has_finalizer(pod)));
    for _ in 0..3 {
        let name = world.active()[0].clone();
        world.end(&name, 0);
        world.settle();
    }
    assert_eq!((world.counts(), world.most), ((0, 3, 0), 2));
    assert_eq!(
        world.condition("SuccessCriteriaMet").as_deref(),
        Some("CompletionsReached")
    );
    assert_eq!(world.condition("Complete").as_deref(), Some("CompletionsReached"));
    let status = world.job.status.clone().unwrap();
    assert!(status.completion_time.is_some() && status.start_time.is_some());
    assert!(world.pods.values().all(|pod| !has_finalizer(pod)));
}

#[test]
fn failures_are_retried_until_the_limit() {
    let mut world = World::new(json!({ "completions": 1, "parallelism": 1, "backoffLimit": 1 }));
    world.settle();
    world.end("p001", 1);
    world.settle();
    assert_eq!(world.active(), Vec::<String>::new(), "backoff first");
    world.clock += 15;
    world.settle();
    assert_eq!(world.active(), ["p002"]);
    world.end("p002", 1);
    world.settle();
    assert_eq!(world.counts(), (0, 0, 2));
    assert_eq!(
        world.condition("FailureTarget").as_deref(),
        Some("BackoffLimitExceeded")
    );
    assert_eq!(world.condition("Failed").as_deref(), Some("BackoffLimitExceeded"));
    assert_eq!(world.job.status.clone().unwrap().completion_time, None);
}

#[test]
fn the_deadline_ends_what_runs() {
    let mut world = World::new(json!({ "completions": 2, "parallelism": 2, "activeDeadlineSeconds": 100 }));
    world.settle();
    world.clock += 200;
    world.settle();
    assert_eq!(world.condition("Failed").as_deref(), Some("DeadlineExceeded"));
    assert!(world.active().is_empty());
}

#[test]
fn a_suspended_job_has_no_pods_and_resumes() {
    let mut world = World::new(json!({ "completions": 2, "parallelism": 2, "suspend": true }));
    world.settle();
    assert_eq!(
        (world.active().len(), world.job.status.clone().unwrap().start_time),
        (0, None)
    );
    assert_eq!(world.condition("Suspended").as_deref(), Some("JobSuspended"));
    world.job.spec.as_mut().unwrap().suspend = Some(false);
    world.settle();
    assert_eq!(world.active().len(), 2);
    assert_eq!(world.condition("Suspended"), None);
    world.job.spec.as_mut().unwrap().suspend = Some(true);
    world.settle();
    assert!(world.active().is_empty());
}

#[test]
fn indexes_are_completed_one_by_one() {
    let mut world = World::new(json!({ "completions": 3, "parallelism": 3, "completionMode": "Indexed" }));
    world.settle();
    let pod = &world.pods["p002"];
    assert_eq!(indexes::of(pod), Some(1));
    assert_eq!(pod.spec.as_ref().unwrap().hostname.as_deref(), Some("work-1"));
    assert_eq!(pod.metadata.generate_name.as_deref(), Some("work-1-"));
    assert_eq!(
        pod.spec.as_ref().unwrap().containers[0].env.as_ref().unwrap()[0].name,
        "JOB_COMPLETION_INDEX"
    );
    world.end("p001", 0);
    world.end("p003", 0);
    world.end("p002", 1);
    world.settle();
    assert_eq!(
        world.job.status.clone().unwrap().completed_indexes.as_deref(),
        Some("0,2")
    );
    world.clock += 30;
    world.settle();
    assert_eq!(world.active().len(), 1);
    let last = world.active()[0].clone();
    assert_eq!(indexes::of(&world.pods[&last]), Some(1));
    world.end(&last, 0);
    world.settle();
    assert_eq!(
        world.job.status.clone().unwrap().completed_indexes.as_deref(),
        Some("0-2")
    );
    assert_eq!(
        (world.counts(), world.condition("Complete").as_deref()),
        ((0, 3, 1), Some("CompletionsReached"))
    );
}

#[test]
fn policies_decide_about_failures_and_success() {
    let rule = |action: &str, values: Value| json!({ "action": action, "onExitCodes": { "operator": "In", "values": values } });
    let policy = json!({ "rules": [rule("FailJob", json!([42])), rule("Ignore", json!([7]))] });
    let mut world =
        World::new(json!({ "completions": 1, "parallelism": 1, "backoffLimit": 0, "podFailurePolicy": policy }));
    world.settle();
    world.end("p001", 7);
    world.settle();
    assert_eq!(
        (world.active(), world.counts().2),
        (vec!["p002".to_owned()], 0),
        "ignored and replaced"
    );
    world.end("p002", 42);
    world.settle();
    assert_eq!(world.condition("Failed").as_deref(), Some("PodFailurePolicy"));
    let conditions = world.job.status.clone().unwrap().conditions.unwrap();
    let message = conditions
        .iter()
        .find(|one| one.type_ == "Failed")
        .unwrap()
        .message
        .clone()
        .unwrap();
    assert_eq!(
        message,
        "Container main for pod ns/p002 failed with exit code 42 matching FailJob rule at index 0"
    );

    let success = json!({ "rules": [{ "succeededIndexes": "1" }] });
    let mut world = World::new(
        json!({ "completions": 3, "parallelism": 3, "completionMode": "Indexed", "successPolicy": success }),
    );
    world.settle();
    world.end("p002", 0);
    world.settle();
    assert_eq!(world.condition("Complete").as_deref(), Some("SuccessPolicy"));
    assert!(world.active().is_empty(), "the others are stopped");
}

/// Ends the pods of every index with its exit codes, one after the other, and with success when they are used up. Returns how
/// many pods each index had.
fn play(world: &mut World, codes: &[&[i32]]) -> Vec<usize> {
    let mut used = vec![0; codes.len()];
    for _ in 0..20 {
        world.settle();
        for name in world.active() {
            let index = usize::try_from(indexes::of(&world.pods[&name]).unwrap()).unwrap();
            let code = codes[index].get(used[index]).copied().unwrap_or(0);
            used[index] += 1;
            world.end(&name, code);
        }
        world.settle();
        world.clock += 1000;
    }
    used
}

#[test]
fn every_index_has_a_limit_for_itself() {
    struct Case {
        what: &'static str,
        spec: Value,
        codes: [&'static [i32]; 3],
        pods: [usize; 3],
        ended: (&'static str, &'static str),
        completed: Option<&'static str>,
        failed: &'static str,
        /// Failed pods in all.
        failures: i32,
    }
    let policy = |action: &str| {
        let rule = json!({ "action": action, "onExitCodes": { "operator": "In", "values": [42] } });
        json!({ "backoffLimitPerIndex": 1, "podFailurePolicy": { "rules": [rule] } })
    };
    let table = [
        Case {
            what: "failures within the limit",
            spec: json!({ "backoffLimitPerIndex": 1 }),
            codes: [&[1], &[], &[1]],
            pods: [2, 1, 2],
            ended: ("Complete", "CompletionsReached"),
            completed: Some("0-2"),
            failed: "",
            failures: 2,
        },
        Case {
            what: "one index beyond its limit, the others go on",
            spec: json!({ "backoffLimitPerIndex": 1 }),
            codes: [&[1, 1, 1], &[1], &[]],
            pods: [2, 2, 1],
            ended: ("Failed", "FailedIndexes"),
            completed: Some("1,2"),
            failed: "0",
            failures: 3,
        },
        Case {
            what: "no second try at all",
            spec: json!({ "backoffLimitPerIndex": 0 }),
            codes: [&[1], &[1], &[1]],
            pods: [1, 1, 1],
            ended: ("Failed", "FailedIndexes"),
            completed: None,
            failed: "0-2",
            failures: 3,
        },
        Case {
            what: "too many failed indexes",
            spec: json!({ "backoffLimitPerIndex": 0, "maxFailedIndexes": 1, "parallelism": 1 }),
            codes: [&[1], &[1], &[]],
            pods: [1, 1, 0],
            ended: ("Failed", "MaxFailedIndexesExceeded"),
            completed: None,
            failed: "0,1",
            failures: 2,
        },
        Case {
            what: "the limit of the whole job holds too",
            spec: json!({ "backoffLimitPerIndex": 5, "backoffLimit": 1, "parallelism": 1 }),
            codes: [&[1, 1, 1], &[], &[]],
            pods: [2, 0, 0],
            ended: ("Failed", "BackoffLimitExceeded"),
            completed: None,
            failed: "",
            failures: 2,
        },
        Case {
            what: "a rule gives an index up at once",
            spec: policy("FailIndex"),
            codes: [&[42], &[1], &[]],
            pods: [1, 2, 1],
            ended: ("Failed", "FailedIndexes"),
            completed: Some("1,2"),
            failed: "0",
            failures: 2,
        },
        Case {
            what: "ignored failures do not count",
            spec: policy("Ignore"),
            codes: [&[42, 1, 42], &[], &[]],
            pods: [4, 1, 1],
            ended: ("Complete", "CompletionsReached"),
            completed: Some("0-2"),
            failed: "",
            failures: 1,
        },
        Case {
            what: "a rule fails the whole job",
            spec: policy("FailJob"),
            codes: [&[42], &[], &[]],
            pods: [1, 1, 1],
            ended: ("Failed", "PodFailurePolicy"),
            completed: Some("1,2"),
            failed: "",
            failures: 1,
        },
    ];
    for case in table {
        let mut spec = json!({ "completions": 3, "parallelism": 3, "completionMode": "Indexed" });
        for (key, value) in case.spec.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let mut world = World::new(spec);
        let pods = play(&mut world, &case.codes);
        let what = case.what;
        assert_eq!(pods, case.pods, "{what}: pods");
        assert_eq!(world.condition(case.ended.0).as_deref(), Some(case.ended.1), "{what}");
        let status = world.job.status.clone().unwrap();
        assert_eq!(status.completed_indexes.as_deref(), case.completed, "{what}: completed");
        assert_eq!(status.failed_indexes.as_deref(), Some(case.failed), "{what}: failed");
        assert_eq!(status.failed.unwrap_or(0), case.failures, "{what}: failures");
        assert!(
            !world.pods.values().any(|pod| has_finalizer(pod)),
            "{what}: every pod was let go"
        );
    }
}

#[test]
fn a_failed_pod_is_held_until_its_index_has_a_new_one() {
    let mut world = World::new(
        json!({ "completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 3 }),
    );
    world.settle();
    world.end("p001", 1);
    world.settle();
    assert_eq!((world.active(), world.counts()), (vec!["p002".to_owned()], (1, 0, 0)));
    assert!(has_finalizer(&world.pods["p001"]));
    world.clock += 15;
    world.settle();
    assert_eq!((world.active().len(), world.counts()), (2, (2, 0, 1)));
    assert!(!has_finalizer(&world.pods["p001"]));
    let failures = |name: &str| world.pods[name].metadata.annotations.clone().unwrap()[FAILURES_KEY].clone();
    assert_eq!((failures("p001"), failures("p003")), ("0".to_owned(), "1".to_owned()));
    world.end("p003", 1);
    world.clock += 12;
    world.settle();
    assert_eq!(world.active(), ["p002"], "the second failure waits longer");
    world.clock += 15;
    world.settle();
    assert_eq!(world.active(), ["p002", "p004"]);
}

#[test]
fn success_rules_may_name_indexes_and_numbers() {
    let table = [
        (json!({ "succeededCount": 2 }), "2,4", true),
        (json!({ "succeededCount": 3 }), "2,4", false),
        (json!({ "succeededIndexes": "2-3" }), "2,4", false),
        (json!({ "succeededIndexes": "2-3" }), "2,3", true),
        (json!({ "succeededIndexes": "0-3", "succeededCount": 1 }), "2,4", true),
        (json!({ "succeededIndexes": "0-1", "succeededCount": 1 }), "2,4", false),
        (json!({ "succeededIndexes": "7-9" }), "2,4", false),
        (json!({ "succeededIndexes": "x", "succeededCount": 1 }), "2,4", false),
    ];
    for (rule, succeeded, met) in table {
        let job = job(json!({ "completions": 5, "successPolicy": { "rules": [rule] } }));
        let succeeded = indexes::parse(succeeded, 5);
        assert_eq!(
            policy::success(&job, &succeeded, 5).is_some(),
            met,
            "{rule} {succeeded:?}"
        );
    }
}

#[test]
fn generated_names_keep_their_index() {
    let mut long = job(json!({ "completions": 20, "completionMode": "Indexed" }));
    long.metadata.name = Some("j".repeat(60));
    let new = NewPod {
        index: Some(17),
        replaces: None,
    };
    let prefix = new_pod(&long, &new).metadata.generate_name.unwrap();
    assert_eq!((prefix.len(), prefix.ends_with("j-17-")), (58, true));
}

#[test]
fn a_work_queue_ends_when_its_last_worker_does() {
    let mut world = World::new(json!({ "parallelism": 3 }));
    world.settle();
    assert_eq!(world.active().len(), 3);
    world.end("p001", 0);
    world.settle();
    assert_eq!(
        (world.active().len(), world.condition("Complete")),
        (2, None),
        "no new workers"
    );
    world.end("p002", 0);
    world.end("p003", 0);
    world.settle();
    assert_eq!(world.counts(), (0, 3, 0));
    assert!(world.condition("Complete").is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However pods end, every end is counted once, there are never more pods than asked for, and the job finishes.
    #[test]
    fn every_pod_is_counted_once(
        completions in 1..8i32,
        parallelism in 1..8i32,
        indexed in any::<bool>(),
        codes in prop::collection::vec(0..3i32, 0..40),
    ) {
        let mode = if indexed { "Indexed" } else { "NonIndexed" };
        let mut world = World::new(json!({ "completions": completions, "parallelism": parallelism, "completionMode": mode, "backoffLimit": 1000 }));
        let mut codes = codes.into_iter();
        for _ in 0..400 {
            world.settle();
            world.clock += 1000;
            if is_finished(&world.job) {
                break;
            }
            if let Some(name) = world.active().first().cloned() {
                let code = codes.next().unwrap_or(0);
                world.end(&name, code);
            }
        }
        prop_assert!(world.condition("Complete").is_some());
        prop_assert!(world.most <= usize::try_from(parallelism.min(completions)).unwrap());
        let (_, succeeded, failed) = world.counts();
        let really_failed = world.pods.values().filter(|pod| crate::common::pods::phase(pod) == "Failed").count();
        prop_assert_eq!((succeeded, usize::try_from(failed).unwrap()), (completions, really_failed));
    }
}
