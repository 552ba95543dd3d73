//! Every service is killed without warning while an application is being rolled out; everything converges. And a node of the
//! host falls silent, which virtual clusters with nodes of their own learn from its pods.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, World, eventually, main as run};

const CASES: &[Case] = &[
    ("the_virtual_store_crashes", |world| crash(world, "vc-1/kine-shim")),
    ("the_virtual_apiserver_crashes", |world| crash(world, "vc-1/apiserver")),
    ("the_virtual_controller_manager_crashes", |world| {
        crash(world, "vc-1/controller-manager")
    }),
    ("the_syncer_crashes", |world| crash(world, "vc-1/syncer")),
    ("the_dns_crashes", |world| crash(world, "vc-1/dns")),
    ("the_host_store_crashes", |world| crash(world, "host/kine-shim")),
    ("the_host_apiserver_crashes", |world| crash(world, "host/apiserver")),
    ("the_host_controller_manager_crashes", |world| {
        crash(world, "host/controller-manager")
    }),
    ("the_host_scheduler_crashes", |world| crash(world, "host/scheduler")),
    ("nothing_acknowledged_is_lost", nothing_acknowledged_is_lost),
    ("a_silent_node_is_left", a_silent_node_is_left),
];

fn main() -> ExitCode {
    run("faults", 1, CASES)
}

const HOST_NAMESPACE: &str = "vcluster-vc-1";

