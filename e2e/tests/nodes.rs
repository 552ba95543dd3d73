//! Two tenants on the same nodes of the host: what each sees of them, and what their kubelets tell whom.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, Kubectl, World, configured, eventually};
use serde_json::Value;

/// The nodes with this label are the tenants'; a taint keeps others' pods away from them.
const VALUES: &str = "
sync:
  toHost:
    pods:
      enforceTolerations: ['tenants=yes:NoSchedule']
  fromHost:
    nodes:
      enabled: true
      syncBackChanges: true
      clearImageStatus: true
      selector: {labels: {tenants: 'yes'}}
integrations:
  metricsServer: {enabled: true}
";

const CASES: &[Case] = &[
    ("selected_nodes_are_shown", selected_nodes_are_shown),
    ("pods_run_on_them_only", pods_run_on_them_only),
    ("logs_and_sessions_work", logs_and_sessions_work),
    ("measurements_are_of_own_pods", measurements_are_of_own_pods),
    ("pods_of_others_are_out_of_reach", pods_of_others_are_out_of_reach),
    ("a_kubelet_asks_who_may_read", a_kubelet_asks_who_may_read),
    ("measurements_are_offered_as_an_api", measurements_are_offered_as_an_api),
    ("changes_of_a_node_go_to_the_host", changes_of_a_node_go_to_the_host),
    ("a_lost_node_is_seen_at_once", a_lost_node_is_seen_at_once),
    (
        "a_node_that_is_no_longer_selected_goes",
        a_node_that_is_no_longer_selected_goes,
    ),
    ("rights_are_enough", World::rights_are_enough),
];

/// The node of the tenants, and the API path of its kubelet.
const NODE: &str = "node-1";
const PROXY: &str = "/api/v1/nodes/node-1/proxy";

fn main() -> ExitCode {
    configured("nodes", 2, VALUES, CASES)
}

/// A pod that runs for ever.
fn pod(namespace: &str, name: &str, more: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"{namespace}"}},
            "spec":{{{more}"containers":[{{"name":"app","image":"nginx"}}]}}}}"#
    )
}

fn runs(kubectl: &Kubectl, namespace: &str, name: &str) -> Result<Value> {
    eventually(&format!("{name} runs"), || {
        let pod = kubectl.json(&["-n", namespace, "get", "pod", name])?;
        Ok((pod["status"]["phase"] == "Running").then_some(pod))
    })
}

fn address<'a>(node: &'a Value, kind: &str) -> Option<&'a str> {
    let addresses = node["status"]["addresses"].as_array()?;
    addresses.iter().find(|address| address["type"] == kind)?["address"].as_str()
}

fn selected_nodes_are_shown(world: &World) -> Result<()> {
    let host = world.kubectl("host")?;
    host.run(&["taint", "node", NODE, "tenants=yes:NoSchedule"])?;
    host.run(&["label", "node", NODE, "tenants=yes"])?;
    for name in ["vc-1", "vc-2"] {
        let virtual_ = world.kubectl(name)?;
        let node = eventually("the node is shown with its address", || {
            let nodes = virtual_.json(&["get", "nodes"])?;
            let items = nodes["items"].as_array().cloned().unwrap_or_default();
            Ok(items.into_iter().find(|node| address(node, "InternalIP").is_some()))
        })?;
        ensure!(node["metadata"]["name"] == NODE, "another node is shown: {node}");
        ensure!(node["metadata"]["labels"]["tenants"] == "yes", "{}", node["metadata"]);
        ensure!(
            node["metadata"]["labels"]["vcluster.loft.sh/managed-by"] == name,
            "{}",
            node["metadata"]
        );
        ensure!(
            node["spec"]["taints"].is_null(),
            "all pods tolerate {}",
            node["spec"]["taints"]
        );
        ensure!(
            address(&node, "Hostname") == Some("node-1.nodes.vcluster.com"),
            "{}",
            node["status"]["addresses"]
        );
        let service = host.json(&[
            "-n",
            &format!("vcluster-{name}"),
            "get",
            "service",
            &format!("{name}-node-{NODE}"),
        ])?;
        ensure!(
            service["spec"]["clusterIP"].as_str() == address(&node, "InternalIP"),
            "{} is not {}",
            service["spec"]["clusterIP"],
            node["status"]["addresses"]
        );
        ensure!(virtual_.names(&["get", "nodes"])? == [NODE], "other nodes are shown");
    }
    Ok(())
}

