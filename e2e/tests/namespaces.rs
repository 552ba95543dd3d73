//! Virtual clusters whose namespaces have some of the host to themselves, by name or by pattern; the others lie beside the control
//! plane.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, Kubectl, World, binary, configured, eventually};
use serde_json::Value;

const VALUES: &str = "
sync:
  toHost:
    namespaces:
      enabled: true
      mappings:
        byName:
          prod: '${name}-prod'
          'team-*': '${name}-t-*'
          common: common
          late: '${name}-late'
      extraLabels: {cost: '42'}
    networkPolicies: {enabled: true}
integrations:
  metricsServer: {enabled: true}
policies:
  podSecurityStandard: baseline
  resourceQuota: {enabled: true}
  networkPolicy: {enabled: true}
";

const CASES: &[Case] = &[
    ("objects_keep_their_names", objects_keep_their_names),
    ("a_pattern_names_many_namespaces", a_pattern_names_many_namespaces),
    (
        "other_namespaces_are_with_the_control_plane",
        other_namespaces_are_with_the_control_plane,
    ),
    (
        "pods_run_as_the_account_of_workloads",
        pods_run_as_the_account_of_workloads,
    ),
    ("logs_and_measurements_are_found", logs_and_measurements_are_found),
    ("services_are_known_by_name", services_are_known_by_name),
    ("what_is_there_is_left_alone", what_is_there_is_left_alone),
    ("namespaces_of_the_host_are_shown", namespaces_of_the_host_are_shown),
    (
        "one_of_two_has_a_namespace_that_was_there",
        one_of_two_has_a_namespace_that_was_there,
    ),
    ("policies_select_across_namespaces", policies_select_across_namespaces),
    (
        "policies_of_the_configuration_are_for_the_control_planes_namespace",
        policies_of_the_configuration_are_for_the_control_planes_namespace,
    ),
    (
        "the_security_standard_is_that_of_all_namespaces",
        the_security_standard_is_that_of_all_namespaces,
    ),
    (
        "a_namespace_goes_with_the_virtual_one",
        a_namespace_goes_with_the_virtual_one,
    ),
    ("rights_are_enough", World::rights_are_enough),
    (
        "a_namespace_goes_with_that_of_the_host",
        a_namespace_goes_with_that_of_the_host,
    ),
    ("at_the_end_nothing_is_left", at_the_end_nothing_is_left),
];

const ONLY: &str = "
sync:
  toHost:
    namespaces:
      enabled: true
      mappingsOnly: true
      mappings: {byName: {prod: live, kube-system: vc-system}}
";

const CASES_ONLY: &[Case] = &[
    ("only_mapped_namespaces_are_made", only_mapped_namespaces_are_made),
    ("a_change_is_refused", a_change_is_refused),
];

fn main() -> ExitCode {
    match configured("namespaces", 2, VALUES, CASES) {
        ExitCode::SUCCESS => configured("namespaces-only", 1, ONLY, CASES_ONLY),
        failed => failed,
    }
}

/// Creates a namespace and waits until pods can be made in it.
fn namespace(kubectl: &Kubectl, name: &str) -> Result<()> {
    kubectl.apply(&format!(
        r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{name}","labels":{{"stage":"{name}","pod-security.kubernetes.io/enforce":"privileged"}}}}}}"#
    ))?;
    eventually("the namespace has its service account", || {
        Ok(kubectl.run(&["-n", name, "get", "serviceaccount", "default"]).ok())
    })?;
    Ok(())
}

/// A pod with its ConfigMap and Service.
fn application(namespace: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: {namespace}}}
data: {{a: "1"}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {namespace}}}
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: {namespace}, labels: {{app: web}}}}
spec:
  containers: [{{name: app, image: nginx, envFrom: [{{configMapRef: {{name: settings}}}}]}}]
"#
    )
}

