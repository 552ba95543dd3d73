//! Labels, annotations, owners and types: what a tenant writes means nothing to the host.

use super::*;

pub(super) fn marks_set_by_hand_mean_nothing(world: &World) -> Result<()> {
    let (attacker, _, host) = all(world)?;
    let service = host.json(&["-n", SHARED, "get", "service", VICTIM])?;
    let owner = service["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    attacker.apply(&format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"marked","namespace":"default",
            "labels":{{"app":"vcluster","release":"{VICTIM}","vcluster.loft.sh/managed-by":"{VICTIM}",
                "vcluster.loft.sh/namespace":"kube-system"}},
            "annotations":{{"vcluster.loft.sh/object-name":"web","vcluster.loft.sh/object-namespace":"team",
                "vcluster.loft.sh/object-uid":"{owner}","vcluster.loft.sh/object-host-name":"other",
                "vcluster.loft.sh/skip-backsync":"true","vcluster.loft.sh/managed-labels":"vcluster.loft.sh/managed-by"}},
            "finalizers":["example.com/stay"]}},
            "spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}"#
    ))?;
    let twin = on_host(&host, "pod", "marked-x-default-x-vc-1")?;
    let metadata = &twin["metadata"];
    let (labels, annotations) = (&metadata["labels"], &metadata["annotations"]);
    ensure!(labels["vcluster.loft.sh/managed-by"] == ATTACKER, "{labels}");
    ensure!(labels["vcluster.loft.sh/namespace"] == "default", "{labels}");
    ensure!(
        labels["release"].is_null(),
        "the pod could be one of a control plane: {labels}"
    );
    ensure!(annotations["vcluster.loft.sh/object-name"] == "marked", "{annotations}");
    ensure!(
        annotations["vcluster.loft.sh/object-namespace"] == "default",
        "{annotations}"
    );
    ensure!(
        annotations["vcluster.loft.sh/object-uid"] != owner.as_str(),
        "{annotations}"
    );
    ensure!(annotations["vcluster.loft.sh/skip-backsync"].is_null(), "{annotations}");
    ensure!(metadata["finalizers"].is_null(), "{metadata}");
    ensure!(metadata["ownerReferences"][0]["name"] == ATTACKER, "{metadata}");
    // The control plane's Service has no endpoint that a tenant has made.
    let slices = host.run(&["-n", SHARED, "get", "endpointslices", "-o", "json"])?;
    ensure!(!slices.contains("\"marked-x-default-x-vc-1\""), "{slices}");
    attacker.run(&[
        "patch",
        "pod",
        "marked",
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/metadata/finalizers"}]"#,
    ])?;
    attacker.run(&["delete", "pod", "marked", "--timeout=60s"])?;
    eventually("the copy goes", || {
        let left = host.names(&["-n", SHARED, "get", "pods", "-l", "app=vcluster"])?;
        Ok(left.is_empty().then_some(()))
    })
}

pub(super) fn selectors_select_own_pods_only(world: &World) -> Result<()> {
    let (attacker, _, host) = all(world)?;
    let foreign = format!(r#"{{"vcluster.loft.sh/managed-by":"{VICTIM}"}}"#);
    attacker.apply(&format!(
        r#"{{"apiVersion":"v1","kind":"List","items":[
            {{"apiVersion":"v1","kind":"Service","metadata":{{"name":"spy","namespace":"default"}},
              "spec":{{"selector":{foreign},"ports":[{{"port":80}}]}}}},
            {{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{{"name":"spy","namespace":"default"}},
              "spec":{{"podSelector":{{"matchLabels":{foreign}}},"ingress":[{{"from":[
                  {{"namespaceSelector":{{}}}},{{"podSelector":{{"matchLabels":{foreign}}}}}]}}]}}}},
            {{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{{"name":"spy","namespace":"default"}},
              "spec":{{"minAvailable":1,"selector":{{"matchLabels":{foreign}}}}}}}]}}"#
    ))?;
    let name = "spy-x-default-x-vc-1";
    let policy = on_host(&host, "networkpolicy", name)?;
    let from = &policy["spec"]["ingress"][0]["from"];
    ensure!(
        from[0]["namespaceSelector"].is_null() && from[1]["namespaceSelector"].is_null(),
        "{from}"
    );
    let service = on_host(&host, "service", name)?;
    let budget = on_host(&host, "poddisruptionbudget", name)?;
    for selector in [
        &service["spec"]["selector"],
        &policy["spec"]["podSelector"]["matchLabels"],
        &from[0]["podSelector"]["matchLabels"],
        &from[1]["podSelector"]["matchLabels"],
        &budget["spec"]["selector"]["matchLabels"],
    ] {
        ensure!(selector["vcluster.loft.sh/managed-by"] == ATTACKER, "{selector}");
    }
    attacker
        .run(&["delete", "service/spy", "networkpolicy/spy", "poddisruptionbudget/spy"])
        .map(drop)
}

pub(super) fn secrets_do_not_become_tokens_of_the_host(world: &World) -> Result<()> {
    let (attacker, _, host) = all(world)?;
    attacker.run(&["create", "serviceaccount", "vc-vc-1"])?;
    attacker.apply(
        r#"{"apiVersion":"v1","kind":"Secret","type":"kubernetes.io/service-account-token","metadata":{"name":"token",
            "namespace":"default","annotations":{"kubernetes.io/service-account.name":"vc-vc-1"}}}"#,
    )?;
    let volume = r#""volumes":[{"name":"v","secret":{"secretName":"token"}}],"#;
    attacker.apply(&pod("default", "holder", volume))?;
    let secret = on_host(&host, "secret", "token-x-default-x-vc-1")?;
    ensure!(
        secret["type"] == "Opaque",
        "the host would fill it in: {}",
        secret["type"]
    );
    let twin = on_host(&host, "pod", "holder-x-default-x-vc-1")?;
    ensure!(
        twin["spec"]["automountServiceAccountToken"] == false,
        "{}",
        twin["spec"]
    );
    ensure!(
        !twin["spec"]["volumes"].to_string().contains("serviceAccountToken"),
        "{}",
        twin["spec"]["volumes"]
    );
    attacker
        .run(&[
            "delete",
            "pod/holder",
            "secret/token",
            "serviceaccount/vc-vc-1",
            "--timeout=60s",
        ])
        .map(drop)
}

pub(super) fn pods_comply_with_the_standard(world: &World) -> Result<()> {
    let (attacker, _, host) = all(world)?;
    let label = "pod-security.kubernetes.io/enforce";
    let enforced = || {
        let namespace = attacker.json(&["get", "namespace", "default"])?;
        Ok((namespace["metadata"]["labels"][label] == "baseline").then_some(()))
    };
    eventually("namespaces have the standard", enforced)?;
    let volume = r#""volumes":[{"name":"root","hostPath":{"path":"/"}}],"#;
    let (_, said) = attacker.fails(&[
        "run",
        "x",
        "--image=i",
        "--overrides",
        &format!(r#"{{"spec":{{{}}}}}"#, volume.trim_end_matches(',')),
    ])?;
    ensure!(said.contains("hostPath volumes"), "{said}");
    attacker.run(&[
        "label",
        "namespace",
        "default",
        "--overwrite",
        &format!("{label}=privileged"),
    ])?;
    eventually("the standard comes back", enforced)?;
    let pods = host.names(&["-n", SHARED, "get", "pods", "-l", "vcluster.loft.sh/namespace=default"])?;
    ensure!(pods.iter().all(|pod| !pod.starts_with("x-x-")), "{pods:?}");
    Ok(())
}