fn pods_run_on_them_only(world: &World) -> Result<()> {
    for name in ["vc-1", "vc-2"] {
        let virtual_ = world.kubectl(name)?;
        virtual_.apply(&pod("default", &format!("of-{name}"), ""))?;
        let pod = runs(&virtual_, "default", &format!("of-{name}"))?;
        ensure!(
            pod["spec"]["nodeName"] == NODE,
            "it runs on {}",
            pod["spec"]["nodeName"]
        );
    }
    let host = world.kubectl("host")?;
    let copy = host.json(&["-n", "vcluster-vc-1", "get", "pod", "of-vc-1-x-default-x-vc-1"])?;
    ensure!(copy["spec"]["nodeSelector"]["tenants"] == "yes", "{}", copy["spec"]);
    host.apply(&pod(
        "default",
        "of-host",
        r#""tolerations":[{"operator":"Exists"}],"nodeName":"node-1","#,
    ))?;
    runs(&host, "default", "of-host").map(drop)
}

fn logs_and_sessions_work(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    let log = virtual_.run(&["logs", "of-vc-1", "--tail=1", "--timestamps"])?;
    ensure!(log.lines().count() == 1, "{log}");
    let name = virtual_.run(&["exec", "of-vc-1", "--", "hostname"])?;
    ensure!(name.trim() == "of-vc-1", "its name is {name}");
    let log = virtual_.run(&[
        "get",
        "--raw",
        &format!("{PROXY}/containerLogs/default/of-vc-1/app?tailLines=2"),
    ])?;
    ensure!(log.lines().count() <= 2 && !log.is_empty(), "{log}");
    let healthy = virtual_.run(&["get", "--raw", &format!("{PROXY}/healthz")])?;
    ensure!(healthy.trim() == "ok", "{healthy}");
    Ok(())
}

