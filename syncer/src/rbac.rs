//! `syncer rbac`: prints the rights that a virtual cluster of some configuration needs in its host.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use config::{Auto, Config, Rules};

use crate::options::Options;
use crate::resources::role::{self, manifest_of};
use crate::settings::Settings;

/// The word that asks for it.
const COMMAND: &str = "rbac";

/// Prints the roles and role bindings that a virtual cluster needs in its host.
#[derive(Debug, Parser)]
#[command(name = "syncer rbac")]
struct RbacOptions {
    /// Name of the virtual cluster
    #[arg(long, value_name = "NAME")]
    name: String,

    /// Namespace of the host in which the objects of the virtual cluster live
    #[arg(long, value_name = "NAMESPACE")]
    target_namespace: String,

    /// The vcluster.yaml [default: the defaults of every key]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Whether this process was asked for the manifests.
pub fn is_called() -> bool {
    std::env::args_os().nth(1).is_some_and(|first| first == COMMAND)
}

/// Prints them; one sentence on standard error when that fails.
pub fn run() -> ExitCode {
    // The word itself stands where the program's name does.
    let options = RbacOptions::parse_from(std::env::args_os().skip(1));
    match printed(&options) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("syncer rbac: {error:#}");
            chassis::exit_code(&error)
        }
    }
}

fn printed(options: &RbacOptions) -> Result<String> {
    let (settings, config) = Options::for_rights(&options.name, &options.target_namespace, options.config.as_deref())?;
    Ok(manifests(&settings, &config))
}

/// The manifests, one document each.
fn manifests(settings: &Settings, config: &Config) -> String {
    let rules = &config.rbac;
    let namespace = settings.host_namespace.as_str();
    let name = format!("vc-{}", settings.vcluster);
    let wide_name = settings.cluster_role_name();
    let mut documents = Vec::new();
    if rules.role.enabled {
        let own = role::role(&name, settings);
        documents.push(placed(&with_rules(own, "Role", &name, &rules.role.rules), namespace));
        documents.push(binding("Role", &name, Some(namespace), settings));
        let replaced = !rules.role.rules.overwrite_rules.is_empty();
        if let Some((of_monitors, role)) = role::monitors_role(settings).filter(|_| !replaced) {
            documents.push(placed(&role, namespace));
            documents.push(binding("Role", &of_monitors, Some(namespace), settings));
        }
        for (other, role) in role::roles_elsewhere(&wide_name, settings) {
            documents.push(placed(&role, &other));
            documents.push(binding("Role", &wide_name, Some(&other), settings));
        }
    }
    let wanted = role::cluster_role(&wide_name, settings);
    let asked = &rules.cluster_role;
    let needed = wanted.is_some() || !asked.rules.is_empty();
    if matches!((asked.enabled, needed), (Auto::Set(true), _) | (Auto::Suggested, true)) {
        let role = wanted.unwrap_or_else(|| manifest_of("ClusterRole", &wide_name));
        documents.push(with_rules(role, "ClusterRole", &wide_name, &asked.rules));
        documents.push(binding("ClusterRole", &wide_name, None, settings));
    }
    documents.join("---\n")
}

/// A role with the rules of the configuration added to its own, or instead of them.
fn with_rules(role: String, kind: &str, name: &str, rules: &Rules) -> String {
    let (role, more) = if rules.overwrite_rules.is_empty() {
        (role, &rules.extra_rules)
    } else {
        (manifest_of(kind, name), &rules.overwrite_rules)
    };
    // JSON is YAML, too.
    more.iter().fold(role, |role, rule| format!("{role}  - {rule}\n"))
}

/// The same manifest in a namespace.
fn placed(manifest: &str, namespace: &str) -> String {
    manifest.replacen("metadata:\n", &format!("metadata:\n  namespace: {namespace}\n"), 1)
}

fn binding(kind: &str, name: &str, namespace: Option<&str>, settings: &Settings) -> String {
    let place = namespace.map_or_else(String::new, |namespace| format!("  namespace: {namespace}\n"));
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}Binding\nmetadata:\n{place}  name: {name}\nroleRef:\n  \
         apiGroup: rbac.authorization.k8s.io\n  kind: {kind}\n  name: {name}\nsubjects:\n  - kind: ServiceAccount\n    \
         name: vc-{}\n    namespace: {}\n",
        settings.vcluster, settings.host_namespace
    )
}

