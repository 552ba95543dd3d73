//! The rights that the synced kinds need on the host: a Role, and a ClusterRole when something lies outside the namespace of
//! the virtual cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::custom::definition::RIGHT;
use super::{GET, HostRule, PATCH, READ, copied_outside, enabled, gateway, namespaces};
use crate::foreign;
use crate::kinds::Kind;
use crate::kubelet::proxied;
use crate::monitors;
use crate::settings::Settings;

type Words = BTreeSet<String>;

/// A right to use one resource, or some objects of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    group: &'static str,
    resource: &'static str,
    verbs: Words,
    /// The names of the objects; every one when empty.
    names: Words,
}

impl From<&HostRule> for Rule {
    fn from(rule: &HostRule) -> Self {
        Self {
            group: rule.group,
            resource: rule.resource,
            verbs: words(rule.verbs),
            names: Words::new(),
        }
    }
}

fn words(words: &[&str]) -> Words {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A Role with everything that the synced kinds ask for inside the namespace, as YAML: rules sorted, resources with the same
/// verbs together.
pub fn role(name: &str, settings: &Settings) -> String {
    let own = elsewhere(settings).remove(&settings.host_namespace);
    let rules = host_rules(settings)
        .filter(|rule| !is_wide(settings, rule))
        .map(Rule::from);
    // Who may read all of them needs no more.
    let names = settings.names();
    let named = names.single_namespace().is_some() || names.all_on_host().is_some();
    let owner = (named && leaves_something_outside(settings)).then(|| namespace(&settings.host_namespace));
    manifest("Role", name, rules.chain(own.unwrap_or_default()).chain(owner))
}

/// A ClusterRole with everything that they ask for outside, and with the right to itself, because it owns the copies there; `None` when that is nothing.
pub fn cluster_role(name: &str, settings: &Settings) -> Option<String> {
    let mut rules = host_rules(settings).filter(|rule| is_wide(settings, rule)).peekable();
    rules.peek()?;
    let definitions = definitions(settings);
    let names = settings.names();
    let places = names.all_on_host();
    let rules = rules.flat_map(|rule| {
        let rule_for = |names: Words, verbs: Words| Rule {
            names,
            verbs,
            ..Rule::from(rule)
        };
        let all = words(rule.verbs);
        match &places {
            _ if *rule == RIGHT => vec![rule_for(definitions.clone(), all)],
            Some(places) if rule.resource == Kind::Namespace.plural() => {
                // What does not exist yet cannot be named.
                let (new, named) = all.into_iter().partition(|verb| verb == "create");
                vec![rule_for(Words::new(), new), rule_for(words(places), named)]
            }
            _ => vec![rule_for(Words::new(), all)],
        }
    });
    let account = namespaces::host_rules(settings).map(|(rule, one)| Rule {
        names: if one {
            Words::from([settings.workload_service_account.clone()])
        } else {
            Words::new()
        },
        ..Rule::from(rule)
    });
    let itself = copied_outside(settings).find(|_| settings.set_owner).map(|_| Rule {
        group: Kind::ClusterRole.group(),
        resource: Kind::ClusterRole.plural(),
        verbs: words(&["get", "patch"]),
        names: Words::from([settings.cluster_role_name()]),
    });
    Some(manifest("ClusterRole", name, rules.chain(account).chain(itself)))
}

/// Whether something of the virtual cluster lies where only its namespace, or its ClusterRole, can own it.
fn leaves_something_outside(settings: &Settings) -> bool {
    let published = settings.set_owner && settings.exports_elsewhere().next().is_some();
    published || copied_outside(settings).next().is_some()
}

/// The definitions that the virtual cluster gets from the host.
fn definitions(settings: &Settings) -> Words {
    let kinds = enabled(settings).map(|resource| resource.kind);
    let defined = kinds.filter(|kind| kind.definition().is_some() || matches!(kind, Kind::Custom(_)));
    let all = gateway::known(settings).into_iter().chain(defined);
    all.map(|kind| format!("{}.{}", kind.plural(), kind.group())).collect()
}

/// The Role of [`crate::monitors`], beside that of the virtual cluster: its name, and the manifest. It owns what it lets the syncer
/// keep, which goes with it; so it has to be one of its own.
pub fn monitors_role(settings: &Settings) -> Option<(String, String)> {
    let name = monitors::role_name(&settings.vcluster);
    let mut rules = monitors::host_rules(settings).map(Rule::from).peekable();
    rules.peek()?;
    let itself = settings.set_owner.then(|| Rule {
        group: monitors::ROLES.0,
        resource: monitors::ROLES.1,
        verbs: words(&["get", "patch"]),
        names: Words::from([name.clone()]),
    });
    let manifest = manifest("Role", &name, rules.chain(itself));
    Some((name, manifest))
}

/// Roles in other namespaces of the host, by namespace: for objects there that the virtual cluster shows.
pub fn roles_elsewhere(name: &str, settings: &Settings) -> BTreeMap<String, String> {
    let mut namespaces = elsewhere(settings);
    namespaces.remove(&settings.host_namespace);
    let roles = namespaces.into_iter();
    roles
        .map(|(namespace, rules)| (namespace, manifest("Role", name, rules.into_iter())))
        .collect()
}

/// Whether a right is needed outside of the control plane's namespace: every right is when copies lie there.
fn is_wide(settings: &Settings, rule: &HostRule) -> bool {
    rule.cluster || settings.namespaces.is_some()
}

fn host_rules(settings: &Settings) -> impl Iterator<Item = &'static HostRule> {
    enabled(settings)
        .filter(|resource| resource.is_on_host(settings))
        .flat_map(|resource| resource.host_rules)
        .chain(super::nodes::host_rules(settings))
        .chain(crate::kubelet::metrics_api::host_rules(settings))
}

