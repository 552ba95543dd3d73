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
        // The proxy carries no sessions, so that they fail once the host has let them in; in both protocols.
        let spdy = tenant
            .clone()
            .with_environment("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
            .with_environment("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false");
        let commands = [
            &["exec", "app", "-c", "c", "--", "true"][..],
            &["attach", "app", "-c", "c"],
            &["port-forward", "pod/app", ":80"],
        ];
        let all = [tenant, &spdy]
            .into_iter()
            .flat_map(|kubectl| commands.map(|command| (kubectl, command)));
        all.map(|(kubectl, command)| kubectl.background(&[&["-n", "default"], command].concat()))
            .collect()
    }

    /// A change of the node that only this virtual cluster makes, and what its kubelet measures.
    async fn use_node(&self, cluster: &Cluster) -> Result<()> {
        let label = format!("of-{}=yes", self.vcluster);
        until(|| cluster.tenant.run(&["label", "--overwrite", "node", NODE, &label])).await?;
        for path in [
            "metrics/resource",
            "metrics/cadvisor",
            "metrics/probes",
            "stats/summary",
        ] {
            let path = format!("/api/v1/nodes/{NODE}/proxy/{path}");
            until(|| cluster.tenant.run(&["get", "--raw", &path])).await?;
        }
        Ok(())
    }
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
