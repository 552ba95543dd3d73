//! A virtual cluster in a virtual cluster in a virtual cluster: pods of the innermost one run on the nodes of the host.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, Kubectl, World, eventually, with};
use serde_json::Value;

/// From the outside to the inside, the host first.
const CLUSTERS: [&str; 4] = ["host", "vc-1", "vc-2", "vc-3"];

/// The namespace of the innermost cluster; its name is short, so that no name further out is cut.
const INSIDE: &str = "in";

const CASES: &[Case] = &[
    ("a_pod_runs_on_the_outermost_host", a_pod_runs_on_the_outermost_host),
    ("every_layer_keeps_to_its_own", every_layer_keeps_to_its_own),
    ("rights_are_enough", World::rights_are_enough),
    (
        "what_is_inside_goes_with_the_outermost_namespace",
        what_is_inside_goes_with_the_outermost_namespace,
    ),
];

fn main() -> ExitCode {
    with("nested", &["--clusters", "3", "--nested"], "", CASES)
}

/// The name that an object has in a cluster that lies `layers` further out, and the namespace there.
fn outside(name: &str, namespace: &str, layers: usize) -> (String, String) {
    let mut place = (name.to_owned(), namespace.to_owned());
    for cluster in CLUSTERS.iter().rev().take(layers) {
        place = (
            format!("{}-x-{}-x-{cluster}", place.0, place.1),
            format!("vcluster-{cluster}"),
        );
    }
    place
}

/// A pod, as one of the clusters has it.
fn seen(kubectl: &Kubectl, (name, namespace): &(String, String)) -> Result<Value> {
    eventually(&format!("there is a pod {namespace}/{name}"), || {
        Ok(kubectl.json(&["-n", namespace, "get", "pod", name]).ok())
    })
}

fn a_pod_runs_on_the_outermost_host(world: &World) -> Result<()> {
    let innermost = world.kubectl("vc-3")?;
    innermost.run(&["create", "namespace", INSIDE])?;
    eventually("the namespace has its service account", || {
        Ok(innermost.run(&["-n", INSIDE, "get", "serviceaccount", "default"]).ok())
    })?;
    innermost.apply(
        r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"in"},"stringData":{"word":"inside"}},
            {"apiVersion":"v1","kind":"Service","metadata":{"name":"p","namespace":"in","labels":{"release":"r"}},
             "spec":{"selector":{"release":"r"},"ports":[{"port":80}]}},
            {"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"in","labels":{"release":"r"}},"spec":{
             "containers":[{"name":"c","image":"i","env":[
                {"name":"NAME","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},
                {"name":"WORD","valueFrom":{"secretKeyRef":{"name":"s","key":"word"}}}]}]}}]}"#,
    )?;
    innermost.run(&["-n", INSIDE, "wait", "--for=condition=Ready", "pod/p", "--timeout=60s"])?;
    let mut statuses = Vec::new();
    for (layers, cluster) in CLUSTERS.iter().rev().enumerate() {
        let pod = seen(&world.kubectl(cluster)?, &outside("p", INSIDE, layers))?;
        statuses.push((
            pod["status"]["podIP"].clone(),
            pod["spec"]["nodeName"].clone(),
            pod["status"]["phase"].clone(),
        ));
    }
    ensure!(statuses.iter().all(|status| *status == statuses[0]), "{statuses:?}");
    let host = world.kubectl("host")?;
    host.run(&["get", "node", statuses[0].1.as_str().context("no node")?])?;
    // The way back: through every API server and every kubelet in between.
    let said = innermost.run(&["-n", INSIDE, "exec", "p", "--", "sh", "-c", "echo $NAME $WORD"])?;
    ensure!(said.trim() == "p inside", "the pod says {said:?}");
    innermost.run(&["-n", INSIDE, "logs", "p"])?;
    eventually("the innermost Service leads to the pod", || {
        let endpoints = innermost.json(&["-n", INSIDE, "get", "endpoints", "p"])?;
        Ok((endpoints["subsets"][0]["addresses"][0]["ip"] == statuses[0].0).then_some(()))
    })?;
    // A label that is hidden on every layer still selects.
    let service = outside("p", INSIDE, 3);
    eventually("the outermost copy of the Service leads to it, too", || {
        let endpoints = host.json(&["-n", &service.1, "get", "endpoints", &service.0])?;
        Ok((endpoints["subsets"][0]["addresses"][0]["ip"] == statuses[0].0).then_some(()))
    })
}

fn every_layer_keeps_to_its_own(world: &World) -> Result<()> {
    for (layers, cluster) in CLUSTERS.iter().rev().enumerate() {
        let (_, namespace) = outside("p", INSIDE, layers);
        let pods = world.kubectl(cluster)?.json(&["get", "pods", "-A"])?;
        for pod in pods["items"].as_array().context("no list")? {
            ensure!(
                pod["metadata"]["namespace"] == namespace.as_str(),
                "{cluster} has {}",
                pod["metadata"]["name"]
            );
        }
    }
    let host = world.kubectl("host")?;
    let marks = host.json(&[
        "-n",
        "vcluster-vc-1",
        "get",
        "pods",
        "-l",
        "vcluster.loft.sh/managed-by=vc-1",
    ])?;
    ensure!(marks["items"].as_array().is_some_and(|pods| pods.len() == 1), "{marks}");
    Ok(())
}

fn what_is_inside_goes_with_the_outermost_namespace(world: &World) -> Result<()> {
    let host = world.kubectl("host")?;
    host.run(&["delete", "namespace", "vcluster-vc-1", "--timeout=60s"])?;
    let kinds = host.run(&["api-resources", "--verbs=list", "-o", "name"])?;
    eventually("no object of any virtual cluster is left", || {
        let mut left = Vec::new();
        for kind in kinds.lines().filter(|kind| !kind.contains("events")) {
            left.extend(host.names(&["get", kind, "-A", "-l", "vcluster.loft.sh/managed-by"])?);
        }
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })
}
