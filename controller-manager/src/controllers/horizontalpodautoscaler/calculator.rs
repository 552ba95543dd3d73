//! How many replicas measurements ask for (`pkg/controller/podautoscaler/replica_calculator.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::requests::requests;
use crate::common::pods;

/// What was measured of a pod, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) value: i64,
    pub(super) at: Option<Timestamp>,
    pub(super) window: Duration,
}

/// Measurements by the names of pods.
pub(super) type Metrics = BTreeMap<String, Measured>;

/// How far measurement and target may be apart, as a part of the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerances {
    pub(super) down: f64,
    pub(super) up: f64,
}

impl Tolerances {
    fn include(self, ratio: f64) -> bool {
        (1.0 - self.down) <= ratio && ratio <= (1.0 + self.up)
    }
}

/// The pods that an autoscaler looks at, and when the CPU of young ones counts.
pub(super) struct Pods<'a> {
    pub(super) pods: &'a [&'a Pod],
    pub(super) cpu_initialization: Duration,
    pub(super) initial_readiness_delay: Duration,
    pub(super) now: Timestamp,
}

/// Pods by what their measurements are worth.
#[derive(Default)]
struct Groups {
    ready: usize,
    unready: BTreeSet<String>,
    missing: BTreeSet<String>,
    ignored: BTreeSet<String>,
}

const NO_PODS: &str = "no pods returned by selector while calculating replica count";
const NO_METRICS: &str = "did not receive metrics for targeted pods (pods might be unready)";

fn ceil(value: f64) -> i32 {
    // Rust's conversion stays within the limits, whatever the number.
    value.ceil() as i32
}

impl Pods<'_> {
    /// Replicas, utilization in percent of the requests, and the average usage, for a target utilization.
    pub(super) fn for_utilization(
        &self,
        current: i32,
        target: i32,
        (resource, container): (&str, &str),
        tolerances: Tolerances,
        mut metrics: Metrics,
    ) -> Result<(i32, i32, i64), String> {
        let groups = self.usable(&mut metrics, resource)?;
        let requests = requests(self.pods, container, resource)?;
        let (ratio, utilization, average) = utilization(&metrics, &requests, target)?;
        let fallback = i128::from(target.max(100));
        let replicas = corrected(current, ratio, tolerances, &groups, &mut metrics, |metrics, missing| {
            // Pods without measurements are taken to use all they asked for when there are to be fewer.
            for pod in missing {
                let request = requests.get(pod).copied().unwrap_or_default();
                let value = i64::try_from(i128::from(request) * fallback / 100).unwrap_or(i64::MAX);
                metrics.insert(pod.clone(), assumed(value));
            }
            utilization_ratio(metrics, &requests, target)
        })?;
        Ok((replicas, utilization, average))
    }

    /// Replicas and the average measurement, for a target average.
    pub(super) fn for_average(
        &self,
        current: i32,
        target: i64,
        resource: &str,
        tolerances: Tolerances,
        mut metrics: Metrics,
    ) -> Result<(i32, i64), String> {
        let groups = self.usable(&mut metrics, resource)?;
        let (ratio, average) = usage(&metrics, target);
        let replicas = corrected(current, ratio, tolerances, &groups, &mut metrics, |metrics, missing| {
            for pod in missing {
                metrics.insert(pod.clone(), assumed(target));
            }
            Ok(usage(metrics, target).0)
        })?;
        Ok((replicas, average))
    }

    /// Replicas for the ratio between a measurement of something else and its target.
    pub(super) fn for_ratio(&self, current: i32, ratio: f64, tolerances: Tolerances) -> Result<i32, String> {
        if current == 0 {
            return Ok(ceil(ratio));
        }
        if tolerances.include(ratio) {
            return Ok(current);
        }
        if self.pods.is_empty() {
            return Err(format!("unable to calculate ready pods: {NO_PODS}"));
        }
        let ready = self
            .pods
            .iter()
            .filter(|pod| pods::phase(pod) == "Running" && pods::is_ready(pod));
        Ok(ceil(ratio * ready.count() as f64))
    }

    /// Sorts the pods and takes the measurements out that do not count.
    fn usable(&self, metrics: &mut Metrics, resource: &str) -> Result<Groups, String> {
        if self.pods.is_empty() {
            return Err(NO_PODS.to_owned());
        }
        let groups = self.groups(metrics, resource);
        metrics.retain(|pod, _| !groups.ignored.contains(pod) && !groups.unready.contains(pod));
        if metrics.is_empty() {
            return Err(NO_METRICS.to_owned());
        }
        Ok(groups)
    }

    fn groups(&self, metrics: &Metrics, resource: &str) -> Groups {
        let mut groups = Groups::default();
        for pod in self.pods {
            let name = pod.metadata.name.clone().unwrap_or_default();
            if pods::is_deleting(pod) || pods::phase(pod) == "Failed" {
                groups.ignored.insert(name);
            } else if pods::phase(pod) == "Pending" {
                groups.unready.insert(name);
            } else if let Some(measured) = metrics.get(&name) {
                if resource == "cpu" && self.is_unready(pod, measured) {
                    groups.unready.insert(name);
                } else {
                    groups.ready += 1;
                }
            } else {
                groups.missing.insert(name);
            }
        }
        groups
    }

    fn is_unready(&self, pod: &Pod, measured: &Measured) -> bool {
        let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
        let (Some(condition), Some(started)) = (pods::condition(pod, "Ready"), started) else {
            return true;
        };
        let after = |time: Timestamp, wait: Duration| {
            let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
            time.saturating_add(wait).unwrap_or(Timestamp::MAX)
        };
        let changed = condition
            .last_transition_time
            .as_ref()
            .map_or(Timestamp::MIN, |time| time.0);
        let unready = condition.status == "False";
        if after(started.0, self.cpu_initialization) > self.now {
            // The measurement may be of a time before the pod was as it is.
            return unready || measured.at.unwrap_or(Timestamp::MIN) < after(changed, measured.window);
        }
        unready && after(started.0, self.initial_readiness_delay) > changed
    }
}

