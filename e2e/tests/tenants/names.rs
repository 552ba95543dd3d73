//! Names: what has the same name on the host is still whose it is.

use super::*;

/// Namespace and name of objects of the victim, and of those of the attacker that would have the same name on the host.
const HIS: (&str, &str) = ("team", "web");
const MINE: (&str, &str) = ("b", "web-x-team");
/// That name.
const MEETING: &str = "web-x-team-x-b-x-vc-1";

pub(super) fn two_clusters_share_a_namespace(world: &World) -> Result<()> {
    let (attacker, victim, host) = all(world)?;
    for kubectl in [&attacker, &victim] {
        kubectl.apply(&pod("default", "same", ""))?;
    }
    for (kubectl, cluster) in [(&attacker, ATTACKER), (&victim, VICTIM)] {
        kubectl.run(&["wait", "--for=condition=Ready", "pod/same", "--timeout=60s"])?;
        ensure!(
            kubectl.names(&["get", "pods", "-A"])? == ["same"],
            "{cluster} sees pods of others"
        );
        on_host(&host, "pod", &format!("same-x-default-x-{cluster}"))?;
        kubectl.run(&["delete", "pod", "same", "--timeout=60s"])?;
    }
    Ok(())
}

pub(super) fn a_secret_of_the_same_host_name_is_not_read(world: &World) -> Result<()> {
    let (attacker, victim, host) = all(world)?;
    let secret = |(namespace, name): (&str, &str), owner: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"{name}","namespace":"{namespace}"}},"stringData":{{"owner":"{owner}"}}}}"#
        )
    };
    let user = |(namespace, name): (&str, &str)| {
        let volume = format!(r#""volumes":[{{"name":"v","secret":{{"secretName":"{name}"}}}}],"#);
        pod(namespace, "reader", &volume)
    };
    namespace(&victim, HIS.0)?;
    namespace(&attacker, MINE.0)?;
    victim.apply(&secret(HIS, "victim"))?;
    victim.apply(&user(HIS))?;
    let before = on_host(&host, "secret", MEETING)?;

    // Without a Secret of his own, and with one.
    attacker.apply(&user(MINE))?;
    told(
        &attacker,
        MINE.0,
        "reader",
        "is one that other virtual clusters can have",
    )?;
    attacker.apply(&secret(MINE, "attacker"))?;
    told(&attacker, MINE.0, MINE.1, "does not belong to b/web-x-team")?;
    let pods = host.names(&["-n", SHARED, "get", "pods", "-l", "vcluster.loft.sh/namespace=b"])?;
    ensure!(pods.is_empty(), "{pods:?} names the Secret of somebody else");
    // An ingress would show a certificate of the victim.
    attacker.apply(
        r#"{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"i","namespace":"b"},
            "spec":{"tls":[{"secretName":"web-x-team"}],"defaultBackend":{"service":{"name":"s","port":{"number":80}}}}}"#,
    )?;
    let ingresses = host.names(&["-n", SHARED, "get", "ingresses"])?;
    ensure!(ingresses.is_empty(), "{ingresses:?}");
    attacker.run(&[
        "-n",
        MINE.0,
        "delete",
        "pod/reader",
        "secret/web-x-team",
        "ingress/i",
        "--timeout=60s",
    ])?;
    let after = on_host(&host, "secret", MEETING)?;
    ensure!(
        before["data"] == after["data"] && before["metadata"]["uid"] == after["metadata"]["uid"],
        "it was changed"
    );
    victim.run(&["-n", HIS.0, "delete", "pod/reader", "secret/web", "--timeout=60s"])?;
    Ok(())
}

