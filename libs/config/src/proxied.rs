//! Custom resources that another virtual cluster of the host answers for: `experimental.proxy.customResources`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::mappings::is_label;

const KEY: &str = "experimental.proxy.customResources";
const EVERY_RESOURCE: &str = "*";
/// The groups that every API server answers for itself, and the one that the syncer answers for.
const BUILT_IN: [&str; 19] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "metrics.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];
/// Switches that have the virtual cluster know kinds of a group that is not built in.
const SYNCED: [(&str, &str); 10] = [
    ("sync.toHost.volumeSnapshots.enabled", "snapshot.storage.k8s.io"),
    ("sync.toHost.volumeSnapshotContents.enabled", "snapshot.storage.k8s.io"),
    ("sync.fromHost.volumeSnapshotClasses.enabled", "snapshot.storage.k8s.io"),
    ("sync.toHost.gatewayApi.enabled", "gateway.networking.k8s.io"),
    ("sync.toHost.gatewayApi.gateways.enabled", "gateway.networking.k8s.io"),
    ("sync.toHost.gatewayApi.httpRoutes.enabled", "gateway.networking.k8s.io"),
    ("sync.toHost.gatewayApi.tlsRoutes.enabled", "gateway.networking.k8s.io"),
    (
        "sync.toHost.gatewayApi.backendTLSPolicies.enabled",
        "gateway.networking.k8s.io",
    ),
    ("sync.fromHost.gateways.enabled", "gateway.networking.k8s.io"),
    ("sync.fromHost.gatewayClasses.enabled", "gateway.networking.k8s.io"),
];

/// What other virtual clusters answer for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Proxy {
    /// By `resource.group/version` or `*.group/version`.
    pub custom_resources: BTreeMap<String, ProxiedResource>,
}

/// Who answers for a custom resource, and what is shown of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProxiedResource {
    /// Whether anybody else answers.
    pub enabled: bool,
    /// Who does.
    pub target_virtual_cluster: VirtualClusterRef,
    /// Which objects are shown and can be touched.
    pub access_resources: AccessResources,
}

/// A virtual cluster of the same host.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VirtualClusterRef {
    /// Its name.
    pub name: String,
    /// Its namespace; empty for the one that it has by default.
    pub project: String,
}

/// Which objects of another virtual cluster are shown and can be touched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessResources {
    /// Those that were made through this virtual cluster.
    #[default]
    #[serde(alias = "")]
    Owned,
    /// All.
    All,
}

/// A group and version that another virtual cluster answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxiedVersion {
    /// The group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The resources, by their plural names; every one when empty.
    pub resources: BTreeSet<String>,
    /// Who answers.
    pub target: VirtualClusterRef,
    /// Which objects are shown and can be touched.
    pub access: AccessResources,
}

impl VirtualClusterRef {
    /// The namespace of the host that it lies in.
    pub fn namespace(&self) -> String {
        match self.project.as_str() {
            "" => format!("vcluster-{}", self.name),
            project => project.to_owned(),
        }
    }
}

/// Resource, group and version of a key.
fn parts(key: &str) -> Option<(&str, &str, &str)> {
    let (resource, version) = key.split_once('/')?;
    let (resource, group) = resource.split_once('.')?;
    let is_resource = resource == EVERY_RESOURCE || is_label(resource);
    let is_group = group.len() <= 253 && group.split('.').all(is_label);
    (is_resource && is_group && is_label(version)).then_some((resource, group, version))
}

impl Proxy {
    /// What is switched on, by group and version: a whole one is answered for at one place.
    pub fn versions(&self) -> Vec<ProxiedVersion> {
        let mut found: Vec<ProxiedVersion> = Vec::new();
        let enabled = self.custom_resources.iter().filter(|(_, resource)| resource.enabled);
        for (key, resource) in enabled {
            let Some((name, group, version)) = parts(key) else {
                continue;
            };
            let named = Some(name.to_owned()).filter(|name| name != EVERY_RESOURCE);
            match found
                .iter_mut()
                .find(|known| known.group == group && known.version == version)
            {
                Some(known) => known.resources.extend(named),
                None => found.push(ProxiedVersion {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    resources: named.into_iter().collect(),
                    target: resource.target_virtual_cluster.clone(),
                    access: resource.access_resources,
                }),
            }
        }
        found
    }
}

