//! Stock kubectl against a virtual cluster: what people type on their first day.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, Kubectl, World, eventually, main as run};

const CASES: &[Case] = &[
    ("versions_and_discovery", versions_and_discovery),
    (
        "apply_is_idempotent_and_prunes_fields",
        apply_is_idempotent_and_prunes_fields,
    ),
    (
        "server_side_apply_detects_conflicts",
        server_side_apply_detects_conflicts,
    ),
    ("get_describe_explain", get_describe_explain),
    ("scale_rollout_and_undo", scale_rollout_and_undo),
    ("logs", logs),
    ("exec", exec),
    ("port_forward", port_forward),
    ("wait_and_watch", wait_and_watch),
    ("labels_patches_and_selectors", labels_patches_and_selectors),
    ("propagation_policies", propagation_policies),
    ("custom_resources_come_and_go", custom_resources_come_and_go),
    ("bad_input_is_explained", bad_input_is_explained),
    ("strangers_are_refused", strangers_are_refused),
];

fn main() -> ExitCode {
    run("kubectl", 1, CASES)
}

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web, tier: front}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1
        ports: [{containerPort: 8080}]
        env: [{name: COLOR, value: blue}]
"#;

/// The Deployment `web`, ready.
fn web(world: &World) -> Result<Kubectl> {
    let kubectl = world.kubectl("vc-1")?;
    kubectl.apply(WEB)?;
    kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    Ok(kubectl)
}

fn a_pod(kubectl: &Kubectl) -> Result<String> {
    let pods = kubectl.json(&["get", "pods", "-l", "app=web"])?;
    let items = pods["items"].as_array().context("no pods")?;
    let alive = items.iter().find(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    Ok(alive.context("no pod")?["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_string())
}

fn versions_and_discovery(world: &World) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    let version = kubectl.json(&["version"])?;
    ensure!(
        version["serverVersion"]["minor"]
            .as_str()
            .is_some_and(|minor| minor.starts_with("36")),
        "{version}"
    );
    let resources = kubectl.run(&["api-resources"])?;
    for name in [
        "deployments",
        "statefulsets",
        "daemonsets",
        "jobs",
        "endpointslices",
        "leases",
        "persistentvolumeclaims",
    ] {
        ensure!(resources.contains(name), "{name} is not discovered:\n{resources}");
    }
    kubectl.run(&["cluster-info"]).map(|_| ())
}

fn apply_is_idempotent_and_prunes_fields(world: &World) -> Result<()> {
    let kubectl = web(world)?;
    let again = kubectl.apply(WEB)?;
    ensure!(again.contains("unchanged"), "{again}");
    kubectl.apply(&WEB.replace(", tier: front", ""))?;
    let labels = kubectl.json(&["get", "deployment", "web"])?["metadata"]["labels"].clone();
    ensure!(labels["tier"].is_null() && labels["app"] == "web", "{labels}");
    let diff = kubectl.with_input(&["apply", "--dry-run=server", "-f", "-"], &WEB.replace("blue", "red"))?;
    ensure!(diff.contains("server dry run"), "{diff}");
    let deployment = kubectl.json(&["get", "deployment", "web"])?;
    ensure!(
        deployment["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "blue",
        "a dry run was stored"
    );
    Ok(())
}

fn server_side_apply_detects_conflicts(world: &World) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    let manifest =
        |value: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ssa}}\ndata: {{a: {value}}}\n");
    let apply = |manager: &str, value: &str, force: bool| {
        let manager = format!("--field-manager={manager}");
        let force = format!("--force-conflicts={force}");
        kubectl.with_input(
            &["apply", "--server-side", &manager, &force, "-f", "-"],
            &manifest(value),
        )
    };
    apply("one", "x", false)?;
    let conflict = format!("{:#}", apply("two", "z", false).err().context("no conflict")?);
    ensure!(
        conflict.contains("conflict") && conflict.contains("\"one\"") && conflict.contains(".data.a"),
        "{conflict}"
    );
    apply("two", "z", true)?;
    let object = kubectl.json(&["get", "configmap", "ssa", "--show-managed-fields"]);
    // kubectl before 1.21 shows managed fields without being asked, and does not know the flag.
    let object = object.or_else(|_| kubectl.json(&["get", "configmap", "ssa"]))?;
    ensure!(object["data"]["a"] == "z", "{object}");
    let managers: Vec<&str> = object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|m| m["manager"].as_str())
        .collect();
    ensure!(managers == ["two"], "{managers:?}");
    kubectl.run(&["delete", "configmap", "ssa"]).map(|_| ())
}

