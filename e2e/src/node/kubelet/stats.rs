//! `/stats/summary`: what is true of a simulated node. Pods use no resources, so their usage is zero, not invented.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

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
