//! The rules of roles: what they allow, whether some cover others, and to whom a binding gives them
//! (kubernetes `component-helpers/auth/rbac/validation`).

use crate::field::go_quote;
use crate::meta;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;

/// What stands for all verbs, groups, resources or paths.
const ALL: &str = "*";
/// How many parts a rule is looked at in; one of more is covered as a whole or not at all.
const MAX_PARTS: usize = 100_000;
/// The fields of a rule as they are served, in the order in which messages show them.
const FIELDS: [(&str, &str); 5] = [
    ("apiGroups", "APIGroups"),
    ("resources", "Resources"),
    ("nonResourceURLs", "NonResourceURLs"),
    ("resourceNames", "ResourceNames"),
    ("verbs", "Verbs"),
];

/// One rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The verbs.
    pub verbs: Vec<String>,
    /// The API groups.
    pub api_groups: Vec<String>,
    /// The plural names of resources, with `/` and a subresource where it is about one.
    pub resources: Vec<String>,
    /// The objects it is about; all when empty.
    pub resource_names: Vec<String>,
    /// The paths it is about, when it is not about resources.
    pub non_resource_urls: Vec<String>,
}

impl Rule {
    /// Reads the served form.
    pub fn of(value: &Value) -> Self {
        let list = |field: &str| -> Vec<String> {
            let items = meta::list_at(value, &[field]).iter();
            items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        Rule {
            verbs: list("verbs"),
            api_groups: list("apiGroups"),
            resources: list("resources"),
            resource_names: list("resourceNames"),
            non_resource_urls: list("nonResourceURLs"),
        }
    }

    /// The rules of a role.
    pub fn of_role(role: &Value) -> Vec<Self> {
        meta::list_at(role, &["rules"]).iter().map(Self::of).collect()
    }

    /// The rules that allow everything.
    pub fn everything() -> [Self; 2] {
        let all = || vec![ALL.to_owned()];
        let resources = Rule {
            verbs: all(),
            api_groups: all(),
            resources: all(),
            ..Rule::default()
        };
        let paths = Rule {
            verbs: all(),
            non_resource_urls: all(),
            ..Rule::default()
        };
        [resources, paths]
    }

    /// The served form.
    pub fn to_value(&self) -> Value {
        let fields = FIELDS.iter().zip(self.lists()).filter(|(_, list)| !list.is_empty());
        Value::Object(
            fields
                .map(|((name, _), list)| ((*name).to_owned(), list.to_vec().into()))
                .collect::<Map<_, _>>(),
        )
    }

    /// The lists in the order of [`FIELDS`].
    fn lists(&self) -> [&[String]; 5] {
        [
            &self.api_groups,
            &self.resources,
            &self.non_resource_urls,
            &self.resource_names,
            &self.verbs,
        ]
    }

    /// Whether it allows a verb on a resource, on all its objects when `name` is empty (`RuleAllows`).
    pub fn allows_resource(&self, verb: &str, group: &str, resource: &str, subresource: &str, name: &str) -> bool {
        let matches = |wanted: &String| {
            let (kind, part) = wanted.split_once('/').unwrap_or((wanted, ""));
            wanted == ALL || (part == subresource && (kind == resource || (kind == ALL && !subresource.is_empty())))
        };
        (has(&self.verbs, ALL) || has(&self.verbs, verb))
            && (has(&self.api_groups, ALL) || has(&self.api_groups, group))
            && self.resources.iter().any(matches)
            && (self.resource_names.is_empty() || has(&self.resource_names, name))
    }

    /// Whether it allows a verb on a path.
    pub fn allows_path(&self, verb: &str, path: &str) -> bool {
        let matches = |wanted: &String| match wanted.strip_suffix(ALL) {
            Some(start) => path.starts_with(start.trim_end_matches('*')),
            None => wanted == path,
        };
        (has(&self.verbs, ALL) || has(&self.verbs, verb)) && self.non_resource_urls.iter().any(matches)
    }

    /// Whether this rule alone allows all that another does.
    fn covers(&self, other: &Rule) -> bool {
        let names = match other.resource_names.is_empty() {
            true => self.resource_names.is_empty(),
            false => self.resource_names.is_empty() || has_all(&self.resource_names, &other.resource_names),
        };
        let path = |wanted: &String| {
            self.non_resource_urls.iter().any(|held| match held.strip_suffix(ALL) {
                Some(start) => wanted.starts_with(start),
                None => held == wanted,
            })
        };
        let resource = |wanted: &String| {
            let subresource = wanted
                .split_once('/')
                .map(|(_, subresource)| format!("*/{subresource}"));
            self.resources.contains(wanted) || subresource.is_some_and(|any| self.resources.contains(&any))
        };
        (has(&self.verbs, ALL) || has_all(&self.verbs, &other.verbs))
            && (has(&self.api_groups, ALL) || has_all(&self.api_groups, &other.api_groups))
            && (has(&self.resources, ALL) || other.resources.iter().all(resource))
            && other.non_resource_urls.iter().all(path)
            && names
    }

    /// The number of parts that [`Self::parts`] answers.
    fn size(&self) -> usize {
        let product = |lists: &[&[String]]| lists.iter().fold(1usize, |n, list| n.saturating_mul(list.len()));
        product(&[&self.api_groups, &self.resources, &self.verbs])
            .saturating_mul(self.resource_names.len().max(1))
            .saturating_add(product(&[&self.non_resource_urls, &self.verbs]))
    }

    /// The rule as rules about one verb on one thing each (`BreakdownRule`).
    fn parts(&self) -> Vec<Rule> {
        let one = |text: &String| vec![text.clone()];
        let mut parts = Vec::new();
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let part = Rule {
                        verbs: one(verb),
                        api_groups: one(group),
                        resources: one(resource),
                        ..Rule::default()
                    };
                    if self.resource_names.is_empty() {
                        parts.push(part);
                        continue;
                    }
                    parts.extend(self.resource_names.iter().map(|name| Rule {
                        resource_names: one(name),
                        ..part.clone()
                    }));
                }
            }
        }
        for path in &self.non_resource_urls {
            parts.extend(self.verbs.iter().map(|verb| Rule {
                verbs: one(verb),
                non_resource_urls: one(path),
                ..Rule::default()
            }));
        }
        parts
    }

    /// Whether it is about one resource, and at most one object of it.
    fn is_simple(&self) -> bool {
        self.non_resource_urls.is_empty()
            && self.api_groups.len() == 1
            && self.resources.len() == 1
            && self.resource_names.len() <= 1
    }
}

