//! Volumes of the host that are shown, and those of a virtual cluster that have copies there. The test binds claims as the
//! host's controller would.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use e2e::suite::{Case, Kubectl, World, configured, eventually};
use serde_json::Value;

const HOST_NAMESPACE: &str = "vcluster-vc-1";

const VALUES: &str = "
sync:
  toHost:
    persistentVolumes: {enabled: true}
    configMaps: {enabled: false}
  fromHost:
    csiStorageCapacities: {enabled: true}
";

const CASES: &[Case] = &[
    (
        "a_volume_of_the_host_is_shown_with_its_claim",
        a_volume_of_the_host_is_shown_with_its_claim,
    ),
    (
        "a_volume_that_somebody_made_has_a_copy",
        a_volume_that_somebody_made_has_a_copy,
    ),
    (
        "what_is_switched_off_stays_where_it_is",
        what_is_switched_off_stays_where_it_is,
    ),
    ("capacities_are_shown", capacities_are_shown),
];

fn main() -> ExitCode {
    configured("volumes", 1, VALUES, CASES)
}

/// An object of a cluster, as soon as it is there.
fn found(cluster: &Kubectl, what: &[&str]) -> Result<Value> {
    eventually(&format!("there is {}", what.join(" ")), || Ok(cluster.json(what).ok()))
}

fn patch_status(cluster: &Kubectl, what: &[&str], status: &str) -> Result<()> {
    let flags = ["--type=merge", "--subresource=status", "-p", status];
    cluster.run(&[what, &flags[..]].concat()).map(drop)
}

fn a_volume_of_the_host_is_shown_with_its_claim(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data","namespace":"default"},
            "spec":{"storageClassName":"fast","accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}"#,
    )?;
    let name = "data-x-default-x-vc-1";
    let copy = found(&host, &["-n", HOST_NAMESPACE, "get", "pvc", name])?;
    let uid = copy["metadata"]["uid"].as_str().unwrap_or_default();
    host.apply(&format!(
        r#"{{"apiVersion":"v1","kind":"PersistentVolume","metadata":{{"name":"pvc-made"}},"spec":{{
            "capacity":{{"storage":"1Gi"}},"accessModes":["ReadWriteOnce"],"storageClassName":"fast",
            "hostPath":{{"path":"/nowhere"}},"persistentVolumeReclaimPolicy":"Retain",
            "claimRef":{{"namespace":"{HOST_NAMESPACE}","name":"{name}","uid":"{uid}"}}}}}}"#
    ))?;
    patch_status(&host, &["patch", "pv", "pvc-made"], r#"{"status":{"phase":"Bound"}}"#)?;
    let claim = ["-n", HOST_NAMESPACE, "patch", "pvc", name];
    host.run(
        &[
            &claim[..],
            &["--type=merge", "-p", r#"{"spec":{"volumeName":"pvc-made"}}"#],
        ]
        .concat(),
    )?;
    patch_status(
        &host,
        &claim,
        r#"{"status":{"phase":"Bound","capacity":{"storage":"1Gi"}}}"#,
    )?;
    eventually("the claim is bound in the virtual cluster, too", || {
        let claim = virtual_.json(&["get", "pvc", "data"])?;
        let bound = claim["spec"]["volumeName"] == "pvc-made" && claim["status"]["phase"] == "Bound";
        Ok(bound.then_some(()))
    })?;
    let volume = eventually("the volume is shown as bound", || {
        let volume = virtual_.json(&["get", "pv", "pvc-made"])?;
        Ok((volume["status"]["phase"] == "Bound").then_some(volume))
    })?;
    let claim = &volume["spec"]["claimRef"];
    ensure!(
        claim["namespace"] == "default" && claim["name"] == "data",
        "it belongs to {claim}"
    );

    virtual_.run(&["delete", "pvc", "data", "--wait=false"])?;
    eventually("the host's claim goes", || {
        let left = host.names(&["-n", HOST_NAMESPACE, "get", "pvc"])?;
        Ok(left.is_empty().then_some(()))
    })?;
    patch_status(
        &host,
        &["patch", "pv", "pvc-made"],
        r#"{"status":{"phase":"Released"}}"#,
    )?;
    virtual_.run(&["delete", "pv", "pvc-made", "--wait=false"])?;
    eventually("a volume that is kept goes when the tenant wants it to", || {
        let left = [virtual_.names(&["get", "pv"])?, host.names(&["get", "pv"])?].concat();
        Ok(left.is_empty().then_some(()))
    })
}

fn a_volume_that_somebody_made_has_a_copy(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"share"},"spec":{"capacity":{"storage":"1Gi"},
            "accessModes":["ReadWriteMany"],"storageClassName":"manual","nfs":{"server":"192.0.2.1","path":"/"}}}"#,
    )?;
    let name = "vcluster-share-x-vcluster-vc-1-x-vc-1";
    let copy = found(&host, &["get", "pv", name])?;
    let class = &copy["spec"]["storageClassName"];
    ensure!(
        *class == "vcluster-manual-x-vcluster-vc-1-x-vc-1",
        "its class is {class}"
    );
    patch_status(&host, &["patch", "pv", name], r#"{"status":{"phase":"Available"}}"#)?;
    eventually("its status comes back", || {
        Ok((virtual_.json(&["get", "pv", "share"])?["status"]["phase"] == "Available").then_some(()))
    })?;
    virtual_.run(&["delete", "pv", "share", "--wait=false"])?;
    eventually("the copy goes with it", || {
        let left = host.names(&["get", "pv"])?;
        Ok((!left.iter().any(|volume| volume.ends_with(name))).then_some(()))
    })
}

fn what_is_switched_off_stays_where_it_is(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings","namespace":"default"},"data":{"a":"b"}},
            {"apiVersion":"v1","kind":"Pod","metadata":{"name":"app","namespace":"default"},"spec":{"containers":[
                {"name":"c","image":"i","envFrom":[{"configMapRef":{"name":"settings","optional":true}}]}]}}]}"#,
    )?;
    let pod = found(&host, &["-n", HOST_NAMESPACE, "get", "pod", "app-x-default-x-vc-1"])?;
    let reference = &pod["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"];
    ensure!(*reference == "settings-x-default-x-vc-1", "the pod names {reference}");
    let copies = host.names(&["-n", HOST_NAMESPACE, "get", "configmaps"])?;
    ensure!(copies.iter().all(|name| !name.contains("settings")), "{copies:?}");
    virtual_
        .run(&["delete", "pod/app", "configmap/settings", "--timeout=60s"])
        .map(drop)
}

fn capacities_are_shown(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    host.apply(
        r#"{"apiVersion":"storage.k8s.io/v1","kind":"CSIStorageCapacity","metadata":{"name":"room","namespace":"default"},
            "storageClassName":"fast","capacity":"5Gi"}"#,
    )?;
    let shown = found(
        &virtual_,
        &["-n", "kube-system", "get", "csistoragecapacity", "room-x-default"],
    )?;
    ensure!(shown["capacity"] == "5Gi", "{shown}");
    host.run(&["-n", "default", "delete", "csistoragecapacity", "room"])?;
    eventually("what is gone is not shown", || {
        let left = virtual_.names(&["-n", "kube-system", "get", "csistoragecapacities"])?;
        Ok(left.is_empty().then_some(()))
    })
}
