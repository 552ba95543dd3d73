//! The groups and versions that this server answers for itself, and the order of groups in discovery
//! (kubernetes `pkg/controlplane/apiserver/aggregator.go`, kube-aggregator `apiregistration/v1/helper`).

use machinery::gvk::compare_versions;
use std::cmp::Reverse;

/// Group, version and their priorities in discovery.
pub const SERVICES: [(&str, &str, i64, i64); 21] = [
    ("", "v1", 18_000, 1),
    ("admissionregistration.k8s.io", "v1", 16_700, 15),
    ("apiextensions.k8s.io", "v1", 16_700, 15),
    ("apps", "v1", 17_800, 15),
    ("authentication.k8s.io", "v1", 17_700, 15),
    ("authorization.k8s.io", "v1", 17_600, 15),
    ("autoscaling", "v1", 17_500, 15),
    ("autoscaling", "v2", 17_500, 30),
    ("batch", "v1", 17_400, 15),
    ("certificates.k8s.io", "v1", 17_300, 15),
    ("coordination.k8s.io", "v1", 16_500, 15),
    ("discovery.k8s.io", "v1", 16_200, 15),
    ("events.k8s.io", "v1", 17_750, 15),
    ("flowcontrol.apiserver.k8s.io", "v1", 16_100, 21),
    ("networking.k8s.io", "v1", 17_200, 15),
    ("node.k8s.io", "v1", 16_300, 15),
    ("policy", "v1", 17_100, 15),
    ("rbac.authorization.k8s.io", "v1", 17_000, 15),
    ("resource.k8s.io", "v1", 16_200, 21),
    ("scheduling.k8s.io", "v1", 16_600, 15),
    ("storage.k8s.io", "v1", 16_800, 15),
];
/// The group of APIServices is the first of all and has no APIService of its own.
const FIRST: (&str, i64) = ("apiregistration.k8s.io", 20_000);
/// The priorities of groups and versions of custom resources (`crdregistration`).
pub const CUSTOM: (i64, i64) = (1_000, 100);

/// The priorities of a group and version that this server answers for.
pub fn priorities(group: &str, version: &str) -> (i64, i64) {
    if group == FIRST.0 {
        return (FIRST.1, 0);
    }
    let known = SERVICES.iter().find(|(g, v, ..)| (*g, *v) == (group, version));
    known.map_or(CUSTOM, |(_, _, group, version)| (*group, *version))
}

/// A group and version with their priorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The priorities of the group and of the version in it.
    pub priorities: (i64, i64),
}

/// Groups with their versions as discovery shows them: those of high priority first, then by the names of their APIServices.
pub fn in_order(mut all: Vec<Announced>) -> Vec<(String, Vec<String>)> {
    all.sort_by_cached_key(|one| {
        let name = format!("{}.{}", one.version, one.group);
        (Reverse(one.priorities.0), name)
    });
    let mut groups: Vec<(String, Vec<Announced>)> = Vec::new();
    for one in all {
        match groups.iter_mut().find(|(group, _)| *group == one.group) {
            Some((_, versions)) if versions.iter().any(|known| known.version == one.version) => {}
            Some((_, versions)) => versions.push(one),
            None => groups.push((one.group.clone(), vec![one])),
        }
    }
    groups
        .into_iter()
        .map(|(group, mut versions)| {
            versions.sort_by(|a, b| {
                let by_priority = b.priorities.1.cmp(&a.priorities.1);
                by_priority.then_with(|| compare_versions(&b.version, &a.version))
            });
            (group, versions.into_iter().map(|one| one.version).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(group: &str, version: &str) -> Announced {
        Announced {
            group: group.to_owned(),
            version: version.to_owned(),
            priorities: priorities(group, version),
        }
    }

    #[test]
    fn stable_and_newer_versions_are_preferred() {
        let versions = ["v1beta2", "v1", "v2alpha1", "v10", "v1beta10"];
        let ordered = in_order(versions.iter().map(|version| announced("a.b", version)).collect());
        let expected = ["v10", "v1", "v1beta10", "v1beta2", "v2alpha1"].map(str::to_owned);
        assert_eq!(ordered, [("a.b".to_owned(), expected.to_vec())]);
    }

    #[test]
    fn groups_are_ordered_by_priority_then_name() {
        let mut all: Vec<Announced> = [
            ("stable.example.com", "v1"),
            ("resource.k8s.io", "v1"),
            ("autoscaling", "v1"),
            ("discovery.k8s.io", "v1"),
            ("autoscaling", "v2"),
            ("apiregistration.k8s.io", "v1"),
            ("apps", "v1"),
            ("a.example.com", "v1"),
        ]
        .map(|(group, version)| announced(group, version))
        .into();
        all.push(Announced {
            priorities: (17_900, 1),
            ..announced("metrics.k8s.io", "v1beta1")
        });
        let names: Vec<String> = in_order(all).into_iter().map(|(group, _)| group).collect();
        assert_eq!(
            names,
            [
                "apiregistration.k8s.io",
                "metrics.k8s.io",
                "apps",
                "autoscaling",
                "discovery.k8s.io",
                "resource.k8s.io",
                "a.example.com",
                "stable.example.com"
            ]
        );
    }
}
