use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PropagationPolicy;
use proptest::prelude::*;
use serde_json::json;

use super::graph::{Graph, GroupKind, Todo};
use super::references::{Fate, Owners, Standing, decide};

fn kind() -> Arc<GroupKind> {
    Arc::new(GroupKind {
        group: "apps".into(),
        kind: "ReplicaSet".into(),
    })
}

fn meta(uid: &str, owners: &[(&str, bool)], deleting: Option<&str>) -> ObjectMeta {
    let owners: Vec<_> = owners
        .iter()
        .map(|(uid, blocks)| {
            json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": uid, "uid": uid, "blockOwnerDeletion": blocks })
        })
        .collect();
    serde_json::from_value(json!({
        "name": uid, "namespace": "ns", "uid": uid, "ownerReferences": owners,
        "deletionTimestamp": deleting.map(|_| "2026-01-01T00:00:00Z"),
        "finalizers": deleting.filter(|finalizer| !finalizer.is_empty()).map(|finalizer| [finalizer]),
    }))
    .unwrap()
}

fn observe(graph: &mut Graph, meta: &ObjectMeta) -> Vec<Todo> {
    let mut todo = graph.observe(&kind(), meta, |_| true);
    todo.sort();
    todo.dedup();
    todo
}

fn examine(uid: &str) -> Todo {
    Todo::Examine(uid.into())
}

#[test]
fn an_owner_nobody_has_shown_is_looked_for() {
    let mut graph = Graph::default();
    assert_eq!(
        observe(&mut graph, &meta("pod", &[("rs", true)], None)),
        [examine("rs")]
    );
    assert!(graph.view("rs").unwrap().is_virtual);
    assert_eq!(
        graph.forget("rs"),
        [examine("pod")],
        "it does not exist: its dependents are orphans"
    );
    let mut graph = Graph::default();
    observe(&mut graph, &meta("pod", &[("rs", true)], None));
    assert_eq!(observe(&mut graph, &meta("rs", &[], None)), []);
    let view = graph.view("rs").unwrap();
    assert!(!view.is_virtual && view.blocking.len() == 1);
}

#[test]
fn foreground_waits_for_blocking_dependents() {
    let mut graph = Graph::default();
    observe(&mut graph, &meta("rs", &[], None));
    observe(&mut graph, &meta("pod", &[("rs", true)], None));
    observe(&mut graph, &meta("other", &[("rs", false)], None));
    let todo = observe(&mut graph, &meta("rs", &[], Some("foregroundDeletion")));
    assert_eq!(todo, [examine("other"), examine("pod"), examine("rs")]);
    let view = graph.view("rs").unwrap();
    assert_eq!(
        (view.foreground, view.blocking.len(), view.dependents.len()),
        (true, 1, 2)
    );
    assert_eq!(graph.forget("pod"), [examine("rs")], "one less to wait for");
    assert!(graph.view("rs").unwrap().blocking.is_empty());
}

#[test]
fn a_dependent_that_stops_blocking_wakes_its_owner() {
    let mut graph = Graph::default();
    observe(&mut graph, &meta("rs", &[], Some("foregroundDeletion")));
    observe(&mut graph, &meta("pod", &[("rs", true)], None));
    assert_eq!(
        observe(&mut graph, &meta("pod", &[("rs", false)], None)),
        [examine("rs")]
    );
    assert_eq!(observe(&mut graph, &meta("pod", &[], None)), [examine("rs")]);
}

#[test]
fn orphaning_is_asked_for_once() {
    let mut graph = Graph::default();
    observe(&mut graph, &meta("rs", &[], None));
    observe(&mut graph, &meta("pod", &[("rs", true)], None));
    assert_eq!(
        observe(&mut graph, &meta("rs", &[], Some("orphan"))),
        [Todo::Orphan("rs".into())]
    );
    assert_eq!(observe(&mut graph, &meta("rs", &[], Some("orphan"))), []);
}

#[test]
fn a_new_list_forgets_what_it_does_not_have() {
    let mut graph = Graph::default();
    observe(&mut graph, &meta("a", &[], None));
    observe(&mut graph, &meta("b", &[("a", true)], None));
    let todo = graph.retain(&kind(), &HashSet::from(["b".into()]));
    assert_eq!(todo, [examine("b")]);
    assert!(graph.view("a").is_none());
}

#[test]
fn what_owners_mean() {
    use PropagationPolicy::{Background, Foreground, Orphan};
    use Standing::{Absent, Solid, WaitsForDependents as Waits};
    let table: [(&[Standing], bool, &str, Fate); 9] = [
        (&[Solid], false, "", Fate::Stay),
        (&[Solid, Absent], false, "", Fate::DropReferences),
        (&[Solid, Waits], true, "", Fate::DropReferences),
        (&[Absent], false, "", Fate::Delete(Background)),
        (&[Absent], true, "", Fate::Delete(Background)),
        (&[Waits], true, "", Fate::Delete(Foreground)),
        (&[Waits], false, "", Fate::Delete(Background)),
        (&[Absent], true, "orphan", Fate::Delete(Orphan)),
        (&[Absent], false, "foregroundDeletion", Fate::Delete(Foreground)),
    ];
    for (standings, has_dependents, finalizer, expected) in table {
        let mut owners = Owners::default();
        standings
            .iter()
            .for_each(|standing| owners.push(OwnerReference::default(), *standing));
        let object = ObjectMeta {
            finalizers: Some(vec![finalizer.to_owned()]),
            ..ObjectMeta::default()
        };
        assert_eq!(
            decide(&object, &owners, has_dependents),
            expected,
            "{standings:?} {has_dependents} {finalizer}"
        );
    }
}

proptest! {
    /// After any sequence of changes the graph's dependents are exactly the reverse of the objects' owner references.
    #[test]
    fn dependents_mirror_references(steps in prop::collection::vec((0..6usize, prop::collection::btree_set(0..6usize, 0..3), any::<bool>()), 0..60)) {
        let mut graph = Graph::default();
        let mut objects: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (uid, owners, delete) in steps {
            if delete {
                graph.forget(&uid.to_string());
                objects.remove(&uid);
                // What still refers to it is told to look, and does so by observing it anew.
                let referring: Vec<_> = objects.iter().filter(|(_, owners)| owners.contains(&uid)).map(|(uid, _)| *uid).collect();
                for other in referring {
                    objects.get_mut(&other).unwrap().retain(|owner| *owner != uid);
                    let names: Vec<String> = objects[&other].iter().map(ToString::to_string).collect();
                    let references: Vec<_> = names.iter().map(|name| (name.as_str(), true)).collect();
                    observe(&mut graph, &meta(&other.to_string(), &references, None));
                }
            } else {
                let names: Vec<String> = owners.iter().map(ToString::to_string).collect();
                let references: Vec<_> = names.iter().map(|name| (name.as_str(), true)).collect();
                observe(&mut graph, &meta(&uid.to_string(), &references, None));
                objects.insert(uid, owners.into_iter().collect());
            }
        }
        for owner in 0..6usize {
            let mut expected: Vec<String> =
                objects.iter().filter(|(_, owners)| owners.contains(&owner)).map(|(uid, _)| uid.to_string()).collect();
            let mut actual: Vec<String> = graph
                .view(&owner.to_string())
                .map(|view| view.dependents.iter().map(ToString::to_string).collect())
                .unwrap_or_default();
            expected.sort();
            actual.sort();
            prop_assert_eq!(actual, expected, "dependents of {}", owner);
        }
    }
}
