//! Kinds that are synced when vcluster.yaml says so.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use e2e::suite::{Case, World, anywhere, eventually};
use serde_json::Value;

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
experimental:
  deploy:
    vcluster:
      manifests: |
        apiVersion: example.com/v1
        kind: Widget
        metadata: {name: first}
        ---
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: widgets.example.com}
        spec:
          group: example.com
          scope: Namespaced
          names: {plural: widgets, singular: widget, kind: Widget}
          versions:
          - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
";

const CASES: &[Case] = &[
    ("manifests_are_applied_at_the_start", manifests_are_applied_at_the_start),
    (
        "objects_reach_the_host_and_leave_it",
        objects_reach_the_host_and_leave_it,
    ),
    ("an_ingress_gets_its_address", an_ingress_gets_its_address),
    (
        "what_is_said_on_the_host_comes_up_and_can_be_changed",
        what_is_said_on_the_host_comes_up_and_can_be_changed,
    ),
    (
        "an_event_about_something_else_is_shown_if_it_wants_to_be",
        an_event_about_something_else_is_shown_if_it_wants_to_be,
    ),
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
    anywhere("synced", VALUES, CASES)
}

/// An object of the host, as soon as it is there.
fn copy(world: &World, kind: &str, name: &str) -> Result<Value> {
    let (host, namespace) = (world.kubectl("host")?, world.host_namespace("vc-1")?);
    eventually(&format!("the host has {kind} {name}"), || {
        Ok(host.json(&["-n", &namespace, "get", kind, name]).ok())
    })
}

