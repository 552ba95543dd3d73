//! The horizontal pod autoscaler: scales whatever has the subresource `scale` by what is measured of its pods, or of
//! anything else (`pkg/controller/podautoscaler`).

mod calculator;
mod history;
mod measure;
mod plan;
mod requests;
mod sources;
mod target;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use chassis::lock;
use client::events::Severity;
use client::{Change, Informer, ObjectKey, Recorder, WorkQueue};
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus, MetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use machinery::quantity::Quantity;
use machinery::selector::label::Selector;
use tracing::{debug, info};

use crate::common::status;
use crate::context::{Context, Task};
use crate::error::Result;
use crate::options::Autoscaling;
use crate::workers::{Reconcile, run};
use calculator::{Pods, Tolerances};
use history::History;
use measure::{Measuring, Scaled};
use plan::{Conditions, Start};
use sources::Sources;
use target::{Target, Targets};

const NAME: &str = "horizontal-pod-autoscaler-controller";

struct Controller {
    client: Client,
    recorder: Recorder,
    settings: Autoscaling,
    autoscalers: Informer<HorizontalPodAutoscaler>,
    pods: Informer<Pod>,
    sources: Sources,
    targets: Targets,
    queue: WorkQueue<ObjectKey>,
    memory: Mutex<HashMap<ObjectKey, Memory>>,
}

/// What is remembered of one autoscaler.
#[derive(Default)]
struct Memory {
    history: History,
    /// When it is to be looked at; what wakes its worker earlier belongs to an autoscaler of the same name that is gone.
    due: Option<Instant>,
    /// Which pods it looked at the last time.
    selector: Option<Selector>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        recorder: context.recorder.for_component("horizontal-pod-autoscaler"),
        settings: context.settings.autoscaling.clone(),
        autoscalers: context.informers.autoscalers(),
        pods: context.informers.pods(),
        sources: Sources(context.client.clone()),
        targets: Targets::new(context.client.clone()),
        queue: WorkQueue::new(),
        memory: Mutex::default(),
    });
    let this = controller.clone();
    controller.autoscalers.on_change(move |change| this.changed(change));
    let workers = context.settings.workers.concurrent_horizontal_pod_autoscaler_syncs;
    run(NAME, context, workers, controller)
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(autoscaler) = self.autoscalers.get(&key) else {
            lock(&self.memory).remove(&key);
            return Ok(());
        };
        let due = lock(&self.memory).get(&key).and_then(|memory| memory.due);
        if due.is_some_and(|due| Instant::now() < due) {
            return Ok(());
        }
        // What fails is tried again with the next period, as everything is.
        if let Err(why) = self.reconcile(&key, &autoscaler).await {
            debug!(autoscaler = %key, why, "cannot scale");
        }
        self.schedule(key);
        Ok(())
    }
}

/// The status of an autoscaler while it is worked on.
struct Outcome {
    status: HorizontalPodAutoscalerStatus,
    now: Timestamp,
}

impl Outcome {
    fn of(autoscaler: &HorizontalPodAutoscaler, now: Timestamp) -> Self {
        let mut status = autoscaler.status.clone().unwrap_or_default();
        let conditions = status.conditions.get_or_insert_default();
        // Nothing is scaled to none here.
        conditions.retain(|condition| condition.type_ != "ScaledToZero");
        Outcome { status, now }
    }

    fn conditions(&mut self) -> &mut Conditions {
        self.status.conditions.get_or_insert_default()
    }

    fn say(&mut self, kind: &str, holds: bool, reason: &str, message: impl Into<String>) {
        let now = self.now;
        plan::set(self.conditions(), kind, holds, reason, message.into(), now);
    }

    /// What there is and shall be (`setStatus`).
    fn replicas(&mut self, current: i32, desired: i32, metrics: Vec<MetricStatus>) {
        self.status.current_replicas = Some(current);
        self.status.desired_replicas = desired;
        self.status.current_metrics = Some(metrics);
        self.status.observed_generation = None;
    }
}