fn assumed(value: i64) -> Measured {
    Measured {
        value,
        at: None,
        window: Duration::ZERO,
    }
}

/// The replicas for a ratio: pods without measurements, and those that are not ready, may not turn its direction.
/// `fill` makes up measurements of missing pods for fewer replicas and says the ratio with what is there then.
fn corrected(
    current: i32,
    ratio: f64,
    tolerances: Tolerances,
    groups: &Groups,
    metrics: &mut Metrics,
    fill: impl Fn(&mut Metrics, &BTreeSet<String>) -> Result<f64, String>,
) -> Result<i32, String> {
    let up_with_unready = !groups.unready.is_empty() && ratio > 1.0;
    if !up_with_unready && groups.missing.is_empty() {
        let replicas = ceil(ratio * groups.ready as f64);
        return Ok(if tolerances.include(ratio) { current } else { replicas });
    }
    let none = BTreeSet::new();
    let mut missing = &none;
    if ratio < 1.0 {
        missing = &groups.missing;
    } else if ratio > 1.0 {
        // For more replicas they are taken to use nothing.
        metrics.extend(groups.missing.iter().map(|pod| (pod.clone(), assumed(0))));
    }
    if up_with_unready {
        metrics.extend(groups.unready.iter().map(|pod| (pod.clone(), assumed(0))));
    }
    let new = fill(metrics, missing)?;
    let turned = (ratio < 1.0 && new > 1.0) || (ratio > 1.0 && new < 1.0);
    if tolerances.include(new) || turned {
        return Ok(current);
    }
    let replicas = ceil(new * metrics.len() as f64);
    let turned = (new < 1.0 && replicas > current) || (new > 1.0 && replicas < current);
    Ok(if turned { current } else { replicas })
}

/// `GetResourceUtilizationRatio`: ratio to the target, percent of the requests, average.
fn utilization(metrics: &Metrics, requests: &BTreeMap<String, i64>, target: i32) -> Result<(f64, i32, i64), String> {
    let known = || {
        metrics
            .iter()
            .filter_map(|(pod, measured)| Some((measured.value, *requests.get(pod)?)))
    };
    let used: i128 = known().map(|(used, _)| i128::from(used)).sum();
    let requested: i128 = known().map(|(_, requested)| i128::from(requested)).sum();
    if requested == 0 {
        return Err("no metrics returned matched known pods".to_owned());
    }
    let percent = i32::try_from(used * 100 / requested).unwrap_or(i32::MAX);
    let average = used / i128::try_from(known().count()).unwrap_or(1);
    let average = i64::try_from(average).unwrap_or(i64::MAX);
    Ok((f64::from(percent) / f64::from(target), percent, average))
}

fn utilization_ratio(metrics: &Metrics, requests: &BTreeMap<String, i64>, target: i32) -> Result<f64, String> {
    utilization(metrics, requests, target).map(|(ratio, ..)| ratio)
}

/// `GetMetricUsageRatio`: ratio to the target and average.
fn usage(metrics: &Metrics, target: i64) -> (f64, i64) {
    let used: i128 = metrics.values().map(|measured| i128::from(measured.value)).sum();
    let count = i128::try_from(metrics.len()).unwrap_or(1).max(1);
    let average = i64::try_from(used / count).unwrap_or(i64::MAX);
    (average as f64 / target as f64, average)
}

/// Replicas and the measurement per replica, for a target per replica of something that is measured as a whole.
pub(super) fn for_total_per_replica(current: i32, total: i64, target: i64, tolerances: Tolerances) -> (i32, i64) {
    let ratio = total as f64 / (target as f64 * f64::from(current));
    let replicas = if tolerances.include(ratio) {
        current
    } else {
        ceil(total as f64 / target as f64)
    };
    (replicas, (total as f64 / f64::from(current)).ceil() as i64)
}
