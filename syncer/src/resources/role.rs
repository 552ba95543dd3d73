//! The rights that the synced kinds need in the namespace of the virtual cluster, as a Role.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{HostRule, TABLE};

type Words = BTreeSet<&'static str>;

/// A Role with everything that the table asks for inside the namespace, as YAML: rules sorted, resources with the same
/// verbs together.
pub fn manifest(name: &str) -> String {
    let mut text = format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: {name}\nrules:\n");
    let rules = TABLE.iter().flat_map(|resource| resource.host_rules);
    for ((group, verbs), resources) in grouped(rules.filter(|rule| !rule.cluster)) {
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
    use super::*;

    /// The Role of the virtual cluster that deploy/kustomize describes.
    const NAME: &str = "vc-vcluster";
    const HEADER: &str =
        "# Generated from the table in syncer/src/resources/mod.rs: UPDATE_GENERATED=1 cargo test -p syncer role\n";

    #[test]
    fn the_deployed_role_is_the_one_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kustomize/role.yaml");
        let wanted = format!("{HEADER}{}", manifest(NAME));
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
    fn nothing_is_needed_outside_the_namespace() {
        let rules = TABLE.iter().flat_map(|resource| resource.host_rules);
        let cluster: Vec<_> = rules.filter(|rule| rule.cluster).collect();
        assert!(cluster.is_empty(), "{cluster:?} would take a ClusterRole");
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
