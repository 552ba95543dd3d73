//! What the host's scheduler and kubelets do to its pods, as cheaply as it can be done: bind, say that it runs, end it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use e2e::standalone::Connection;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::sightings::News;

/// How many pods the host starts per second at most; as many as it can when 0.
#[derive(Clone, Default)]
pub(crate) struct Pace(Arc<AtomicU32>);

impl Pace {
    pub(crate) fn set(&self, per_second: u32) {
        self.0.store(per_second, Ordering::Relaxed);
    }
}

/// Runs until the sender is gone.
pub(crate) async fn run(connection: Connection, mut news: mpsc::UnboundedReceiver<News>, pace: Pace) {
    let mut turn = Instant::now();
    while let Some(news) = news.recv().await {
        let per_second = pace.0.load(Ordering::Relaxed);
        if matches!(news, News::Added(..)) && per_second > 0 {
            turn = turn.max(Instant::now()) + Duration::from_secs(1) / per_second;
            tokio::time::sleep_until(turn).await;
        }
        let mut connection = connection.clone();
        tokio::spawn(async move {
            let told = match &news {
                News::Added(namespace, name) => start(&mut connection, namespace, name).await,
                News::Ending(namespace, name) => {
                    let now = json!({"gracePeriodSeconds": 0});
                    connection
                        .send("DELETE", &path(namespace, name), &now)
                        .await
                        .map(|_| ())
                }
            };
            if let Err(error) = told {
                eprintln!("the node cannot say what it did: {error:#}");
            }
        });
    }
}

fn path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

async fn start(connection: &mut Connection, namespace: &str, name: &str) -> anyhow::Result<()> {
    let pod = path(namespace, name);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"namespace": namespace, "name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "worker-1"},
    });
    let answer = connection.send("POST", &format!("{pod}/binding"), &binding).await?;
    anyhow::ensure!(answer.status == 201, "{name} is not bound: {:?}", answer.body);
    let answer = connection
        .send("PATCH", &format!("{pod}/status"), &json!({"status": status()}))
        .await?;
    anyhow::ensure!(answer.status == 200, "{name} has no status: {:?}", answer.body);
    Ok(())
}

/// As a kubelet writes it.
fn status() -> Value {
    const SINCE: &str = "2026-01-01T00:00:00Z";
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": SINCE, "observedGeneration": 1,
        })
    };
    let types = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ];
    json!({
        "phase": "Running", "observedGeneration": 1, "startTime": SINCE,
        "conditions": types.map(condition),
        "hostIP": "192.168.1.10", "hostIPs": [{"ip": "192.168.1.10"}],
        "podIP": "10.244.0.10", "podIPs": [{"ip": "10.244.0.10"}],
        "containerStatuses": [{
            "name": "app", "image": "registry.example.com/app:1.0", "ready": true, "started": true, "restartCount": 0,
            "imageID": "registry.example.com/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "containerID": "containerd://0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "state": {"running": {"startedAt": SINCE}}, "lastState": {},
        }],
    })
}
