//! Kinds that are synced when vcluster.yaml says so.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use e2e::suite::{Case, Kubectl, World, configured, eventually};
use serde_json::Value;

const HOST_NAMESPACE: &str = "vcluster-vc-1";

const VALUES: &str = "
sync:
  toHost:
    ingresses: {enabled: true}
    networkPolicies: {enabled: true}
    podDisruptionBudgets: {enabled: true}
    priorityClasses: {enabled: true}
    serviceAccounts: {enabled: true}
  fromHost:
    runtimeClasses: {enabled: true}
    storageClasses:
      enabled: true
      selector: {matchLabels: {tenants: 'yes'}}
";

const CASES: &[Case] = &[
    (
        "objects_reach_the_host_and_leave_it",
        objects_reach_the_host_and_leave_it,
    ),
    ("an_ingress_gets_its_address", an_ingress_gets_its_address),
    (
        "pods_have_their_own_accounts_and_classes",
        pods_have_their_own_accounts_and_classes,
    ),
    ("selected_classes_are_shown", selected_classes_are_shown),
    (
        "a_class_that_is_not_shown_is_not_used",
        a_class_that_is_not_shown_is_not_used,
    ),
    (
        "kubelets_say_what_the_host_keeps_from_them",
        kubelets_say_what_the_host_keeps_from_them,
    ),
    ("rights_are_enough", World::rights_are_enough),
];

fn main() -> ExitCode {
    configured("synced", 1, VALUES, CASES)
}

/// An object of the host, as soon as it is there.
fn copy(host: &Kubectl, kind: &str, name: &str) -> Result<Value> {
    eventually(&format!("the host has {kind} {name}"), || {
        Ok(host.json(&["-n", HOST_NAMESPACE, "get", kind, name]).ok())
    })
}

fn objects_reach_the_host_and_leave_it(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.run(&["create", "namespace", "shop"])?;
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"v1","kind":"Secret","metadata":{"name":"cert","namespace":"shop"},"stringData":{"a":"b"}},
            {"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"web","namespace":"shop"},
             "spec":{"tls":[{"secretName":"cert"}],"defaultBackend":{"service":{"name":"web","port":{"number":80}}}}},
            {"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"deny","namespace":"shop"},
             "spec":{"podSelector":{},"policyTypes":["Ingress"]}},
            {"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"two","namespace":"shop"},
             "spec":{"minAvailable":2,"selector":{"matchLabels":{"app":"web"}}}},
            {"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot","namespace":"shop"}}]}"#,
    )?;
    let ingress = copy(&host, "ingress", "web-x-shop-x-vc-1")?;
    let secret = &ingress["spec"]["tls"][0]["secretName"];
    ensure!(secret == "cert-x-shop-x-vc-1", "the ingress names {secret}");
    copy(&host, "secret", "cert-x-shop-x-vc-1")?;
    let policy = copy(&host, "networkpolicy", "deny-x-shop-x-vc-1")?;
    let marks = &policy["spec"]["podSelector"]["matchLabels"];
    ensure!(
        marks["vcluster.loft.sh/namespace"] == "shop",
        "the policy selects {marks}"
    );
    copy(&host, "poddisruptionbudget", "two-x-shop-x-vc-1")?;
    let account = copy(&host, "serviceaccount", "robot-x-shop-x-vc-1")?;
    ensure!(
        account["automountServiceAccountToken"] == false,
        "the account has a token"
    );

    virtual_.run(&["delete", "namespace", "shop", "--timeout=60s"])?;
    let kinds = "ingresses,secrets,networkpolicies,poddisruptionbudgets,serviceaccounts";
    eventually("the host has nothing of the namespace any more", || {
        let left = host.names(&[
            "-n",
            HOST_NAMESPACE,
            "get",
            kinds,
            "-l",
            "vcluster.loft.sh/namespace=shop",
        ])?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })
}

fn an_ingress_gets_its_address(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.apply(
        r#"{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"site","namespace":"default"},
            "spec":{"defaultBackend":{"service":{"name":"site","port":{"number":80}}}}}"#,
    )?;
    copy(&host, "ingress", "site-x-default-x-vc-1")?;
    let status = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7"}]}}}"#;
    let ingress = [
        "-n",
        HOST_NAMESPACE,
        "patch",
        "ingress",
        "site-x-default-x-vc-1",
        "--type=merge",
    ];
    host.run(&[&ingress[..], &["--subresource=status", "-p", status]].concat())?;
    eventually("the address is shown in the virtual cluster", || {
        let shown = virtual_.json(&["get", "ingress", "site"])?;
        Ok((shown["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.7").then_some(()))
    })?;
    virtual_.run(&["delete", "ingress", "site"]).map(|_| ())
}

