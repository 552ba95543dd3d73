//! The rights that the synced kinds need on the host: a Role, and a ClusterRole when something lies outside the namespace of
//! the virtual cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{HostRule, enabled};
use crate::settings::Settings;

type Words = BTreeSet<&'static str>;

/// A Role with everything that the synced kinds ask for inside the namespace, as YAML: rules sorted, resources with the same
/// verbs together.
pub fn role(name: &str, settings: &Settings) -> String {
    manifest("Role", name, rules(settings).filter(|rule| !rule.cluster))
}

/// A ClusterRole with everything that they ask for outside; `None` when that is nothing.
pub fn cluster_role(name: &str, settings: &Settings) -> Option<String> {
    let mut rules = rules(settings).filter(|rule| rule.cluster).peekable();
    rules.peek()?;
    Some(manifest("ClusterRole", name, rules))
}

fn rules(settings: &Settings) -> impl Iterator<Item = &'static HostRule> {
    let nodes = settings.nodes.from_host.then_some(&super::NODES);
    enabled(settings).flat_map(|resource| resource.host_rules).chain(nodes)
}

fn manifest(kind: &str, name: &str, rules: impl Iterator<Item = &'static HostRule>) -> String {
    let mut text =
        format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\nrules:\n");
    for ((group, verbs), resources) in grouped(rules) {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "  - apiGroups: [\"{group}\"]\n    resources: {}\n    verbs: {}\n",
            list(&resources),
            list(&verbs)
        );
    }
    text
}

fn grouped(rules: impl Iterator<Item = &'static HostRule>) -> BTreeMap<(&'static str, Words), Words> {
    let mut verbs: BTreeMap<(&str, &str), Words> = BTreeMap::new();
    for rule in rules {
        verbs.entry((rule.group, rule.resource)).or_default().extend(rule.verbs);
    }
    let mut rules: BTreeMap<(&str, Words), Words> = BTreeMap::new();
    for ((group, resource), verbs) in verbs {
        rules.entry((group, verbs)).or_default().insert(resource);
    }
    rules
}

fn list(words: &Words) -> String {
    let words: Vec<&str> = words.iter().copied().collect();
    format!("[{}]", words.join(", "))
}

#[cfg(test)]
mod tests {
    use machinery::selector::label::Selector;

    use super::*;
    use crate::kinds::Kind;
    use crate::testing::settings;

    /// The Role of the virtual cluster that deploy/kustomize describes.
    const NAME: &str = "vc-vcluster";
    const HEADER: &str =
        "# Generated from the table in syncer/src/resources/mod.rs: UPDATE_GENERATED=1 cargo test -p syncer role\n";

    #[test]
    fn the_deployed_role_is_the_one_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kustomize/role.yaml");
        let wanted = format!("{HEADER}{}", role(NAME, &settings()));
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(path, &wanted).unwrap();
        }
        let actual = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            actual, wanted,
            "{path} is not up to date; its first line says how to write it anew"
        );
    }

    #[test]
    fn rights_outside_the_namespace_come_with_the_features_that_need_them() {
        let mut settings = settings();
        assert_eq!(cluster_role(NAME, &settings), None);
        settings.from_host.insert(Kind::StorageClass, Selector::default());
        settings.to_host.insert(Kind::PriorityClass);
        settings.nodes.from_host = true;
        let expected = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: vc-vcluster\nrules:\n  \
                        - apiGroups: [\"\"]\n    resources: [nodes]\n    verbs: [get, list, watch]\n  \
                        - apiGroups: [\"scheduling.k8s.io\"]\n    resources: [priorityclasses]\n    \
                        verbs: [create, delete, get, list, patch, watch]\n  \
                        - apiGroups: [\"storage.k8s.io\"]\n    resources: [storageclasses]\n    verbs: [get, list, watch]\n";
        assert_eq!(cluster_role(NAME, &settings).as_deref(), Some(expected));
        let of_ingresses = "resources: [ingresses]";
        assert!(!role(NAME, &settings).contains(of_ingresses));
        settings.to_host.insert(Kind::Ingress);
        assert!(role(NAME, &settings).contains(of_ingresses));
    }

    #[test]
    fn verbs_of_one_resource_meet_and_resources_with_the_same_verbs_share_a_rule() {
        const RULES: [HostRule; 5] = [
            super::super::rule("b", &["list", "get"]),
            super::super::rule("c", &["patch"]),
            super::super::rule("a", &["get"]),
            super::super::rule("a", &["list"]),
            HostRule {
                group: "apps",
                ..super::super::rule("a", &["get", "list"])
            },
        ];
        let read = Words::from(["get", "list"]);
        let expected = BTreeMap::from([
            (("", read.clone()), Words::from(["a", "b"])),
            (("", Words::from(["patch"])), Words::from(["c"])),
            (("apps", read), Words::from(["a"])),
        ]);
        assert_eq!(grouped(RULES.iter()), expected);
    }
}