/// A change of the number of replicas.
struct Step<'a> {
    key: &'a ObjectKey,
    autoscaler: &'a HorizontalPodAutoscaler,
    current: i32,
    desired: i32,
    reason: String,
    /// What was measured.
    statuses: &'a [MetricStatus],
}

/// What measurements ask for together.
struct Wish {
    replicas: i32,
    metric: String,
    statuses: Vec<MetricStatus>,
    /// What did not work beside what did.
    error: Option<String>,
}

impl Controller {
    /// Every autoscaler is looked at once in a period, counted from its creation.
    fn changed(&self, change: &Change<'_, HorizontalPodAutoscaler>) {
        let key = ObjectKey::of(&change.object().metadata);
        match change {
            Change::Added(_) => self.schedule(key),
            Change::Updated { .. } => {}
            Change::Deleted(_) => {
                lock(&self.memory).remove(&key);
            }
        }
    }

    /// Has an autoscaler looked at after a period, and not before.
    fn schedule(&self, key: ObjectKey) {
        let period = self.settings.horizontal_pod_autoscaler_sync_period;
        lock(&self.memory).entry(key.clone()).or_default().due = Some(Instant::now() + period);
        self.queue.add_after(key, period);
    }

    fn warn(&self, autoscaler: &HorizontalPodAutoscaler, reason: &str, why: &str) {
        self.recorder.event(autoscaler, Severity::Warning, reason, why);
    }

    async fn reconcile(
        &self,
        key: &ObjectKey,
        autoscaler: &HorizontalPodAutoscaler,
    ) -> std::result::Result<(), String> {
        let now = Timestamp::now();
        let spec = &autoscaler.spec;
        let reference = &spec.scale_target_ref;
        let named = format!("{}/{}/{}", reference.kind, key.namespace, reference.name);
        let mut outcome = Outcome::of(autoscaler, now);

        let version = reference.api_version.as_deref().unwrap_or_default();
        let found = self
            .targets
            .find(version, &reference.kind, &key.namespace, &reference.name)
            .await;
        let mut target = match found {
            Ok(target) => target,
            Err(why) => {
                self.warn(autoscaler, "FailedGetScale", &why);
                let text = format!("the HPA controller was unable to get the target's current scale: {why}");
                outcome.say("AbleToScale", false, "FailedGetScale", text);
                self.write(autoscaler, &outcome).await?;
                return Err(format!("failed to query scale subresource for {named}: {why}"));
            }
        };
        let text = "the HPA controller was able to get the target's current scale";
        outcome.say("AbleToScale", true, "SucceededGetScale", text);
        let current = target.wanted();
        lock(&self.memory)
            .entry(key.clone())
            .or_default()
            .history
            .begin(current, now);

        let mut error = None;
        let (desired, reason, statuses) = match plan::start(spec, current) {
            Start::Disabled => {
                let text = "scaling is disabled since the replica count of the target is zero";
                outcome.say("ScalingActive", false, "ScalingDisabled", text);
                (current, String::new(), Vec::new())
            }
            Start::Bound(desired, reason) => (desired, reason.to_owned(), Vec::new()),
            Start::Measure => {
                let wish = match self.wish(key, autoscaler, &target, &mut outcome).await {
                    Ok(wish) => wish,
                    Err((statuses, why)) => {
                        let desired = outcome.status.desired_replicas;
                        outcome.replicas(current, desired, statuses);
                        self.write(autoscaler, &outcome).await?;
                        self.warn(autoscaler, "FailedComputeMetricsReplicas", &why);
                        return Err(format!("cannot compute replicas from the metrics for {named}: {why}"));
                    }
                };
                error = wish.error;
                let mut memory = lock(&self.memory);
                let history = &mut memory.entry(key.clone()).or_default().history;
                let window = self.settings.horizontal_pod_autoscaler_downscale_stabilization;
                let said = (outcome.conditions(), now);
                let (desired, reason) =
                    plan::decide(spec, current, (wish.replicas, &wish.metric), history, window, said);
                (desired, reason, wish.statuses)
            }
        };
        if desired != current {
            let step = Step {
                key,
                autoscaler,
                current,
                desired,
                reason,
                statuses: &statuses,
            };
            self.scale(&step, &mut target, &mut outcome).await?;
        }
        outcome.replicas(current, desired, statuses);
        self.write(autoscaler, &outcome).await?;
        error.map_or(Ok(()), Err)
    }