fn runs(kubectl: &Kubectl, namespace: &str, name: &str) -> Result<Value> {
    eventually(&format!("{namespace}/{name} runs"), || {
        let pod = kubectl.json(&["-n", namespace, "get", "pod", name])?;
        Ok((pod["status"]["phase"] == "Running").then_some(pod))
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Waits for an event about an object whose message contains a text.
fn told(kubectl: &Kubectl, place: &[&str], name: &str, words: &str) -> Result<()> {
    let about = format!("involvedObject.name={name}");
    eventually(&format!("an event about {name} says {words:?}"), || {
        let events = kubectl.json(&[place, &["get", "events", "--field-selector", &about]].concat())?;
        let items = events["items"].as_array().cloned().unwrap_or_default();
        let messages: Vec<&str> = items.iter().map(|event| text(&event["message"])).collect();
        ensure!(messages.iter().any(|message| message.contains(words)), "{messages:?}");
        Ok(Some(()))
    })
}

fn objects_keep_their_names(world: &World) -> Result<()> {
    let host = world.kubectl("host")?;
    for cluster in ["vc-1", "vc-2"] {
        let virtual_ = world.kubectl(cluster)?;
        namespace(&virtual_, "prod")?;
        virtual_.apply(&application("prod"))?;
        runs(&virtual_, "prod", "web")?;
        let place = format!("{cluster}-prod");
        let made = host.json(&["get", "namespace", &place])?["metadata"].clone();
        let labels = &made["labels"];
        ensure!(labels["cost"] == "42" && labels["stage"] == "prod", "{labels}");
        ensure!(labels.get("pod-security.kubernetes.io/enforce").is_none(), "{labels}");
        let pod = host.json(&["-n", &place, "get", "pod", "web"])?;
        ensure!(
            pod["metadata"]["labels"]["vcluster.loft.sh/managed-by"] == cluster,
            "{pod}"
        );
        ensure!(pod["metadata"].get("ownerReferences").is_none(), "{pod}");
        let source = &pod["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"];
        ensure!(source == "settings", "{source}");
        let maps = host.names(&["-n", &place, "get", "configmaps"])?;
        for name in [
            "settings",
            "kube-root-ca.crt",
            &format!("vcluster-kube-root-ca.crt-x-{cluster}"),
        ] {
            ensure!(maps.iter().any(|map| map == name), "{name} is not among {maps:?}");
        }
    }
    Ok(())
}

fn a_pattern_names_many_namespaces(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    for team in ["a", "b"] {
        let name = format!("team-{team}");
        namespace(&virtual_, &name)?;
        virtual_.apply(&application(&name))?;
        runs(&virtual_, &name, "web")?;
        host.run(&[
            "-n",
            &format!("vc-1-t-{team}"),
            "get",
            "pod,service,configmap",
            "-l",
            "vcluster.loft.sh/managed-by=vc-1",
        ])?;
        host.run(&["-n", &format!("vc-1-t-{team}"), "get", "pod", "web"])?;
    }
    Ok(())
}

fn other_namespaces_are_with_the_control_plane(world: &World) -> Result<()> {
    let host = world.kubectl("host")?;
    for cluster in ["vc-1", "vc-2"] {
        let virtual_ = world.kubectl(cluster)?;
        virtual_.apply(&application("default"))?;
        runs(&virtual_, "default", "web")?;
        let place = format!("vcluster-{cluster}");
        let name = format!("web-x-default-x-{cluster}");
        let pod = host.json(&["-n", &place, "get", "pod", &name])?;
        let account = &pod["spec"]["serviceAccountName"];
        ensure!(*account == format!("vc-workload-{cluster}"), "{account}");
        host.run(&["-n", &place, "get", "service", &name])?;
        let found = of_cluster(&host, cluster)?;
        ensure!(found.iter().all(|(_, virtual_)| virtual_ != "default"), "{found:?}");
    }
    Ok(())
}

fn pods_run_as_the_account_of_workloads(world: &World) -> Result<()> {
    let host = world.kubectl("host")?;
    let account = ["-n", "vc-1-prod", "get", "serviceaccount", "vc-workload-vc-1"];
    let made = host.json(&account)?;
    ensure!(made["automountServiceAccountToken"] == false, "{made}");
    let pod = host.json(&["-n", "vc-1-prod", "get", "pod", "web"])?;
    ensure!(pod["spec"]["serviceAccountName"] == "vc-workload-vc-1", "{pod}");
    host.run(&["-n", "vc-1-prod", "delete", "serviceaccount", "vc-workload-vc-1"])?;
    eventually("it is made again", || {
        let again = host.json(&account).ok();
        Ok(again.filter(|again| again["metadata"]["uid"] != made["metadata"]["uid"]))
    })?;
    Ok(())
}

/// The namespaces of the host that belong to a virtual cluster, and the virtual ones.
fn of_cluster(host: &Kubectl, cluster: &str) -> Result<Vec<(String, String)>> {
    let marker = format!("vcluster.loft.sh/managed-by=vcluster-{cluster}-x-{cluster}");
    let list = host.json(&["get", "namespaces", "-l", &marker])?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let of = |item: &Value| {
        let metadata = &item["metadata"];
        let virtual_ = text(&metadata["annotations"]["vcluster.loft.sh/object-name"]);
        (text(&metadata["name"]).to_owned(), virtual_.to_owned())
    };
    Ok(items.iter().map(of).collect())
}

fn logs_and_measurements_are_found(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    let said = virtual_.run(&["-n", "prod", "logs", "web"])?;
    ensure!(said.contains("container app of pod vc-1-prod/web"), "{said}");
    let said = virtual_.run(&["-n", "prod", "exec", "web", "--", "hostname"])?;
    ensure!(said.trim() == "web", "{said}");
    eventually("pods of all namespaces are measured", || {
        let shown = virtual_.run(&["top", "pods", "-A", "--no-headers"]).unwrap_or_default();
        let measured = |namespace: &str| {
            shown
                .lines()
                .any(|line| line.split_whitespace().next() == Some(namespace))
        };
        Ok((measured("prod") && measured("team-a")).then_some(()))
    })?;
    let events = virtual_.run(&["-n", "prod", "get", "events", "-o", "jsonpath={.items[*].message}"])?;
    ensure!(events.contains("prod/web") && !events.contains("vc-1-prod"), "{events}");
    Ok(())
}

fn services_are_known_by_name(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let address = |kubectl: &Kubectl, namespace: &str, name: &str| -> Result<String> {
        let service = kubectl.json(&["-n", namespace, "get", "service", name])?;
        Ok(text(&service["spec"]["clusterIP"]).to_owned())
    };
    let web = address(&host, "vc-1-prod", "web")?;
    ensure!(address(&virtual_, "prod", "web")? == web);
    let server = world.access("vc-1")?.dns.context("vc-1 has no DNS")?;
    eventually("the name resolves", || {
        let output = Command::new("dig")
            .args([
                "+short",
                "+time=2",
                "+tries=1",
                &format!("@{}", server.ip()),
                "-p",
                &server.port().to_string(),
            ])
            .arg("web.prod.svc.cluster.local")
            .output()
            .context("cannot start dig")?;
        Ok((String::from_utf8_lossy(&output.stdout).trim() == web).then_some(()))
    })?;
    // The name server runs with the control plane, and so does what leads to it.
    let dns = address(&host, "vcluster-vc-1", "kube-dns-x-kube-system-x-vc-1")?;
    let pod = host.json(&["-n", "vc-1-prod", "get", "pod", "web"])?;
    let asked = &pod["spec"]["dnsConfig"]["nameservers"][0];
    ensure!(*asked == dns.as_str(), "{asked} {dns}");
    Ok(())
}

fn what_is_there_is_left_alone(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    host.apply(
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"theirs","namespace":"vc-1-prod",
            "labels":{"vcluster.loft.sh/managed-by":"somebody"}},"stringData":{"a":"b"}}"#,
    )?;
    let before = host.json(&["-n", "vc-1-prod", "get", "secret", "theirs"])?;
    // A pod that would read it waits.
    virtual_.apply(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"thief","namespace":"prod"},"spec":{"containers":[
            {"name":"c","image":"i","envFrom":[{"secretRef":{"name":"theirs","optional":true}}]}]}}"#,
    )?;
    told(&virtual_, &["-n", "prod"], "thief", "Secret prod/theirs does not exist")?;
    virtual_.run(&[
        "-n",
        "prod",
        "create",
        "secret",
        "generic",
        "theirs",
        "--from-literal=x=y",
    ])?;
    told(
        &virtual_,
        &["-n", "prod"],
        "theirs",
        "already exists there and does not belong to prod/theirs",
    )?;
    ensure!(
        host.run(&["-n", "vc-1-prod", "get", "pod", "thief"]).is_err(),
        "the pod reads it"
    );
    virtual_.run(&["-n", "prod", "delete", "secret/theirs", "pod/thief"])?;
    let after = host.json(&["-n", "vc-1-prod", "get", "secret", "theirs"])?;
    ensure!(before == after, "{before} {after}");
    Ok(())
}