impl fmt::Display for Rule {
    /// As upstream's refusals show it: `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = FIELDS.iter().zip(self.lists()).filter(|(_, list)| !list.is_empty());
        let texts: Vec<String> = fields
            .map(|((_, name), list)| format!("{name}:{}", quoted(list)))
            .collect();
        write!(f, "{{{}}}", texts.join(", "))
    }
}

/// A list as Go's `%q` prints it.
pub fn quoted<T: AsRef<str>>(list: &[T]) -> String {
    let texts: Vec<String> = list.iter().map(|text| go_quote(text.as_ref())).collect();
    format!("[{}]", texts.join(" "))
}

fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|item| item == text)
}

fn has_all(list: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|text| list.contains(text))
}

/// What `wanted` allows and no rule of `held` does.
pub fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let covered = |rule: &Rule| held.iter().any(|h| h.covers(rule));
    let mut missing = Vec::new();
    for rule in wanted.iter().filter(|rule| !covered(rule)) {
        if rule.size() > MAX_PARTS {
            missing.push(rule.clone());
        } else {
            missing.extend(rule.parts().into_iter().filter(|part| !covered(part)));
        }
    }
    missing
}

/// The same rules with the verbs on one resource together (`CompactRules`).
pub fn compact(rules: Vec<Rule>) -> Vec<Rule> {
    let mut compacted: Vec<Rule> = Vec::new();
    for rule in rules {
        let same = |other: &&mut Rule| {
            rule.is_simple()
                && other.is_simple()
                && other.api_groups == rule.api_groups
                && other.resources == rule.resources
                && other.resource_names == rule.resource_names
        };
        match compacted.iter_mut().find(same) {
            Some(known) => {
                for verb in rule.verbs {
                    if !known.verbs.contains(&verb) {
                        known.verbs.push(verb);
                    }
                }
            }
            None => compacted.push(rule),
        }
    }
    compacted
}