fn get_describe_explain(world: &World) -> Result<()> {
    let kubectl = web(world)?;
    let wide = kubectl.run(&["get", "pods", "-o", "wide"])?;
    for column in ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"] {
        ensure!(
            wide.lines().next().is_some_and(|header| header.contains(column)),
            "{column} is missing:\n{wide}"
        );
    }
    ensure!(wide.contains("1/1") && wide.contains("Running"), "{wide}");
    let all = kubectl.run(&["get", "all", "-A"])?;
    ensure!(
        all.contains("deployment.apps/web") && all.contains("service/kubernetes"),
        "{all}"
    );
    for kind in ["deployment/web", "nodes", "namespace/default", "service/kubernetes"] {
        kubectl.run(&["describe", kind])?;
    }
    let pod = a_pod(&kubectl)?;
    let described = kubectl.run(&["describe", "pod", &pod])?;
    ensure!(
        described.contains("COLOR:") && described.contains("Started container web"),
        "{described}"
    );
    let explained = kubectl.run(&["explain", "deployment.spec.template.spec.containers.ports"])?;
    ensure!(explained.contains("containerPort"), "{explained}");
    kubectl
        .run(&["get", "pod", &pod, "-o", "jsonpath={.spec.containers[0].image}"])
        .and_then(|image| {
            ensure!(image == "nginx:1", "{image}");
            Ok(())
        })
}

fn scale_rollout_and_undo(world: &World) -> Result<()> {
    let kubectl = web(world)?;
    kubectl.run(&["scale", "deployment/web", "--replicas=4"])?;
    kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    ensure!(
        kubectl.json(&["get", "deployment", "web"])?["status"]["readyReplicas"] == 4,
        "not four replicas"
    );
    kubectl.run(&["set", "image", "deployment/web", "web=nginx:2"])?;
    kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    let history = kubectl.run(&["rollout", "history", "deployment/web"])?;
    ensure!(
        history
            .lines()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
            .count()
            == 2,
        "{history}"
    );
    kubectl.run(&["rollout", "undo", "deployment/web"])?;
    kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    let deployment = kubectl.json(&["get", "deployment", "web"])?;
    ensure!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1",
        "{deployment}"
    );
    kubectl.run(&["rollout", "restart", "deployment/web"])?;
    kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    kubectl.run(&["scale", "deployment/web", "--replicas=2"])?;
    eventually("only two pods are left", || {
        Ok((kubectl.names(&["get", "pods", "-l", "app=web"])?.len() == 2).then_some(()))
    })
}

fn logs(world: &World) -> Result<()> {
    let kubectl = web(world)?;
    let pod = a_pod(&kubectl)?;
    let first = kubectl.run(&["logs", &pod])?;
    ensure!(first.contains("container web of pod vcluster-vc-1/"), "{first}");
    let follow = kubectl.background(&["logs", "-f", "--tail=0", &pod])?;
    follow.line("heartbeat")?;
    let last = kubectl.run(&["logs", &pod, "--tail=1", "--timestamps"])?;
    ensure!(last.lines().count() == 1 && last.starts_with("20"), "{last}");
    kubectl.apply(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"talker"},"spec":{"restartPolicy":"Never","containers":[
            {"name":"c","image":"i","command":["sh","-c","echo one; sleep 1; echo two; exit 3"]}]}}"#,
    )?;
    eventually("the pod has failed", || {
        Ok((kubectl.json(&["get", "pod", "talker"])?["status"]["phase"] == "Failed").then_some(()))
    })?;
    let said = kubectl.run(&["logs", "-f", "talker"])?;
    ensure!(said.ends_with("one\ntwo\n"), "{said}");
    let (_, error) = kubectl.fails(&["logs", "talker", "-c", "nobody"])?;
    ensure!(error.contains("nobody"), "{error}");
    let (_, error) = kubectl.fails(&["logs", "talker", "--previous"])?;
    ensure!(error.contains("previous terminated container"), "{error}");
    kubectl.run(&["delete", "pod", "talker"]).map(|_| ())
}

