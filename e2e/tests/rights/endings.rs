//! The ends of a virtual cluster that has everything on: an inventory of all kinds by labels, before and after.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::faulty::Weather;
use e2e::suite::Kubectl;
use serde_json::{Value, json};

use crate::features::Act;
use crate::judge::documents;
use crate::run::{Run, listed};
use crate::{Host, until};

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum End {
    /// The host namespace is deleted. The syncer is killed with its Pod, and does nothing any more.
    Namespace,
    /// The StatefulSet is deleted, and with it the Pod, whose syncer is asked to end.
    StatefulSet,
    /// Everything that a release consists of is deleted, in Helm's order.
    Release,
}

/// Every end.
pub(crate) const ENDS: [End; 3] = [End::Namespace, End::StatefulSet, End::Release];

impl Run {
    /// What is left on the host.
    pub(crate) async fn end(&self, host: &Host, end: End) -> Result<Vec<String>> {
        let cluster = self.start(host, Weather::calm()).await?;
        let (tenant, on_host) = (&cluster.tenant, &cluster.on_host);
        until(|| tenant.with_input(&["apply", "-n", "default", "-f", "-"], &cluster.made)).await?;
        if self.configuration.acts.contains(&Act::Bind) {
            self.bind(tenant).await?;
        }
        let expected = kinds(&cluster.made)?;
        until(|| {
            let found = self.inventory(on_host)?;
            let mut monitors = found.iter().filter(|object| kind(object) == "ServiceMonitor");
            let is_kept = monitors.all(|monitor| !monitor["metadata"]["ownerReferences"].is_null());
            ensure!(is_kept, "the ServiceMonitors that there were are not looked after yet");
            let found: BTreeSet<String> = found.iter().map(kind).collect();
            let missing: Vec<&String> = expected.difference(&found).collect();
            ensure!(missing.is_empty(), "there is no {missing:?} among {found:?}");
            Ok(())
        })
        .await?;

        let in_namespace =
            |what: &[&str]| on_host.run(&[&["-n", &self.namespace, "delete", "--wait=false"], what].concat());
        let set = ["statefulset", self.vcluster.as_str()];
        match end {
            End::Namespace => {
                cluster.bridge.program.kill().await?;
                on_host.run(&["delete", "namespace", &self.namespace, "--wait=false"])?;
            }
            End::StatefulSet => {
                in_namespace(&set)?;
                cluster.bridge.program.stop().await?;
            }
            End::Release => {
                in_namespace(&["service", &self.vcluster])?;
                in_namespace(&set)?;
                // What has gone with the Service is not there any more, which Helm does not mind either.
                let delete = ["delete", "--wait=false", "--ignore-not-found", "-f", "-"];
                on_host.with_input(&delete, &cluster.manifests)?;
                cluster.bridge.program.stop().await?;
            }
        }
        let gone = until(|| {
            let mut left = self.inventory(on_host)?;
            // Whether the syncer gets to take its marks off what the host had before is not certain.
            left.retain(|object| end == End::StatefulSet || !is_imported(object));
            let left: Vec<String> = left.iter().map(name).collect();
            ensure!(left.is_empty(), "after {end:?}, {left:?} are left");
            Ok(())
        });
        Ok(gone.await.err().iter().map(|error| format!("{error:#}")).collect())
    }

    /// What is wrong when monitors of nodes are wanted no more: the roles that the vcluster.yaml does not need any longer are
    /// deleted, as Helm does, and everything that it does need stays.
    pub(crate) async fn empty(&self, host: &Host) -> Result<Vec<String>> {
        let cluster = self.start(host, Weather::calm()).await?;
        let on_host = &cluster.on_host;
        let monitors = || {
            let all = [
                "-n",
                &self.namespace,
                "get",
                "servicemonitors",
                "-l",
                "vcluster.loft.sh/node-monitor",
            ];
            on_host.names(&all)
        };
        until(|| {
            let found = monitors()?;
            ensure!(found == ["kubelet-node-1", "probes-node-1"], "{found:?}");
            Ok(())
        })
        .await?;
        let mut configured = self.configured()?;
        configured["experimental"]["nodeMonitors"] = json!([]);
        let values = tempfile::NamedTempFile::new()?;
        std::fs::write(values.path(), configured.to_string())?;
        let (before, after) = (
            documents(&cluster.manifests)?,
            documents(&self.printed(values.path())?)?,
        );
        let kept: BTreeSet<String> = after.iter().map(name).collect();
        let dropped = before.iter().filter(|object| !kept.contains(&name(object)));
        let dropped: Vec<String> = dropped.map(ToString::to_string).collect();
        ensure!(dropped.len() == 2, "a Role and its binding go: {dropped:?}");
        cluster.bridge.program.stop().await?;
        on_host.with_input(&["delete", "-f", "-"], &listed(&dropped))?;
        let gone = until(|| {
            let left = monitors()?;
            ensure!(left.is_empty(), "{left:?} are left");
            Ok(())
        });
        let left = gone.await.err().map(|error| format!("{error:#}"));
        on_host.run(&["-n", &self.namespace, "get", "service", &self.vcluster])?;
        Ok(left.into_iter().collect())
    }

    /// All objects of the host that carry a label of the virtual cluster, whatever their kind.
    fn inventory(&self, on_host: &Kubectl) -> Result<Vec<Value>> {
        let listed = on_host.run(&["api-resources", "--verbs=list,delete", "-o", "name"])?;
        let all: Vec<&str> = listed.lines().filter(|kind| !kind.starts_with("events")).collect();
        let (all, vcluster) = (all.join(","), &self.vcluster);
        let copies = format!(
            "vcluster.loft.sh/managed-by in ({vcluster},{}-x-{vcluster})",
            self.namespace
        );
        let exported = format!("app=vcluster,vcluster-name={vcluster}");
        let mut found = Vec::new();
        for labels in [copies, exported] {
            let list = on_host.json(&["get", &all, "--all-namespaces", "-l", &labels])?;
            found.extend(list["items"].as_array().context("no list")?.iter().cloned());
        }
        Ok(found)
    }
}

/// Whether the host had it before there was the virtual cluster.
fn is_imported(object: &Value) -> bool {
    object["metadata"]["annotations"]["vcluster.loft.sh/object-imported"] == "true"
}

fn kind(object: &Value) -> String {
    object["kind"].as_str().unwrap_or_default().to_owned()
}

fn name(object: &Value) -> String {
    let metadata = &object["metadata"];
    format!("{} {}/{}", kind(object), metadata["namespace"], metadata["name"])
}

/// The kinds of which the tenant makes something.
fn kinds(made: &str) -> Result<BTreeSet<String>> {
    let list: Value = serde_json::from_str(made)?;
    let items = list["items"].as_array().context("no list")?;
    Ok(items.iter().map(kind).collect())
}
