//! How virtual clusters end: what is left of them on the host is counted by its labels.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, Kubectl, World, configured, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const VALUES: &str = "
sync:
  toHost:
    priorityClasses: {enabled: true}
    storageClasses: {enabled: true}
    serviceAccounts: {enabled: true}
";

const CASES: &[Case] = &[
    (
        "a_stateful_set_without_its_dependents_takes_nothing_along",
        a_stateful_set_without_its_dependents_takes_nothing_along,
    ),
    (
        "a_stateful_set_takes_everything_along",
        a_stateful_set_takes_everything_along,
    ),
    ("rights_are_enough", World::rights_are_enough),
    ("a_namespace_takes_everything_along", a_namespace_takes_everything_along),
];

fn main() -> ExitCode {
    configured("endings", 2, VALUES, CASES)
}

/// Something of every sort.
const OBJECTS: &str = r#"
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: gold}
value: 7
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast}
provisioner: example.com/none
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot, namespace: default}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {a: "1"}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default, labels: {app: web}}
spec:
  priorityClassName: gold
  serviceAccountName: robot
  containers: [{name: app, image: nginx, envFrom: [{configMapRef: {name: settings}}]}]
"#;

/// What the host has of a virtual cluster, by labels: kinds and names.
fn inventory(host: &Kubectl, name: &str) -> Result<Vec<String>> {
    let namespace = format!("vcluster-{name}");
    let (own, outside) = (
        format!("vcluster.loft.sh/managed-by={name}"),
        format!("vcluster.loft.sh/managed-by={namespace}-x-{name}"),
    );
    let exported = format!("vcluster-name={name}");
    let inside = "pods,services,endpoints,endpointslices,configmaps,secrets,serviceaccounts,persistentvolumeclaims";
    let wide = "priorityclasses,storageclasses,persistentvolumes";
    let mut found = Vec::new();
    for arguments in [
        ["-n", &namespace, "get", inside, "-l", &own],
        ["-n", &namespace, "get", "secrets", "-l", &exported],
        ["-n", &namespace, "get", wide, "-l", &outside],
    ] {
        let list = host.json(&arguments)?;
        let items = list["items"].as_array().context("no list")?.iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        found.extend(items.map(|item| format!("{} {}", text(&item["kind"]), text(&item["metadata"]["name"]))));
    }
    found.sort();
    Ok(found)
}

/// Fills a virtual cluster; returns its inventory once all of it is on the host.
fn filled(world: &World, name: &str) -> Result<Vec<String>> {
    let (virtual_, host) = (world.kubectl(name)?, world.kubectl("host")?);
    virtual_.apply(OBJECTS)?;
    eventually("the pod runs", || {
        Ok((virtual_.json(&["get", "pod", "web"])?["status"]["phase"] == "Running").then_some(()))
    })?;
    let own = |object: &str| object.replace("NAME", name);
    let expected = [
        "ConfigMap settings-x-default-x-NAME",
        "Pod web-x-default-x-NAME",
        "PriorityClass vcluster-gold-x-vcluster-NAME-x-NAME",
        "Secret vc-NAME",
        "Service web-x-default-x-NAME",
        "ServiceAccount robot-x-default-x-NAME",
        "StorageClass vcluster-fast-x-vcluster-NAME-x-NAME",
    ];
    eventually("everything is on the host", || {
        let found = inventory(&host, name)?;
        let missing = expected
            .iter()
            .map(|object| own(object))
            .find(|object| !found.contains(object));
        ensure!(missing.is_none(), "{missing:?} is not among {found:?}");
        Ok(Some(found))
    })
}

/// Gives the virtual cluster a StatefulSet, as a deployment has it, and waits until it owns the Service.
fn with_stateful_set(world: &World) -> Result<()> {
    let host = world.kubectl("host")?;
    host.apply(
        r#"{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"vc-1","namespace":"vcluster-vc-1"},
            "spec":{"replicas":0,"serviceName":"vc-1","selector":{"matchLabels":{"app":"vcluster"}},
                "template":{"metadata":{"labels":{"app":"vcluster"}},"spec":{"containers":[{"name":"a","image":"a"}]}}}}"#,
    )?;
    // As in a Pod of it, the syncer starts when it is there.
    world.crash("vc-1/syncer")?;
    eventually("it owns the Service", || {
        Ok((owners(&host)? == ["StatefulSet"]).then_some(()))
    })
}

/// The kinds of the owners of the control plane's Service.
fn owners(host: &Kubectl) -> Result<Vec<String>> {
    let service = host.json(&["-n", "vcluster-vc-1", "get", "service", "vc-1"])?;
    let owners = service["metadata"]["ownerReferences"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    Ok(owners
        .iter()
        .map(|owner| owner["kind"].as_str().unwrap_or_default().to_owned())
        .collect())
}

fn a_stateful_set_without_its_dependents_takes_nothing_along(world: &World) -> Result<()> {
    let host = world.kubectl("host")?;
    with_stateful_set(world)?;
    let before = filled(world, "vc-1")?;
    host.run(&[
        "-n",
        "vcluster-vc-1",
        "delete",
        "statefulset",
        "vc-1",
        "--cascade=orphan",
    ])?;
    eventually("nothing owns the Service", || {
        Ok(owners(&host)?.is_empty().then_some(()))
    })?;
    let syncer = world.process("vc-1/syncer")?;
    let pid = syncer.pid.and_then(Pid::from_raw).context("the syncer does not run")?;
    kill_process(pid, Signal::TERM)?;
    eventually("the syncer has ended and another one runs", || {
        let now = world.process("vc-1/syncer")?;
        Ok((now.restarts > syncer.restarts && now.health == e2e::process::Health::Ready).then_some(()))
    })?;
    let after = inventory(&host, "vc-1")?;
    ensure!(after == before, "{before:?} has become {after:?}");
    Ok(())
}

fn a_stateful_set_takes_everything_along(world: &World) -> Result<()> {
    let host = world.kubectl("host")?;
    with_stateful_set(world)?;
    filled(world, "vc-1")?;
    let others = filled(world, "vc-2")?;
    host.run(&["-n", "vcluster-vc-1", "delete", "statefulset", "vc-1"])?;
    eventually("nothing is left", || {
        let left = inventory(&host, "vc-1")?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })?;
    ensure!(
        host.run(&["-n", "vcluster-vc-1", "get", "service", "vc-1"]).is_err(),
        "the Service is left"
    );
    let now = inventory(&host, "vc-2")?;
    ensure!(
        now == others,
        "of another virtual cluster, {others:?} has become {now:?}"
    );
    Ok(())
}

fn a_namespace_takes_everything_along(world: &World) -> Result<()> {
    let host = world.kubectl("host")?;
    filled(world, "vc-2")?;
    host.run(&["delete", "namespace", "vcluster-vc-2", "--wait=false"])?;
    eventually("nothing is left", || {
        let left = inventory(&host, "vc-2")?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })?;
    eventually("the namespace is gone", || {
        let names = host.names(&["get", "namespaces"])?;
        Ok((!names.contains(&"vcluster-vc-2".to_owned())).then_some(()))
    })
}