fn namespaces_of_the_host_are_shown(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    host.apply(r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"vc-1-t-host","labels":{"of":"host"}}}"#)?;
    let shown = eventually("it is in the virtual cluster", || {
        Ok(virtual_.json(&["get", "namespace", "team-host"]).ok())
    })?;
    ensure!(shown["metadata"]["labels"]["of"] == "host", "{shown}");
    eventually("it has its service account", || {
        Ok(virtual_
            .run(&["-n", "team-host", "get", "serviceaccount", "default"])
            .ok())
    })?;
    // What is in it is shown, too, and what comes later; both sides change both.
    host.apply(&application("vc-1-t-host"))?;
    let pod = runs(&virtual_, "team-host", "web")?;
    let on_host = host.json(&["-n", "vc-1-t-host", "get", "pod", "web"])?;
    ensure!(
        pod["spec"]["nodeName"] == on_host["spec"]["nodeName"],
        "{pod} {on_host}"
    );
    let metadata = &on_host["metadata"];
    ensure!(
        metadata["annotations"]["vcluster.loft.sh/object-uid"] == pod["metadata"]["uid"]
            && metadata["annotations"]["vcluster.loft.sh/object-imported"] == "true",
        "{metadata}"
    );
    eventually("the service has the host's address", || {
        let service = host.json(&["-n", "vc-1-t-host", "get", "service", "web"])?;
        let shown = virtual_.json(&["-n", "team-host", "get", "service", "web"])?;
        Ok((service["spec"]["clusterIP"] == shown["spec"]["clusterIP"]).then_some(()))
    })?;
    let change = ["patch", "configmap", "settings", "-p", r#"{"data":{"a":"2"}}"#];
    virtual_.run(&[&["-n", "team-host"], &change[..]].concat())?;
    eventually("the host has the change", || {
        let settings = host.json(&["-n", "vc-1-t-host", "get", "configmap", "settings"])?;
        Ok((settings["data"]["a"] == "2").then_some(()))
    })?;
    host.run(&["-n", "vc-1-t-host", "delete", "pod/web", "configmap/settings"])?;
    eventually("they go with those of the host", || {
        let left = virtual_.run(&["-n", "team-host", "get", "pods,configmaps", "-o", "name"])?;
        Ok((!left.contains("web") && !left.contains("settings")).then_some(()))
    })?;
    Ok(())
}

