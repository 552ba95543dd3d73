//! Pods of a virtual cluster and what can be done with them, on any host: real containers where the host has real nodes.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, World, anywhere, eventually};

const CASES: &[Case] = &[
    (
        "a_pod_runs_says_something_and_is_told_more",
        a_pod_runs_says_something_and_is_told_more,
    ),
    ("a_service_leads_to_its_pods", a_service_leads_to_its_pods),
    ("a_job_ends_and_its_pod_stays", a_job_ends_and_its_pod_stays),
    (
        "a_namespace_takes_everything_with_it",
        a_namespace_takes_everything_with_it,
    ),
    ("rights_are_enough", World::rights_are_enough),
];

fn main() -> ExitCode {
    anywhere("containers", "", CASES)
}

fn a_pod_runs_says_something_and_is_told_more(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    virtual_.run(&["create", "namespace", "shop"])?;
    virtual_.apply(&format!(
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: words, namespace: shop}}
data: {{GREETING: hello from the map}}
---
apiVersion: v1
kind: Secret
metadata: {{name: keys, namespace: shop}}
stringData: {{key: hidden}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, labels: {{app: web}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: {}
      command: [sh, -c, 'echo "$GREETING"; sleep 600']
      envFrom: [{{configMapRef: {{name: words}}}}]
      volumeMounts: [{{name: keys, mountPath: /keys}}]
  volumes: [{{name: keys, secret: {{secretName: keys}}}}]
"#,
        world.image()
    ))?;
    virtual_.run(&[
        "-n",
        "shop",
        "wait",
        "--for=condition=Ready",
        "pod/web",
        "--timeout=120s",
    ])?;
    eventually("its log says what the map says", || {
        let said = virtual_.run(&["-n", "shop", "logs", "web"])?;
        ensure!(said.trim().ends_with("hello from the map"), "{said:?}");
        Ok(Some(()))
    })?;
    let said = virtual_.run(&["-n", "shop", "exec", "web", "--", "cat", "/keys/key"])?;
    ensure!(said.trim() == "hidden", "{said:?}");
    let pod = virtual_.json(&["-n", "shop", "get", "pod", "web"])?;
    let copy =
        world
            .kubectl("host")?
            .json(&["-n", &world.host_namespace("vc-1")?, "get", "pod", "web-x-shop-x-vc-1"])?;
    for field in ["phase", "podIP", "startTime", "containerStatuses"] {
        let (shown, there) = (&pod["status"][field], &copy["status"][field]);
        ensure!(shown == there, "status.{field} is {shown}, on the host {there}");
    }
    ensure!(
        pod["spec"]["nodeName"] == copy["spec"]["nodeName"],
        "{}",
        pod["spec"]["nodeName"]
    );
    Ok(())
}

fn a_service_leads_to_its_pods(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"shop"},
            "spec":{"selector":{"app":"web"},"ports":[{"port":80}]}}"#,
    )?;
    let host = world.kubectl("host")?;
    let namespace = world.host_namespace("vc-1")?;
    eventually("both sides have one address and the endpoint", || {
        let service = virtual_.json(&["-n", "shop", "get", "service", "web"])?;
        let copy = host.json(&["-n", &namespace, "get", "service", "web-x-shop-x-vc-1"])?;
        ensure!(
            service["spec"]["clusterIP"] == copy["spec"]["clusterIP"],
            "two addresses"
        );
        let pod = virtual_.json(&["-n", "shop", "get", "pod", "web"])?;
        let label = ["-l", "kubernetes.io/service-name=web-x-shop-x-vc-1"];
        let slices = host.json(&[&["-n", namespace.as_str(), "get", "endpointslices"], &label[..]].concat())?;
        let address = &slices["items"][0]["endpoints"][0]["addresses"][0];
        ensure!(*address == pod["status"]["podIP"], "{slices}");
        Ok(Some(()))
    })
}

fn a_job_ends_and_its_pod_stays(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    virtual_.apply(&format!(
        r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"once","namespace":"shop"}},"spec":{{"template":{{"spec":{{
            "restartPolicy":"Never","containers":[{{"name":"c","image":"{}","command":["sh","-c","echo done"]}}]}}}}}}}}"#,
        world.image()
    ))?;
    virtual_.run(&[
        "-n",
        "shop",
        "wait",
        "--for=condition=Complete",
        "job/once",
        "--timeout=120s",
    ])?;
    let pods = virtual_.names(&["-n", "shop", "get", "pods", "-l", "job-name=once"])?;
    let pod = pods.first().context("the pod is gone")?;
    let said = virtual_.run(&["-n", "shop", "logs", pod])?;
    ensure!(said.trim().ends_with("done"), "{said:?}");
    Ok(())
}

fn a_namespace_takes_everything_with_it(world: &World) -> Result<()> {
    world
        .kubectl("vc-1")?
        .run(&["delete", "namespace", "shop", "--timeout=120s"])?;
    let (host, namespace) = (world.kubectl("host")?, world.host_namespace("vc-1")?);
    eventually("the host has nothing of it any more", || {
        let kinds = "pods,services,configmaps,secrets";
        let label = "vcluster.loft.sh/namespace=shop";
        let left = host.names(&["-n", &namespace, "get", kinds, "-l", label])?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })
}
