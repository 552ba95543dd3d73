//! The containers of one pod: starting, ending, starting again, stopping.

use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    Pod, PodSpec, PodStatus, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::phase::{exit_code, is_running};
use super::{Program, RETRY, Surroundings, whole_seconds};
use crate::node::shell::End;

/// Something to tell users as an Event on the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `Normal`, or `Warning` when true.
    pub warning: bool,
    /// CamelCase, as the kubelet names it.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
    /// The field of the pod it is about, e.g. `spec.containers{web}`.
    pub field: Option<String>,
}

/// One look at all containers of a pod.
pub(super) struct Walk<'a> {
    pod: &'a Pod,
    around: &'a Surroundings<'a>,
    pub(super) notices: Vec<Notice>,
    pub(super) wake: Option<Duration>,
}

/// A sidecar is an init container that keeps running while the others go on.
pub(super) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// First statuses: everything waits for the sandbox, or for the init containers.
pub(super) fn initialise(spec: &PodSpec, status: &mut PodStatus) {
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    let reason = if inits.is_empty() {
        "ContainerCreating"
    } else {
        "PodInitializing"
    };
    let fresh = |containers: &[Container]| containers.iter().map(|container| waiting(container, reason)).collect();
    status.container_statuses = Some(fresh(&spec.containers));
    status.init_container_statuses = (!inits.is_empty()).then(|| fresh(inits));
}

fn waiting(container: &Container, reason: &str) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        started: Some(false),
        state: Some(state_waiting(reason, None)),
        ..ContainerStatus::default()
    }
}