pub(super) fn a_pod_of_the_same_host_name_is_not_reached(world: &World) -> Result<()> {
    let (attacker, victim, host) = all(world)?;
    victim.apply(&pod(HIS.0, HIS.1, ""))?;
    victim.run(&["-n", HIS.0, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s"])?;
    let before = on_host(&host, "pod", MEETING)?;
    attacker.apply(&pod(MINE.0, MINE.1, ""))?;
    told(&attacker, MINE.0, MINE.1, "does not belong to b/web-x-team")?;
    let logs = attacker.run(&["-n", MINE.0, "logs", MINE.1])?;
    ensure!(logs.is_empty(), "a pod on no node says {logs:?}");
    for reach in [&["exec", MINE.1, "--", "true"][..], &["port-forward", MINE.1, "1:1"]] {
        attacker.fails(&[&["-n", MINE.0][..], reach].concat())?;
    }
    attacker.run(&["-n", MINE.0, "delete", "pod", MINE.1, "--timeout=60s"])?;
    let after = on_host(&host, "pod", MEETING)?;
    ensure!(
        before["metadata"]["uid"] == after["metadata"]["uid"],
        "the pod was replaced"
    );
    ensure!(
        after["metadata"]["deletionTimestamp"].is_null(),
        "the pod is being deleted"
    );
    victim.run(&["-n", HIS.0, "delete", "pod", HIS.1, "--timeout=60s"])?;
    Ok(())
}

pub(super) fn a_service_of_the_same_host_name_gets_no_endpoints(world: &World) -> Result<()> {
    let (attacker, victim, host) = all(world)?;
    let service = |(namespace, name): (&str, &str)| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"{name}","namespace":"{namespace}"}},"spec":{{"ports":[{{"port":80}}]}}}}"#
        )
    };
    victim.apply(&service(HIS))?;
    on_host(&host, "service", MEETING)?;
    attacker.apply(&service(MINE))?;
    attacker.apply(
        r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"web-x-team","namespace":"b"},
             "subsets":[{"addresses":[{"ip":"192.0.2.66"}],"ports":[{"port":80}]}]},
            {"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv4",
             "metadata":{"name":"slice","namespace":"b","labels":{"kubernetes.io/service-name":"web-x-team"}},
             "endpoints":[{"addresses":["192.0.2.66"]}],"ports":[{"port":80}]}]}"#,
    )?;
    told(&attacker, MINE.0, MINE.1, "does not belong to b/web-x-team")?;
    for kind in ["endpoints", "endpointslices"] {
        let all = host.run(&["-n", SHARED, "get", kind, "-o", "json"])?;
        ensure!(!all.contains("192.0.2.66"), "{kind} lead to the attacker");
    }
    attacker.run(&["-n", MINE.0, "delete", "service", MINE.1])?;
    attacker.run(&["-n", MINE.0, "delete", "endpointslice", "slice", "--ignore-not-found"])?;
    on_host(&host, "service", MEETING)?;
    victim.run(&["-n", HIS.0, "delete", "service", HIS.1])?;
    Ok(())
}

pub(super) fn an_account_of_the_same_host_name_is_not_used(world: &World) -> Result<()> {
    let (attacker, victim, host) = all(world)?;
    victim.run(&["-n", HIS.0, "create", "serviceaccount", HIS.1])?;
    on_host(&host, "serviceaccount", MEETING)?;
    attacker.run(&["-n", MINE.0, "create", "serviceaccount", MINE.1])?;
    attacker.apply(&pod(MINE.0, "robot", &format!(r#""serviceAccountName":"{}","#, MINE.1)))?;
    told(&attacker, MINE.0, MINE.1, "does not belong to b/web-x-team")?;
    let pods = host.names(&["-n", SHARED, "get", "pods", "-l", "vcluster.loft.sh/namespace=b"])?;
    ensure!(pods.is_empty(), "{pods:?} runs under the account of somebody else");
    // By its own name it is none of the attacker's either.
    attacker.fails(&[
        "-n",
        MINE.0,
        "run",
        "x",
        "--image=i",
        "--overrides",
        r#"{"spec":{"serviceAccountName":"vc-vc-1"}}"#,
    ])?;
    attacker.run(&[
        "-n",
        MINE.0,
        "delete",
        "pod/robot",
        "serviceaccount/web-x-team",
        "--timeout=60s",
    ])?;
    victim.run(&["-n", HIS.0, "delete", "serviceaccount", HIS.1])?;
    Ok(())
}

pub(super) fn claims_are_not_filled_by_host_names(world: &World) -> Result<()> {
    let (attacker, _, host) = all(world)?;
    attacker.apply(&format!(
        r#"{{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{{"name":"copy","namespace":"b",
            "annotations":{{"vcluster.loft.sh/skip-translate":"true"}}}},
            "spec":{{"accessModes":["ReadWriteOnce"],"resources":{{"requests":{{"storage":"1Gi"}}}},
            "dataSource":{{"apiGroup":"snapshot.storage.k8s.io","kind":"VolumeSnapshot","name":"{MEETING}"}}}}}}"#
    ))?;
    told(&attacker, MINE.0, "copy", "is one that other virtual clusters can have")?;
    let claims = host.names(&["-n", SHARED, "get", "persistentvolumeclaims"])?;
    ensure!(
        claims.iter().all(|name| !name.ends_with("/copy-x-b-x-vc-1")),
        "{claims:?}"
    );
    attacker.run(&["-n", MINE.0, "delete", "persistentvolumeclaim", "copy", "--timeout=60s"])?;
    Ok(())
}