/// Rolls an application out, kills `process` in the middle, expects every pod to be there once, on both sides.
fn crash(world: &World, process: &str) -> Result<()> {
    let namespace = process.replace('/', "-");
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.run(&["create", "namespace", &namespace])?;
    let manifest = format!(
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: {namespace}}}
data: {{a: b}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec:
  replicas: 6
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers: [{{name: web, image: nginx, envFrom: [{{configMapRef: {{name: settings}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {namespace}}}
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
"#
    );
    virtual_.apply(&manifest)?;
    let pause = world.crash(process)?;
    println!("    {process} was back after {} ms", pause.as_millis());
    eventually("the Deployment is ready", || {
        let deployment = virtual_.json(&["-n", &namespace, "get", "deployment", "web"])?;
        ensure!(deployment["status"]["readyReplicas"] == 6, "{}", deployment["status"]);
        Ok(Some(()))
    })?;
    eventually("every pod is in the host exactly once", || {
        let ours = virtual_.names(&["-n", &namespace, "get", "pods"])?;
        let expected: BTreeSet<String> = ours.iter().map(|name| format!("{name}-x-{namespace}-x-vc-1")).collect();
        let label = format!("vcluster.loft.sh/namespace={namespace}");
        let theirs: BTreeSet<String> = host
            .names(&["-n", HOST_NAMESPACE, "get", "pods", "-l", &label])?
            .into_iter()
            .collect();
        ensure!(
            ours.len() == 6 && expected == theirs,
            "virtual {ours:?}, host {theirs:?}"
        );
        Ok(Some(()))
    })?;
    eventually("the Service resolves", || {
        let service = virtual_.json(&["-n", &namespace, "get", "service", "web"])?;
        let address = service["spec"]["clusterIP"].as_str().context("no address")?.to_string();
        let dns = world.access("vc-1")?.dns.context("no DNS")?;
        let answer = std::process::Command::new("dig")
            .args([
                "+short",
                "+time=1",
                "+tries=1",
                &format!("@{}", dns.ip()),
                "-p",
                &dns.port().to_string(),
            ])
            .arg(format!("web.{namespace}.svc.cluster.local"))
            .output()
            .context("cannot start dig")?;
        let answer = String::from_utf8_lossy(&answer.stdout).trim().to_string();
        ensure!(answer == address, "{answer:?} instead of {address}");
        Ok(Some(()))
    })?;
    virtual_.run(&["delete", "namespace", &namespace, "--timeout=60s"])?;
    eventually("the host has nothing of it any more", || {
        let label = format!("vcluster.loft.sh/namespace={namespace}");
        let left = host.names(&["-n", HOST_NAMESPACE, "get", "pods,services,configmaps", "-l", &label])?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })
}

/// A node of the host that nobody simulates: this test says what its kubelet would, until it says nothing more.
const GHOST: &str = r#"
{"apiVersion":"v1","kind":"Node","metadata":{"name":"ghost","labels":{"ghost":"yes"}},
 "spec":{"taints":[{"key":"ghost","effect":"NoSchedule"}]},
 "status":{"capacity":{"cpu":"4","memory":"8Gi","pods":"10"},"allocatable":{"cpu":"4","memory":"8Gi","pods":"10"},
           "conditions":[{"type":"Ready","status":"True"}]}}
"#;
const LEASE: &str = r#"
{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"ghost","namespace":"kube-node-lease"},
 "spec":{"holderIdentity":"ghost","leaseDurationSeconds":40}}
"#;

/// The host takes the pods of a silent node out of service. From that the virtual cluster learns that its node is lost, taints it,
/// and sends pods away that do not tolerate that; their copies do, so that it is not the host which does so.
fn a_silent_node_is_left(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let silent = "node.kubernetes.io/unreachable";
    host.with_input(&["create", "-f", "-"], GHOST)?;
    let status = |kind: &[&str], status: &str| {
        let patch = format!(r#"{{"status":{status}}}"#);
        host.run(&[kind, &["--subresource=status", "--type=merge", "-p", &patch]].concat())
    };
    let node = ["patch", "node", "ghost"];
    let capacity = r#"{"cpu":"4","memory":"8Gi","pods":"10"}"#;
    let ready = |value: &str| {
        let conditions = format!(r#"[{{"type":"Ready","status":"{value}"}}]"#);
        status(
            &node,
            &format!(r#"{{"capacity":{capacity},"allocatable":{capacity},"conditions":{conditions}}}"#),
        )
    };
    ready("True")?;
    host.with_input(&["create", "-f", "-"], LEASE)?;
    virtual_.apply(&format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"lonely","namespace":"default"}},
            "spec":{{"nodeSelector":{{"ghost":"yes"}},"containers":[{{"name":"app","image":"nginx"}}],
                "tolerations":[{{"key":"ghost","operator":"Exists"}},{{"key":"{silent}","value":"never","effect":"NoExecute"}}]}}}}"#
    ))?;
    let copy = ["-n", HOST_NAMESPACE, "patch", "pod", "lonely-x-default-x-vc-1"];
    eventually("the pod is on the node", || {
        let pod = virtual_.json(&["get", "pod", "lonely"])?;
        Ok((pod["spec"]["nodeName"] == "ghost").then_some(()))
    })?;
    let stays = format!(
        r#"[{{"op":"add","path":"/spec/tolerations/-","value":{{"key":"{silent}","operator":"Exists","effect":"NoExecute"}}}}]"#
    );
    host.run(&[&copy[..], &["--type=json", "-p", &stays]].concat())?;
    status(
        &copy,
        r#"{"phase":"Running","startTime":"2026-01-01T00:00:00Z","podIP":"10.88.0.1","podIPs":[{"ip":"10.88.0.1"}],"conditions":[
        {"type":"PodScheduled","status":"True"},{"type":"Ready","status":"True"},{"type":"ContainersReady","status":"True"}]}"#,
    )?;
    let is_ready = |value: &str| -> Result<bool> {
        let node = virtual_.json(&["get", "node", "ghost"])?;
        let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
        Ok(conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == value))
    };
    eventually("the virtual node is ready", || Ok(is_ready("True")?.then_some(())))?;
    ready("Unknown")?;
    eventually("the virtual node is lost", || Ok(is_ready("Unknown")?.then_some(())))?;
    eventually("the pod is being sent away", || {
        let pod = virtual_.json(&["get", "pod", "lonely"])?;
        ensure!(pod["metadata"]["deletionTimestamp"].is_string(), "{}", pod["status"]);
        Ok(Some(()))
    })?;
    // Nobody is there who could end it. Who knows better may say that it has ended.
    let copy = ["-n", HOST_NAMESPACE, "delete", "pod", "lonely-x-default-x-vc-1"];
    host.run(&[&copy[..], &["--force", "--grace-period=0"]].concat())?;
    eventually("neither the pod nor the virtual node is left", || {
        let pods = virtual_.names(&["get", "pods"])?;
        let nodes = virtual_.names(&["get", "nodes"])?;
        ensure!(
            !pods.contains(&"lonely".to_owned()) && !nodes.contains(&"ghost".to_owned()),
            "{pods:?} {nodes:?}"
        );
        Ok(Some(()))
    })?;
    host.run(&["delete", "node", "ghost"])?;
    host.run(&["-n", "kube-node-lease", "delete", "lease", "ghost"])
        .map(drop)
}

/// Writes while the store and the API server are killed in turn: what was acknowledged is there afterwards.
fn nothing_acknowledged_is_lost(world: &World) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    let mut acknowledged = BTreeSet::new();
    for (round, victim) in ["vc-1/kine-shim", "vc-1/apiserver", "vc-1/kine-shim"]
        .into_iter()
        .enumerate()
    {
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let names = (0..15).map(|number| format!("kept-{round}-{number}"));
                names
                    .filter(|name| {
                        kubectl
                            .run(&["create", "configmap", name, "--from-literal=a=b"])
                            .is_ok()
                    })
                    .collect::<Vec<_>>()
            });
            world.crash(victim)?;
            acknowledged.extend(writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?);
            anyhow::Ok(())
        })?;
    }
    ensure!(
        acknowledged.len() > 10,
        "too little was written to tell: {}",
        acknowledged.len()
    );
    eventually("everything acknowledged is there", || {
        let there: BTreeSet<String> = kubectl.names(&["get", "configmaps"])?.into_iter().collect();
        let lost: Vec<&String> = acknowledged.difference(&there).collect();
        ensure!(lost.is_empty(), "lost: {lost:?}");
        Ok(Some(()))
    })
}