fn manifests_are_applied_at_the_start(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    let widget = eventually("the widget of vcluster.yaml is there", || {
        Ok(virtual_
            .json(&[
                "-n",
                "default",
                "get",
                "widgets.example.com",
                "first",
                "--show-managed-fields",
            ])
            .ok())
    })?;
    let manager = &widget["metadata"]["managedFields"][0]["manager"];
    ensure!(manager == "vcluster", "it was written by {manager}");
    eventually("the outcome is noted", || {
        let noted = virtual_.json(&["-n", "kube-system", "get", "configmap", "vcluster-deploy"])?;
        let status = noted["metadata"]["annotations"]["vcluster.loft.sh/status"].as_str();
        let status: Value = serde_json::from_str(status.unwrap_or_default())?;
        Ok((status["phase"] == "Success").then_some(()))
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
    let ingress = copy(world, "ingress", "web-x-shop-x-vc-1")?;
    let secret = &ingress["spec"]["tls"][0]["secretName"];
    ensure!(secret == "cert-x-shop-x-vc-1", "the ingress names {secret}");
    copy(world, "secret", "cert-x-shop-x-vc-1")?;
    let policy = copy(world, "networkpolicy", "deny-x-shop-x-vc-1")?;
    let marks = &policy["spec"]["podSelector"]["matchLabels"];
    ensure!(
        marks["vcluster.loft.sh/namespace"] == "shop",
        "the policy selects {marks}"
    );
    copy(world, "poddisruptionbudget", "two-x-shop-x-vc-1")?;
    let account = copy(world, "serviceaccount", "robot-x-shop-x-vc-1")?;
    ensure!(
        account["automountServiceAccountToken"] == false,
        "the account has a token"
    );

    virtual_.run(&["delete", "namespace", "shop", "--timeout=60s"])?;
    let kinds = "ingresses,secrets,networkpolicies,poddisruptionbudgets,serviceaccounts";
    eventually("the host has nothing of the namespace any more", || {
        let left = host.names(&[
            "-n",
            &world.host_namespace("vc-1")?,
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
    copy(world, "ingress", "site-x-default-x-vc-1")?;
    let status = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7"}]}}}"#;
    let ingress = [
        "-n",
        &world.host_namespace("vc-1")?,
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

fn what_is_said_on_the_host_comes_up_and_can_be_changed(world: &World) -> Result<()> {
    const KEY: &str = "example.com/team";
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let namespace = world.host_namespace("vc-1")?;
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"told","namespace":"default"},"spec":{"ports":[{"port":80}]}}"#,
    )?;
    let name = "told-x-default-x-vc-1";
    copy(world, "service", name)?;
    let says = |service: &Value, value: &str| {
        let metadata = &service["metadata"];
        (metadata["labels"][KEY] == value && metadata["annotations"][KEY] == value).then_some(())
    };
    let words = |value: &str| {
        format!(r#"{{"metadata":{{"labels":{{"{KEY}":"{value}"}},"annotations":{{"{KEY}":"{value}"}}}}}}"#)
    };
    let change = ["-n", &namespace, "patch", "service", name, "--type=merge", "-p"];
    host.run(&[&change[..], &[&words("red")]].concat())?;
    eventually("what was added to the copy comes up", || {
        Ok(says(&virtual_.json(&["get", "service", "told"])?, "red"))
    })?;
    virtual_.run(&["patch", "service", "told", "--type=merge", "-p", &words("blue")])?;
    eventually("what was changed in the virtual cluster goes down", || {
        Ok(says(&host.json(&["-n", &namespace, "get", "service", name])?, "blue"))
    })?;
    host.run(&[&change[..], &[&words("green")]].concat())?;
    eventually("what is the virtual cluster's by now is changed back", || {
        Ok(says(&host.json(&["-n", &namespace, "get", "service", name])?, "blue"))
    })?;
    virtual_.run(&["delete", "service", "told"]).map(drop)
}

fn an_event_about_something_else_is_shown_if_it_wants_to_be(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let namespace = world.host_namespace("vc-1")?;
    let event = |name: &str, annotations: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Event","metadata":{{"name":"{name}","namespace":"{namespace}","annotations":{annotations}}},
                "involvedObject":{{"apiVersion":"v1","kind":"ConfigMap","namespace":"{namespace}","name":"of-the-host"}},
                "reason":"Noted","message":"{name}","type":"Normal"}}"#
        )
    };
    host.apply(&event("unasked", "{}"))?;
    host.apply(&event("asked", r#"{"vcluster.loft.sh/force-sync":"true"}"#))?;
    let shown = eventually("the event is shown", || {
        Ok(virtual_.json(&["get", "event", "asked"]).ok())
    })?;
    ensure!(
        shown["message"] == "asked" && shown["involvedObject"]["name"].is_null(),
        "{shown}"
    );
    let all = virtual_.names(&["get", "events"])?;
    ensure!(!all.iter().any(|name| name == "unasked"), "{all:?}");
    host.run(&["-n", &namespace, "delete", "event", "asked", "unasked"])
        .map(drop)
}

fn pods_have_their_own_accounts_and_classes(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":"urgent"},"value":1000},
            {"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot","namespace":"default"}}]}"#,
    )?;
    let marker = format!("{}-x-vc-1", world.host_namespace("vc-1")?);
    let copied = format!("vcluster-urgent-x-{marker}");
    let class = eventually("the host has the class", || {
        Ok(host.json(&["get", "priorityclass", &copied]).ok())
    })?;
    ensure!(class["value"] == 1000, "the class has value {}", class["value"]);
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"job","namespace":"default"},"spec":{
            "serviceAccountName":"robot","priorityClassName":"urgent","containers":[{"name":"c","image":"i"}]}}"#,
    )?;
    let pod = copy(world, "pod", "job-x-default-x-vc-1")?;
    let spec = &pod["spec"];
    ensure!(spec["serviceAccountName"] == "robot-x-default-x-vc-1", "{spec}");
    ensure!(spec["priorityClassName"] == copied, "{spec}");
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
            &format!("vcluster.loft.sh/managed-by={marker}"),
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
        let has = |name: &str| shown.iter().any(|shown| shown == name);
        ensure!(has("fast") && has("sandbox") && !has("hidden"), "{shown:?}");
        Ok(Some(()))
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
        let shown = virtual_.names(&["get", "runtimeclasses"])?;
        Ok((!shown.iter().any(|name| name == "sandbox")).then_some(()))
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
    let claims = host.names(&["-n", &world.host_namespace("vc-1")?, "get", "persistentvolumeclaims"])?;
    ensure!(claims.is_empty(), "{claims:?}");
    virtual_.run(&["delete", "persistentvolumeclaim", "data", "--timeout=60s"])?;
    host.run(&["delete", "storageclass", "fast", "hidden"]).map(drop)
}

/// Without nodes of the host the syncer has no right to their kubelets.
fn kubelets_say_what_the_host_keeps_from_them(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    virtual_.apply(&format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"still","namespace":"default"}},"spec":{{
            "terminationGracePeriodSeconds":1,
            "containers":[{{"name":"c","image":"{}","command":["sh","-c","sleep 600"]}}]}}}}"#,
        world.image()
    ))?;
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
