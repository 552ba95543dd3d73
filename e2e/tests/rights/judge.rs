//! Rights that were granted beside requests that were made.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use e2e::faulty::Asked;
use serde_json::Value;

/// One right: no more can be taken away from a role than this.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    /// The namespace of the role; empty when it is a ClusterRole.
    pub(crate) place: String,
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    /// The object that it is limited to; empty for every one.
    pub(crate) name: String,
}

/// The objects of some manifests.
///
/// # Errors
/// They cannot be read.
pub(crate) fn documents(manifests: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_str(manifests);
    let read = documents.map(|document| serde::Deserialize::deserialize(document).context("a manifest is malformed"));
    let mut read = read.collect::<Result<Vec<Value>>>()?;
    read.retain(|document| !document.is_null());
    Ok(read)
}

/// All rights of the manifests that `syncer rbac` prints.
///
/// # Errors
/// They cannot be read.
pub(crate) fn granted(manifests: &str) -> Result<BTreeSet<Right>> {
    let mut rights = BTreeSet::new();
    for role in documents(manifests)? {
        let words = |rule: &Value, field: &str| -> Vec<String> {
            let words = rule[field].as_array().into_iter().flatten();
            words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
        };
        for rule in role["rules"].as_array().into_iter().flatten() {
            let mut names = words(rule, "resourceNames");
            if names.is_empty() {
                names.push(String::new());
            }
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    for verb in words(rule, "verbs") {
                        rights.extend(names.iter().map(|name| Right {
                            place: role["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
                            verb: verb.clone(),
                            group: group.clone(),
                            resource: resource.clone(),
                            name: name.clone(),
                        }));
                    }
                }
            }
        }
    }
    Ok(rights)
}

impl Right {
    /// Whether this right lets a request through.
    fn permits(&self, asked: &Asked) -> bool {
        (self.place.is_empty() || self.place == asked.namespace)
            && (&self.verb, &self.group, &self.resource) == (&asked.verb, &asked.group, &asked.resource)
            && (self.name.is_empty() || self.name == asked.name)
    }
}

/// Subresources of which nothing has come before the protocol is another one.
const SESSIONS: [&str; 3] = ["pods/attach", "pods/exec", "pods/portforward"];

/// Whether a request came to what it was for.
fn is_served(asked: &Asked) -> bool {
    asked.code == 101 || !SESSIONS.contains(&asked.resource.as_str())
}

/// Whether one of two rights may be used instead of the other: of namespaces that mappings name, the host has some already, and
/// makes and deletes only others.
fn is_alternative(one: &Right, other: &Right) -> bool {
    let named = !one.name.is_empty() && !other.name.is_empty();
    named
        && one.resource == "namespaces"
        && Right {
            name: String::new(),
            ..one.clone()
        } == Right {
            name: String::new(),
            ..other.clone()
        }
}

/// The rights that no request has needed. A right in all namespaces is needed for what no right in one namespace permits.
pub(crate) fn unused(granted: &BTreeSet<Right>, asked: &BTreeSet<Asked>) -> BTreeSet<Right> {
    let by_place = |asked: &&Asked| {
        let mut placed = granted.iter().filter(|right| !right.place.is_empty());
        placed.any(|right| right.permits(asked))
    };
    let served = asked.iter().filter(|asked| is_served(asked));
    let (near, far): (Vec<&Asked>, Vec<&Asked>) = served.partition(by_place);
    let is_used = |right: &Right| {
        let needed = if right.place.is_empty() { &far } else { &near };
        needed.iter().any(|asked| right.permits(asked))
    };
    let used: Vec<&Right> = granted.iter().filter(|right| is_used(right)).collect();
    let idle = |right: &&Right| !is_used(right) && !used.iter().any(|used| is_alternative(right, used));
    granted.iter().filter(idle).cloned().collect()
}