/// The right to read the namespace itself, which is the owner of what lies in none.
fn namespace(name: &str) -> Rule {
    Rule {
        group: Kind::Namespace.group(),
        resource: Kind::Namespace.plural(),
        verbs: words(GET),
        names: Words::from([name.to_owned()]),
    }
}

/// What has to be done with objects that are not synced, by namespace. A watch of one object by its name takes a right to that
/// name only.
fn elsewhere(settings: &Settings) -> BTreeMap<String, Vec<Rule>> {
    let mut namespaces: BTreeMap<String, Vec<Rule>> = BTreeMap::new();
    let mut add = |namespace: &str, kind: Kind, verbs: &[&str], name: &str| {
        namespaces.entry(namespace.to_owned()).or_default().push(Rule {
            group: kind.group(),
            resource: kind.plural(),
            verbs: words(verbs),
            names: Some(name.to_owned())
                .filter(|name| !name.is_empty())
                .into_iter()
                .collect(),
        });
    };
    for secret in &settings.exports {
        // What does not exist yet cannot be named.
        add(&secret.namespace, Kind::Secret, &["create"], "");
        add(&secret.namespace, Kind::Secret, &["get", "patch"], &secret.name);
    }
    // The last act.
    for secret in settings
        .exports_elsewhere()
        .filter(|_| settings.owner_of_service().is_some())
    {
        add(&secret.namespace, Kind::Secret, &["delete"], &secret.name);
    }
    if !settings.service_name.is_empty() {
        let name = &settings.service_name;
        // It owns the Secret with the kubeconfig.
        let owns = settings.set_owner
            && settings
                .exports
                .iter()
                .any(|secret| secret.namespace == settings.host_namespace);
        let of_service = if owns { &["get", "list", "watch"] } else { READ };
        add(&settings.host_namespace, Kind::Service, of_service, name);
        add(&settings.host_namespace, Kind::Endpoints, READ, name);
    }
    if let Some(name) = settings.owner_of_service() {
        add(&settings.host_namespace, Kind::StatefulSet, GET, name);
        add(&settings.host_namespace, Kind::Service, PATCH, &settings.service_name);
    }
    for version in &settings.proxied {
        let target = &version.target;
        add(&target.namespace, Kind::Secret, GET, &proxied::secret(&target.name));
    }
    for scope in foreign::scopes(settings) {
        add(
            &scope.namespace,
            scope.kind,
            READ,
            scope.name.as_deref().unwrap_or_default(),
        );
    }
    namespaces
}

