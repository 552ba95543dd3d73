//! `/stats/summary` and `/metrics/...`: what is true of a simulated node. Pods use no resources but those that they are said to
//! use in annotations, so that whatever scales by usage can be tried.

use std::collections::BTreeMap;
use std::fmt::Write;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use machinery::quantity::Quantity;
use serde_json::{Value, json};

use super::route::Measured;

/// What every container of a pod uses, as one says who has it simulated; the names are kwok's.
const CPU: &str = "kwok.x-k8s.io/usage-cpu";
const MEMORY: &str = "kwok.x-k8s.io/usage-memory";

/// What a container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Usage {
    /// Thousandths of a CPU.
    cpu: u64,
    /// Bytes.
    memory: u64,
}

impl Usage {
    /// What the annotations of a pod say.
    fn of(pod: &Pod) -> Self {
        let annotation = |name: &str| {
            let text = pod.metadata.annotations.as_ref()?.get(name)?;
            Quantity::parse(text).ok()
        };
        let positive = |amount: i64| u64::try_from(amount).unwrap_or_default();
        Usage {
            cpu: annotation(CPU)
                .map(|amount| positive(amount.millis()))
                .unwrap_or_default(),
            memory: annotation(MEMORY)
                .map(|amount| positive(amount.units()))
                .unwrap_or_default(),
        }
    }

    fn plus(self, other: Usage) -> Self {
        Usage {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    /// CPU and memory as a summary has them, after so many seconds at this pace.
    fn stats(self, now: &str, seconds: u64) -> (Value, Value) {
        let nanos = self.cpu.saturating_mul(1_000_000);
        let cpu = json!({
            "time": now, "usageNanoCores": nanos, "usageCoreNanoSeconds": nanos.saturating_mul(seconds),
        });
        let memory = json!({
            "time": now, "usageBytes": self.memory, "workingSetBytes": self.memory, "rssBytes": self.memory,
        });
        (cpu, memory)
    }
}

pub(super) fn summary(node: &str, started: &str, now: Timestamp, pods: &[impl AsRef<Pod>]) -> Value {
    let running = running(pods);
    let time = now.to_string();
    let stats = |of: &Running| of.usage.stats(&time, of.seconds(now));
    let described = pods.iter().map(AsRef::as_ref).map(|pod: &Pod| {
        let meta = &pod.metadata;
        let own = || {
            running
                .iter()
                .filter(|container| Some(&container.uid) == meta.uid.as_ref())
        };
        let containers: Vec<Value> = own()
            .map(|container| {
                let (cpu, memory) = stats(container);
                let since = container.since.to_string();
                json!({"name": container.container, "startTime": since, "cpu": cpu, "memory": memory})
            })
            .collect();
        let (cpu, memory) = total(own()).stats(&time, own().map(|of| of.seconds(now)).max().unwrap_or_default());
        json!({
            "podRef": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
            "startTime": pod.status.as_ref().and_then(|status| status.start_time.clone()),
            "containers": containers, "cpu": cpu, "memory": memory,
        })
    });
    let described: Vec<Value> = described.collect();
    let longest = running.iter().map(|of| of.seconds(now)).max().unwrap_or_default();
    let (cpu, memory) = total(running.iter()).stats(&time, longest);
    json!({"node": {"nodeName": node, "startTime": started, "cpu": cpu, "memory": memory}, "pods": described})
}

fn total<'a>(running: impl Iterator<Item = &'a Running>) -> Usage {
    running.fold(Usage::default(), |sum, container| sum.plus(container.usage))
}

/// A container that runs.
struct Running {
    namespace: String,
    pod: String,
    container: String,
    image: String,
    uid: String,
    since: Timestamp,
    usage: Usage,
}

impl Running {
    /// How long it has been running, in seconds.
    fn seconds(&self, now: Timestamp) -> u64 {
        u64::try_from(now.as_second().saturating_sub(self.since.as_second())).unwrap_or_default()
    }

