//! `vcluster manifests`: what a virtual cluster needs in its host besides the control plane itself, for a vcluster.yaml.

mod network;
mod policies;

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, bail};
use chassis::usage;
use config::Config;
use config::policies::Metadata;
use serde_json::{Value, json};

use crate::options::Manifests;
use crate::supervisor;

/// A virtual cluster as its manifests see it.
struct Tenant<'a> {
    name: &'a str,
    namespace: &'a str,
}

impl Tenant<'_> {
    /// An object in the namespace.
    fn object(&self, api_version: &str, kind: &str, name: &str, more: &Metadata, content: Value) -> Value {
        let mut labels = json!({"app": "vcluster", "release": self.name});
        for (label, value) in &more.labels {
            labels[label] = json!(value);
        }
        let mut metadata = json!({"name": name, "namespace": self.namespace, "labels": labels});
        if !more.annotations.is_empty() {
            metadata["annotations"] = json!(more.annotations);
        }
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        for (field, value) in content.as_object().into_iter().flatten() {
            object[field] = value.clone();
        }
        object
    }

    fn service_account(&self, name: &str) -> Value {
        let content = json!({"automountServiceAccountToken": false});
        self.object("v1", "ServiceAccount", name, &Metadata::default(), content)
    }
}

/// Prints the manifests.
pub(crate) fn print(options: &Manifests) -> Result<()> {
    let (file, text) = match &options.values {
        None => (String::new(), String::new()),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| usage(format!("--values: cannot read {}: {error}", file.display())))?;
            (file.display().to_string(), text)
        }
    };
    let config = Config::parse(&file, &text).map_err(|error| usage(format!("--values: {error}")))?;
    let mut documents = documents(&options.name, &options.namespace, &config)?;
    documents.push(rights(options)?);
    let template = config.host_template(&options.name, &options.namespace);
    documents.push(config.experimental.deploy.host.manifests);
    documents.push(template.map_err(|problem| usage(format!("--values: {file}: {problem}")))?);
    documents.retain(|document| !document.trim().is_empty());
    let ended = documents.iter().map(|document| document.trim_end());
    println!("{}", ended.collect::<Vec<_>>().join("\n---\n"));
    Ok(())
}

/// Service accounts, limits and network policies, one document each.
fn documents(name: &str, namespace: &str, config: &Config) -> Result<Vec<String>> {
    let tenant = Tenant { name, namespace };
    let accounts = [format!("vc-{name}"), format!("vc-workload-{name}")];
    let mut objects: Vec<Value> = accounts.iter().map(|account| tenant.service_account(account)).collect();
    objects.extend(policies::objects(&tenant, &config.policies));
    let spread = config.sync.to_host.namespaces.enabled;
    objects.extend(network::policies(&tenant, &config.policies.network_policy, spread));
    objects.extend(requests(&tenant, config)?);
    let printed = objects.iter().map(serde_yaml::to_string);
    printed.collect::<Result<_, _>>().context("cannot print a manifest")
}

/// The files with which the API server intervenes in requests, for the control plane's Pod.
fn requests(tenant: &Tenant<'_>, config: &Config) -> Result<Option<Value>> {
    let files = config
        .request_files(tenant.name)
        .context("cannot print a file for the API server")?;
    if files.is_empty() {
        return Ok(None);
    }
    let data: BTreeMap<&str, String> = files.into_iter().collect();
    let name = format!("vc-requests-{}", tenant.name);
    Ok(Some(tenant.object(
        "v1",
        "ConfigMap",
        &name,
        &Metadata::default(),
        json!({"data": data}),
    )))
}