/// What is written while the host ends a namespace is refused like what is forbidden: this comes after the question for rights.
fn a_namespace_goes_with_that_of_the_host(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    host.run(&["delete", "namespace", "vc-1-t-host"])?;
    eventually("it goes with that of the host", || {
        Ok((!virtual_
            .names(&["get", "namespaces"])?
            .contains(&"team-host".to_owned()))
        .then_some(()))
    })
}

fn one_of_two_has_a_namespace_that_was_there(world: &World) -> Result<()> {
    let (first, second, host) = (world.kubectl("vc-1")?, world.kubectl("vc-2")?, world.kubectl("host")?);
    host.run(&["create", "namespace", "common"])?;
    let metadata = || Ok::<_, anyhow::Error>(host.json(&["get", "namespace", "common"])?["metadata"].clone());
    let marks = |metadata: &Value| {
        let marker = text(&metadata["labels"]["vcluster.loft.sh/managed-by"]).to_owned();
        (
            marker,
            metadata["annotations"]["vcluster.loft.sh/object-imported"] == "true",
        )
    };
    let is_of = |cluster: &str| format!("vcluster-{cluster}-x-{cluster}");
    let owner = eventually("it is one's", || {
        let (marker, imported) = marks(&metadata()?);
        Ok(["vc-1", "vc-2"]
            .into_iter()
            .find(|cluster| imported && marker == is_of(cluster)))
    })?;
    let (mine, other) = if owner == "vc-1" {
        (first, second)
    } else {
        (second, first)
    };
    namespace(&mine, "common")?;
    ensure!(metadata()?["labels"].get("stage").is_none(), "a tenant labels it");
    namespace(&other, "common")?;
    mine.apply(&application("common"))?;
    other.apply(&application("common"))?;
    runs(&mine, "common", "web")?;
    told(&other, &["-n", "default"], "common", "Namespace common already exists")?;
    told(
        &other,
        &["-n", "common"],
        "web",
        "namespace \"common\" of the host is not that",
    )?;
    let pod = host.json(&["-n", "common", "get", "pod", "web"])?;
    ensure!(pod["metadata"]["labels"]["vcluster.loft.sh/managed-by"] == owner);
    mine.run(&["delete", "namespace", "common"])?;
    eventually("nothing is left in it but what was there and the account", || {
        let left = host.run(&[
            "-n",
            "common",
            "get",
            "pods,services,configmaps,secrets",
            "-l",
            "vcluster.loft.sh/managed-by",
            "-o",
            "name",
        ])?;
        ensure!(left.is_empty(), "{left}");
        Ok(Some(()))
    })?;
    ensure!(marks(&metadata()?) == (is_of(owner), true), "it is free");
    // It is not shown again, and can be used again.
    ensure!(!mine.names(&["get", "namespaces"])?.contains(&"common".to_owned()));
    namespace(&mine, "common")?;
    mine.apply(&application("common"))?;
    runs(&mine, "common", "web")?;
    mine.run(&["delete", "namespace", "common"]).map(|_| ())
}

