//! Which namespaces of the host the namespaces of the virtual cluster are (`sync.toHost.namespaces`).

use std::collections::{BTreeMap, BTreeSet};

use machinery::names::dns1123_label_for;
use serde::Deserialize;

use crate::model::Mappings;

/// What stands for the name of the virtual cluster.
const PLACEHOLDER: &str = "${name}";
/// What stands for the rest of a name.
const WILDCARD: char = '*';
/// Longest literal part of a pattern.
const LONGEST_PREFIX: usize = 32;
/// The key in front of every problem, as vCluster writes it (`pkg/util/namespaces/validation.go`).
const KEY: &str = "config.sync.toHost.namespaces.mappings.byName";

/// Every virtual namespace has one of the host to itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Namespaces {
    /// Whether it has.
    pub enabled: bool,
    /// From the virtual name to the one on the host: two names, or two patterns that end in `*`. `${name}` is the name of the
    /// virtual cluster.
    pub mappings: Mappings,
    /// Nobody may make other namespaces.
    pub mappings_only: bool,
    /// Labels that the namespaces of the host get besides.
    pub extra_labels: BTreeMap<String, String>,
}

impl Namespaces {
    /// The pairs with the name of the virtual cluster in its place.
    ///
    /// # Errors
    /// One sentence about the first pair that cannot be used.
    pub fn pairs(&self, vcluster: &str, control_plane: &str) -> Result<BTreeMap<String, String>, String> {
        if !self.enabled {
            return Ok(BTreeMap::new());
        }
        self.check(vcluster, control_plane)
            .map_err(|problem| format!("{KEY}{problem}"))?;
        let pairs = self.mappings.by_name.iter();
        Ok(pairs
            .map(|(virtual_, host)| (resolved(virtual_, vcluster), resolved(host, vcluster)))
            .collect())
    }

    /// The names and patterns of the virtual namespaces that may be made, in order; none when all may.
    pub fn allowed(&self, vcluster: &str) -> Vec<String> {
        let names = self.mappings.by_name.keys().map(|name| resolved(name, vcluster));
        let mut allowed: Vec<String> = names.filter(|_| self.enabled && self.mappings_only).collect();
        allowed.sort();
        allowed
    }

    fn check(&self, vcluster: &str, control_plane: &str) -> Result<(), String> {
        let pairs = &self.mappings.by_name;
        if pairs.is_empty() {
            return Err(" are empty".to_owned());
        }
        let (mut virtual_seen, mut host_seen) = (BTreeSet::new(), BTreeSet::new());
        for (virtual_, host) in pairs {
            for (side, name, seen) in [("virtual", virtual_, &mut virtual_seen), ("host", host, &mut host_seen)] {
                // Also those that only become the same.
                if !seen.insert(resolved(name, vcluster)) {
                    return Err(format!(": duplicate {side} namespace '{name}' found in mappings"));
                }
            }
            if virtual_.contains(WILDCARD) != host.contains(WILDCARD) {
                return Err(format!(
                    ": '{virtual_}':'{host}' has mismatched wildcard '*' usage - pattern must always map to another pattern"
                ));
            }
            check_name("virtual namespace", virtual_, vcluster)?;
            check_name("host namespace", host, vcluster)?;
            check_control_plane(host, vcluster, control_plane)?;
        }
        Ok(())
    }
}

fn resolved(name: &str, vcluster: &str) -> String {
    name.replace(PLACEHOLDER, vcluster)
}

fn check_name(side: &str, name: &str, vcluster: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!(": {side} cannot be empty"));
    }
    if !name.contains(WILDCARD) {
        check_placeholder(side, name)?;
        return match dns1123_label_for(&resolved(name, vcluster), false).first() {
            Some(problem) => Err(format!(": invalid {side} name '{name}': {problem}")),
            None => Ok(()),
        };
    }
    if name.matches(WILDCARD).count() != 1 {
        return Err(format!(": {side} pattern '{name}' must contain exactly one '*'"));
    }
    let Some(prefix) = name.strip_suffix(WILDCARD) else {
        return Err(format!(
            ": {side} pattern '{name}' must have the wildcard '*' at the end"
        ));
    };
    check_placeholder(&format!("{side} pattern prefix"), prefix)
        .map_err(|problem| format!("{problem} (from pattern '{name}')"))?;
    let literal = resolved(prefix, vcluster);
    if literal.len() > LONGEST_PREFIX {
        return Err(format!(
            ": literal parts of {side} pattern prefix '{prefix}' (from '{name}') cannot be longer than {LONGEST_PREFIX} \
             characters (literal length: {})",
            literal.len()
        ));
    }
    match dns1123_label_for(&literal, true).first() {
        // Nothing before the wildcard: every name.
        Some(problem) if !literal.is_empty() => Err(format!(": invalid {side} pattern '{name}': {problem}")),
        _ => Ok(()),
    }
}

fn check_placeholder(side: &str, name: &str) -> Result<(), String> {
    let rest = name.replacen(PLACEHOLDER, "", 1);
    if rest.contains(PLACEHOLDER) {
        return Err(format!(
            ": {side} '{name}' contains placeholder '{PLACEHOLDER}' multiple times"
        ));
    }
    if rest.contains("${") && rest.contains('}') {
        let allowed = match rest.len() == name.len() {
            true => format!("'{PLACEHOLDER}'"),
            false => format!("a single '{PLACEHOLDER}'"),
        };
        return Err(format!(
            ": {side} '{name}' contains an unsupported placeholder; only {allowed} is allowed"
        ));
    }
    Ok(())
}

