//! The main job: an application in the virtual cluster, its pods in one namespace of the host.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, Kubectl, World, eventually, main as run};
use serde_json::Value;

const HOST_NAMESPACE: &str = "vcluster-vc-1";

const CASES: &[Case] = &[
    ("the_examples_become_ready", the_examples_become_ready),
    ("pods_are_translated", pods_are_translated),
    ("status_flows_back", status_flows_back),
    ("names_resolve", names_resolve),
    ("only_used_objects_are_copied", only_used_objects_are_copied),
    (
        "a_changed_config_map_reaches_the_host",
        a_changed_config_map_reaches_the_host,
    ),
    (
        "a_host_object_that_is_not_ours_is_not_touched",
        a_host_object_that_is_not_ours_is_not_touched,
    ),
    (
        "a_pod_deleted_in_the_host_is_replaced",
        a_pod_deleted_in_the_host_is_replaced,
    ),
    ("a_claim_is_bound_by_the_host", a_claim_is_bound_by_the_host),
    (
        "deleting_everything_leaves_nothing_behind",
        deleting_everything_leaves_nothing_behind,
    ),
    ("rights_are_enough", World::rights_are_enough),
];

fn main() -> ExitCode {
    run("application", 1, CASES)
}

fn examples() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../examples")
}

fn the_examples_become_ready(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    virtual_.run(&["apply", "-f", examples()])?;
    virtual_.run(&["-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s"])?;
    virtual_.run(&["-n", "shop", "rollout", "status", "statefulset/db", "--timeout=60s"])?;
    virtual_.run(&["-n", "shop", "rollout", "status", "daemonset/agent", "--timeout=60s"])?;
    virtual_.run(&[
        "-n",
        "shop",
        "wait",
        "--for=condition=complete",
        "job/report",
        "--timeout=60s",
    ])?;
    let before = versions(&virtual_)?;
    virtual_.run(&["apply", "-f", examples()])?;
    let after = versions(&virtual_)?;
    ensure!(
        before == after,
        "a second apply changes something: {before:?} {after:?}"
    );
    Ok(())
}

/// What the examples consist of, with resource versions.
fn versions(kubectl: &Kubectl) -> Result<Vec<String>> {
    let list = kubectl.json(&["get", "-f", examples()])?;
    let items = list["items"].as_array().context("no list")?;
    let version = |item: &Value| format!("{} {}", item["kind"], item["metadata"]["resourceVersion"]);
    Ok(items.iter().map(version).collect())
}

fn pods_are_translated(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    for name in virtual_.names(&["-n", "shop", "get", "pods"])? {
        let twin = host.json(&["-n", HOST_NAMESPACE, "get", "pod", &format!("{name}-x-shop-x-vc-1")])?;
        let label = |key: &str| twin["metadata"]["labels"][key].as_str().unwrap_or_default().to_string();
        ensure!(
            label("vcluster.loft.sh/managed-by") == "vc-1",
            "{name}: {}",
            twin["metadata"]
        );
        ensure!(
            label("vcluster.loft.sh/namespace") == "shop",
            "{name}: {}",
            twin["metadata"]
        );
        let annotations = &twin["metadata"]["annotations"];
        ensure!(
            annotations["vcluster.loft.sh/object-name"] == name.as_str(),
            "{name}: {annotations}"
        );
    }
    let workloads = host.names(&[
        "-n",
        HOST_NAMESPACE,
        "get",
        "deployments,statefulsets,daemonsets,replicasets,jobs",
    ])?;
    ensure!(
        workloads.is_empty(),
        "workloads must stay in the virtual cluster, the host has {workloads:?}"
    );
    Ok(())
}