fn exec(world: &World) -> Result<()> {
    let kubectl = web(world)?;
    let pod = a_pod(&kubectl)?;
    ensure!(
        kubectl.run(&["exec", &pod, "--", "printenv", "COLOR"])? == "blue\n",
        "the environment is wrong"
    );
    ensure!(
        kubectl.run(&["exec", &pod, "--", "hostname"])? == format!("{pod}\n"),
        "the hostname is wrong"
    );
    let echoed = kubectl.with_input(&["exec", "-i", &pod, "--", "cat"], "to and fro\n")?;
    ensure!(echoed == "to and fro\n", "{echoed}");
    let (code, _) = kubectl.fails(&["exec", &pod, "--", "sh", "-c", "exit 7"])?;
    ensure!(code == 7, "exit status {code} instead of 7");
    let (_, error) = kubectl.fails(&["exec", &pod, "--", "nosuchprogram"])?;
    ensure!(error.contains("not found"), "{error}");
    let resolver = kubectl.run(&["exec", &pod, "--", "cat", "/etc/resolv.conf"])?;
    ensure!(
        resolver.contains("search default.svc.cluster.local svc.cluster.local"),
        "{resolver}"
    );
    Ok(())
}

fn port_forward(world: &World) -> Result<()> {
    let kubectl = web(world)?;
    let pod = a_pod(&kubectl)?;
    let forward = kubectl.background(&["port-forward", &format!("pod/{pod}"), ":8080"])?;
    let line = forward.line("Forwarding from 127.0.0.1:")?;
    let port = line
        .split("127.0.0.1:")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .context("no port")?
        .to_string();
    // Several connections over one forward.
    for round in 0..3 {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(
            stream,
            "GET /round/{round} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(
            answer.starts_with("HTTP/1.1 200") && answer.contains(&format!("GET /round/{round}")),
            "{answer}"
        );
    }
    Ok(())
}

fn wait_and_watch(world: &World) -> Result<()> {
    let kubectl = web(world)?;
    let pod = a_pod(&kubectl)?;
    kubectl.run(&["wait", "--for=condition=Ready", &format!("pod/{pod}"), "--timeout=30s"])?;
    let watch = kubectl.background(&["get", "configmaps", "--watch", "-o", "name"])?;
    watch.line("configmap/kube-root-ca.crt")?;
    kubectl.run(&["create", "configmap", "watched"])?;
    watch.line("configmap/watched")?;
    kubectl.run(&["delete", "configmap", "watched"])?;
    let (_, error) = kubectl.fails(&["wait", "--for=condition=Ready", "pod/nobody", "--timeout=1s"])?;
    ensure!(error.contains("not found"), "{error}");
    Ok(())
}