fn measurements_are_of_own_pods(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let read = |kubectl: &Kubectl, path: &str| kubectl.run(&["get", "--raw", &format!("{PROXY}{path}")]);
    for path in ["/metrics/resource", "/metrics/cadvisor"] {
        let of_host = read(&host, path)?;
        for pod in ["of-vc-1-x-default-x-vc-1", "of-vc-2-x-default-x-vc-2", "of-host"] {
            ensure!(
                of_host.contains(&format!("pod=\"{pod}\"")),
                "the host does not measure {pod}: {of_host}"
            );
        }
        let ours = read(&virtual_, path)?;
        ensure!(ours.contains(r#"namespace="default",pod="of-vc-1""#), "{path}: {ours}");
        for foreign in ["vc-2", "of-host", "vcluster-vc-1", "-x-"] {
            ensure!(!ours.contains(foreign), "{path} tells about {foreign}: {ours}");
        }
    }
    let kubelet = read(&virtual_, "/metrics")?;
    ensure!(kubelet.contains("kubelet_running_pods"), "{kubelet}");
    let summary: Value = serde_json::from_str(&read(&virtual_, "/stats/summary")?)?;
    let pods = summary["pods"].as_array().context("no pods")?;
    let names: Vec<&str> = pods.iter().filter_map(|pod| pod["podRef"]["name"].as_str()).collect();
    ensure!(names == ["of-vc-1"] && summary["node"]["nodeName"] == NODE, "{summary}");
    ensure!(pods[0]["containers"][0]["name"] == "app", "{summary}");
    for path in ["/pods", "/runningpods/"] {
        let list: Value = serde_json::from_str(&read(&virtual_, path)?)?;
        let names: Vec<&str> = list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|pod| pod["metadata"]["name"].as_str())
            .collect();
        ensure!(names == ["of-vc-1"], "{path}: {names:?}");
    }
    Ok(())
}

fn pods_of_others_are_out_of_reach(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    let paths = [
        "/containerLogs/vcluster-vc-2/of-vc-2-x-default-x-vc-2/app",
        "/containerLogs/vcluster-vc-1/of-vc-1-x-default-x-vc-1/app",
        "/containerLogs/default/of-vc-2/app",
        "/containerLogs/default/of-host/app",
        "/containerLogs/default/of-vc-1/other",
        "/exec/default/of-host/app?command=id&output=1",
        "/attach/vcluster-vc-2/of-vc-2-x-default-x-vc-2/app?output=1",
        "/portForward/default/of-host",
        "/run/default/of-host/app?cmd=id",
        "/configz",
        "/logs/",
        "/checkpoint/default/of-host/app",
        "/debug/pprof/profile",
    ];
    for path in paths {
        let (_, said) = virtual_.fails(&["get", "--raw", &format!("{PROXY}{path}")])?;
        ensure!(
            said.contains("orbidden") || said.contains("denied") || said.contains("not permitted"),
            "{path}: {said}"
        );
    }
    // A tenant may call a node as the host calls one that is not theirs; that opens nothing.
    let stolen = format!(
        r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"node-2","labels":{{"vcluster.loft.sh/fake-node":"true"}}}},
            "status":{}}}"#,
        virtual_.json(&["get", "node", NODE])?["status"]
    );
    virtual_.with_input(&["create", "-f", "-"], &stolen)?;
    for path in ["/metrics/resource", "/stats/summary"] {
        let (_, said) = virtual_.fails(&["get", "--raw", &format!("/api/v1/nodes/node-2/proxy{path}")])?;
        ensure!(!said.contains("node_cpu"), "{said}");
    }
    virtual_
        .run(&["delete", "node", "node-2", "--ignore-not-found"])
        .map(drop)
}