/// Checks the section (vCluster `pkg/config/validation.go`); the problem is a clause that follows its name.
pub(crate) fn check(value: &Value) -> Result<(), String> {
    let mut enabled: Vec<(&str, &str, &str, ProxiedResource)> = Vec::new();
    for (key, resource) in value.as_object().into_iter().flatten() {
        let Some((_, group, version)) = parts(key) else {
            return Err(format!(
                "{key:?} is not the name of a resource: resource.group/version or *.group/version, such as \
                 widgets.example.com/v1"
            ));
        };
        if !group.contains('.') || BUILT_IN.contains(&group) {
            return Err(format!(
                "{key}: the group {group} is answered for by every virtual cluster itself: only custom resources can be proxied"
            ));
        }
        let resource: ProxiedResource =
            serde_json::from_value(resource.clone()).map_err(|error| format!("{key}: {error}"))?;
        let target = &resource.target_virtual_cluster;
        if target.name.is_empty() {
            return Err(format!("{key}: targetVirtualCluster.name is required: say who answers"));
        }
        for (field, text) in [("name", &target.name), ("project", &target.project)] {
            if !text.is_empty() && !is_label(text) {
                return Err(format!(
                    "{key}: targetVirtualCluster.{field}: {text:?} is no DNS label: lower-case letters, digits and '-'"
                ));
            }
        }
        // What is switched off leads nowhere and contradicts nothing.
        if !resource.enabled {
            continue;
        }
        if let Some((other, _, _, first)) = enabled.iter().find(|(_, g, v, _)| (*g, *v) == (group, version)) {
            let of_all = |key: &str| key.starts_with(EVERY_RESOURCE);
            if of_all(key) != of_all(other) {
                return Err(format!(
                    "{other} and {key} are about the same group and version: * has to be alone"
                ));
            }
            let differs = [
                ("targetVirtualCluster", first.target_virtual_cluster != *target),
                ("accessResources", first.access_resources != resource.access_resources),
            ];
            if let Some((field, _)) = differs.iter().find(|(_, differs)| *differs) {
                return Err(format!(
                    "{other} and {key} have the same group and version, which is answered for at one place: they need the same \
                     {field}"
                ));
            }
        }
        enabled.push((key, group, version, resource));
    }
    Ok(())
}

