//! `/stats/summary` and `/metrics/...`: what is true of a simulated node. Pods use no resources, so their usage is zero, not invented.

use std::fmt::Write;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::route::Measured;

pub(super) fn summary(node: &str, started: &str, now: &str, pods: &[impl AsRef<Pod>]) -> Value {
    let pods: Vec<Value> = pods
        .iter()
        .map(AsRef::as_ref)
        .map(|pod| {
            let meta = &pod.metadata;
            let status = pod.status.clone().unwrap_or_default();
            let containers: Vec<Value> = status
                .container_statuses
                .iter()
                .flatten()
                .filter_map(|status| {
                    let running = status.state.as_ref()?.running.as_ref()?;
                    Some(json!({
                        "name": status.name,
                        "startTime": running.started_at,
                        "cpu": {"time": now, "usageNanoCores": 0, "usageCoreNanoSeconds": 0},
                        "memory": {"time": now, "usageBytes": 0, "workingSetBytes": 0, "rssBytes": 0},
                    }))
                })
                .collect();
            json!({
                "podRef": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
                "startTime": status.start_time,
                "containers": containers,
            })
        })
        .collect();
    json!({"node": {"nodeName": node, "startTime": started}, "pods": pods})
}

/// A container that runs.
struct Running {
    namespace: String,
    pod: String,
    container: String,
    image: String,
    uid: String,
    since: i64,
}

fn running(pods: &[impl AsRef<Pod>]) -> Vec<Running> {
    let containers = pods.iter().map(AsRef::as_ref).flat_map(|pod: &Pod| {
        let meta = &pod.metadata;
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
                since: running.started_at.as_ref().map_or(0, |time| time.0.as_second()),
            })
        })
    });
    containers.collect()
}

/// Measurements in Prometheus' format, under the names that kubelets give them.
pub(super) fn exposition(measured: Measured, pods: &[impl AsRef<Pod>]) -> String {
    let running = running(pods);
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, series: Vec<(String, i64)>| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {name} Of a simulated node.\n# TYPE {name} {kind}");
        for (labels, value) in series {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let each = |labels: fn(&Running) -> String, value: fn(&Running) -> i64| -> Vec<(String, i64)> {
        running
            .iter()
            .map(|container| (labels(container), value(container)))
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
    let node = |value: i64| vec![(String::new(), value)];
    match measured {
        Measured::Kubelet => {
            family(
                "kubelet_running_containers",
                "gauge",
                node(i64::try_from(running.len()).unwrap_or(i64::MAX)),
            );
            family(
                "kubelet_running_pods",
                "gauge",
                node(i64::try_from(pods.len()).unwrap_or(i64::MAX)),
            );
        }
        Measured::Containers => {
            family("container_cpu_usage_seconds_total", "counter", each(of_cgroup, |_| 0));
            family(
                "container_start_time_seconds",
                "gauge",
                each(of_cgroup, |running| running.since),
            );
            family("machine_cpu_cores", "gauge", node(16));
        }
        Measured::Resources => {
            family(
                "container_cpu_usage_seconds_total",
                "counter",
                each(of_container, |_| 0),
            );
            family("container_memory_working_set_bytes", "gauge", each(of_container, |_| 0));
            family(
                "container_start_time_seconds",
                "gauge",
                each(of_container, |running| running.since),
            );
            family("node_cpu_usage_seconds_total", "counter", node(0));
            family("node_memory_working_set_bytes", "gauge", node(0));
            family("pod_cpu_usage_seconds_total", "counter", each(of_pod, |_| 0));
            family("pod_memory_working_set_bytes", "gauge", each(of_pod, |_| 0));
            family("resource_scrape_error", "gauge", node(0));
        }
        Measured::Probes => family("prober_probe_total", "counter", Vec::new()),
    }
    out
}