fn a_kubelet_asks_who_may_read(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    virtual_.run(&["create", "serviceaccount", "reader"])?;
    virtual_.run(&[
        "create",
        "clusterrole",
        "reader",
        "--verb=get",
        "--resource=nodes/metrics,nodes/stats",
    ])?;
    virtual_.run(&[
        "create",
        "clusterrolebinding",
        "reader",
        "--clusterrole=reader",
        "--serviceaccount=default:reader",
    ])?;
    let token = virtual_.run(&["create", "token", "reader"])?;
    let port = &virtual_.json(&["get", "node", NODE])?["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"];
    let with = |token: &str| -> Result<(tempfile::NamedTempFile, Kubectl)> {
        let file = tempfile::NamedTempFile::new()?;
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("https://127.0.0.1:{port}"), "insecure-skip-tls-verify": true}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(file.path(), config.to_string())?;
        let kubectl = world.kubectl_with(file.path());
        Ok((file, kubectl))
    };
    let (_file, reader) = with(token.trim())?;
    let series = eventually("the right is known", || {
        Ok(reader.run(&["get", "--raw", "/metrics/resource"]).ok())
    })?;
    ensure!(series.contains(r#"pod="of-vc-1""#), "{series}");
    for path in ["/pods", "/containerLogs/default/of-vc-1/app", "/configz"] {
        let (_, said) = reader.fails(&["get", "--raw", path])?;
        ensure!(said.contains("orbidden"), "{path}: {said}");
    }
    let (_file, stranger) = with("nobody")?;
    stranger.fails(&["get", "--raw", "/metrics/resource"])?;
    let healthy = stranger.run(&["get", "--raw", "/healthz"])?;
    ensure!(healthy.trim() == "ok", "{healthy}");
    Ok(())
}

/// Measurements of the host under virtual names: those of own pods and shown nodes, and of nobody else's.
fn measurements_are_offered_as_an_api(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let service = eventually("the API is registered", || {
        let found = virtual_.json(&["get", "apiservice", "v1beta1.metrics.k8s.io"]).ok();
        Ok(found.map(|found| found["spec"]["service"].clone()))
    })?;
    let (namespace, name) = ("kube-system", "metrics-server");
    ensure!(
        service["namespace"] == namespace && service["name"] == name,
        "{service}"
    );
    let leads_to = virtual_.json(&["-n", namespace, "get", "service", name])?;
    ensure!(leads_to["spec"]["externalName"] == "localhost", "{leads_to}");
    let copies = host.names(&["-n", "vcluster-vc-1", "get", "services"])?;
    ensure!(!copies.iter().any(|copy| copy.starts_with(name)), "{copies:?}");
    let root = format!("{PROXY}/apis/metrics.k8s.io/v1beta1");
    let resources: Value = serde_json::from_str(&virtual_.run(&["get", "--raw", &root])?)?;
    let names: Vec<&str> = resources["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|resource| resource["name"].as_str())
        .collect();
    ensure!(names == ["nodes", "pods"], "{resources}");
    let path = "/apis/metrics.k8s.io/v1beta1";
    let pods = eventually("the API server passes requests on", || {
        let found = virtual_.run(&["get", "--raw", &format!("{path}/pods")]).ok();
        let found: Option<Value> = found.and_then(|text| serde_json::from_str(&text).ok());
        Ok(found.filter(|list| list["items"].as_array().is_some_and(|items| !items.is_empty())))
    })?;
    let names: Vec<String> = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pod| format!("{}/{}", pod["metadata"]["namespace"], pod["metadata"]["name"]))
        .collect();
    ensure!(names.contains(&r#""default"/"of-vc-1""#.to_owned()), "{names:?}");
    for other in ["of-vc-2", "of-host", "-x-"] {
        ensure!(!names.iter().any(|name| name.contains(other)), "{names:?}");
    }
    virtual_.run(&[
        "annotate",
        "pod",
        "of-vc-1",
        "kwok.x-k8s.io/usage-cpu=250m",
        "kwok.x-k8s.io/usage-memory=64Mi",
    ])?;
    eventually("kubectl top shows what the pod uses", || {
        let shown = virtual_.run(&["top", "pods", "--no-headers"])?;
        let line = shown.lines().find(|line| line.starts_with("of-vc-1 "));
        Ok(line
            .filter(|line| line.contains("250m") && line.contains("64Mi"))
            .map(drop))
    })?;
    let nodes = virtual_.run(&["top", "nodes", "--no-headers"])?;
    ensure!(nodes.lines().count() == 1 && nodes.starts_with(NODE), "{nodes}");
    for others in ["vcluster-vc-2", "kube-system", "vcluster-vc-1"] {
        let found = virtual_.run(&["get", "--raw", &format!("{path}/namespaces/{others}/pods")])?;
        let found: Value = serde_json::from_str(&found)?;
        ensure!(found["items"] == serde_json::json!([]), "{others}: {found}");
    }
    let copy = format!("{path}/namespaces/vcluster-vc-2/pods/of-vc-2-x-default-x-vc-2");
    virtual_.fails(&["get", "--raw", &copy])?;
    let account = "--as=system:serviceaccount:default:stranger";
    let (_, said) = virtual_.fails(&["top", "pods", account])?;
    ensure!(
        said.contains("cannot list resource \"pods\" in API group \"metrics.k8s.io\""),
        "{said}"
    );
    virtual_.run(&["create", "namespace", "brief"])?;
    virtual_
        .run(&["delete", "namespace", "brief", "--timeout=60s"])
        .map(drop)
}

fn changes_of_a_node_go_to_the_host(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.run(&["label", "node", NODE, "team=a"])?;
    virtual_.run(&["cordon", NODE])?;
    let both = |kubectl: &Kubectl, team: Option<&str>, cordoned: bool| {
        eventually("the node is as it was made", || {
            let node = kubectl.json(&["get", "node", NODE])?;
            let label = node["metadata"]["labels"]["team"].as_str();
            let unschedulable = node["spec"]["unschedulable"] == true;
            Ok((label == team && unschedulable == cordoned).then_some(()))
        })
    };
    both(&host, Some("a"), true)?;
    both(&world.kubectl("vc-2")?, Some("a"), true)?;
    virtual_.run(&["uncordon", NODE])?;
    virtual_.run(&["label", "node", NODE, "team-"])?;
    both(&host, None, false)?;
    both(&world.kubectl("vc-2")?, None, false)
}

/// A pod leaves at once, since the toleration keeps the API server from giving it the usual five minutes; its copy would stay for
/// ever, so that it is the virtual cluster which sends it away.
fn a_lost_node_is_seen_at_once(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let key = "node.kubernetes.io/unreachable";
    let toleration = format!(r#""tolerations":[{{"key":"{key}","value":"never","effect":"NoExecute"}}],"#);
    virtual_.apply(&pod("default", "leaves", &toleration))?;
    runs(&virtual_, "default", "leaves")?;
    let stays = format!(
        r#"[{{"op":"add","path":"/spec/tolerations/-","value":{{"key":"{key}","operator":"Exists","effect":"NoExecute"}}}}]"#
    );
    let copy = ["-n", "vcluster-vc-1", "patch", "pod", "leaves-x-default-x-vc-1"];
    host.run(&[&copy[..], &["--type=json", "-p", &stays]].concat())?;
    let ready = |status: &str| -> Result<()> {
        let node = host.json(&["get", "node", NODE])?;
        let mut conditions = node["status"]["conditions"].clone();
        for condition in conditions.as_array_mut().into_iter().flatten() {
            if condition["type"] == "Ready" {
                condition["status"] = status.into();
            }
        }
        let patch = serde_json::json!({"status": {"conditions": conditions}}).to_string();
        host.run(&[
            "patch",
            "node",
            NODE,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ])
        .map(drop)
    };
    let shown = |status: &str| {
        eventually(&format!("the node is ready: {status}"), || {
            let node = virtual_.json(&["get", "node", NODE])?;
            let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let shown = conditions
                .iter()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == status);
            Ok(shown.then_some(()))
        })
    };
    let is_tainted = || -> Result<bool> {
        let node = virtual_.json(&["get", "node", NODE])?;
        let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
        Ok(taints.any(|taint| taint["key"] == key && taint["effect"] == "NoExecute"))
    };
    ready("Unknown")?;
    shown("Unknown")?;
    eventually("the pod has left", || {
        let pods = virtual_.names(&["get", "pods"])?;
        ensure!(
            pods.contains(&"of-vc-1".to_owned()),
            "others have five minutes: {pods:?}"
        );
        Ok((!pods.contains(&"leaves".to_owned())).then_some(()))
    })?;
    ensure!(is_tainted()?, "the node has no taint {key}");
    ready("True")?;
    shown("True")?;
    eventually("the taint is gone", || Ok((!is_tainted()?).then_some(())))
}

fn a_node_that_is_no_longer_selected_goes(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    host.run(&["label", "node", NODE, "tenants-"])?;
    eventually("the node and its Service are gone", || {
        let nodes = virtual_.names(&["get", "nodes"])?;
        let services = host.names(&["-n", "vcluster-vc-1", "get", "services", "-l", "vcluster.loft.sh/node"])?;
        Ok((nodes.is_empty() && services.is_empty()).then_some(()))
    })
}