fn labels_patches_and_selectors(world: &World) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    kubectl.run(&["create", "configmap", "patched", "--from-literal=a=1"])?;
    kubectl.run(&["label", "configmap", "patched", "color=green"])?;
    kubectl.run(&["annotate", "configmap", "patched", "note=x"])?;
    let json = r#"[{"op":"replace","path":"/data/a","value":"2"}]"#;
    kubectl.run(&["patch", "configmap", "patched", "--type=json", "-p", json])?;
    kubectl.run(&[
        "patch",
        "configmap",
        "patched",
        "--type=merge",
        "-p",
        r#"{"data":{"b":"3"}}"#,
    ])?;
    kubectl.run(&["patch", "configmap", "patched", "-p", r#"{"data":{"a":null}}"#])?;
    let data = kubectl.json(&["get", "configmap", "patched"])?["data"].clone();
    ensure!(data == serde_json::json!({"b": "3"}), "{data}");
    for (selector, found) in [
        ("color=green", 1),
        ("color in (red,blue)", 0),
        ("color,color!=red", 1),
        ("!color,note", 0),
    ] {
        let names = kubectl.names(&["get", "configmaps", "-l", selector])?;
        ensure!(names.len() == found, "{selector}: {names:?}");
    }
    let names = kubectl.names(&["get", "configmaps", "--field-selector", "metadata.name=patched"])?;
    ensure!(names == ["patched"], "{names:?}");
    kubectl.run(&["delete", "configmap", "-l", "color=green"]).map(|_| ())
}

fn propagation_policies(world: &World) -> Result<()> {
    let kubectl = web(world)?;
    // --cascade=orphan in current versions, --cascade=false in old ones.
    let orphan = kubectl.run(&["delete", "deployment", "web", "--cascade=orphan"]);
    orphan.or_else(|_| kubectl.run(&["delete", "deployment", "web", "--cascade=false"]))?;
    let sets = kubectl.names(&["get", "replicasets", "-l", "app=web"])?;
    ensure!(!sets.is_empty(), "the ReplicaSets did not survive");
    web(world)?;
    kubectl.run(&["delete", "deployment", "web", "--wait=true", "--timeout=60s"])?;
    eventually("everything below the Deployment is gone", || {
        let left = kubectl.names(&["get", "replicasets,pods", "-l", "app=web"])?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })
}

const WIDGETS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wg], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Color, type: string, jsonPath: .spec.color}
    - {name: Phase, type: string, jsonPath: .status.phase}
    schema:
      openAPIV3Schema:
        type: object
        description: Something to sell.
        properties:
          spec:
            type: object
            properties:
              color: {type: string, default: red, description: The color of the paint.}
              replicas: {type: integer, minimum: 0, maximum: 9}
          status:
            type: object
            properties:
              phase: {type: string}
              replicas: {type: integer}
"#;

fn custom_resources_come_and_go(world: &World) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    kubectl.apply(WIDGETS)?;
    kubectl.run(&[
        "wait",
        "--for=condition=Established",
        "crd/widgets.shop.example.com",
        "--timeout=30s",
    ])?;
    kubectl.run(&["create", "namespace", "shop"])?;
    let widget = |name: &str, namespace: &str, spec: &str| {
        format!(
            "apiVersion: shop.example.com/v1\nkind: Widget\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
        )
    };
    kubectl.apply(&widget("one", "default", "{replicas: 1}"))?;
    let watch = kubectl.background(&["get", "widgets", "--watch", "-o", "name"])?;
    watch.line("widget.shop.example.com/one")?;
    kubectl.apply(&widget("two", "default", "{color: blue}"))?;
    watch.line("widget.shop.example.com/two")?;

    kubectl.run(&[
        "patch",
        "wg",
        "one",
        "--subresource=status",
        "--type=merge",
        "-p",
        r#"{"status":{"phase":"New"}}"#,
    ])?;
    let table = kubectl.run(&["get", "wg"])?;
    let header = table.lines().next().unwrap_or_default();
    ensure!(header.contains("COLOR") && header.contains("PHASE"), "{table}");
    ensure!(
        table.contains("red") && table.contains("New") && table.contains("blue"),
        "{table}"
    );
    let explained = kubectl.run(&["explain", "widgets.spec.color"])?;
    ensure!(explained.contains("The color of the paint."), "{explained}");
    kubectl.run(&["scale", "widget/one", "--replicas=3"])?;
    let replicas = kubectl.run(&["get", "widget", "one", "-o", "jsonpath={.spec.replicas}"])?;
    ensure!(replicas == "3", "{replicas}");
    let (_, error) = kubectl.fails(&["scale", "widget/one", "--replicas=10"])?;
    ensure!(error.contains("should be less than or equal to 9"), "{error}");
    let all = kubectl.run(&["get", "all"])?;
    ensure!(all.contains("widget.shop.example.com/two"), "{all}");

    // Owners take their dependents along, and namespaces what is in them.
    let owner = kubectl.json(&["get", "widget", "two"])?["metadata"]["uid"].clone();
    let reference = format!(
        r#"{{"metadata":{{"ownerReferences":[{{"apiVersion":"shop.example.com/v1","kind":"Widget","name":"two","uid":{owner}}}]}}}}"#
    );
    kubectl.run(&["create", "configmap", "belongs-to-two"])?;
    kubectl.run(&["patch", "configmap", "belongs-to-two", "--type=merge", "-p", &reference])?;
    kubectl.run(&["delete", "widget", "two"])?;
    eventually("the dependent of a custom resource is gone", || {
        let names = kubectl.names(&["get", "configmaps"])?;
        Ok((!names.iter().any(|name| name == "belongs-to-two")).then_some(()))
    })?;
    kubectl.apply(&widget("three", "shop", "{}"))?;
    kubectl.run(&["delete", "namespace", "shop", "--timeout=60s"])?;
    let everywhere = kubectl.names(&["get", "widgets", "-A"])?;
    ensure!(everywhere == ["one"], "{everywhere:?}");

    kubectl.run(&["delete", "crd", "widgets.shop.example.com", "--timeout=60s"])?;
    let (_, error) = kubectl.fails(&["get", "widgets.shop.example.com"])?;
    ensure!(error.contains("the server doesn't have a resource type"), "{error}");
    Ok(())
}