    /// Scales, and says so.
    async fn scale(
        &self,
        step: &Step<'_>,
        target: &mut Target,
        outcome: &mut Outcome,
    ) -> std::result::Result<(), String> {
        let Step {
            key,
            autoscaler,
            current,
            desired,
            ref reason,
            statuses,
        } = *step;
        if let Err(why) = target.scale_to(desired).await {
            let text = format!("New size: {desired}; reason: {reason}; error: {why}");
            self.warn(autoscaler, "FailedRescale", &text);
            let text = format!("the HPA controller was unable to update the target scale: {why}");
            outcome.say("AbleToScale", false, "FailedUpdateScale", text);
            let before = outcome.status.desired_replicas;
            outcome.replicas(current, before, statuses.to_vec());
            self.write(autoscaler, outcome).await?;
            return Err(format!("failed to rescale: {why}"));
        }
        let text = format!("the HPA controller was able to update the target scale to {desired}");
        outcome.say("AbleToScale", true, "SucceededRescale", text);
        outcome.status.last_scale_time = Some(Time(outcome.now));
        let text = format!("New size: {desired}; reason: {reason}");
        self.recorder
            .event(autoscaler, Severity::Normal, "SuccessfulRescale", text);
        info!(autoscaler = %key, current, desired, reason, "scaled");
        if let Some(behavior) = &autoscaler.spec.behavior {
            let rules = if desired > current {
                &behavior.scale_up
            } else {
                &behavior.scale_down
            };
            let mut memory = lock(&self.memory);
            let history = &mut memory.entry(key.clone()).or_default().history;
            history.scaled(current, desired, rules.as_ref(), outcome.now);
        }
        Ok(())
    }

    /// Looks at all measurements (`computeReplicasForMetrics`). Fails with what was measured nevertheless when they give
    /// no number of replicas that may be trusted.
    async fn wish(
        &self,
        key: &ObjectKey,
        autoscaler: &HorizontalPodAutoscaler,
        target: &Target,
        outcome: &mut Outcome,
    ) -> std::result::Result<Wish, (Vec<MetricStatus>, String)> {
        let spec = &autoscaler.spec;
        let text = target.selector();
        let selected = self.select(key, &text).map_err(|refusal| {
            self.warn(autoscaler, refusal.event, &refusal.why);
            outcome.say("ScalingActive", false, refusal.reason, refusal.text);
            (Vec::new(), refusal.why)
        })?;
        let pods: Vec<&Pod> = selected.iter().map(|pod| &**pod).collect();
        let scaled = Scaled {
            namespace: &key.namespace,
            selector: &text,
            wanted: target.wanted(),
            running: target.running(),
            tolerances: self.tolerances(spec),
            pods: Pods {
                pods: &pods,
                cpu_initialization: self.settings.horizontal_pod_autoscaler_cpu_initialization_period,
                initial_readiness_delay: self.settings.horizontal_pod_autoscaler_initial_readiness_delay,
                now: outcome.now,
            },
        };
        let measuring = Measuring {
            sources: &self.sources,
            targets: &self.targets,
        };
        let metrics = spec.metrics.as_deref().unwrap_or_default();
        let (mut replicas, mut metric) = (0, String::new());
        let mut statuses = Vec::new();
        let mut failures = Vec::new();
        for one in metrics {
            match measuring.propose(one, &scaled).await {
                Ok(proposal) => {
                    if replicas == 0 || proposal.replicas > replicas {
                        (replicas, metric) = (proposal.replicas, proposal.name);
                    }
                    statuses.push(proposal.status);
                }
                Err(failure) => {
                    self.warn(autoscaler, failure.reason, &failure.why);
                    statuses.push(MetricStatus::default());
                    failures.push(failure);
                }
            }
        }
        let error = failures.first().map(|first| {
            let (bad, all) = (failures.len(), metrics.len());
            format!(
                "invalid metrics ({bad} invalid out of {all}), first error is: {}",
                first.error
            )
        });
        // With some of them unknown there may be more, never fewer.
        let useless = failures.len() >= metrics.len() || (!failures.is_empty() && replicas < scaled.wanted);
        if useless {
            if let Some(first) = failures.first() {
                let text = format!("the HPA was unable to compute the replica count: {}", first.why);
                outcome.say("ScalingActive", false, first.reason, text);
            }
            return Err((statuses, error.unwrap_or_default()));
        }
        let text = format!("the HPA was able to successfully calculate a replica count from {metric}");
        outcome.say("ScalingActive", true, "ValidMetricFound", text);
        Ok(Wish {
            replicas,
            metric,
            statuses,
            error,
        })
    }