fn pods_have_their_own_accounts_and_classes(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":"urgent"},"value":1000},
            {"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot","namespace":"default"}}]}"#,
    )?;
    let class = eventually("the host has the class", || {
        Ok(host
            .json(&["get", "priorityclass", "vcluster-urgent-x-vcluster-vc-1-x-vc-1"])
            .ok())
    })?;
    ensure!(class["value"] == 1000, "the class has value {}", class["value"]);
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"job","namespace":"default"},"spec":{
            "serviceAccountName":"robot","priorityClassName":"urgent","containers":[{"name":"c","image":"i"}]}}"#,
    )?;
    let pod = copy(&host, "pod", "job-x-default-x-vc-1")?;
    let spec = &pod["spec"];
    ensure!(spec["serviceAccountName"] == "robot-x-default-x-vc-1", "{spec}");
    ensure!(
        spec["priorityClassName"] == "vcluster-urgent-x-vcluster-vc-1-x-vc-1",
        "{spec}"
    );
    ensure!(spec["priority"] == 1000, "{spec}");
    virtual_.run(&[
        "delete",
        "pod/job",
        "serviceaccount/robot",
        "priorityclass/urgent",
        "--timeout=60s",
    ])?;
    eventually("the class is gone from the host", || {
        let left = host.names(&[
            "get",
            "priorityclasses",
            "-l",
            "vcluster.loft.sh/managed-by=vcluster-vc-1-x-vc-1",
        ])?;
        Ok(left.iter().all(|name| !name.contains("urgent")).then_some(()))
    })
}

/// A storage class of the host.
fn storage_class(name: &str, tenants: &str) -> String {
    format!(
        r#"{{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{{"name":"{name}","labels":{{"tenants":"{tenants}"}}}},
            "provisioner":"csi.example.com"}}"#
    )
}

fn selected_classes_are_shown(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    host.apply(&storage_class("hidden", "no"))?;
    host.apply(&storage_class("fast", "yes"))?;
    let runtime =
        r#"{"apiVersion":"node.k8s.io/v1","kind":"RuntimeClass","metadata":{"name":"sandbox"},"handler":"runsc"}"#;
    host.apply(runtime)?;
    eventually("the classes are shown", || {
        let shown = virtual_.names(&["get", "storageclasses,runtimeclasses"])?;
        Ok((shown.len() == 2).then_some(()))
    })?;
    virtual_.run(&[
        "patch",
        "storageclass",
        "fast",
        "-p",
        r#"{"allowVolumeExpansion":true}"#,
    ])?;
    eventually("what the tenant has changed is changed back", || {
        let class = virtual_.json(&["get", "storageclass", "fast"])?;
        Ok((class["allowVolumeExpansion"] != true).then_some(()))
    })?;
    host.run(&["delete", "runtimeclass", "sandbox"])?;
    eventually("a class that is gone is not shown", || {
        Ok(virtual_.names(&["get", "runtimeclasses"])?.is_empty().then_some(()))
    })
}

fn a_class_that_is_not_shown_is_not_used(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data","namespace":"default"},
            "spec":{"storageClassName":"hidden","accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}"#,
    )?;
    eventually("an event says why the claim is not synced", || {
        let about = "involvedObject.name=data,reason=SyncWarning";
        let events = virtual_.json(&["get", "events", "--field-selector", about])?;
        let text = events["items"][0]["message"].as_str().unwrap_or_default();
        Ok(text.contains("'sync.fromHost.storageClasses.selector'").then_some(()))
    })?;
    let claims = host.names(&["-n", HOST_NAMESPACE, "get", "persistentvolumeclaims"])?;
    ensure!(claims.is_empty(), "{claims:?}");
    virtual_
        .run(&["delete", "persistentvolumeclaim", "data", "--timeout=60s"])
        .map(|_| ())
}

/// Without nodes of the host the syncer has no right to their kubelets.
fn kubelets_say_what_the_host_keeps_from_them(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"still","namespace":"default"},
            "spec":{"containers":[{"name":"c","image":"i"}]}}"#,
    )?;
    let node = eventually("the pod runs", || {
        let pod = virtual_.json(&["get", "pod", "still"])?;
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        Ok((pod["status"]["phase"] == "Running").then_some(node))
    })?;
    let proxy = format!("/api/v1/nodes/{node}/proxy");
    let (_, said) = virtual_.fails(&["get", "--raw", &format!("{proxy}/metrics/resource")])?;
    ensure!(said.contains("its syncer has no right to them"), "{said}");
    let summary = virtual_.run(&["get", "--raw", &format!("{proxy}/stats/summary")])?;
    let summary: Value = serde_json::from_str(&summary)?;
    let pods = summary["pods"].as_array().cloned().unwrap_or_default();
    let still = pods.iter().find(|pod| pod["podRef"]["name"] == "still");
    ensure!(still.is_some_and(|pod| pod["containers"].is_null()), "{summary}");
    let shown = virtual_.json(&["get", "node", &node])?;
    ensure!(
        shown["metadata"]["labels"]["vcluster.loft.sh/fake-node"] == "true",
        "{shown}"
    );
    virtual_.run(&["delete", "pod", "still", "--timeout=60s"])?;
    eventually("the node goes with its last pod", || {
        Ok((!virtual_.names(&["get", "nodes"])?.contains(&node)).then_some(()))
    })
}