/// A role without rules, which are added to the end.
pub fn manifest_of(kind: &str, name: &str) -> String {
    format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\nrules:\n")
}

fn manifest(kind: &str, name: &str, rules: impl Iterator<Item = Rule>) -> String {
    let mut text = manifest_of(kind, name);
    for ((group, verbs, names), resources) in grouped(rules) {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "  - apiGroups: [\"{group}\"]\n    resources: {}\n",
            list(&resources)
        );
        if !names.is_empty() {
            let _ = writeln!(text, "    resourceNames: {}", list(&names));
        }
        let _ = writeln!(text, "    verbs: {}", list(&verbs));
    }
    text
}

/// The rules with as few lines as possible: a right to every object makes those to single ones superfluous.
fn grouped(rules: impl Iterator<Item = Rule>) -> BTreeMap<(&'static str, Words, Words), Words> {
    let mut whole: BTreeMap<(&str, &str), Words> = BTreeMap::new();
    let mut named: BTreeMap<(&str, &str, Words), Words> = BTreeMap::new();
    for rule in rules {
        if rule.names.is_empty() {
            whole.entry((rule.group, rule.resource)).or_default().extend(rule.verbs);
        } else {
            named
                .entry((rule.group, rule.resource, rule.verbs))
                .or_default()
                .extend(rule.names);
        }
    }
    named.retain(|(group, resource, verbs), _| {
        let held = whole.get(&(*group, *resource));
        held.is_none_or(|held| !held.is_superset(verbs))
    });
    let whole = whole
        .into_iter()
        .map(|((group, resource), verbs)| (group, resource, verbs, Words::new()));
    let named = named
        .into_iter()
        .map(|((group, resource, verbs), names)| (group, resource, verbs, names));
    let mut rules: BTreeMap<(&str, Words, Words), Words> = BTreeMap::new();
    for (group, resource, verbs, names) in whole.chain(named) {
        rules
            .entry((group, verbs, names))
            .or_default()
            .insert(resource.to_owned());
    }
    rules
}

fn list(words: &Words) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    format!("[{}]", words.join(", "))
}

#[cfg(test)]
mod tests {
    use machinery::selector::label::Selector;

    use super::*;
    use crate::object::ObjectKey;
    use crate::settings::Proxied;
    use crate::testing::{settings, with_namespaces};

    /// The Role of the virtual cluster that deploy/kustomize describes.
    const NAME: &str = "vc-vcluster";
    const HEADER: &str =
        "# Generated from the table in syncer/src/resources/mod.rs: UPDATE_GENERATED=1 cargo test -p syncer role\n";

