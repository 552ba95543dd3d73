//! Webhooks decide about requests: those of the cluster, and those of files that nobody in it can see; and what rules in
//! files refuse.

use std::fs;

use anyhow::{Result, ensure};
use e2e::standalone::Connection;
use serde_json::{Value, json};

use super::hook::Hook;
use super::{Running, eventually};

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn send(connection: &mut Connection, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
    let answer = connection.send(method, path, body).await?;
    Ok((answer.status, serde_json::from_slice(&answer.body)?))
}

fn map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// Makes a configuration and waits until it is heeded: a write that it has to change or refuse is.
async fn configure(connection: &mut Connection, plural: &str, configuration: &Value) -> Result<()> {
    let (status, answer) = send(connection, "POST", &format!("{CONFIGURATIONS}/{plural}"), configuration).await?;
    ensure!(status == 201, "{answer}");
    Ok(())
}

#[tokio::test]
async fn webhooks_change_and_refuse_what_is_written() -> Result<()> {
    let running = Running::start(&[]).await?;
    let hook = Hook::start().await?;
    let mut connection = running.site.dialer(&running.server)?.connect().await?;
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    for (name, path, fields) in [("a-first", "/first", &again), ("b-second", "/second", &json!({}))] {
        let configuration = hook.configuration("MutatingWebhookConfiguration", name, path, fields);
        configure(&mut connection, "mutatingwebhookconfigurations", &configuration).await?;
    }
    let validating = hook.configuration("ValidatingWebhookConfiguration", "deny", "/deny", &json!({}));
    configure(&mut connection, "validatingwebhookconfigurations", &validating).await?;

    // The second one changes what the first one made, which is therefore asked once more.
    let path = &format!("{MAPS}?dryRun=All");
    eventually("the webhooks are called", async || {
        let mut connection = connection.clone();
        let (status, answer) = send(&mut connection, "POST", path, &map("trial", json!({"k": "v"}))).await?;
        let data = json!({"k": "v", "path": "/first", "seen": "3"});
        ensure!(status == 201 && answer["data"] == data, "{answer}");
        Ok(())
    })
    .await?;
    eventually("the last of them refuses", async || {
        let mut connection = connection.clone();
        let (status, answer) = send(&mut connection, "POST", path, &map("trial", json!({"bad": ""}))).await?;
        let message = "admission webhook \"deny.example.com\" denied the request: bad data";
        ensure!(status == 418 && answer["message"] == message, "{answer}");
        Ok(())
    })
    .await?;

    let (status, made) = send(&mut connection, "POST", MAPS, &map("kept", json!({"k": "v"}))).await?;
    ensure!(status == 201, "{made}");
    hook.take_asked();
    let (status, answer) = send(&mut connection, "DELETE", &format!("{MAPS}/kept"), &Value::Null).await?;
    ensure!(status == 200, "{answer}");
    let asked = hook.take_asked();
    let operations: Vec<&Value> = asked.iter().map(|request| &request["operation"]).collect();
    ensure!(operations == ["DELETE", "DELETE", "DELETE"], "{asked:?}");
    ensure!(
        asked
            .iter()
            .all(|r| r["object"].is_null() && r["oldObject"]["data"] == made["data"]),
        "{asked:?}"
    );

    // One that cannot be reached is in the way unless it says otherwise.
    for (policy, expected) in [("Fail", 500), ("Ignore", 201)] {
        let fields = json!({"failurePolicy": policy, "timeoutSeconds": 1, "matchConditions": [
            {"name": "slow", "expression": format!("object.metadata.name == '{}'", policy.to_lowercase())}]});
        let name = format!("slow-{}", policy.to_lowercase());
        let slow = hook.configuration("ValidatingWebhookConfiguration", &name, "/slow", &fields);
        configure(&mut connection, "validatingwebhookconfigurations", &slow).await?;
        let asked = map(&policy.to_lowercase(), json!({"k": "v"}));
        eventually("a webhook that does not answer", async || {
            let mut connection = connection.clone();
            let started = std::time::Instant::now();
            let (status, answer) = send(&mut connection, "POST", path, &asked).await?;
            ensure!(
                status == expected && started.elapsed().as_millis() >= 900,
                "{policy}: {answer}"
            );
            let message = answer["message"].as_str().unwrap_or_default();
            ensure!(
                status == 201 || message.ends_with("context deadline exceeded"),
                "{message}"
            );
            Ok(())
        })
        .await?;
    }
    running.stop().await
}

#[tokio::test]
async fn webhooks_of_files_are_enforced_and_not_seen() -> Result<()> {
    let hook = Hook::start().await?;
    let dir = tempfile::tempdir()?;
    let configured = hook.configuration("ValidatingWebhookConfiguration", "central", "/deny", &json!({}));
    let values = json!({
        "policies": {"centralAdmission": {"validatingWebhooks": [configured]}},
        "experimental": {"denyProxyRequests": [
            {"name": "no-secrets", "namespaces": ["default"], "rules": [{"resources": ["secrets"], "operations": ["get"]}]},
            {"name": "bosses-only", "excludedUsers": ["admin"], "rules": [{"resources": ["services"]}]},
            {"name": "nobody", "excludedUsers": ["other"], "rules": [{"resources": ["endpoints"], "operations": ["*"]}]},
        ]},
    });
    let config = config::Config::parse("values", &values.to_string())?;
    for (name, text) in config.request_files("vc")? {
        let sub = dir.path().join(name.trim_end_matches(".yaml"));
        fs::create_dir(&sub)?;
        fs::write(sub.join(name), text)?;
    }
    let file = dir.path().join("admission.yaml");
    let admission = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{"name": "ValidatingAdmissionWebhook", "configuration": {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "WebhookAdmissionConfiguration",
            "staticManifestsDir": dir.path().join("validating"),
        }}],
    });
    fs::write(&file, admission.to_string())?;
    let flags = [
        format!("--admission-control-config-file={}", file.display()),
        format!("--denied-requests-dir={}", dir.path().join("denied").display()),
    ];
    let running = Running::start(&[&flags[0], &flags[1]]).await?;
    let mut connection = running.site.dialer(&running.server)?.connect().await?;

    let (status, answer) = send(&mut connection, "POST", MAPS, &map("a", json!({"bad": ""}))).await?;
    let message = "admission webhook \"central.example.com\" denied the request: bad data";
    ensure!(status == 418 && answer["message"] == message, "{answer}");
    let list = format!("{CONFIGURATIONS}/validatingwebhookconfigurations");
    let (_, answer) = send(&mut connection, "GET", &list, &Value::Null).await?;
    ensure!(answer["items"] == json!([]), "{answer}");

    for (path, expected) in [
        ("/api/v1/namespaces/default/secrets/a", 403),
        ("/api/v1/namespaces/default/secrets", 403),
        ("/api/v1/namespaces/kube-system/secrets", 200),
        ("/api/v1/namespaces/default/services", 200),
        ("/api/v1/namespaces/default/endpoints", 403),
        ("/api/v1/namespaces/default/configmaps", 200),
    ] {
        let (status, answer) = send(&mut connection, "GET", path, &Value::Null).await?;
        ensure!(status == expected, "{path}: {answer}");
    }
    running.stop().await
}