/// Labels as kubectl selects by them.
fn selector(labels: &serde_json::Map<String, Value>) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    pairs.join(",")
}

fn policies_select_across_namespaces(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.apply(
        r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"p","namespace":"prod"},"spec":{
            "podSelector":{},"ingress":[{"from":[{"namespaceSelector":{"matchLabels":{"stage":"team-a"}}}]}]}}"#,
    )?;
    let policy = eventually("the policy is on the host", || {
        Ok(host.json(&["-n", "vc-1-prod", "get", "networkpolicy", "p"]).ok())
    })?;
    let peer = &policy["spec"]["ingress"][0]["from"][0];
    let joined = &policy["spec"]["ingress"][0]["from"][1]["namespaceSelector"]["matchLabels"];
    ensure!(joined["kubernetes.io/metadata.name"] == "vcluster-vc-1", "{joined}");
    let pods = peer["podSelector"]["matchLabels"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let namespaces = peer["namespaceSelector"]["matchLabels"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let in_namespaces = host.names(&["get", "namespaces", "-l", &selector(&namespaces)])?;
    ensure!(
        in_namespaces.contains(&"vc-1-t-a".to_owned()) && !in_namespaces.iter().any(|name| name.starts_with("vc-2"))
    );
    let selected = host.json(&["get", "pods", "-A", "-l", &selector(&pods)])?;
    let items = selected["items"].as_array().cloned().unwrap_or_default();
    let places: Vec<&str> = items.iter().map(|pod| text(&pod["metadata"]["namespace"])).collect();
    ensure!(places == ["vc-1-t-a"], "{places:?}");
    Ok(())
}

/// The namespaces of the pods that a peer of a policy in this namespace selects.
fn selected(host: &Kubectl, place: &str, peer: &Value) -> Result<Vec<String>> {
    let labels = |part: &str| selector(peer[part]["matchLabels"].as_object().unwrap_or(&serde_json::Map::new()));
    let namespaces = match peer.get("namespaceSelector") {
        None => vec![place.to_owned()],
        Some(_) => host.names(&["get", "namespaces", "-l", &labels("namespaceSelector")])?,
    };
    let pods = host.json(&["get", "pods", "-A", "-l", &labels("podSelector")])?;
    let items = pods["items"].as_array().cloned().unwrap_or_default();
    let places = items.iter().map(|pod| text(&pod["metadata"]["namespace"]).to_owned());
    Ok(places.filter(|place| namespaces.contains(place)).collect())
}

/// Whoever installs the virtual cluster makes them; pods elsewhere are known to them all the same.
fn policies_of_the_configuration_are_for_the_control_planes_namespace(world: &World) -> Result<()> {
    const PLACE: &str = "vcluster-vc-1";
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let file = world.dir().join("policies.yaml");
    std::fs::write(&file, VALUES)?;
    let printed = Command::new(binary("vcluster")?)
        .args(["manifests", "--name=vc-1", "--namespace", PLACE, "-f"])
        .arg(&file)
        .output()?;
    std::fs::remove_file(&file)?;
    ensure!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    host.apply(&String::from_utf8(printed.stdout)?)?;
    let kinds = "resourcequotas,limitranges,networkpolicies";
    let made = |place: &str| host.names(&["-n", place, "get", kinds, "-l", "release=vc-1"]);
    ensure!(made(PLACE)?.len() == 6, "{:?}", made(PLACE)?);
    for place in ["vc-1-prod", "vc-1-t-a"] {
        ensure!(made(place)?.is_empty(), "{place}: {:?}", made(place)?);
    }
    // A quota refuses everything as long as nothing is known of what is used.
    eventually("the quota counts", || {
        let quota = host.json(&["-n", PLACE, "get", "resourcequota", "vc-vc-1"])?;
        Ok(quota["status"]["used"].is_object().then_some(()))
    })?;
    // Limits are the host's to add, where they are; nobody takes them off again.
    for namespace in ["default", "prod"] {
        virtual_.run(&["-n", namespace, "run", "bounded", "--image=nginx"])?;
        runs(&virtual_, namespace, "bounded")?;
    }
    let limit = |place: &str, name: &str| -> Result<Value> {
        let pod = host.json(&["-n", place, "get", "pod", name])?;
        Ok(pod["spec"]["containers"][0]["resources"]["limits"]["cpu"].clone())
    };
    ensure!(limit(PLACE, "bounded-x-default-x-vc-1")? == "1");
    ensure!(limit("vc-1-prod", "bounded")?.is_null());
    eventually("one pod counts", || {
        let quota = host.json(&["-n", PLACE, "get", "resourcequota", "vc-vc-1"])?;
        ensure!(quota["status"]["used"]["limits.cpu"] == "1", "{quota}");
        Ok(Some(()))
    })?;
    // All pods of the virtual cluster reach its name server, and each other.
    let peers = |policy: &str, direction: &str, peers: &str| -> Result<Vec<Value>> {
        let policy = host.json(&["-n", PLACE, "get", "networkpolicy", policy])?;
        let rules = policy["spec"][direction].as_array().cloned().unwrap_or_default();
        let peers = rules.iter().filter_map(|rule| rule[peers].as_array().cloned());
        Ok(peers
            .flatten()
            .filter(|peer| peer.get("podSelector").is_some())
            .collect())
    };
    for (policy, direction, of_rules) in [
        ("vc-cp-vc-1", "ingress", "from"),
        ("vc-cp-vc-1", "egress", "to"),
        ("vc-work-vc-1", "ingress", "from"),
        ("vc-work-vc-1", "egress", "to"),
        ("vc-kube-dns-vc-1", "ingress", "from"),
    ] {
        let mut places = Vec::new();
        for peer in peers(policy, direction, of_rules)? {
            places.extend(selected(&host, PLACE, &peer)?);
        }
        for place in [PLACE, "vc-1-prod", "vc-1-t-a"] {
            ensure!(
                places.iter().any(|found| found == place),
                "{policy} {direction}: {place} is not in {places:?}"
            );
        }
        ensure!(
            !places.iter().any(|place| place.contains("vc-2")),
            "{policy}: {places:?}"
        );
    }
    for namespace in ["default", "prod"] {
        virtual_.run(&["-n", namespace, "delete", "pod", "bounded"])?;
    }
    host.run(&["-n", PLACE, "delete", kinds, "-l", "release=vc-1"])
        .map(drop)
}

fn the_security_standard_is_that_of_all_namespaces(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    for (namespace, place) in [
        ("prod", Some("vc-1-prod")),
        ("team-host", Some("vc-1-t-host")),
        ("default", None),
    ] {
        let label = "pod-security.kubernetes.io/enforce";
        eventually("the namespace has the standard", || {
            let labels = virtual_.json(&["get", "namespace", namespace])?["metadata"]["labels"].clone();
            Ok((labels[label] == "baseline").then_some(()))
        })?;
        // What the host's own admission asks for is for the host to say.
        if let Some(place) = place {
            let labels = host.json(&["get", "namespace", place])?["metadata"]["labels"].clone();
            ensure!(labels.get(label).is_none(), "{labels}");
        }
        let privileged = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"strong","namespace":"{namespace}"}},"spec":{{"containers":[
                {{"name":"c","image":"i","securityContext":{{"privileged":true}}}}]}}}}"#
        );
        let refused = virtual_.apply(&privileged);
        let said = format!("{:#}", refused.err().context("it is made")?);
        ensure!(said.contains("violates PodSecurity \"baseline:latest\""), "{said}");
    }
    Ok(())
}