#[cfg(test)]
mod chart;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn documents(yaml: &str) -> Vec<Value> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vcluster.yaml");
        std::fs::write(&file, yaml).unwrap();
        let options = RbacOptions {
            name: "vc".into(),
            target_namespace: "team".into(),
            config: Some(file),
        };
        let printed = printed(&options).unwrap();
        let documents = serde_yaml::Deserializer::from_str(&printed);
        documents
            .map(|document| serde::Deserialize::deserialize(document).unwrap())
            // What no text is read as.
            .filter(|document: &Value| !document.is_null())
            .collect()
    }

    fn kinds(documents: &[Value]) -> Vec<String> {
        let name = |document: &Value| {
            let (kind, metadata) = (&document["kind"], &document["metadata"]);
            let place = metadata["namespace"]
                .as_str()
                .map_or(String::new(), |place| format!("{place}/"));
            format!(
                "{} {place}{}",
                kind.as_str().unwrap(),
                metadata["name"].as_str().unwrap()
            )
        };
        documents.iter().map(name).collect()
    }

    #[test]
    fn a_role_is_enough_with_the_defaults() {
        let documents = documents("");
        assert_eq!(kinds(&documents), ["Role team/vc-vc", "RoleBinding team/vc-vc"]);
        let subject = &documents[1]["subjects"][0];
        assert_eq!(
            (&subject["name"], &subject["namespace"]),
            (&"vc-vc".into(), &"team".into())
        );
        let rules = documents[0]["rules"].as_array().unwrap();
        let wide = rules.iter().find(|rule| rule.to_string().contains('*'));
        assert_eq!(wide, None, "no rule is for everything");
    }

    #[test]
    fn more_comes_with_what_needs_it() {
        let documents = documents(
            "sync:\n  toHost:\n    priorityClasses: {enabled: true}\n  fromHost:\n    secrets:\n      enabled: true\n      \
             mappings:\n        byName: {other/key: shop/key}\n",
        );
        let expected = [
            "Role team/vc-vc",
            "RoleBinding team/vc-vc",
            "Role other/vc-vc-v-team",
            "RoleBinding other/vc-vc-v-team",
            "ClusterRole vc-vc-v-team",
            "ClusterRoleBinding vc-vc-v-team",
        ];
        assert_eq!(kinds(&documents), expected);
        assert_eq!(documents[2]["rules"][0]["resourceNames"][0], "key");
        assert_eq!(documents[5]["roleRef"]["kind"], "ClusterRole");
    }

    #[test]
    fn monitors_of_nodes_have_a_role_of_their_own_wherever_copies_lie() {
        const MONITORS: &str = "experimental: {nodeMonitors: [{name: m, endpoints: [{path: /metrics}]}]}\n";
        let namespaces = "sync: {toHost: {namespaces: {enabled: true, mappings: {byName: {a: b}}}}}\n";
        for more in ["", namespaces] {
            let documents = documents(&format!("{MONITORS}{more}"));
            let of_monitors = "Role team/vc-vc:node-monitors".to_owned();
            let found = kinds(&documents).iter().position(|kind| *kind == of_monitors).unwrap();
            let rules = documents[found]["rules"].as_array().unwrap();
            assert_eq!(rules.len(), 2, "{rules:?}");
            assert_eq!(rules[0]["resources"][0], "servicemonitors");
            assert_eq!(rules[1]["resourceNames"][0], "vc-vc:node-monitors");
            assert_eq!(documents[found + 1]["roleRef"]["name"], "vc-vc:node-monitors");
            let others = documents.iter().enumerate().filter(|(index, _)| *index != found);
            let mut others = others.map(|(_, document)| document.to_string());
            assert!(!others.any(|document| document.contains("servicemonitors")));
        }
        let replaced = "rbac: {role: {overwriteRules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}\n";
        let replaced = kinds(&documents(&format!("{MONITORS}{replaced}")));
        assert_eq!(replaced, ["Role team/vc-vc", "RoleBinding team/vc-vc"]);
    }

    #[test]
    fn the_configuration_adds_replaces_and_leaves_out() {
        let extra = "{apiGroups: [apps], resources: [deployments], verbs: [get]}";
        let added = documents(&format!(
            "rbac:\n  role: {{extraRules: [{extra}]}}\n  clusterRole: {{overwriteRules: [{extra}]}}\n"
        ));
        let rules = |document: &Value| document["rules"].as_array().unwrap().clone();
        assert_eq!(rules(&added[0]).last().unwrap()["resources"][0], "deployments");
        assert!(rules(&added[0]).len() > 1 && rules(&added[2]).len() == 1);
        let none = documents("rbac:\n  role: {enabled: false}\n  clusterRole: {enabled: false}\n");
        assert!(none.is_empty());
        let forced = documents("rbac:\n  clusterRole: {enabled: true}\n");
        assert!(kinds(&forced).contains(&"ClusterRole vc-vc-v-team".to_owned()));
    }
}