fn status_flows_back(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let pods = virtual_.json(&["-n", "shop", "get", "pods", "-l", "app=web"])?;
    for pod in pods["items"].as_array().context("no pods")? {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let twin = host.json(&["-n", HOST_NAMESPACE, "get", "pod", &format!("{name}-x-shop-x-vc-1")])?;
        for field in ["podIP", "phase", "startTime"] {
            ensure!(pod["status"][field] == twin["status"][field], "{name}: {field} differs");
        }
        ensure!(
            pod["spec"]["nodeName"] == twin["spec"]["nodeName"],
            "{name} is on another node"
        );
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        virtual_.run(&["get", "node", node])?;
    }
    eventually("the Job's pod shows its exit code", || {
        let pods = virtual_.json(&["-n", "shop", "get", "pods", "-l", "job-name=report"])?;
        let status = &pods["items"][0]["status"];
        let code = &status["containerStatuses"][0]["state"]["terminated"]["exitCode"];
        Ok((status["phase"] == "Succeeded" && *code == 0).then_some(()))
    })?;
    eventually("events of the host's pods are shown", || {
        let events = virtual_.run(&["-n", "shop", "get", "events"])?;
        Ok(events.contains("Started container web").then_some(()))
    })
}

/// What the virtual cluster's DNS answers.
fn dig(world: &World, arguments: &[&str]) -> Result<Vec<String>> {
    let dns = world.access("vc-1")?.dns.context("vc-1 has no DNS")?;
    let (server, port) = (format!("@{}", dns.ip()), dns.port().to_string());
    let output = Command::new("dig")
        .args(["+short", "+time=2", "+tries=1", &server, "-p", &port])
        .args(arguments)
        .output();
    let output = output.context("cannot start dig")?;
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_string)
        .collect();
    lines.sort();
    Ok(lines)
}

fn names_resolve(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    let service = virtual_.json(&["-n", "shop", "get", "service", "web"])?;
    let address = service["spec"]["clusterIP"]
        .as_str()
        .context("web has no address")?
        .to_string();
    for transport in ["+notcp", "+tcp"] {
        eventually("web resolves to its address", || {
            Ok((dig(world, &[transport, "web.shop.svc.cluster.local", "A"])? == [address.as_str()]).then_some(()))
        })?;
    }
    let pod = |name: &str| -> Result<String> {
        let pod = virtual_.json(&["-n", "shop", "get", "pod", name])?;
        Ok(pod["status"]["podIP"]
            .as_str()
            .context("a pod has no address")?
            .to_string())
    };
    let (first, second) = (pod("db-0")?, pod("db-1")?);
    eventually("a StatefulSet's pods have names", || {
        Ok((dig(world, &["db-0.db.shop.svc.cluster.local"])? == [first.as_str()]).then_some(()))
    })?;
    let mut both = vec![first.clone(), second];
    both.sort();
    ensure!(
        dig(world, &["db.shop.svc.cluster.local"])? == both,
        "the headless Service is not all its pods"
    );
    let ports = dig(world, &["_http._tcp.web.shop.svc.cluster.local", "SRV"])?;
    ensure!(ports == ["0 100 80 web.shop.svc.cluster.local."], "{ports:?}");
    let reverse = dig(world, &["-x", &address])?;
    ensure!(reverse == ["web.shop.svc.cluster.local."], "{reverse:?}");
    let dashed = format!("{}.shop.pod.cluster.local", first.replace('.', "-"));
    ensure!(
        dig(world, &[&dashed])? == [first.as_str()],
        "a pod's address has no name"
    );
    ensure!(
        dig(world, &["nobody.shop.svc.cluster.local"])?.is_empty(),
        "an unknown name resolves"
    );
    Ok(())
}

fn only_used_objects_are_copied(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.run(&["-n", "shop", "create", "configmap", "unused", "--from-literal=a=b"])?;
    host.run(&["-n", HOST_NAMESPACE, "get", "configmap", "settings-x-shop-x-vc-1"])?;
    let secret = host.json(&["-n", HOST_NAMESPACE, "get", "secret", "credentials-x-shop-x-vc-1"])?;
    ensure!(secret["data"]["username"] == "c2hvcA==", "{}", secret["data"]);
    let names = host.names(&["-n", HOST_NAMESPACE, "get", "configmaps"])?;
    ensure!(
        !names.iter().any(|name| name.starts_with("unused")),
        "an unused ConfigMap was copied: {names:?}"
    );
    Ok(())
}

