//! Ways in: tokens, kubelets, nodes.

use anyhow::Context;

use super::*;

pub(super) fn tokens_are_good_for_one_cluster(world: &World) -> Result<()> {
    let (attacker, ..) = all(world)?;
    for audience in [&[][..], &["--audience=https://kubernetes.default.svc.cluster.local"]] {
        let token = attacker.run(&[&["create", "token", "default"], audience].concat())?;
        for (cluster, expected) in [
            (ATTACKER, "Forbidden"),
            (VICTIM, "Unauthorized"),
            ("host", "Unauthorized"),
        ] {
            let server = format!("--server={}", world.access(cluster)?.server);
            let token = format!("--token={}", token.trim());
            let anyone = ["--kubeconfig=/dev/null", "--insecure-skip-tls-verify", "get", "pods"];
            let (_, said) = attacker.fails(&[&anyone[..], &[&server, &token]].concat())?;
            let refused = match expected {
                "Forbidden" => said.contains("Forbidden"),
                _ => said.contains("Unauthorized") || said.contains("logged in"),
            };
            ensure!(refused, "{cluster} says {said}");
        }
    }
    Ok(())
}

/// Pods of both on one node.
fn neighbours(world: &World) -> Result<String> {
    let (attacker, victim, host) = all(world)?;
    namespace(&victim, "team")?;
    victim.apply(&pod("team", "web", ""))?;
    victim.run(&[
        "-n",
        "team",
        "wait",
        "--for=condition=Ready",
        "pod/web",
        "--timeout=60s",
    ])?;
    let his = victim.json(&["-n", "team", "get", "pod", "web"])?;
    let node = his["spec"]["nodeName"]
        .as_str()
        .context("the pod is on no node")?
        .to_owned();
    let labels = host.json(&["get", "node", &node])?;
    let name = &labels["metadata"]["labels"]["kubernetes.io/hostname"];
    attacker.apply(&pod(
        "default",
        "mine",
        &format!(r#""nodeSelector":{{"kubernetes.io/hostname":{name}}},"#),
    ))?;
    attacker.run(&["wait", "--for=condition=Ready", "pod/mine", "--timeout=60s"])?;
    Ok(node)
}

/// A kubeconfig that leads to the kubelet of `of` with the certificate of whoever administers `by`.
fn kubelet(world: &World, by: &str, of: &str, node: &str) -> Result<tempfile::NamedTempFile> {
    let shown = world.kubectl(of)?.json(&["get", "node", node])?;
    let port = shown["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        .as_u64()
        .context("no port")?;
    let file = world.access(by)?.kubeconfig;
    let mut config: Value = serde_yaml::from_str(&std::fs::read_to_string(file)?)?;
    config["clusters"][0]["cluster"] =
        serde_json::json!({"server": format!("https://127.0.0.1:{port}"), "insecure-skip-tls-verify": true});
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, config.to_string())?;
    Ok(file)
}

pub(super) fn kubelets_show_own_pods_only(world: &World) -> Result<()> {
    let (attacker, ..) = all(world)?;
    let node = neighbours(world)?;
    let file = kubelet(world, ATTACKER, ATTACKER, &node)?;
    let kubeconfig = format!("--kubeconfig={}", file.path().display());
    let asked = |path: &'static str| [kubeconfig.clone(), "get".into(), "--raw".into(), path.into()];
    for path in ["/pods", "/stats/summary"] {
        let shown = attacker.run(&asked(path).each_ref().map(String::as_str))?;
        ensure!(
            shown.contains("\"mine\"") && !shown.contains("\"web\""),
            "{path}: {shown}"
        );
    }
    attacker.run(&asked("/containerLogs/default/mine/c").each_ref().map(String::as_str))?;
    for path in [
        "/containerLogs/team/web/c",
        "/containerLogs/shared/web-x-team-x-b-x-vc-1/c",
        "/containerLogs/default/..%2f..%2fweb/c",
        "/containerLogs/default/mine/other",
        "/run/team/web/c",
    ] {
        attacker.fails(&asked(path).each_ref().map(String::as_str))?;
    }
    attacker.fails(&["-n", "team", "exec", "web", "--", "true"])?;
    attacker.fails(&["-n", SHARED, "logs", "web-x-team-x-b-x-vc-1"])?;
    Ok(())
}

pub(super) fn the_kubelet_of_another_cluster_lets_nobody_in(world: &World) -> Result<()> {
    let (attacker, victim, _) = all(world)?;
    let node = neighbours(world)?;
    let file = kubelet(world, ATTACKER, VICTIM, &node)?;
    let kubeconfig = format!("--kubeconfig={}", file.path().display());
    for path in ["/pods", "/containerLogs/team/web/c"] {
        attacker.fails(&[&kubeconfig, "get", "--raw", path])?;
    }
    let his = victim.json(&["get", "node", &node])?;
    let port = &his["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"];
    // Through the attacker's API server, which believes what the Node says.
    let status = format!(r#"{{"status":{{"daemonEndpoints":{{"kubeletEndpoint":{{"Port":{port}}}}}}}}}"#);
    for _ in 0..5 {
        attacker.run(&[
            "patch",
            "node",
            &node,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ])?;
        let path = format!("/api/v1/nodes/{node}/proxy/pods");
        // Either it is refused there, or the Node has been put right before.
        if let Ok(shown) = attacker.run(&["get", "--raw", &path]) {
            ensure!(!shown.contains("\"web\""), "{shown}");
        }
    }
    attacker.run(&["delete", "pod", "mine", "--timeout=60s"])?;
    victim
        .run(&["-n", "team", "delete", "pod", "web", "--timeout=60s"])
        .map(drop)
}

pub(super) fn a_node_made_by_hand_runs_nothing(world: &World) -> Result<()> {
    let (attacker, _, host) = all(world)?;
    for labels in ["{}", r#"{"vcluster.loft.sh/fake-node":"true"}"#] {
        attacker.apply(&format!(
            r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"node-9","labels":{labels}}}}}"#
        ))?;
    }
    attacker.apply(&pod("default", "placed", r#""nodeName":"node-9","#))?;
    told(&attacker, "default", "placed", "Given nodeName node-9")?;
    let pods = host.names(&["-n", SHARED, "get", "pods", "-l", "vcluster.loft.sh/namespace=default"])?;
    ensure!(pods.iter().all(|pod| !pod.starts_with("placed-")), "{pods:?}");
    attacker.run(&["delete", "pod", "placed", "--grace-period=0", "--force"])?;
    attacker
        .run(&["delete", "node", "node-9", "--ignore-not-found"])
        .map(drop)
}
