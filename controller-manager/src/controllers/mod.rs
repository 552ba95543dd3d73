//! The controllers, one line each.

mod cluster_role_aggregation;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod endpointslice;
mod endpointslice_mirroring;
mod garbage;
pub(crate) mod horizontalpodautoscaler;
mod job;
mod namespace;
mod node_lifecycle;
mod pod_gc;
mod protection;
mod replicaset;
mod resourcequota;
mod root_ca;
mod serviceaccount;
mod statefulset;
mod taint_eviction;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;

use crate::context::{Context, Task};

/// One controller.
pub(crate) struct Controller {
    /// Upstream's name (`cmd/kube-controller-manager/names`).
    pub(crate) name: &'static str,
    /// Older names that `--controllers` accepts too.
    aliases: &'static [&'static str],
    /// Registers handlers at the informers it needs and returns its work.
    pub(crate) start: fn(&Arc<Context>) -> Task,
}

const fn controller(
    name: &'static str,
    aliases: &'static [&'static str],
    start: fn(&Arc<Context>) -> Task,
) -> Controller {
    Controller { name, aliases, start }
}

/// All controllers. The garbage collector is last: it follows the kinds the others watch, instead of watching them again.
const CONTROLLERS: &[Controller] = &[
    controller("namespace-controller", &["namespace"], namespace::start),
    controller("serviceaccount-controller", &["serviceaccount"], serviceaccount::start),
    controller(
        "root-ca-certificate-publisher-controller",
        &["root-ca-cert-publisher"],
        root_ca::start,
    ),
    controller("deployment-controller", &["deployment"], deployment::start),
    controller("replicaset-controller", &["replicaset"], replicaset::start),
    controller("statefulset-controller", &["statefulset"], statefulset::start),
    controller("daemonset-controller", &["daemonset"], daemonset::start),
    controller("job-controller", &["job"], job::start),
    controller(
        "ttl-after-finished-controller",
        &["ttl-after-finished"],
        job::ttl::start,
    ),
    controller("endpoints-controller", &["endpoint"], endpoints::start),
    controller("endpointslice-controller", &["endpointslice"], endpointslice::start),
    controller(
        "endpointslice-mirroring-controller",
        &["endpointslicemirroring"],
        endpointslice_mirroring::start,
    ),
    controller("pod-garbage-collector-controller", &["podgc"], pod_gc::start),
    controller("disruption-controller", &["disruption"], disruption::start),
    controller(
        "horizontal-pod-autoscaler-controller",
        &["horizontalpodautoscaling"],
        horizontalpodautoscaler::start,
    ),
    controller(
        "clusterrole-aggregation-controller",
        &["clusterrole-aggregation"],
        cluster_role_aggregation::start,
    ),
    controller(
        "persistentvolumeclaim-protection-controller",
        &["pvc-protection"],
        protection::claims::start,
    ),
    controller(
        "persistentvolume-protection-controller",
        &["pv-protection"],
        protection::volumes::start,
    ),
    controller(
        "volumeattributesclass-protection-controller",
        &[],
        protection::classes::start,
    ),
    controller("resourcequota-controller", &["resourcequota"], resourcequota::start),
    controller("node-lifecycle-controller", &["nodelifecycle"], node_lifecycle::start),
    controller("taint-eviction-controller", &[], taint_eviction::start),
    controller("garbage-collector-controller", &["garbagecollector"], garbage::start),
];

/// The controllers that were chosen.
#[derive(Debug)]
pub(crate) struct Selection {
    names: BTreeSet<&'static str>,
}

impl Selection {
    /// Reads `--controllers`: a name wins over `*`, and the first mention of a name decides.
    pub(crate) fn parse(words: &[String]) -> Result<Self> {
        let everything = words.iter().any(|word| word.trim() == "*");
        let mut on = BTreeSet::new();
        let mut named = BTreeSet::new();
        for word in words
            .iter()
            .map(|word| word.trim())
            .filter(|word| !word.is_empty() && *word != "*")
        {
            let (name, wanted) = word.strip_prefix('-').map_or((word, true), |name| (name, false));
            let Some(controller) = CONTROLLERS
                .iter()
                .find(|one| one.name == name || one.aliases.contains(&name))
            else {
                let text = format!("--controllers: there is no controller called {name:?}; --help lists them");
                return Err(chassis::usage(text));
            };
            if named.insert(controller.name) && wanted {
                on.insert(controller.name);
            }
        }
        if everything {
            let others = CONTROLLERS.iter().map(|one| one.name);
            on.extend(others.filter(|name| !named.contains(name)));
        }
        Ok(Self { names: on })
    }