fn a_changed_config_map_reaches_the_host(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let patch = r#"{"data":{"greeting":"changed"}}"#;
    virtual_.run(&[
        "-n",
        "shop",
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        patch,
    ])?;
    eventually("the host's copy has changed", || {
        let copy = host.json(&["-n", HOST_NAMESPACE, "get", "configmap", "settings-x-shop-x-vc-1"])?;
        Ok((copy["data"]["greeting"] == "changed").then_some(()))
    })
}

/// A ConfigMap, a Service and a Pod of somebody else have the host names of virtual ones.
fn a_host_object_that_is_not_ours_is_not_touched(world: &World) -> Result<()> {
    const FOREIGN: &str = "taken-x-shop-x-vc-1";
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let manifest = |name: &str, namespace: &str, owner: &str| {
        format!(
            r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, namespace: {namespace}}}
data: {{owner: {owner}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{ports: [{{port: 80}}], selector: {{app: {owner}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{containers: [{{name: c, image: {owner}}}]}}
"#
        )
    };
    host.apply(&manifest(FOREIGN, HOST_NAMESPACE, "somebody"))?;
    let ready = [
        "wait",
        "--for=condition=Ready",
        "--timeout=60s",
        "-n",
        HOST_NAMESPACE,
        "pod",
    ];
    host.run(&[&ready[..], &[FOREIGN]].concat())?;
    let kinds = ["configmap", "service", "pod"];
    let foreign = || -> Result<Vec<Value>> {
        let get = |kind| host.json(&["-n", HOST_NAMESPACE, "get", kind, FOREIGN]);
        kinds.into_iter().map(get).collect()
    };
    let before = foreign()?;
    virtual_.apply(&manifest("taken", "shop", "us"))?;
    // A ConfigMap is synced once a Pod uses it.
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"user","namespace":"shop"},"spec":{"containers":[
            {"name":"c","image":"i","envFrom":[{"configMapRef":{"name":"taken"}}]}]}}"#,
    )?;
    eventually("events say that the names are taken", || {
        let events = virtual_.json(&["-n", "shop", "get", "events"])?;
        let items = events["items"].as_array().context("no events")?;
        let told = |kind: &str| {
            items.iter().any(|event| {
                let about = &event["involvedObject"];
                event["type"] == "Warning"
                    && event["reason"] == "SyncError"
                    && about["name"] == "taken"
                    && about["kind"]
                        .as_str()
                        .is_some_and(|about| about.eq_ignore_ascii_case(kind))
            })
        };
        let silent: Vec<&str> = kinds.into_iter().filter(|kind| !told(kind)).collect();
        ensure!(silent.is_empty(), "no event about {silent:?}");
        Ok(Some(()))
    })?;
    let ours = ["pod/user", "pod/taken", "configmap/taken", "service/taken"];
    virtual_.run(&[&["-n", "shop", "delete", "--timeout=60s"], &ours[..]].concat())?;
    let after = foreign()?;
    ensure!(before == after, "foreign objects were changed: {before:?} {after:?}");
    let theirs = kinds.map(|kind| format!("{kind}/{FOREIGN}"));
    let mut delete = vec!["-n", HOST_NAMESPACE, "delete", "--timeout=60s"];
    delete.extend(theirs.iter().map(String::as_str));
    host.run(&delete).map(|_| ())
}

