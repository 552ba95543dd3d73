//! What is measured on the host scales a Deployment of a virtual cluster, up and down.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use e2e::suite::{Case, Kubectl, World, configured, eventually};
use serde_json::Value;

const VALUES: &str = "
integrations:
  metricsServer: {enabled: true}
";

const CASES: &[Case] = &[
    ("load_scales_up_and_down", load_scales_up_and_down),
    ("what_is_missing_is_told", what_is_missing_is_told),
    ("rights_are_enough", World::rights_are_enough),
];

fn main() -> ExitCode {
    configured("autoscaling", 1, VALUES, CASES)
}

/// What has a container of a simulated node use so much.
const USAGE: &str = "kwok.x-k8s.io/usage-cpu";

fn deployment(name: &str, requests: &str) -> String {
    format!(
        r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"{name}","namespace":"default"}},
            "spec":{{"replicas":1,"selector":{{"matchLabels":{{"app":"{name}"}}}},"template":{{
                "metadata":{{"labels":{{"app":"{name}"}},"annotations":{{"{USAGE}":"100m"}}}},
                "spec":{{"containers":[{{"name":"app","image":"nginx","resources":{{{requests}}}}}]}}}}}}}}"#
    )
}

fn autoscaler(name: &str) -> String {
    format!(
        r#"{{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{{"name":"{name}","namespace":"default"}},
            "spec":{{"minReplicas":1,"maxReplicas":4,
                "scaleTargetRef":{{"apiVersion":"apps/v1","kind":"Deployment","name":"{name}"}},
                "metrics":[{{"type":"Resource","resource":{{"name":"cpu","target":{{"type":"Utilization","averageUtilization":50}}}}}}],
                "behavior":{{"scaleDown":{{"stabilizationWindowSeconds":0}}}}}}}}"#
    )
}

/// Replicas and what the autoscaler last measured, in percent.
fn seen(kubectl: &Kubectl, name: &str) -> Result<(i64, Value)> {
    let replicas = kubectl.json(&["get", "deployment", name])?["spec"]["replicas"].clone();
    let status = kubectl.json(&["get", "horizontalpodautoscaler", name])?["status"].clone();
    Ok((replicas.as_i64().unwrap_or_default(), status))
}

fn load_scales_up_and_down(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    virtual_.apply(&deployment("web", r#""requests":{"cpu":"100m"}"#))?;
    virtual_.apply(&autoscaler("web"))?;
    eventually("kubectl top shows the pod", || {
        let shown = virtual_.run(&["top", "pods", "-l", "app=web", "--no-headers"]).ok();
        Ok(shown.filter(|shown| shown.contains("100m")))
    })?;
    // All of what one asked for where half of it is the target: twice as many, which use as much each.
    let status = eventually("there are two", || {
        let (replicas, status) = seen(&virtual_, "web")?;
        Ok((replicas >= 2).then_some(status))
    })?;
    ensure!(
        status["conditions"][0]["reason"] == "SucceededRescale",
        "{}",
        status["conditions"]
    );
    let load = |usage: &str| {
        virtual_.run(&[
            "annotate",
            "pods",
            "-l",
            "app=web",
            "--overwrite",
            &format!("{USAGE}={usage}"),
        ])
    };
    load("10m")?;
    eventually("there is one again", || {
        let (replicas, status) = seen(&virtual_, "web")?;
        if replicas > 1 {
            // Pods that came meanwhile use what their template says.
            load("10m")?;
        }
        Ok((replicas == 1).then_some(status))
    })?;
    let events = virtual_.run(&[
        "get",
        "events",
        "-o",
        "jsonpath={.items[?(@.reason=='SuccessfulRescale')].message}",
    ])?;
    ensure!(
        events.contains("reason: cpu resource utilization (percentage of request) above target"),
        "{events}"
    );
    ensure!(
        events.contains("New size: 1; reason: All metrics below target"),
        "{events}"
    );
    Ok(())
}

fn what_is_missing_is_told(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    virtual_.apply(&deployment("vague", ""))?;
    virtual_.apply(&autoscaler("vague"))?;
    virtual_.apply(&autoscaler("nothing"))?;
    eventually("there is no request to compare with", || {
        let (_, status) = seen(&virtual_, "vague")?;
        let text = status["conditions"][1]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Ok(text
            .contains("missing request for cpu in container app of Pod vague-")
            .then_some(()))
    })?;
    eventually("there is nothing to scale", || {
        let status = virtual_.json(&["get", "horizontalpodautoscaler", "nothing"])?["status"].clone();
        let condition = &status["conditions"][0];
        let text = condition["message"].as_str().unwrap_or_default();
        Ok(
            (condition["reason"] == "FailedGetScale" && text.contains("deployments.apps \"nothing\" not found"))
                .then_some(()),
        )
    })
}