/// Nobody's objects may come between those of the control plane.
fn check_control_plane(host: &str, vcluster: &str, control_plane: &str) -> Result<(), String> {
    let resolved = resolved(host, vcluster);
    match resolved.strip_suffix(WILDCARD) {
        Some("") => Err(format!(
            ": host pattern mappings must use a prefix before wildcard: {host}"
        )),
        Some(prefix) if control_plane.starts_with(prefix) => Err(format!(
            ": host namespace pattern '{host}' conflicts with control plane namespace '{control_plane}'"
        )),
        None if resolved == control_plane => Err(format!(
            ": host namespace mapping '{host}' conflicts with control plane namespace '{control_plane}'"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(virtual_: &str, host: &str) -> Result<BTreeMap<String, String>, String> {
        let namespaces = Namespaces {
            enabled: true,
            mappings: Mappings {
                by_name: [(virtual_.to_owned(), host.to_owned())].into(),
            },
            mappings_only: false,
            extra_labels: BTreeMap::new(),
        };
        namespaces.pairs("test-vc", "control-plane")
    }

    #[test]
    fn pairs_are_read_with_the_name_of_the_virtual_cluster() {
        for (virtual_, host, expected) in [
            ("a", "b", ("a", "b")),
            ("team-*", "${name}-team-*", ("team-*", "test-vc-team-*")),
            ("*", "h*", ("*", "h*")),
            ("${name}-a", "x-${name}", ("test-vc-a", "x-test-vc")),
        ] {
            let expected = BTreeMap::from([(expected.0.to_owned(), expected.1.to_owned())]);
            assert_eq!(pairs(virtual_, host), Ok(expected), "{virtual_} {host}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_in_the_words_of_vcluster() {
        let long = "a".repeat(64);
        let prefix = format!("{}*", "a".repeat(33));
        let named = format!("{}${{name}}{}*", "a".repeat(30), "b".repeat(3));
        let table = [
            (
                "a",
                "*",
                "'a':'*' has mismatched wildcard '*' usage - pattern must always map to another pattern",
            ),
            (
                "a-*",
                "b",
                "'a-*':'b' has mismatched wildcard '*' usage - pattern must always map to another pattern",
            ),
            ("", "b", "virtual namespace cannot be empty"),
            ("a", "", "host namespace cannot be empty"),
            ("*", "*", "host pattern mappings must use a prefix before wildcard: *"),
            (
                "VNS1",
                "b",
                "invalid virtual namespace name 'VNS1': a lowercase RFC 1123 label must consist of",
            ),
            ("a", &long, "must be no more than 63 characters"),
            (
                "v-${name}-${name}",
                "b",
                "virtual namespace 'v-${name}-${name}' contains placeholder '${name}' multiple times",
            ),
            (
                "a",
                "h-${other}",
                "host namespace 'h-${other}' contains an unsupported placeholder; only '${name}' is allowed",
            ),
            (
                "a-*-*",
                "b-*",
                "virtual namespace pattern 'a-*-*' must contain exactly one '*'",
            ),
            (
                "a-*",
                "b-*-end",
                "host namespace pattern 'b-*-end' must have the wildcard '*' at the end",
            ),
            (
                &prefix,
                "b-*",
                "cannot be longer than 32 characters (literal length: 33)",
            ),
            (
                "a-*",
                &named,
                "cannot be longer than 32 characters (literal length: 40)",
            ),
            (
                "-a-*",
                "b-*",
                "invalid virtual namespace pattern '-a-*': a lowercase RFC 1123 label must consist of",
            ),
            (
                "a.b-*",
                "b-*",
                "invalid virtual namespace pattern 'a.b-*': must not contain dots",
            ),
            (
                "a",
                "control-plane",
                "host namespace mapping 'control-plane' conflicts with control plane namespace 'control-plane'",
            ),
            (
                "a-*",
                "control*",
                "host namespace pattern 'control*' conflicts with control plane namespace 'control-plane'",
            ),
        ];
        for (virtual_, host, expected) in table {
            let problem = pairs(virtual_, host).expect_err(expected);
            assert!(
                problem.starts_with("config.sync.toHost.namespaces.mappings.byName"),
                "{problem}"
            );
            assert!(problem.contains(expected), "{problem} instead of {expected}");
        }
    }

    #[test]
    fn two_names_that_become_one_are_found() {
        let namespaces = Namespaces {
            enabled: true,
            mappings: Mappings {
                by_name: [("a", "h-${name}"), ("b", "h-test-vc")]
                    .map(|(a, b)| (a.to_owned(), b.to_owned()))
                    .into(),
            },
            mappings_only: true,
            extra_labels: BTreeMap::new(),
        };
        let problem = namespaces.pairs("test-vc", "x").expect_err("a duplicate");
        assert!(
            problem.ends_with("duplicate host namespace 'h-test-vc' found in mappings"),
            "{problem}"
        );
        let empty = Namespaces {
            mappings: Mappings::default(),
            ..namespaces.clone()
        };
        assert_eq!(empty.pairs("vc", "x"), Err(format!("{KEY} are empty")));
        assert_eq!(
            Namespaces {
                enabled: false,
                ..empty
            }
            .pairs("vc", "x"),
            Ok(BTreeMap::new())
        );
    }
}