fn a_pod_deleted_in_the_host_is_replaced(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let web = ["-n", "shop", "get", "pods", "-l", "app=web"];
    let victim = virtual_.names(&web)?.first().cloned().context("no pod of web")?;
    host.run(&[
        "-n",
        HOST_NAMESPACE,
        "delete",
        "pod",
        &format!("{victim}-x-shop-x-vc-1"),
        "--timeout=60s",
    ])?;
    eventually("the Deployment has three pods again, without the deleted one", || {
        let names = virtual_.names(&web)?;
        Ok((names.len() == 3 && !names.contains(&victim)).then_some(()))
    })?;
    virtual_
        .run(&["-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s"])
        .map(|_| ())
}

/// The host has nothing that provides volumes, so the test says what a provisioner would say.
fn a_claim_is_bound_by_the_host(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data","namespace":"shop"},
             "spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}},
            {"apiVersion":"v1","kind":"Pod","metadata":{"name":"reader","namespace":"shop"},"spec":{
             "containers":[{"name":"c","image":"i","volumeMounts":[{"name":"data","mountPath":"/data"}]}],
             "volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"data"}}]}}]}"#,
    )?;
    let copy = [
        "-n",
        HOST_NAMESPACE,
        "get",
        "persistentvolumeclaim",
        "data-x-shop-x-vc-1",
    ];
    eventually("the host has the claim", || Ok(host.json(&copy).ok()))?;
    let pod = eventually("the host has the pod", || {
        Ok(host
            .json(&["-n", HOST_NAMESPACE, "get", "pod", "reader-x-shop-x-vc-1"])
            .ok())
    })?;
    let claim = &pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"];
    ensure!(claim == "data-x-shop-x-vc-1", "the pod uses {claim}");

    let patch = |more: &[&str]| {
        let target = [
            "-n",
            HOST_NAMESPACE,
            "patch",
            "persistentvolumeclaim",
            "data-x-shop-x-vc-1",
            "--type=merge",
        ];
        host.run(&[&target[..], more].concat())
    };
    patch(&["-p", r#"{"spec":{"volumeName":"volume-7"}}"#])?;
    patch(&[
        "--subresource=status",
        "-p",
        r#"{"status":{"phase":"Bound","capacity":{"storage":"2Gi"}}}"#,
    ])?;
    eventually("the claim and its volume are bound in the virtual cluster", || {
        let claim = virtual_.json(&["-n", "shop", "get", "persistentvolumeclaim", "data"])?;
        let volume = virtual_
            .json(&["get", "persistentvolume", "volume-7"])
            .unwrap_or_default();
        let bound = |object: &Value| object["status"]["phase"] == "Bound";
        let agree = claim["spec"]["volumeName"] == "volume-7" && volume["spec"]["claimRef"]["name"] == "data";
        Ok((bound(&claim) && bound(&volume) && agree).then_some(()))
    })?;

    virtual_.run(&[
        "-n",
        "shop",
        "delete",
        "pod/reader",
        "persistentvolumeclaim/data",
        "--timeout=60s",
    ])?;
    eventually(
        "the claim is gone from the host, and the volume from the virtual cluster",
        || {
            let gone = host.json(&copy).is_err() && virtual_.json(&["get", "persistentvolume", "volume-7"]).is_err();
            Ok(gone.then_some(()))
        },
    )
}

/// Objects in the host that belong to the virtual namespace `shop`.
fn left_in_host(host: &Kubectl) -> Result<Vec<String>> {
    let kinds = "pods,services,endpoints,endpointslices,configmaps,secrets,persistentvolumeclaims";
    host.names(&[
        "-n",
        HOST_NAMESPACE,
        "get",
        kinds,
        "-l",
        "vcluster.loft.sh/namespace=shop",
    ])
}

fn deleting_everything_leaves_nothing_behind(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    ensure!(!left_in_host(&host)?.is_empty(), "the host has nothing of shop already");
    virtual_.run(&["delete", "namespace", "shop", "--timeout=120s"])?;
    eventually("the host has nothing of the namespace any more", || {
        let left = left_in_host(&host)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })
}