fn a_namespace_goes_with_the_virtual_one(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    virtual_.run(&["delete", "namespace", "team-b"])?;
    eventually("it is gone on the host", || {
        Ok((!host.names(&["get", "namespaces"])?.contains(&"vc-1-t-b".to_owned())).then_some(()))
    })?;
    host.run(&["-n", "vc-1-t-a", "get", "pod", "web"]).map(|_| ())
}

fn at_the_end_nothing_is_left(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    host.run(&["create", "namespace", "vc-1-late"])?;
    host.run(&["-n", "vc-1-late", "create", "configmap", "theirs"])?;
    eventually("what is there is shown", || {
        Ok(virtual_.run(&["-n", "late", "get", "configmap", "theirs"]).ok())
    })?;
    namespace(&virtual_, "late")?;
    virtual_.apply(&application("late"))?;
    runs(&virtual_, "late", "web")?;
    let others = of_cluster(&host, "vc-2")?;
    host.run(&["-n", "vcluster-vc-1", "delete", "service", "vc-1"])?;
    eventually("its namespaces are gone", || {
        let left = of_cluster(&host, "vc-1")?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })?;
    eventually("nothing is left where it was a guest", || {
        let left = host.run(&[
            "-n",
            "vc-1-late",
            "get",
            "pods,services,configmaps,secrets,serviceaccounts",
            "-l",
            "vcluster.loft.sh/managed-by",
            "-o",
            "name",
        ])?;
        ensure!(left.is_empty(), "{left}");
        Ok(Some(()))
    })?;
    let theirs = host.json(&["-n", "vc-1-late", "get", "configmap", "theirs"])?;
    let marks = theirs["metadata"]["annotations"].as_object().map_or(0, |all| all.len());
    ensure!(marks == 0, "{theirs}");
    // It may have what the other one gave up.
    let left = of_cluster(&host, "vc-2")?;
    ensure!(
        others.iter().all(|other| left.contains(other)),
        "another virtual cluster lost something: {others:?} {left:?}"
    );
    Ok(())
}