    /// The time that it has had a CPU for itself, in seconds.
    fn cpu_seconds(&self, now: Timestamp) -> f64 {
        self.usage.cpu as f64 / 1000.0 * self.seconds(now) as f64
    }
}

fn running(pods: &[impl AsRef<Pod>]) -> Vec<Running> {
    let containers = pods.iter().map(AsRef::as_ref).flat_map(|pod: &Pod| {
        let meta = &pod.metadata;
        let usage = Usage::of(pod);
        let statuses = pod
            .status
            .iter()
            .filter_map(|status| status.container_statuses.as_ref())
            .flatten();
        statuses.filter_map(move |status| {
            let running = status.state.as_ref()?.running.as_ref()?;
            Some(Running {
                namespace: meta.namespace.clone().unwrap_or_default(),
                pod: meta.name.clone().unwrap_or_default(),
                container: status.name.clone(),
                image: status.image.clone(),
                uid: meta.uid.clone().unwrap_or_default(),
                since: running.started_at.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
                usage,
            })
        })
    });
    containers.collect()
}

/// Measurements in Prometheus' format, under the names that kubelets give them.
pub(super) fn exposition(measured: Measured, now: Timestamp, pods: &[impl AsRef<Pod>]) -> String {
    let running = running(pods);
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, series: Vec<(String, f64)>| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {name} Of a simulated node.\n# TYPE {name} {kind}");
        for (labels, value) in series {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let each = |labels: fn(&Running) -> String, value: fn(&Running, Timestamp) -> f64| -> Vec<(String, f64)> {
        running
            .iter()
            .map(|container| (labels(container), value(container, now)))
            .collect()
    };
    let of_container = |running: &Running| {
        let Running {
            namespace,
            pod,
            container,
            ..
        } = running;
        format!("{{container=\"{container}\",namespace=\"{namespace}\",pod=\"{pod}\"}}")
    };
    let of_pod = |running: &Running| format!("{{namespace=\"{}\",pod=\"{}\"}}", running.namespace, running.pod);
    let of_cgroup = |running: &Running| {
        let Running {
            namespace,
            pod,
            container,
            image,
            uid,
            ..
        } = running;
        format!(
            "{{container=\"{container}\",id=\"/kubepods/pod{uid}/{container}\",image=\"{image}\",name=\"{uid}-{container}\",\
             namespace=\"{namespace}\",pod=\"{pod}\"}}"
        )
    };
    let node = |value: f64| vec![(String::new(), value)];
    let memory = |of: &Running, _: Timestamp| of.usage.memory as f64;
    let since = |of: &Running, _: Timestamp| of.since.as_second() as f64;
    // All containers of a pod are one series.
    let by_pod = |value: fn(&Running, Timestamp) -> f64| -> Vec<(String, f64)> {
        let mut pods: BTreeMap<String, f64> = BTreeMap::new();
        for container in &running {
            *pods.entry(of_pod(container)).or_default() += value(container, now);
        }
        pods.into_iter().collect()
    };
    let all = |value: fn(&Running, Timestamp) -> f64| running.iter().map(|of| value(of, now)).sum::<f64>();
    match measured {
        Measured::Kubelet => {
            family("kubelet_running_containers", "gauge", node(running.len() as f64));
            family("kubelet_running_pods", "gauge", node(pods.len() as f64));
        }
        Measured::Containers => {
            family(
                "container_cpu_usage_seconds_total",
                "counter",
                each(of_cgroup, Running::cpu_seconds),
            );
            family("container_start_time_seconds", "gauge", each(of_cgroup, since));
            family("machine_cpu_cores", "gauge", node(16.0));
        }
        Measured::Resources => {
            family(
                "container_cpu_usage_seconds_total",
                "counter",
                each(of_container, Running::cpu_seconds),
            );
            family(
                "container_memory_working_set_bytes",
                "gauge",
                each(of_container, memory),
            );
            family("container_start_time_seconds", "gauge", each(of_container, since));
            family(
                "node_cpu_usage_seconds_total",
                "counter",
                node(all(Running::cpu_seconds)),
            );
            family("node_memory_working_set_bytes", "gauge", node(all(memory)));
            family("pod_cpu_usage_seconds_total", "counter", by_pod(Running::cpu_seconds));
            family("pod_memory_working_set_bytes", "gauge", by_pod(memory));
            family("resource_scrape_error", "gauge", node(0.0));
        }
        Measured::Probes => family("prober_probe_total", "counter", Vec::new()),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_what_annotations_say() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": {CPU: "250m", MEMORY: "1Ki"}},
            "status": {"containerStatuses": [
                {"name": "a", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                 "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}},
                {"name": "b", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                 "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}},
            ]},
        }))
        .unwrap();
        let now: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        let pods = [std::sync::Arc::new(pod)];
        let seen = summary("node", "", now, &pods);
        assert_eq!(seen["pods"][0]["containers"][1]["cpu"]["usageNanoCores"], 250_000_000);
        assert_eq!(seen["pods"][0]["cpu"]["usageCoreNanoSeconds"], 5_000_000_000_u64);
        assert_eq!(seen["node"]["memory"]["workingSetBytes"], 2048);
        let text = exposition(Measured::Resources, now, &pods);
        assert!(
            text.contains("pod_cpu_usage_seconds_total{namespace=\"n\",pod=\"p\"} 5\n"),
            "{text}"
        );
        assert!(text.contains("node_memory_working_set_bytes 2048\n"), "{text}");
    }
}
