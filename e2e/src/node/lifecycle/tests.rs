//! The lifecycle as tables: a pod, a clock, what comes out.

use super::*;
use k8s_openapi::api::core::v1::ContainerStatus;
use serde_json::{Value, json};

const START: i64 = 1_800_000_000;

/// A pod on a node that is advanced as a node would do it.
struct World {
    pod: Pod,
    missing: Missing,
    programs: BTreeMap<String, Program>,
    now: i64,
    reasons: Vec<&'static str>,
}

impl World {
    fn new(spec: Value, programs: &[(&str, u64, End)]) -> Self {
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1}, "spec": spec,
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}});
        let programs = programs
            .iter()
            .map(|(name, seconds, end)| {
                (
                    name.to_string(),
                    Program {
                        duration: Duration::from_secs(*seconds),
                        end: *end,
                    },
                )
            })
            .collect();
        let pod = serde_json::from_value(pod).unwrap();
        Self {
            pod,
            missing: Missing::default(),
            programs,
            now: START,
            reasons: Vec::new(),
        }
    }

    fn look(&mut self) -> Advance {
        let around = Surroundings {
            host_ip: "127.0.0.1",
            pod_ip: "10.244.1.2",
            missing: &self.missing,
            programs: &self.programs,
            now: Timestamp::from_second(self.now).unwrap(),
        };
        let advance = advance(&self.pod, &around);
        self.reasons.extend(advance.notices.iter().map(|notice| notice.reason));
        if let Step::Write(status) = &advance.step {
            self.pod.status = Some(*status.clone());
        }
        advance
    }

    /// Looks until nothing is to be done at this moment; returns how long the pod can be left alone.
    fn settle(&mut self) -> Option<Duration> {
        for _ in 0..20 {
            let advance = self.look();
            if advance.step == Step::Remove || (advance.step == Step::Keep && advance.wake != Some(Duration::ZERO)) {
                return advance.wake;
            }
        }
        panic!("the pod does not settle: {:#?}", self.pod.status);
    }

    fn after(&mut self, seconds: i64) -> &mut Self {
        self.now += seconds;
        self
    }

    fn status(&self) -> &PodStatus {
        self.pod.status.as_ref().unwrap()
    }

    fn phase(&self) -> &str {
        self.status().phase.as_deref().unwrap()
    }

    fn container(&self, name: &str) -> &ContainerStatus {
        let status = self.status();
        let mut all = status
            .container_statuses
            .iter()
            .chain(&status.init_container_statuses)
            .flatten();
        all.find(|status| status.name == name).unwrap()
    }

    fn condition(&self, kind: &str) -> (&str, &str) {
        let condition = self
            .status()
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == kind)
            .unwrap();
        (
            condition.status.as_str(),
            condition.reason.as_deref().unwrap_or_default(),
        )
    }

    fn waiting(&self, name: &str) -> &str {
        let state = self.container(name).state.as_ref().unwrap();
        state
            .waiting
            .as_ref()
            .and_then(|waiting| waiting.reason.as_deref())
            .unwrap_or_default()
    }
}

#[test]
fn a_server_becomes_ready_in_two_writes() {
    let mut world = World::new(json!({"containers": [{"name": "web", "image": "nginx"}]}), &[]);
    let first = world.look();
    assert_eq!(
        (world.phase(), world.waiting("web"), first.wake),
        ("Pending", "ContainerCreating", Some(Duration::ZERO))
    );
    assert_eq!(world.condition("Ready"), ("False", "ContainersNotReady"));
    world.look();
    assert_eq!(
        (world.phase(), world.status().pod_ip.as_deref()),
        ("Running", Some("10.244.1.2"))
    );
    assert_eq!(world.condition("Ready"), ("True", ""));
    assert_eq!(world.condition("PodReadyToStartContainers"), ("True", ""));
    assert_eq!(world.reasons, ["Pulled", "Created", "Started"]);
    assert_eq!(world.settle(), None);
    assert_eq!(world.container("web").restart_count, 0);
}

#[test]
fn jobs_end_as_their_programs_do() {
    let table = [(0, "Succeeded", "PodCompleted"), (3, "Failed", "PodFailed")];
    for (code, phase, reason) in table {
        let spec = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]});
        let mut world = World::new(spec, &[("c", 5, End::Exit(code))]);
        assert_eq!(world.settle(), Some(Duration::from_secs(5)));
        assert_eq!(world.phase(), "Running");
        world.after(5).settle();
        assert_eq!(
            (world.phase(), phase::exit_code(world.container("c"))),
            (phase, Some(code))
        );
        assert_eq!(world.condition("Ready"), ("False", reason));
        assert_eq!(world.after(100).settle(), None);
    }
}

#[test]
fn init_containers_run_in_order_and_sidecars_stay() {
    let spec = json!({"initContainers": [{"name": "a", "image": "i"}, {"name": "side", "image": "i", "restartPolicy": "Always"},
        {"name": "b", "image": "i"}], "containers": [{"name": "web", "image": "i"}]});
    let mut world = World::new(spec, &[("a", 3, End::Exit(0)), ("b", 2, End::Exit(0))]);
    assert_eq!(world.settle(), Some(Duration::from_secs(3)));
    assert_eq!(
        (world.phase(), world.waiting("web"), world.waiting("b")),
        ("Pending", "PodInitializing", "PodInitializing")
    );
    assert_eq!(world.condition("Initialized"), ("False", "ContainersNotInitialized"));
    world.after(3).settle();
    assert!(phase::is_running(world.container("side")) && phase::is_running(world.container("b")));
    world.after(2).settle();
    assert_eq!((world.phase(), world.condition("Initialized").0), ("Running", "True"));
    assert!(phase::is_running(world.container("side")));
}