fn bad_input_is_explained(world: &World) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    let table = [
        // A field nobody knows, a value out of range, a name that is not one, something that is no YAML.
        (WEB.replace("replicas:", "replicaz:"), "replicaz"),
        (WEB.replace("containerPort: 8080", "containerPort: 99999"), "99999"),
        (WEB.replace("name: web\n  labels", "name: Web_1\n  labels"), "Web_1"),
        (
            WEB.replace("matchLabels: {app: web}", "matchLabels: {app: other}"),
            "selector",
        ),
        ("a: [".to_string(), "yaml"),
    ];
    for (manifest, word) in table {
        let error = kubectl
            .apply(&manifest)
            .err()
            .with_context(|| format!("{word} was accepted"))?;
        let error = format!("{error:#}");
        ensure!(error.to_lowercase().contains(&word.to_lowercase()), "{word}: {error}");
    }
    // Told not to validate, kubectl does not ask for the schema of a kind nobody knows either.
    let stranger = WEB.replace("kind: Deployment", "kind: Deploiment");
    let error = kubectl.with_input(&["apply", "--validate=false", "-f", "-"], &stranger);
    let error = format!("{:#}", error.err().context("an unknown kind was accepted")?);
    ensure!(error.contains("no matches for kind \"Deploiment\""), "{error}");
    let (_, error) = kubectl.fails(&["get", "pod", "nobody"])?;
    ensure!(
        error.contains("(NotFound)") && error.contains("pods \"nobody\" not found"),
        "{error}"
    );
    for (path, word) in [
        ("/api/v1/pods?limit=x", "\"x\""),
        ("/api/v1/pods?continue=x", "continue"),
        ("/api/v1/pods?labelSelector=a%20b%20c", "requirement"),
        ("/api/v1/pods?watch=true&resourceVersion=x", "resourceversion"),
        ("/apis/nonsense/v1/pods", "requested resource"),
        ("/%00", ""),
    ] {
        let (_, error) = kubectl.fails(&["get", "--raw", path])?;
        ensure!(
            error.starts_with("Error from server") && error.to_lowercase().contains(word),
            "{path}: {error}"
        );
    }
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#"{"kind":"Pod"}"#,
        r#"{"apiVersion":"v1","kind":"Service"}"#,
    ] {
        let path = "/api/v1/namespaces/default/pods";
        let error = kubectl.with_input(&["create", "--raw", path, "-f", "-"], body).err();
        let error = format!("{:#}", error.with_context(|| format!("{body:?} was accepted"))?);
        ensure!(
            error.contains("Error from server (BadRequest)") || error.contains("The Pod \"\" is invalid"),
            "{body:?}: {error}"
        );
    }
    kubectl.run(&["get", "--raw", "/readyz"]).map(|_| ())
}

fn strangers_are_refused(world: &World) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    let server = world.access("vc-1")?.server;
    let (_, error) = kubectl.fails(&["get", "pods", "--as=somebody"])?;
    ensure!(error.contains("forbidden") || error.contains("Forbidden"), "{error}");
    // Credentials of another cluster mean nothing here.
    let host = world.kubectl("host")?;
    let (_, error) = host.fails(&["get", "pods", "--server", &server, "--insecure-skip-tls-verify=true"])?;
    ensure!(!error.contains("No resources found"), "{error}");
    Ok(())
}