/// One line per missing right, sorted, as refusals show them.
pub fn describe(missing: Vec<Rule>) -> String {
    let lines: BTreeSet<String> = compact(missing).iter().map(ToString::to_string).collect();
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

/// Whether a binding has a user among its subjects.
pub fn binds(binding: &Value, user: &str, groups: &[String]) -> bool {
    subject(binding, user, groups).is_some()
}

/// The subject of a binding that a user is, as messages show it. Accounts without a namespace are those of the binding's.
pub fn subject(binding: &Value, user: &str, groups: &[String]) -> Option<String> {
    let account = user
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'));
    meta::list_at(binding, &["subjects"]).iter().find_map(|subject| {
        let text = |field: &str| meta::str_at(subject, &[field]).unwrap_or_default();
        let (kind, name) = (text("kind"), text("name"));
        let namespace = match text("namespace") {
            "" => meta::namespace(binding),
            namespace => namespace,
        };
        match kind {
            "User" if name == user => {}
            "Group" if has(groups, name) => {}
            "ServiceAccount" if !namespace.is_empty() && account == Some((namespace, name)) => {
                return Some(format!("{kind} {}", go_quote(&format!("{name}/{namespace}"))));
            }
            _ => return None,
        }
        Some(format!("{kind} {}", go_quote(name)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(value: &Value) -> Vec<Rule> {
        Rule::of_role(&json!({"rules": value}))
    }

    #[test]
    fn rules_allow_what_they_name() {
        let rule = |value: Value| Rule::of(&value);
        let logs = rule(json!({"apiGroups": [""], "resources": ["pods/log", "*/status"], "verbs": ["get"]}));
        for (verb, group, resource, subresource, expected) in [
            ("get", "", "pods", "log", true),
            ("get", "", "pods", "", false),
            ("list", "", "pods", "log", false),
            ("get", "apps", "pods", "log", false),
            ("get", "", "nodes", "status", true),
            ("get", "", "nodes", "", false),
        ] {
            assert_eq!(
                logs.allows_resource(verb, group, resource, subresource, "x"),
                expected,
                "{resource}/{subresource}"
            );
        }
        let [everything, every_path] = Rule::everything();
        assert!(everything.allows_resource("nuke", "zz", "all", "parts", "") && every_path.allows_path("get", "/x"));
        let one = rule(json!({"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["*"]}));
        assert!(one.allows_resource("get", "", "pods", "", "a") && !one.allows_resource("list", "", "pods", "", ""));
        let paths = rule(json!({"nonResourceURLs": ["/logs/*", "/metrics"], "verbs": ["get"]}));
        for (path, expected) in [
            ("/logs/a/b", true),
            ("/logs", false),
            ("/metrics", true),
            ("/metrics/x", false),
        ] {
            assert_eq!(paths.allows_path("get", path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_missing_is_said_in_the_smallest_parts() {
        let pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
        for (held, wanted, expected) in [
            (
                json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]),
                pods.clone(),
                "",
            ),
            (
                pods.clone(),
                json!([{"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get", "list"]}]),
                "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\"]}\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}",
            ),
            (
                pods.clone(),
                json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]),
                "{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}",
            ),
            (
                pods,
                json!([{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get", "update"]}]),
                "{APIGroups:[\"\"], Resources:[\"pods\"], ResourceNames:[\"a\"], Verbs:[\"update\"]}",
            ),
            (
                json!([{"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["get"]}]),
                json!([{"apiGroups": ["apps"], "resources": ["deployments/scale", "deployments"], "verbs": ["get"]}]),
                "{APIGroups:[\"apps\"], Resources:[\"deployments\"], Verbs:[\"get\"]}",
            ),
            (
                json!([{"nonResourceURLs": ["/logs/*"], "verbs": ["get"]}]),
                json!([{"nonResourceURLs": ["/logs/a", "/metrics"], "verbs": ["get"]}]),
                "{NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}",
            ),
        ] {
            assert_eq!(describe(missing(&rules(&held), &rules(&wanted))), expected, "{wanted}");
        }
        assert!(missing(&Rule::everything(), &Rule::everything()).is_empty());
    }

    #[test]
    fn rules_of_unreasonable_size_are_not_taken_apart() {
        let many: Vec<String> = (0..2000).map(|i| i.to_string()).collect();
        let rule = Rule {
            verbs: many.clone(),
            api_groups: many.clone(),
            resources: many,
            ..Rule::default()
        };
        let rules = [rule];
        assert_eq!(missing(&[], &rules), rules);
        assert!(missing(&Rule::everything(), &rules).is_empty());
    }

    #[test]
    fn bindings_name_users_groups_and_accounts() {
        let groups = ["devs".to_owned()];
        let binding = |subject: Value| json!({"metadata": {"namespace": "n"}, "subjects": [subject]});
        for (subject, user, bound) in [
            (json!({"kind": "User", "name": "jane"}), "jane", true),
            (json!({"kind": "User", "name": "jane"}), "joe", false),
            (json!({"kind": "Group", "name": "devs"}), "joe", true),
            (
                json!({"kind": "ServiceAccount", "name": "a"}),
                "system:serviceaccount:n:a",
                true,
            ),
            (
                json!({"kind": "ServiceAccount", "name": "a", "namespace": "m"}),
                "system:serviceaccount:n:a",
                false,
            ),
        ] {
            assert_eq!(
                binds(&binding(subject.clone()), user, &groups),
                bound,
                "{subject} {user}"
            );
        }
    }

    #[test]
    fn the_served_form_is_kept() {
        let rule = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
        assert_eq!(Rule::of(&rule).to_value(), rule);
    }
}