fn only_mapped_namespaces_are_made(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    namespace(&virtual_, "prod")?;
    let refused = virtual_.run(&["create", "namespace", "experimental-app"]);
    let expected = "Error from server (Forbidden): Virtual namespace 'experimental-app' is not allowed by vcluster mappings. \
                    Allowed namespaces are kube-system, prod";
    let said = format!("{:#}", refused.err().context("it is made")?);
    ensure!(said.contains(expected), "{said}");
    // Those that every cluster has are there all the same, and lie where they do without mappings.
    virtual_.apply(&application("prod"))?;
    virtual_.apply(&application("default"))?;
    runs(&virtual_, "prod", "web")?;
    runs(&virtual_, "default", "web")?;
    let mut names: Vec<String> = of_cluster(&host, "vc-1")?.into_iter().map(|(name, _)| name).collect();
    names.sort();
    ensure!(names == ["live", "vc-system"], "{names:?}");
    host.run(&["-n", "live", "get", "pod", "web"])?;
    host.run(&["-n", "vcluster-vc-1", "get", "pod", "web-x-default-x-vc-1"])?;
    world.rights_are_enough()
}

fn a_change_is_refused(world: &World) -> Result<()> {
    let syncer = world.process("vc-1/syncer")?;
    let line = std::fs::read(format!(
        "/proc/{}/cmdline",
        syncer.pid.context("the syncer does not run")?
    ))?;
    let mut arguments: Vec<String> = line
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .filter(|argument| !argument.is_empty())
        .collect();
    let file = world.dir().join("changed.yaml");
    std::fs::write(&file, ONLY.replace("prod: live", "prod: dead"))?;
    for argument in &mut arguments {
        if argument.starts_with("--config=") {
            *argument = format!("--config={}", file.display());
        }
        for (flag, free) in [
            ("--kubelet-port=", "0"),
            ("--admin-bind-address=", "127.0.0.1:0"),
            ("--grpc-bind-address=", "127.0.0.1:0"),
        ] {
            if argument.starts_with(flag) {
                *argument = format!("{flag}{free}");
            }
        }
    }
    let output = Command::new(&arguments[0])
        .args(&arguments[1..])
        .output()
        .context("cannot start a syncer")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success(), "it runs");
    ensure!(
        said.contains("sync.toHost.namespaces.mappings.byName is not allowed to be changed"),
        "{said}"
    );
    std::fs::remove_file(&file).context("cannot remove the file")
}