    /// The pods that a selector means, when no other autoscaler means them, too (`validateAndParseSelector`).
    fn select(&self, key: &ObjectKey, text: &str) -> std::result::Result<Vec<Arc<Pod>>, Refusal> {
        if text.is_empty() {
            return Err(Refusal {
                event: "SelectorRequired",
                reason: "InvalidSelector",
                text: "the HPA target's scale is missing a selector".to_owned(),
                why: "selector is required".to_owned(),
            });
        }
        let selector = Selector::parse(text).map_err(|why| {
            let why = format!("couldn't convert selector into a corresponding internal selector object: {why}");
            Refusal::told("InvalidSelector", why)
        })?;
        let matches = |selector: &Selector, pod: &Pod| {
            let labels = pod.metadata.labels.as_ref();
            selector.matches(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
        };
        let mut pods = self.pods.list_in(&key.namespace);
        pods.retain(|pod| matches(&selector, pod));
        let mut memory = lock(&self.memory);
        memory.entry(key.clone()).or_default().selector = Some(selector);
        let means = |(other, memory): &(&ObjectKey, &Memory)| {
            let selector = memory.selector.as_ref().filter(|_| other.namespace == key.namespace);
            selector.is_some_and(|selector| pods.iter().any(|pod| matches(selector, pod)))
        };
        let mut all: Vec<String> = memory
            .iter()
            .filter(means)
            .map(|(other, _)| format!("{{{} {}}}", other.name, other.namespace))
            .collect();
        if all.len() > 1 {
            all.sort();
            let all = all.join(" ");
            let why = format!("pods by selector {text} are controlled by multiple HPAs: [{all}]");
            return Err(Refusal::told("AmbiguousSelector", why));
        }
        Ok(pods)
    }

    fn tolerances(&self, spec: &HorizontalPodAutoscalerSpec) -> Tolerances {
        let behavior = spec.behavior.as_ref();
        let own = |rules: Option<&k8s_openapi::api::autoscaling::v2::HPAScalingRules>| {
            let text = rules?.tolerance.as_ref()?;
            Quantity::parse(&text.0).ok().map(|quantity| quantity.approximately())
        };
        let usual = self.settings.horizontal_pod_autoscaler_tolerance;
        Tolerances {
            down: own(behavior.and_then(|behavior| behavior.scale_down.as_ref())).unwrap_or(usual),
            up: own(behavior.and_then(|behavior| behavior.scale_up.as_ref())).unwrap_or(usual),
        }
    }

    async fn write(&self, autoscaler: &HorizontalPodAutoscaler, outcome: &Outcome) -> std::result::Result<(), String> {
        status::write(&self.client, autoscaler, &outcome.status)
            .await
            .map_err(|error| {
                self.warn(autoscaler, "FailedUpdateStatus", &error.to_string());
                error.to_string()
            })
    }
}

/// Why an autoscaler may not look at pods.
struct Refusal {
    event: &'static str,
    reason: &'static str,
    /// For the condition.
    text: String,
    why: String,
}

impl Refusal {
    fn told(reason: &'static str, why: String) -> Self {
        Refusal {
            event: reason,
            reason,
            text: why.clone(),
            why,
        }
    }
}