fn state_waiting(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = ContainerStateWaiting {
        reason: Some(reason.to_string()),
        message,
    };
    ContainerState {
        waiting: Some(waiting),
        ..ContainerState::default()
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(pod: &'a Pod, around: &'a Surroundings<'a>) -> Self {
        Self {
            pod,
            around,
            notices: Vec::new(),
            wake: None,
        }
    }

    pub(super) fn wake(&mut self, after: Duration) {
        self.wake = Some(self.wake.map_or(after, |earlier| earlier.min(after)));
    }

    pub(super) fn warn(&mut self, reason: &'static str, message: String, field: Option<String>) {
        self.notices.push(Notice {
            warning: true,
            reason,
            message,
            field,
        });
    }

    fn tell(&mut self, reason: &'static str, message: String, field: &str) {
        self.notices.push(Notice {
            warning: false,
            reason,
            message,
            field: Some(field.to_string()),
        });
    }

    /// Init containers one after the other, then all the others together.
    pub(super) fn all(&mut self, spec: &PodSpec, status: &mut PodStatus) {
        let policy = spec.restart_policy.as_deref().unwrap_or("Always");
        let inits = spec.init_containers.as_deref().unwrap_or_default();
        let mut statuses = status.init_container_statuses.take().unwrap_or_default();
        let mut passed = true;
        for container in inits {
            if !passed {
                break;
            }
            let at = slot(&mut statuses, container, "PodInitializing");
            let restarts = if is_sidecar(container) {
                "Always"
            } else {
                restart_init(policy)
            };
            self.one(container, &mut statuses[at], restarts, "spec.initContainers");
            // The kubelet calls an init container ready once it has succeeded.
            statuses[at].ready |= exit_code(&statuses[at]) == Some(0);
            passed = match exit_code(&statuses[at]) {
                Some(code) => code == 0 && !is_sidecar(container),
                None => is_sidecar(container) && is_running(&statuses[at]),
            };
        }
        status.init_container_statuses = (!inits.is_empty()).then_some(statuses);
        if !passed {
            return;
        }
        let mut statuses = status.container_statuses.take().unwrap_or_default();
        for container in &spec.containers {
            let at = slot(&mut statuses, container, "ContainerCreating");
            self.one(container, &mut statuses[at], policy, "spec.containers");
        }
        status.container_statuses = Some(statuses);
    }

    /// Moves one container as far as it gets now.
    fn one(&mut self, container: &Container, status: &mut ContainerStatus, policy: &str, list: &str) {
        let field = format!("{list}{{{}}}", container.name);
        let program = self.program(&container.name);
        let state = status.state.clone().unwrap_or_default();
        if let Some(ContainerStateRunning {
            started_at: Some(Time(started)),
        }) = state.running
        {
            self.running(container, status, program, started);
        } else if let Some(terminated) = state.terminated {
            if !stays_down(policy, terminated.exit_code) {
                self.stopped(container, status, terminated, &field);
            }
        } else if let Some(remaining) = self.backing_off(status) {
            self.wake(remaining);
        } else {
            self.start(container, status, program, &field);
        }
        if exit_code(status).is_some_and(|code| !stays_down(policy, code)) {
            self.wake(Duration::ZERO);
        }
    }

    fn program(&self, name: &str) -> Program {
        let server = Program {
            duration: Duration::ZERO,
            end: End::Never,
        };
        self.around.programs.get(name).copied().unwrap_or(server)
    }

    fn start(&mut self, container: &Container, status: &mut ContainerStatus, program: Program, field: &str) {
        if let Some(why) = self.around.missing.environment.get(&container.name) {
            status.state = Some(state_waiting("CreateContainerConfigError", Some(why.clone())));
            self.warn("Failed", format!("Error: {why}"), Some(field.to_string()));
            return self.wake(RETRY);
        }
        let image = container.image.as_deref().unwrap_or_default();
        self.tell(
            "Pulled",
            format!("Container image \"{image}\" already present on machine"),
            field,
        );
        self.tell("Created", format!("Created container: {}", container.name), field);
        self.tell("Started", format!("Started container {}", container.name), field);
        if status.last_state.as_ref().is_some_and(|last| last.terminated.is_some()) {
            status.restart_count += 1;
        }
        let now = whole_seconds(self.around.now);
        status.image_id = format!("{image}@sha256:{}", hex_digest(&[image]));
        status.container_id = Some(self.container_id(container, status.restart_count));
        status.state = Some(ContainerState {
            running: Some(ContainerStateRunning {
                started_at: Some(Time(now)),
            }),
            ..ContainerState::default()
        });
        self.running(container, status, program, now);
    }

    /// Ends the program when its time is over; until then tells when to look again.
    fn running(&mut self, container: &Container, status: &mut ContainerStatus, program: Program, started: Timestamp) {
        // A change in place takes effect at once.
        let resources = container.resources.clone().unwrap_or_default();
        status.allocated_resources = resources.requests.clone();
        status.resources = Some(ResourceRequirements {
            claims: None,
            ..resources
        });
        status.started = Some(true);
        let age = elapsed(started, self.around.now);
        match program.end {
            End::Exit(code) if age >= program.duration => {
                let finished = started.checked_add(program.duration).unwrap_or(self.around.now);
                end(status, code, started, finished);
                return;
            }
            End::Exit(_) => self.wake(program.duration.saturating_sub(age)),
            End::Never => {}
        }
        // Probes of a simulated container succeed as soon as they are first asked.
        let delay = container
            .readiness_probe
            .as_ref()
            .and_then(|probe| probe.initial_delay_seconds)
            .unwrap_or(0);
        let delay = Duration::from_secs(delay.max(0) as u64);
        status.ready = age >= delay;
        if !status.ready {
            self.wake(delay.saturating_sub(age));
        }
    }

    /// After an exit that its policy does not accept: at once the first time, then after a growing pause.
    fn stopped(
        &mut self,
        container: &Container,
        status: &mut ContainerStatus,
        terminated: ContainerStateTerminated,
        field: &str,
    ) {
        status.last_state = Some(ContainerState {
            terminated: Some(terminated),
            ..ContainerState::default()
        });
        let pause = back_off(status.restart_count);
        if pause.is_zero() {
            return self.start(container, status, self.program(&container.name), field);
        }
        let meta = &self.pod.metadata;
        let message = format!(
            "back-off {}s restarting failed container={} pod={}_{}({})",
            pause.as_secs(),
            container.name,
            meta.name.as_deref().unwrap_or_default(),
            meta.namespace.as_deref().unwrap_or_default(),
            meta.uid.as_deref().unwrap_or_default(),
        );
        self.warn(
            "BackOff",
            format!("Back-off restarting failed container {}", container.name),
            Some(field.to_string()),
        );
        status.state = Some(state_waiting("CrashLoopBackOff", Some(message)));
        match self.backing_off(status) {
            Some(remaining) => self.wake(remaining),
            None => self.wake(Duration::ZERO),
        }
    }

    /// How long a container that waits between two runs still has to wait.
    fn backing_off(&self, status: &ContainerStatus) -> Option<Duration> {
        let finished = status.last_state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0;
        let remaining = back_off(status.restart_count).saturating_sub(elapsed(finished, self.around.now));
        (!remaining.is_zero()).then_some(remaining)
    }

    /// Ends everything that runs, as SIGTERM does: a server shuts down, an interpreted script is killed by the signal.
    pub(super) fn stop(&mut self, spec: &PodSpec, status: &mut PodStatus) {
        let PodStatus {
            init_container_statuses,
            container_statuses,
            ..
        } = status;
        let lists = [
            (
                spec.init_containers.as_deref().unwrap_or_default(),
                init_container_statuses,
            ),
            (spec.containers.as_slice(), container_statuses),
        ];
        for (containers, statuses) in lists {
            for status in statuses.iter_mut().flatten() {
                let running = status.state.as_ref().and_then(|state| state.running.as_ref());
                let Some(started) = running
                    .and_then(|running| running.started_at.as_ref())
                    .map(|time| time.0)
                else {
                    continue;
                };
                let is_script = self.program(&status.name).end != End::Never;
                end(status, if is_script { 143 } else { 0 }, started, self.around.now);
                if containers.iter().any(|container| container.name == status.name) {
                    let field = format!("spec.containers{{{}}}", status.name);
                    self.tell("Killing", format!("Stopping container {}", status.name), &field);
                }
            }
        }
    }

    fn container_id(&self, container: &Container, run: i32) -> String {
        let uid = self.pod.metadata.uid.as_deref().unwrap_or_default();
        format!("simulated://{}", hex_digest(&[uid, &container.name, &run.to_string()]))
    }
}

fn end(status: &mut ContainerStatus, code: i32, started: Timestamp, finished: Timestamp) {
    status.ready = false;
    status.started = Some(false);
    let terminated = ContainerStateTerminated {
        exit_code: code,
        reason: Some(if code == 0 { "Completed" } else { "Error" }.to_string()),
        started_at: Some(Time(started)),
        finished_at: Some(Time(whole_seconds(finished))),
        container_id: status.container_id.clone(),
        ..ContainerStateTerminated::default()
    };
    status.state = Some(ContainerState {
        terminated: Some(terminated),
        ..ContainerState::default()
    });
}

/// Whether the restart policy accepts that a container has ended.
fn stays_down(policy: &str, code: i32) -> bool {
    policy == "Never" || (policy == "OnFailure" && code == 0)
}

/// An init container is repeated until it succeeds, unless the pod forbids any repetition.
fn restart_init(policy: &str) -> &str {
    if policy == "Never" { "Never" } else { "OnFailure" }
}

/// The kubelet's pauses: none before the first restart, then 10 s doubling up to 5 minutes.
pub(super) fn back_off(restarts: i32) -> Duration {
    match restarts {
        ..=0 => Duration::ZERO,
        restarts => Duration::from_secs((10u64 << (restarts - 1).min(5)).min(300)),
    }
}

fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since).max(SignedDuration::ZERO)).unwrap_or_default()
}

fn slot(statuses: &mut Vec<ContainerStatus>, container: &Container, reason: &str) -> usize {
    statuses
        .iter()
        .position(|status| status.name == container.name)
        .unwrap_or_else(|| {
            statuses.push(waiting(container, reason));
            statuses.len() - 1
        })
}

fn hex_digest(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| {
        digest.update(part.as_bytes());
        digest.update([0]);
    });
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
