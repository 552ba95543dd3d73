//! Every service is killed without warning while an application is being rolled out; everything converges.

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