pub(super) fn a_node_port_belongs_to_who_has_it(world: &World) -> Result<()> {
    let (attacker, victim, host) = all(world)?;
    let service = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"port","namespace":"default"},
                      "spec":{"type":"NodePort","ports":[{"port":80,"nodePort":31234}]}}"#;
    victim.apply(service)?;
    on_host(&host, "service", &format!("port-x-default-x-{VICTIM}"))?;
    attacker.apply(service)?;
    let given = on_host(&host, "service", "port-x-default-x-vc-1")?["spec"]["ports"][0]["nodePort"].clone();
    ensure!(given != 31234 && given.is_number(), "the node port is {given}");
    eventually("the tenant is told which port it is", || {
        let shown = attacker.json(&["get", "service", "port"])?;
        Ok((shown["spec"]["ports"][0]["nodePort"] == given).then_some(()))
    })?;
    for kubectl in [&attacker, &victim] {
        kubectl.run(&["delete", "service", "port"])?;
    }
    Ok(())
}

pub(super) fn one_leaves_and_the_other_stays(world: &World) -> Result<()> {
    let (attacker, victim, host) = all(world)?;
    let class = |name: &str| {
        format!(
            r#"{{"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{{"name":"{name}"}},"value":5}}"#
        )
    };
    for kubectl in [&attacker, &victim] {
        kubectl.apply(&class("gold"))?;
        kubectl.apply(&pod("default", "last", r#""priorityClassName":"gold","#))?;
        kubectl.run(&["wait", "--for=condition=Ready", "pod/last", "--timeout=60s"])?;
    }
    // What uninstalling a release does first.
    host.run(&["-n", SHARED, "delete", "service", ATTACKER])?;
    let of = |cluster: &str| -> Result<Vec<String>> {
        let own = format!("vcluster.loft.sh/managed-by={cluster}");
        let outside = format!("vcluster.loft.sh/managed-by={SHARED}-x-{cluster}");
        let mut left = Vec::new();
        for kind in host
            .run(&["api-resources", "--verbs=list", "--namespaced", "-o", "name"])?
            .lines()
        {
            left.extend(host.names(&["-n", SHARED, "get", kind, "-l", &own])?);
        }
        left.extend(host.names(&[
            "get",
            "priorityclasses,storageclasses,persistentvolumes",
            "-l",
            &outside,
        ])?);
        Ok(left)
    };
    eventually("the host has nothing of the one that left", || {
        let left = of(ATTACKER)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })?;
    let stayed = of(VICTIM)?;
    ensure!(stayed.iter().any(|name| name.starts_with("last-")), "{stayed:?}");
    ensure!(
        stayed.iter().any(|name| name.starts_with("vcluster-gold-")),
        "{stayed:?}"
    );
    victim
        .run(&["wait", "--for=condition=Ready", "pod/last", "--timeout=60s"])
        .map(drop)
}