    #[test]
    fn the_deployed_role_is_the_one_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kustomize/role.yaml");
        let deployed = Settings {
            service_name: "vcluster".to_owned(),
            stateful_set: "vcluster".to_owned(),
            ..settings()
        };
        let wanted = format!("{HEADER}{}", role(NAME, &deployed));
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(path, &wanted).unwrap();
        }
        let actual = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            actual, wanted,
            "{path} is not up to date; its first line says how to write it anew"
        );
    }

    /// Nothing but what concerns the control plane is left in its namespace.
    #[test]
    fn namespaces_of_their_own_take_every_right_everywhere() {
        let settings = with_namespaces(&[("team", "own-team")]);
        let wide = cluster_role(NAME, &settings).expect("a ClusterRole");
        let single = role(NAME, &crate::testing::settings());
        let of_kinds = "[configmaps, endpoints, persistentvolumeclaims, pods, secrets, services]";
        assert!(single.contains(of_kinds), "{single}");
        assert!(wide.contains(of_kinds), "{wide}");
        let of_namespaces = "    resources: [namespaces]\n    resourceNames: [own-team]\n    verbs: [delete, get, list, patch, watch]\n";
        assert!(wide.contains(of_namespaces), "{wide}");
        let created = "    resources: [namespaces, serviceaccounts]\n    verbs: [create]\n";
        assert!(wide.contains(created), "{wide}");
        let patterns = cluster_role(NAME, &with_namespaces(&[("team-*", "own-*")])).expect("a ClusterRole");
        assert!(
            patterns.contains("[configmaps, endpoints, namespaces, persistentvolumeclaims, pods, secrets, services]"),
            "{patterns}"
        );
        for resource in ["pods/log", "pods/exec", "events", "endpointslices"] {
            assert!(wide.contains(resource), "{resource} is not in {wide}");
        }
        let account = "    resources: [serviceaccounts]\n    resourceNames: [vc-workload-vc]\n    verbs: [delete, get, list, watch]\n";
        assert!(wide.contains(account), "{wide}");
        let own = role(NAME, &settings);
        for resource in ["pods", "configmaps", "events"] {
            assert!(!own.contains(resource), "{resource} is in {own}");
        }
        let of_owner = "    resources: [namespaces]\n    resourceNames: [host]\n    verbs: [get]\n";
        assert!(own.contains(of_owner), "{own}");
        assert!(own.contains("resourceNames: [vc]"), "{own}");
    }

    #[test]
    fn rights_outside_the_namespace_come_with_the_features_that_need_them() {
        let mut settings = settings();
        assert_eq!(cluster_role(NAME, &settings), None);
        settings.from_host.insert(Kind::StorageClass, Selector::default());
        settings.to_host.insert(Kind::PriorityClass);
        settings.nodes.from_host = true;
        let expected = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: vc-vcluster\nrules:\n  \
                        - apiGroups: [\"\"]\n    resources: [nodes]\n    verbs: [list, watch]\n  \
                        - apiGroups: [\"rbac.authorization.k8s.io\"]\n    resources: [clusterroles]\n    \
                        resourceNames: [vc-vc-v-host]\n    verbs: [get, patch]\n  \
                        - apiGroups: [\"scheduling.k8s.io\"]\n    resources: [priorityclasses]\n    \
                        verbs: [create, delete, get, list, patch, watch]\n  \
                        - apiGroups: [\"storage.k8s.io\"]\n    resources: [storageclasses]\n    verbs: [list, watch]\n";
        assert_eq!(cluster_role(NAME, &settings).as_deref(), Some(expected));
        let of_ingresses = "resources: [ingresses]";
        assert!(!role(NAME, &settings).contains(of_ingresses));
        settings.to_host.insert(Kind::Ingress);
        assert!(role(NAME, &settings).contains(of_ingresses));
    }

    #[test]
    fn what_is_not_synced_needs_no_rights() {
        let mut settings = settings();
        let resources = |settings: &Settings| role(NAME, settings);
        settings.to_host.remove(&Kind::ConfigMap);
        settings.to_host.remove(&Kind::Secret);
        assert!(!resources(&settings).contains("configmaps"));
        assert!(
            resources(&settings).contains("secrets"),
            "tokens of pods are in Secrets"
        );
        settings.to_host.clear();
        settings.from_host.clear();
        let left = "  - apiGroups: [\"\"]\n    resources: [secrets]\n    verbs: [create]\n  \
                    - apiGroups: [\"\"]\n    resources: [services]\n    resourceNames: [vc]\n    \
                    verbs: [get, list, watch]\n  \
                    - apiGroups: [\"\"]\n    resources: [secrets]\n    resourceNames: [vc-vc]\n    verbs: [get, patch]\n  \
                    - apiGroups: [\"\"]\n    resources: [endpoints]\n    resourceNames: [vc]\n    verbs: [list, watch]\n  \
                    - apiGroups: [\"\"]\n    resources: [services]\n    resourceNames: [vc]\n    verbs: [patch]\n  \
                    - apiGroups: [\"apps\"]\n    resources: [statefulsets]\n    resourceNames: [vc]\n    verbs: [get]\n";
        assert_eq!(
            resources(&settings).split_once("rules:\n").unwrap().1,
            left,
            "the control plane's own"
        );
    }

    #[test]
    fn the_kubeconfig_of_who_answers_for_custom_resources_is_read_and_nothing_else() {
        let mut settings = settings();
        assert!(roles_elsewhere(NAME, &settings).is_empty());
        let own = role(NAME, &settings);
        settings.proxied = ["a.io", "b.io"]
            .map(|group| Proxied {
                group: group.to_owned(),
                version: "v1".to_owned(),
                resources: Words::new(),
                target: ObjectKey::new("vcluster-other", "other"),
                owned_only: true,
            })
            .into();
        let expected = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: vc-vcluster\nrules:\n  \
                        - apiGroups: [\"\"]\n    resources: [secrets]\n    resourceNames: [vc-other]\n    verbs: [get]\n";
        let elsewhere = roles_elsewhere(NAME, &settings);
        assert_eq!(elsewhere.get("vcluster-other").map(String::as_str), Some(expected));
        assert_eq!((elsewhere.len(), role(NAME, &settings)), (1, own));
        assert_eq!(cluster_role(NAME, &settings), None);
    }

    #[test]
    fn objects_of_other_namespaces_are_read_by_name_where_they_have_one() {
        let mut settings = settings();
        let mappings = [("a/one", "x/*"), ("a/two", "x/*"), ("b/*", "x/*"), ("/own", "x/*")];
        let mappings = mappings.map(|(from, to)| config::ObjectMapping::parse(from, to).unwrap());
        settings.imports.insert(Kind::Secret, mappings.to_vec());
        assert_eq!(cluster_role(NAME, &settings), None);
        assert!(
            !role(NAME, &settings).contains("[own]"),
            "the namespace's Secrets are ours to read"
        );
        let roles = roles_elsewhere(NAME, &settings);
        let rules = |namespace: &str| roles[namespace].split_once("rules:\n").unwrap().1.to_owned();
        assert_eq!(
            rules("a"),
            "  - apiGroups: [\"\"]\n    resources: [secrets]\n    resourceNames: [one, two]\n    verbs: [list, watch]\n"
        );
        assert_eq!(
            rules("b"),
            "  - apiGroups: [\"\"]\n    resources: [secrets]\n    verbs: [list, watch]\n"
        );
        assert_eq!(roles.len(), 2);
    }

    #[test]
    fn verbs_of_one_resource_meet_and_resources_with_the_same_verbs_share_a_rule() {
        const READ_ONLY: &[&str] = &["list", "get"];
        const RULES: [HostRule; 5] = [
            super::super::rule("b", READ_ONLY),
            super::super::rule("c", &["patch"]),
            super::super::rule("a", &["get"]),
            super::super::rule("a", &["list"]),
            HostRule {
                group: "apps",
                ..super::super::rule("a", READ_ONLY)
            },
        ];
        let (read, none) = (words(READ_ONLY), Words::new());
        let expected = BTreeMap::from([
            (("", read.clone(), none.clone()), words(&["a", "b"])),
            (("", words(&["patch"]), none.clone()), words(&["c"])),
            (("apps", read, none), words(&["a"])),
        ]);
        assert_eq!(grouped(RULES.iter().map(Rule::from)), expected);
    }
}