    /// The chosen controllers in start order.
    pub(crate) fn controllers(&self) -> impl Iterator<Item = &'static Controller> {
        CONTROLLERS.iter().filter(|one| self.names.contains(one.name))
    }
}

/// The list of controllers for `--help`.
pub(crate) fn help() -> String {
    let mut text = String::from("Controllers:\n");
    for one in CONTROLLERS {
        let aliases = if one.aliases.is_empty() {
            String::new()
        } else {
            format!(" ({})", one.aliases.join(", "))
        };
        text.push_str(&format!("  {}{aliases}\n", one.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(list: &str) -> Vec<&'static str> {
        let words: Vec<String> = list.split(',').map(str::to_owned).collect();
        Selection::parse(&words)
            .unwrap()
            .controllers()
            .map(|one| one.name)
            .collect()
    }

    #[test]
    fn the_syntax_is_upstreams() {
        let all: Vec<_> = CONTROLLERS.iter().map(|one| one.name).collect();
        assert_eq!(select("*"), all);
        assert_eq!(select("deployment"), ["deployment-controller"]);
        assert_eq!(
            select("deployment-controller,replicaset"),
            ["deployment-controller", "replicaset-controller"]
        );
        assert!(!select("*,-deployment").contains(&"deployment-controller"));
        assert!(select("-deployment").is_empty());
        assert!(Selection::parse(&["nonsense".to_owned()]).is_err());
    }

    /// A controller hears of its own writes, so one that answers them with another write never comes to rest. Those without
    /// an entry only create what is missing or delete.
    #[test]
    fn every_controller_comes_to_rest() {
        type Check = fn();
        let table: [(&str, Option<Check>); CONTROLLERS.len()] = [
            ("namespace-controller", Some(namespace::tests::rests)),
            ("serviceaccount-controller", None),
            ("root-ca-certificate-publisher-controller", Some(root_ca::tests::rests)),
            ("deployment-controller", Some(deployment::tests::rests)),
            ("replicaset-controller", Some(replicaset::tests::rests)),
            ("statefulset-controller", Some(statefulset::tests::rests)),
            ("daemonset-controller", Some(daemonset::tests::rests)),
            ("job-controller", Some(job::tests::rests)),
            ("ttl-after-finished-controller", None),
            ("endpoints-controller", Some(endpoints::tests::rests)),
            ("endpointslice-controller", Some(endpointslice::tests::rests)),
            (
                "endpointslice-mirroring-controller",
                Some(endpointslice_mirroring::tests::rests),
            ),
            ("pod-garbage-collector-controller", None),
            ("disruption-controller", Some(disruption::tests::rests)),
            (
                "horizontal-pod-autoscaler-controller",
                Some(horizontalpodautoscaler::tests::rests),
            ),
            (
                "clusterrole-aggregation-controller",
                Some(cluster_role_aggregation::tests::rests),
            ),
            (
                "persistentvolumeclaim-protection-controller",
                Some(protection::tests::rests),
            ),
            ("persistentvolume-protection-controller", Some(protection::tests::rests)),
            (
                "volumeattributesclass-protection-controller",
                Some(protection::tests::rests),
            ),
            ("resourcequota-controller", Some(resourcequota::tests::rests)),
            ("node-lifecycle-controller", Some(node_lifecycle::tests::rests)),
            ("taint-eviction-controller", None),
            ("garbage-collector-controller", None),
        ];
        for ((name, rests), controller) in table.into_iter().zip(CONTROLLERS) {
            assert_eq!(name, controller.name);
            if let Some(rests) = rests {
                rests();
            }
        }
    }

    #[test]
    fn names_and_aliases_are_unique() {
        let mut seen = BTreeSet::new();
        for name in CONTROLLERS
            .iter()
            .flat_map(|one| std::iter::once(&one.name).chain(one.aliases))
        {
            assert!(seen.insert(name), "{name} is there twice");
        }
    }
}
