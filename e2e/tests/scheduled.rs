//! A virtual cluster that assigns its pods to the host's nodes itself, but for those of one scheduler of the host.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use e2e::suite::{Case, Kubectl, World, configured, eventually};
use serde_json::Value;

const VALUES: &str = "
controlPlane:
  advanced:
    virtualScheduler: {enabled: true}
sync:
  toHost:
    pods:
      hybridScheduling: {enabled: true, hostSchedulers: [theirs]}
  fromHost:
    nodes: {enabled: true}
";

const CASES: &[Case] = &[
    (
        "a_taint_of_a_virtual_node_counts_here_only",
        a_taint_of_a_virtual_node_counts_here_only,
    ),
    ("what_others_have_is_not_counted_on", what_others_have_is_not_counted_on),
    (
        "a_scheduler_of_the_host_assigns_the_pods_that_name_it",
        a_scheduler_of_the_host_assigns_the_pods_that_name_it,
    ),
    ("rights_are_enough", World::rights_are_enough),
];

fn main() -> ExitCode {
    configured("scheduled", 1, VALUES, CASES)
}

fn pod(name: &str, more: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"default"}},
            "spec":{{{more}"containers":[{{"name":"app","image":"nginx","resources":{{"requests":{{"cpu":"1500m"}}}}}}]}}}}"#
    )
}

/// The nodes, once all of them are shown.
fn nodes(virtual_: &Kubectl, host: &Kubectl) -> Result<Vec<String>> {
    let all = host.names(&["get", "nodes"])?;
    eventually("all nodes are shown", || {
        let shown = virtual_.names(&["get", "nodes"])?;
        Ok((shown == all).then_some(shown))
    })
}

fn a_taint_of_a_virtual_node_counts_here_only(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let nodes = nodes(&virtual_, &host)?;
    for node in &nodes {
        virtual_.run(&["taint", "node", node, "mine=1:NoSchedule"])?;
        let taints = &host.json(&["get", "node", node])?["spec"]["taints"];
        ensure!(taints.is_null(), "the host's {node} has {taints}");
    }
    virtual_.apply(&pod("waits", ""))?;
    let chosen = format!(
        r#""nodeSelector":{{"kubernetes.io/hostname":"{}"}},"tolerations":[{{"key":"mine","operator":"Exists"}}],"#,
        nodes[0]
    );
    virtual_.apply(&pod("runs", &chosen))?;
    let running = eventually("the pod that tolerates it runs", || {
        let pod = virtual_.json(&["get", "pod", "runs"])?;
        Ok((pod["status"]["phase"] == "Running").then_some(pod))
    })?;
    ensure!(
        running["spec"]["nodeName"] == nodes[0],
        "it runs on {}",
        running["spec"]["nodeName"]
    );
    let copy = host.json(&["-n", "vcluster-vc-1", "get", "pod", "runs-x-default-x-vc-1"])?;
    ensure!(copy["spec"]["nodeSelector"].is_null(), "{}", copy["spec"]);
    let waiting = virtual_.json(&["get", "pod", "waits"])?;
    ensure!(waiting["spec"]["nodeName"].is_null(), "{}", waiting["spec"]);
    let copies = host.names(&["-n", "vcluster-vc-1", "get", "pods"])?;
    ensure!(copies == ["runs-x-default-x-vc-1"], "{copies:?}");
    for node in &nodes {
        virtual_.run(&["taint", "node", node, "mine-"])?;
    }
    eventually("the pod that waits runs, too", || {
        let pod = virtual_.json(&["get", "pod", "waits"])?;
        Ok((pod["status"]["phase"] == "Running").then_some(()))
    })
}

fn what_others_have_is_not_counted_on(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let node = nodes(&virtual_, &host)?.swap_remove(0);
    let free = |kubectl: &Kubectl| -> Result<String> {
        let node = kubectl.json(&["get", "node", &node])?;
        Ok(node["status"]["allocatable"]["cpu"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    };
    let before = free(&virtual_)?;
    ensure!(before == free(&host)?, "{before} is free before");
    host.apply(&pod("foreign", &format!(r#""nodeName":"{node}","#)))?;
    eventually("less is free", || Ok((free(&virtual_)? == "14500m").then_some(())))?;
    host.run(&["delete", "pod", "foreign", "--timeout=60s"])?;
    eventually("as much is free as before", || {
        Ok((free(&virtual_)? == before).then_some(()))
    })
}

fn a_scheduler_of_the_host_assigns_the_pods_that_name_it(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let node = nodes(&virtual_, &host)?.swap_remove(0);
    virtual_.apply(&pod("nobodys", r#""schedulerName":"nobody","#))?;
    let chosen = format!(r#""schedulerName":"theirs","nodeSelector":{{"kubernetes.io/hostname":"{node}"}},"#);
    virtual_.apply(&pod("theirs", &chosen))?;
    let path = "/api/v1/namespaces/vcluster-vc-1/pods/theirs-x-default-x-vc-1";
    let copy = eventually("it is on the host", || {
        Ok(serde_json::from_str::<Value>(&host.run(&["get", "--raw", path])?).ok())
    })?;
    ensure!(
        copy["spec"]["nodeName"].is_null() && copy["spec"]["nodeSelector"]["kubernetes.io/hostname"] == node.as_str(),
        "{}",
        copy["spec"]
    );
    // What a scheduler of that name would do.
    let binding = format!(
        r#"{{"apiVersion":"v1","kind":"Binding","metadata":{{"name":"theirs-x-default-x-vc-1","namespace":"vcluster-vc-1"}},
            "target":{{"kind":"Node","name":"{node}"}}}}"#
    );
    host.with_input(&["create", "--raw", &format!("{path}/binding"), "-f", "-"], &binding)?;
    let running = eventually("it runs", || {
        let pod = virtual_.json(&["get", "pod", "theirs"])?;
        Ok((pod["status"]["phase"] == "Running").then_some(pod))
    })?;
    ensure!(running["spec"]["nodeName"] == node, "{}", running["spec"]["nodeName"]);
    let copies = host.names(&["-n", "vcluster-vc-1", "get", "pods"])?;
    ensure!(
        !copies.contains(&"nobodys-x-default-x-vc-1".to_owned()),
        "a scheduler of the virtual cluster has to assign it: {copies:?}"
    );
    virtual_.run(&["delete", "pod", "theirs", "nobodys", "--timeout=60s"])?;
    Ok(())
}
