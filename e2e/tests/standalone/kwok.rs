//! kwok, a controller written with client-go: it keeps nodes and pods alive that nobody runs, with nothing but an API
//! server.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::suite::tool;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::{Running, eventually};

/// A program that ends with its value.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn nodes_and_pods_of_kwok_come_alive_and_go() -> Result<()> {
    let Some(program) = tool("go-clients/kwok", "hack/go-clients.sh", "go")? else {
        return Ok(());
    };
    let running = Running::start(&[]).await?;
    let log = std::fs::File::create(running.site.path("kwok.log"))?;
    let kwok = Command::new(program)
        .arg(format!("--kubeconfig={}", running.server.kubeconfig.display()))
        .args(["--manage-all-nodes=true", "--node-lease-duration-seconds=40"])
        .env("HOME", running.site.path(""))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn();
    let _kwok = Killed(kwok.context("kwok does not start")?);

    let client = running.server.client().await?;
    let create = PostParams::default();
    let nodes: Api<Node> = Api::all(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    accounts
        .create(&create, &parsed(json!({"metadata": {"name": "default"}}))?)
        .await?;
    let node = json!({"metadata": {"name": "n"}});
    nodes.create(&create, &parsed(node)?).await?;
    eventually("the node is ready", async || {
        let status = nodes.get("n").await?.status.context("no status")?;
        let conditions = status.conditions.unwrap_or_default();
        let ready = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
        ensure!(ready, "{conditions:?}");
        Ok(())
    })
    .await?;
    let lease = eventually("the node's lease is held", async || Ok(leases.get("n").await?)).await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity);
    ensure!(holder.is_some(), "nobody holds the lease");

    for name in ["a", "b"] {
        let spec = json!({"nodeName": "n", "containers": [{"name": "c", "image": "i"}]});
        pods.create(&create, &parsed(json!({"metadata": {"name": name}, "spec": spec}))?)
            .await?;
    }
    for name in ["a", "b"] {
        eventually("the pod runs", async || {
            let status = pods.get(name).await?.status.context("no status")?;
            ensure!(status.phase.as_deref() == Some("Running"), "{:?}", status.phase);
            ensure!(status.pod_ip.is_some(), "it has no address");
            Ok(())
        })
        .await?;
    }
    pods.delete("a", &DeleteParams::default()).await?;
    eventually("the pod is gone", async || {
        ensure!(pods.get_opt("a").await?.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    running.stop().await
}

fn parsed<T: serde::de::DeserializeOwned>(object: Value) -> Result<T> {
    Ok(serde_json::from_value(object)?)
}
