//! What is done with the objects of a virtual cluster.

use anyhow::{Result, ensure};
use e2e::suite::{Background, Kubectl};

use crate::features::Act;
use crate::run::{Cluster, Run};
use crate::until;

/// The node of the host.
const NODE: &str = "node-1";

impl Run {
    /// Does it all; some of it goes on until what is returned is dropped.
    pub(crate) async fn act(&self, cluster: &Cluster) -> Result<Vec<Background>> {
        let mut sessions = Vec::new();
        for act in &self.configuration.acts {
            match act {
                // Before everything else.
                Act::Bind => {}
                Act::Pods => sessions = self.use_pod(cluster).await?,
                Act::Nodes => self.use_node(cluster).await?,
                Act::Kubelets => self.ask_kubelet(cluster).await?,
                Act::Namespaces => change_theirs(&cluster.tenant).await?,
                Act::Measurements => measure(&cluster.tenant).await?,
                Act::Ports => {
                    let other = r#"{"spec":{"ports":[{"port":81}]}}"#;
                    let change = ["-n", "default", "patch", "service", "web", "--type=merge", "-p", other];
                    cluster.tenant.run(&change)?;
                }
            }
        }
        Ok(sessions)
    }

    /// Binds the pod to the node, as the virtual cluster's scheduler does.
    pub(crate) async fn bind(&self, tenant: &Kubectl) -> Result<()> {
        until(|| tenant.run(&["get", "node", NODE])).await?;
        let binding = format!(
            r#"{{"apiVersion":"v1","kind":"Binding","metadata":{{"name":"app"}},"target":{{"kind":"Node","name":"{NODE}"}}}}"#
        );
        let path = "/api/v1/namespaces/default/pods/app/binding";
        tenant
            .with_input(&["create", "--raw", path, "-f", "-"], &binding)
            .map(drop)
    }

    /// Everything that can be asked of a pod.
    async fn use_pod(&self, cluster: &Cluster) -> Result<Vec<Background>> {
        let tenant = &cluster.tenant;
        until(|| {
            let pod = tenant.json(&["-n", "default", "get", "pod", "app"])?;
            let is_placed = pod["spec"]["nodeName"] == NODE;
            ensure!(is_placed && pod["status"]["phase"] == "Running", "{pod}");
            Ok(())
        })
        .await?;
        let patch = |part: &str, patch: &str| {
            let subresource = format!("--subresource={part}");
            let change = ["patch", "pod", "app", &subresource, "--type=strategic", "-p", patch];
            tenant.run(&[&["-n", "default"], &change[..]].concat())
        };
        let ready = r#"{"status":{"conditions":[{"type":"example.com/ready","status":"True"}]}}"#;
        until(|| patch("status", ready)).await?;
        let larger = r#"{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"20m"}}}]}}"#;
        until(|| patch("resize", larger)).await?;
        tenant.run(&["-n", "default", "debug", "app", "--image=i", "--target=c", "--quiet"])?;
        until(|| tenant.run(&["-n", "default", "logs", "app", "-c", "c"])).await?;
        let spdy = tenant
            .clone()
            .with_environment("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
            .with_environment("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false");
        let mut sessions = Vec::new();
        for kubectl in [tenant, &spdy] {
            let exec = ["-n", "default", "exec", "app", "-c", "c", "--", "echo", "heard"];
            let said = kubectl.run(&exec)?;
            ensure!(said.trim() == "heard", "{said}");
            // Nobody ends them but who has begun them.
            sessions.push(kubectl.background(&["-n", "default", "attach", "app", "-c", "c"])?);
            let forward = kubectl.background(&["-n", "default", "port-forward", "pod/app", ":80"])?;
            forward.line("Forwarding from 127.0.0.1:")?;
            sessions.push(forward);
        }
        Ok(sessions)
    }

    /// A change of the node that only this virtual cluster makes, and what its kubelet measures.
    async fn use_node(&self, cluster: &Cluster) -> Result<()> {
        let label = format!("of-{}=yes", self.vcluster);
        until(|| cluster.tenant.run(&["label", "--overwrite", "node", NODE, &label])).await?;
        self.ask_kubelet(cluster).await
    }

    /// Everything that kubelets tell. Where there is no right to what the host's measure, they are not asked.
    async fn ask_kubelet(&self, cluster: &Cluster) -> Result<()> {
        let tenant = &cluster.tenant;
        let proxy = format!("/api/v1/nodes/{NODE}/proxy");
        let told = |path: &str| tenant.run(&["get", "--raw", &format!("{proxy}/{path}")]);
        for path in ["healthz", "pods", "runningpods/", "stats/summary"] {
            until(|| told(path)).await?;
        }
        for path in ["metrics", "metrics/resource", "metrics/cadvisor", "metrics/probes"] {
            if self.configuration.acts.contains(&Act::Nodes) {
                until(|| told(path)).await?;
            } else {
                let (_, said) = tenant.fails(&["get", "--raw", &format!("{proxy}/{path}")])?;
                ensure!(said.contains("its syncer has no right to them"), "{path}: {said}");
            }
        }
        Ok(())
    }

    /// Ends namespace `fresh`, as its controller does once nothing is left in it.
    pub(crate) fn end_namespace(&self, tenant: &Kubectl) -> Result<()> {
        const EMPTY: &str =
            r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"fresh"},"spec":{"finalizers":[]}}"#;
        let finalize = ["replace", "--raw", "/api/v1/namespaces/fresh/finalize", "-f", "-"];
        tenant.with_input(&finalize, EMPTY).map(drop)
    }
}

/// Changes what the host had in a namespace before it was that of a virtual one.
async fn change_theirs(tenant: &Kubectl) -> Result<()> {
    for kind in ["configmap", "secret", "service", "pod"] {
        let label = ["-n", "late", "label", "--overwrite", kind, "theirs", "touched=yes"];
        until(|| tenant.run(&label)).await?;
    }
    Ok(())
}

/// What pods and nodes use, of all of them and of one.
async fn measure(tenant: &Kubectl) -> Result<()> {
    for what in [
        &["top", "pods", "-n", "default"][..],
        &["top", "pod", "app", "-n", "default"],
        &["top", "nodes"],
        &["top", "node", NODE],
    ] {
        until(|| tenant.run(what)).await?;
    }
    Ok(())
}