/// The requests that were refused for want of a right. Admission refuses with the same code what it lets through later, such as a
/// pod whose service account it does not know yet.
pub(crate) fn refused(asked: &BTreeSet<Asked>) -> Vec<&Asked> {
    let what = |asked: &Asked| {
        let Asked {
            verb, group, resource, ..
        } = asked;
        (
            verb.clone(),
            group.clone(),
            resource.clone(),
            asked.namespace.clone(),
            asked.name.clone(),
        )
    };
    let granted: BTreeSet<_> = asked.iter().filter(|asked| asked.code < 300).map(what).collect();
    let refused = asked.iter().filter(|asked| asked.code == 403);
    refused.filter(|asked| !granted.contains(&what(asked))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFESTS: &str = "
kind: Role
metadata: {name: a, namespace: team}
rules:
  - {apiGroups: [''], resources: [pods, pods/log], verbs: [get]}
  - {apiGroups: [''], resources: [services], verbs: [list], resourceNames: [vc, other]}
---
kind: ClusterRole
metadata: {name: a}
rules:
  - {apiGroups: [''], resources: [nodes], verbs: [watch]}
  - {apiGroups: [''], resources: [pods, events], verbs: [get]}
";

    #[test]
    fn a_right_is_used_by_the_requests_that_need_it() {
        let granted = granted(MANIFESTS).unwrap();
        assert_eq!(granted.len(), 7);
        let asked = [
            Asked::new("GET", "/api/v1/namespaces/team/pods/p"),
            Asked::new("GET", "/api/v1/namespaces/other/pods/p/log"),
            Asked::new(
                "GET",
                "/api/v1/namespaces/team/services?fieldSelector=metadata.name%3Dvc",
            ),
            Asked::new("GET", "/api/v1/nodes?watch=true"),
            Asked::new("GET", "/api/v1/namespaces/other/events/e"),
        ];
        let left = unused(&granted, &BTreeSet::from(asked));
        let left: Vec<String> = left
            .iter()
            .map(|right| format!("{} {} {} {}", right.place, right.verb, right.resource, right.name))
            .collect();
        // The pod of the team is read by the right in its namespace, so that the one in all of them is one too many.
        assert_eq!(left, [" get pods ", "team get pods/log ", "team list services other"]);
    }

    #[test]
    fn a_session_has_to_begin_and_one_of_several_namespaces_stands_for_all() {
        let granted = granted(
            "
kind: ClusterRole
metadata: {name: a}
rules:
  - {apiGroups: [''], resources: [pods/exec], verbs: [get]}
  - {apiGroups: [''], resources: [namespaces], verbs: [delete, get], resourceNames: [one, two]}
  - {apiGroups: [''], resources: [secrets], verbs: [get], resourceNames: [one, two]}
",
        )
        .unwrap();
        let exec = Asked::new("GET", "/api/v1/namespaces/team/pods/p/exec");
        let begun = Asked {
            code: 101,
            ..exec.clone()
        };
        let others = [
            Asked::new("DELETE", "/api/v1/namespaces/one"),
            Asked::new("GET", "/api/v1/namespaces/team/secrets/one"),
        ];
        let left = |session: &Asked| -> Vec<String> {
            let asked = others.iter().chain([session]).cloned().collect();
            let left = unused(&granted, &asked);
            left.iter()
                .map(|right| format!("{} {} {}", right.verb, right.resource, right.name))
                .collect()
        };
        let idle = ["get namespaces one", "get namespaces two", "get secrets two"];
        assert_eq!(left(&begun), idle);
        assert_eq!(
            left(&exec),
            [&idle[..2], &["get pods/exec ", "get secrets two"]].concat()
        );
    }

    #[test]
    fn what_succeeds_later_was_not_refused_for_want_of_a_right() {
        let answered = |path: &str, code: u16| Asked {
            code,
            ..Asked::new("POST", path)
        };
        let (pods, secrets) = ("/api/v1/namespaces/team/pods", "/api/v1/namespaces/team/secrets");
        let asked = [
            answered(pods, 403),
            answered(pods, 201),
            answered(secrets, 403),
            answered(secrets, 409),
        ];
        let asked = BTreeSet::from(asked);
        let refused: Vec<&str> = refused(&asked).iter().map(|asked| asked.resource.as_str()).collect();
        assert_eq!(refused, ["secrets"]);
    }
}