/// Roles and bindings, which the syncer knows.
fn rights(options: &Manifests) -> Result<String> {
    let syncer = supervisor::binaries()?.join("syncer");
    let mut command = Command::new(&syncer);
    command.args([
        "rbac",
        "--name",
        &options.name,
        "--target-namespace",
        &options.namespace,
    ]);
    options.values.iter().for_each(|file| {
        command.arg("--config").arg(file);
    });
    let output = command
        .output()
        .with_context(|| format!("cannot start {}: it has to be beside vcluster", syncer.display()))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("the syncer prints no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds and names of the manifests for a vcluster.yaml, and the manifests.
    fn printed(yaml: &str) -> (Vec<String>, Vec<Value>) {
        let config = Config::parse("f", yaml).unwrap();
        let documents = documents("vc", "team", &config).unwrap();
        let objects: Vec<Value> = documents
            .iter()
            .map(|text| serde_yaml::from_str(text).unwrap())
            .collect();
        let name = |object: &Value| {
            assert_eq!(object["metadata"]["namespace"], "team");
            format!(
                "{} {}",
                object["kind"].as_str().unwrap(),
                object["metadata"]["name"].as_str().unwrap()
            )
        };
        (objects.iter().map(name).collect(), objects)
    }

    const ACCOUNTS: [&str; 2] = ["ServiceAccount vc-vc", "ServiceAccount vc-workload-vc"];

    #[test]
    fn nothing_is_limited_by_default() {
        assert_eq!(printed("").0, ACCOUNTS);
    }

    #[test]
    fn quota_and_limits_come_together_unless_one_is_refused() {
        let (names, objects) = printed("policies: {resourceQuota: {enabled: true, labels: {team: a}}}\n");
        assert_eq!(names[2..], ["ResourceQuota vc-vc", "LimitRange vc-vc"]);
        assert_eq!(objects[2]["spec"]["hard"]["count/pods"], 20);
        assert_eq!(
            objects[2]["metadata"]["labels"],
            json!({"app": "vcluster", "release": "vc", "team": "a"})
        );
        let limit = &objects[3]["spec"]["limits"][0];
        assert_eq!(
            (&limit["type"], &limit["default"]["cpu"]),
            (&json!("Container"), &json!("1"))
        );
        assert_eq!(limit.get("max"), None);
        let (names, _) = printed("policies: {limitRange: {enabled: true}, resourceQuota: {enabled: false}}\n");
        assert_eq!(names[2..], ["LimitRange vc-vc"]);
    }

    #[test]
    fn what_the_api_server_is_told_is_a_config_map() {
        let (names, objects) = printed(
            "policies: {centralAdmission: {mutatingWebhooks: [{metadata: {name: a}, webhooks: [{name: w, clientConfig: {service: {name: s, namespace: n}}}]}]}}
experimental: {denyProxyRequests: [{name: r, rules: [{operations: [delete]}]}]}
",
        );
        assert_eq!(names[2..], ["ConfigMap vc-requests-vc"]);
        let data = objects[2]["data"].as_object().unwrap();
        assert_eq!(data.keys().collect::<Vec<_>>(), ["denied.yaml", "mutating.yaml"]);
        assert!(data["mutating.yaml"].as_str().unwrap().contains("https://s.n.svc:443"));
    }

    #[test]
    fn pods_reach_each_other_dns_and_what_is_public() {
        let extra = "{to: [{ipBlock: {cidr: 10.1.0.0/16}}]}";
        let (names, objects) = printed(&format!(
            "policies: {{networkPolicy: {{enabled: true, workload: {{egress: [{extra}]}}}}}}\n"
        ));
        let expected = ["work", "cp", "kube-dns", "snapshot"].map(|name| format!("NetworkPolicy vc-{name}-vc"));
        assert_eq!(names[2..], expected);
        assert_eq!(
            objects[4]["spec"]["podSelector"]["matchLabels"],
            json!({"k8s-app": "vcluster-kube-dns", "vcluster.loft.sh/managed-by": "vc"})
        );
        assert_eq!(objects[5]["spec"]["ingress"], Value::Null, "nobody reaches a snapshot");
        let spec = &objects[2]["spec"];
        assert_eq!(
            spec["podSelector"]["matchLabels"],
            json!({"vcluster.loft.sh/managed-by": "vc"})
        );
        let egress = spec["egress"].as_array().unwrap();
        assert_eq!(egress[0]["ports"][0], json!({"port": 1053, "protocol": "UDP"}));
        assert_eq!(egress[2]["to"][0]["ipBlock"]["cidr"], "0.0.0.0/0");
        assert_eq!(egress[3]["to"][0]["ipBlock"]["cidr"], "10.1.0.0/16");
        let namespaces = "sync: {toHost: {namespaces: {enabled: true, mappings: {byName: {a: b}}}}}\n";
        let (_, spread) = printed(&format!("{namespaces}policies: {{networkPolicy: {{enabled: true}}}}\n"));
        let elsewhere = json!({
            "podSelector": {"matchLabels": {"vcluster.loft.sh/managed-by": "vc"}},
            "namespaceSelector": {"matchLabels": {
                "vcluster.loft.sh/vcluster-name": "vc", "vcluster.loft.sh/vcluster-namespace": "team",
            }},
        });
        // Pods in namespaces of their own reach the others, the control plane, and name servers; but these are not theirs.
        for (policy, place) in [
            (2, "/spec/egress/1/to/1"),
            (2, "/spec/ingress/0/from/2"),
            (3, "/spec/egress/2/to/2"),
            (3, "/spec/ingress/2/from/1"),
            (4, "/spec/ingress/0/from/1"),
        ] {
            assert_eq!(spread[policy].pointer(place), Some(&elsewhere), "{policy} {place}");
            assert_eq!(objects[policy].pointer(place), None, "{policy} {place}");
        }
        let closed =
            printed("policies: {networkPolicy: {enabled: true, workload: {publicEgress: {enabled: false}}}}\n").1;
        assert_eq!(closed[2]["spec"]["egress"].as_array().unwrap().len(), 2);
    }
}