#[test]
fn a_failing_init_container_fails_the_pod_only_when_nothing_restarts() {
    for (policy, phase) in [("Never", "Failed"), ("Always", "Pending")] {
        let spec = json!({"restartPolicy": policy, "initContainers": [{"name": "a", "image": "i"}],
            "containers": [{"name": "web", "image": "i"}]});
        let mut world = World::new(spec, &[("a", 0, End::Exit(1))]);
        world.settle();
        assert_eq!(world.phase(), phase, "{policy}");
    }
}

#[test]
fn crashes_are_repeated_with_growing_pauses() {
    let spec = json!({"containers": [{"name": "c", "image": "i"}]});
    let mut world = World::new(spec, &[("c", 1, End::Exit(1))]);
    world.settle();
    // The first restart comes at once, the second after 10 s, the third after 20 s.
    for (pause, restarts) in [(0, 1), (10, 2), (20, 3), (40, 4)] {
        world.after(1).settle();
        if pause > 0 {
            assert_eq!((world.waiting("c"), world.phase()), ("CrashLoopBackOff", "Running"));
            assert_eq!(world.after(pause - 1).settle(), Some(Duration::from_secs(1)));
            world.after(1).settle();
        }
        assert!(phase::is_running(world.container("c")), "{pause}");
        assert_eq!(world.container("c").restart_count, restarts);
    }
    assert!(world.reasons.contains(&"BackOff"));
}

#[test]
fn programs_that_end_at_once_settle_too() {
    for (policy, code, phase) in [
        ("Always", 0, "Running"),
        ("OnFailure", 0, "Succeeded"),
        ("Never", 0, "Succeeded"),
        ("Never", 1, "Failed"),
    ] {
        let spec = json!({"restartPolicy": policy, "containers": [{"name": "c", "image": "i"}]});
        let mut world = World::new(spec, &[("c", 0, End::Exit(code))]);
        world.settle();
        assert_eq!(world.phase(), phase, "{policy} {code}");
    }
}

#[test]
fn what_is_missing_holds_a_pod_back_until_it_comes() {
    let mut world = World::new(
        json!({"containers": [{"name": "web", "image": "i"}, {"name": "two", "image": "i"}]}),
        &[],
    );
    world.missing.volumes = vec!["MountVolume.SetUp failed for volume \"v\" : configmap \"c\" not found".to_string()];
    assert_eq!(world.settle(), Some(RETRY));
    assert_eq!((world.phase(), world.waiting("web")), ("Pending", "ContainerCreating"));
    assert!(world.status().pod_ip.is_none() && world.reasons.contains(&"FailedMount"));
    world.missing = Missing {
        environment: [("web".to_string(), "secret \"s\" not found".to_string())].into(),
        ..Missing::default()
    };
    world.settle();
    assert_eq!(
        (world.phase(), world.waiting("web")),
        ("Pending", "CreateContainerConfigError")
    );
    assert!(phase::is_running(world.container("two")));
    world.missing = Missing::default();
    world.settle();
    assert_eq!((world.phase(), world.condition("Ready").0), ("Running", "True"));
}

#[test]
fn probes_and_gates_delay_readiness() {
    let spec = json!({"readinessGates": [{"conditionType": "example.com/open"}],
        "containers": [{"name": "web", "image": "i", "readinessProbe": {"initialDelaySeconds": 4}}]});
    let mut world = World::new(spec, &[]);
    assert_eq!(world.settle(), Some(Duration::from_secs(4)));
    assert_eq!(world.condition("ContainersReady"), ("False", "ContainersNotReady"));
    world.after(4).settle();
    assert_eq!(world.condition("ContainersReady").0, "True");
    assert_eq!(world.condition("Ready"), ("False", "ReadinessGatesNotReady"));
    let gate = serde_json::from_value(json!({"type": "example.com/open", "status": "True"})).unwrap();
    world
        .pod
        .status
        .as_mut()
        .unwrap()
        .conditions
        .as_mut()
        .unwrap()
        .push(gate);
    world.settle();
    assert_eq!(world.condition("Ready").0, "True");
}

#[test]
fn deletion_stops_containers_first() {
    let mut world = World::new(json!({"containers": [{"name": "web", "image": "i"}]}), &[]);
    world.settle();
    world.pod.metadata.deletion_timestamp = Some(Time(Timestamp::from_second(START + 30).unwrap()));
    let first = world.look();
    assert!(matches!(first.step, Step::Write(_)));
    assert_eq!(
        (world.phase(), phase::exit_code(world.container("web"))),
        ("Succeeded", Some(0))
    );
    assert_eq!(world.condition("Ready").0, "False");
    assert_eq!(world.look().step, Step::Remove);
    assert_eq!(world.reasons.last(), Some(&"Killing"));
}

#[test]
fn a_pod_deleted_before_it_ran_goes_at_once() {
    let mut world = World::new(json!({"containers": [{"name": "web", "image": "i"}]}), &[]);
    world.pod.metadata.deletion_timestamp = Some(Time(Timestamp::from_second(START).unwrap()));
    assert_eq!(world.look().step, Step::Remove);
}

#[test]
fn pauses_are_the_kubelets() {
    let pauses: Vec<u64> = (0..8).map(|restarts| container::back_off(restarts).as_secs()).collect();
    assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 300, 300]);
}