/// No group may be synced and proxied: the problem names both keys.
pub(crate) fn check_together(document: &Value) -> Result<(), String> {
    let enabled = |section: &str| {
        let section = document.pointer(&format!("/{}", section.replace('.', "/")));
        let entries = section.and_then(Value::as_object).into_iter().flatten();
        entries
            .filter(|(_, resource)| resource["enabled"] == true)
            .map(|(key, _)| key.clone())
            .collect::<Vec<String>>()
    };
    let group = |key: &str| {
        let name = key.split('/').next().unwrap_or_default();
        name.split_once('.')
            .map(|(_, group)| group.to_owned())
            .unwrap_or_default()
    };
    let proxied: BTreeMap<String, String> = enabled(KEY).into_iter().map(|key| (group(&key), key)).collect();
    let refuse = |group: &str, by: &str, key: &str| {
        Err(format!(
            "{KEY}: {key}: the group {group} is synced by {by}, too: a group can be synced or proxied, not both"
        ))
    };
    for section in ["sync.toHost.customResources", "sync.fromHost.customResources"] {
        for synced in enabled(section) {
            let group = group(&synced);
            if let Some(key) = proxied.get(&group) {
                return refuse(&group, &format!("{section}: {synced}"), key);
            }
        }
    }
    for (switch, group) in SYNCED {
        let on = document.pointer(&format!("/{}", switch.replace('.', "/")));
        if let (Some(key), true) = (proxied.get(group), on.is_some_and(|on| *on == true || *on == "true")) {
            return refuse(group, switch, key);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(target: &str) -> Value {
        json!({"enabled": true, "targetVirtualCluster": {"name": target}})
    }

    #[test]
    fn keys_are_resources_of_groups_that_are_not_built_in() {
        for (key, accepted) in [
            ("widgets.example.com/v1", true),
            ("*.example.com/v1beta1", true),
            ("issuers.cert-manager.io/v1", true),
            ("httproutes.gateway.networking.k8s.io/v1", true),
            ("widgets.example.com", false),
            ("/v1", false),
            ("*/v1", false),
            ("widgets.example.com/", false),
            ("widgets.example.com/v1/status", false),
            ("Widgets.example.com/v1", false),
            ("deployments.apps/v1", false),
            ("ingresses.networking.k8s.io/v1", false),
            ("pods.metrics.k8s.io/v1beta1", false),
            ("../x.example.com/v1", false),
        ] {
            let checked = check(&json!({key: entry("target")}));
            assert_eq!(checked.is_ok(), accepted, "{key}: {checked:?}");
        }
    }

    #[test]
    fn entries_of_a_version_agree() {
        let all = |mut entry: Value| {
            entry["accessResources"] = json!("all");
            entry
        };
        let off = |mut entry: Value| {
            entry["enabled"] = json!(false);
            entry
        };
        let project = |mut entry: Value| {
            entry["targetVirtualCluster"]["project"] = json!("elsewhere");
            entry
        };
        for (first, second, word) in [
            (("a.g.io/v1", entry("x")), ("b.g.io/v1", entry("x")), ""),
            (
                ("a.g.io/v1", entry("x")),
                ("b.g.io/v1", entry("y")),
                "the same targetVirtualCluster",
            ),
            (
                ("a.g.io/v1", entry("x")),
                ("b.g.io/v1", project(entry("x"))),
                "the same targetVirtualCluster",
            ),
            (
                ("a.g.io/v1", entry("x")),
                ("b.g.io/v1", all(entry("x"))),
                "the same accessResources",
            ),
            (("a.g.io/v1", entry("x")), ("b.g.io/v1", off(entry("y"))), ""),
            (("a.g.io/v1", entry("x")), ("b.g.io/v2", all(entry("y"))), ""),
            (
                ("*.g.io/v1", entry("x")),
                ("b.g.io/v1", entry("x")),
                "* has to be alone",
            ),
        ] {
            let checked = check(&json!({first.0: first.1, second.0: second.1}));
            match word {
                "" => assert_eq!(checked, Ok(())),
                word => assert!(checked.clone().is_err_and(|why| why.contains(word)), "{checked:?}"),
            }
        }
    }

    #[test]
    fn what_is_wrong_in_an_entry_is_named() {
        for (entry, word) in [
            (json!({"enabled": true}), "targetVirtualCluster.name is required"),
            (json!({"enabled": false}), "targetVirtualCluster.name is required"),
            (
                json!({"targetVirtualCluster": {"name": "Upper"}}),
                "targetVirtualCluster.name: \"Upper\"",
            ),
            (
                json!({"targetVirtualCluster": {"name": "x", "project": "a/b"}}),
                "targetVirtualCluster.project",
            ),
            (
                json!({"targetVirtualCluster": {"name": "x"}, "accessResources": "some"}),
                "some",
            ),
            (
                json!({"targetVirtualCluster": {"name": "x"}, "access": "all"}),
                "access",
            ),
        ] {
            let checked = check(&json!({"a.g.io/v1": entry}));
            assert!(
                checked
                    .clone()
                    .is_err_and(|why| why.starts_with("a.g.io/v1: ") && why.contains(word)),
                "{checked:?}"
            );
        }
    }

    #[test]
    fn no_group_is_synced_and_proxied() {
        let proxied = json!({"customResources": {"*.g.io/v1": entry("x"), "a.snapshot.storage.k8s.io/v1": entry("x")}});
        let document = |sync: Value| json!({"sync": sync, "experimental": {"proxy": proxied}});
        for (sync, refused) in [
            (json!({}), false),
            (
                json!({"toHost": {"customResources": {"b.g.io": {"enabled": true}}}}),
                true,
            ),
            (
                json!({"fromHost": {"customResources": {"b.g.io/v2": {"enabled": true}}}}),
                true,
            ),
            (
                json!({"toHost": {"customResources": {"b.g.io": {"enabled": false}}}}),
                false,
            ),
            (
                json!({"toHost": {"customResources": {"b.h.io": {"enabled": true}}}}),
                false,
            ),
            (json!({"toHost": {"volumeSnapshots": {"enabled": true}}}), true),
            (json!({"fromHost": {"gatewayClasses": {"enabled": "auto"}}}), false),
        ] {
            assert_eq!(check_together(&document(sync.clone())).is_err(), refused, "{sync}");
        }
    }

    #[test]
    fn versions_collect_their_resources() {
        let proxy: Proxy = serde_json::from_value(json!({"customResources": {
            "a.g.io/v1": entry("x"), "b.g.io/v1": entry("x"), "*.h.io/v2": entry("y"),
            "c.g.io/v1": {"targetVirtualCluster": {"name": "x"}},
        }}))
        .unwrap();
        let versions = proxy.versions();
        let names = |found: &ProxiedVersion| found.resources.iter().cloned().collect::<Vec<_>>();
        assert_eq!(versions.len(), 2);
        let of = |group: &str| versions.iter().find(|found| found.group == group).unwrap();
        assert_eq!(names(of("g.io")), ["a", "b"]);
        assert!(names(of("h.io")).is_empty());
        assert_eq!(of("h.io").target.namespace(), "vcluster-y");
        assert_eq!(of("g.io").access, AccessResources::Owned);
    }
}
