//! Patches of built-in kinds, from the virtual object to what is sent.

mod kinds;

use serde_json::{Value, json};

use super::{Patches, Rules};
use crate::kinds::{Kind, Side};
use crate::names::Reference;
use crate::resources::Direction;
use crate::testing::{object, summary, world};
use crate::world::World;

/// A world with these patches of one kind.
fn patched(direction: Direction, kind: Kind, patches: Value) -> World {
    let mut world = world();
    let rules = Rules {
        key: "patches".into(),
        patches: serde_json::from_value(patches).unwrap(),
    };
    world.settings.patches = Patches::new(json!({"sync": {"a": 1}}));
    world.settings.patches.add(direction, kind, rules).unwrap();
    world.settings.to_host.insert(kind);
    world
}

#[test]
fn expressions_change_fields_on_the_way_and_are_met_unchanged_afterwards() {
    let patches = json!([
        {"path": "spec.rules[*].host", "expression": "value + '.' + context.vcluster.name", "reverseExpression": "value.slice(0, -3)"},
        {"path": "spec.ingressClassName", "expression": "undefined"},
        {"path": "spec.defaultBackend['service'].name", "expression": "context.path + context.vcluster.config.sync.a"},
    ]);
    let world = patched(Direction::ToHost, Kind::Ingress, patches);
    let ingress = |host: &str| {
        let backend = json!({"service": {"name": "app"}});
        let spec = json!({"ingressClassName": "gone", "defaultBackend": backend, "rules": [{"host": host}, {}]});
        object("web", json!({"spec": spec}))
    };
    let host = world.copied(Kind::Ingress, ingress("a"));
    let backend = json!({"service": {"name": "spec.defaultBackend.service.name1"}});
    assert_eq!(
        host["spec"],
        json!({"defaultBackend": backend, "rules": [{"host": "a.vc"}, {}]})
    );
    let mut changed = ingress("b");
    changed["metadata"]["resourceVersion"] = json!("6");
    world.put(Side::Virtual, Kind::Ingress, changed);
    let steps = summary(&world.plan(Kind::Ingress, "team", "web"));
    assert_eq!(steps.len(), 1);
    assert!(steps[0].contains(r#""rules":[{"host":"b.vc"},{}]"#), "{steps:?}");
}

#[test]
fn images_of_pods_are_changed_in_strategic_patches_too() {
    let patches = json!([{"path": "spec.containers[*].image", "expression": "'mirror/' + value"}]);
    let world = patched(Direction::ToHost, Kind::Pod, patches);
    let pod = |image: &str, version: &str| {
        let mut pod = object(
            "web",
            json!({"spec": {"containers": [{"name": "c", "image": image}, {"name": "d", "image": "x"}]}}),
        );
        pod["metadata"]["resourceVersion"] = json!(version);
        pod
    };
    let dns = json!({
        "metadata": {"namespace": "host", "name": "kube-dns-x-kube-system-x-vc", "uid": "d"}, "spec": {"clusterIP": "10.0.0.53"},
    });
    world.put(Side::Host, Kind::Service, dns);
    let host = world.copied(Kind::Pod, pod("a", "5"));
    assert_eq!(host["spec"]["containers"][0]["image"], "mirror/a");
    world.put(Side::Virtual, Kind::Pod, pod("b", "6"));
    let steps = summary(&world.plan(Kind::Pod, "team", "web"));
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert!(steps[0].contains(r#"{"image":"mirror/b","name":"c"}"#), "{steps:?}");
}

#[test]
fn what_comes_back_is_undone_or_stays_away() {
    let patches = json!([
        {"path": "metadata.labels.both", "expression": "value + '-h'", "reverseExpression": "value.replace(/-h$/, '')"},
        {"path": "metadata.labels.down", "expression": "value"},
    ]);
    let world = patched(Direction::ToHost, Kind::Ingress, patches);
    let mut host = world.copied(Kind::Ingress, object("web", json!({"spec": {}})));
    host["metadata"]["labels"]["both"] = json!("x-h");
    host["metadata"]["labels"]["down"] = json!("y");
    host["metadata"]["resourceVersion"] = json!("101");
    world.put(Side::Host, Kind::Ingress, host);
    let expected = r#"patch virtual Ingress team/web {"metadata":{"labels":{"both":"x"}}}"#;
    assert_eq!(summary(&world.plan(Kind::Ingress, "team", "web")), [expected]);
}

#[test]
fn names_and_labels_are_those_of_the_host_and_what_is_named_is_in_use() {
    let patches = json!([
        {"path": "data.secret", "reference": {"apiVersion": "v1", "kind": "Secret"}},
        {"path": "metadata.annotations", "labels": {}},
    ]);
    let mut world = patched(Direction::ToHost, Kind::ConfigMap, patches);
    world.settings.all_config_maps = true;
    let host = world.copied(
        Kind::ConfigMap,
        object("c", json!({"data": {"secret": "s", "other": "s"}})),
    );
    assert_eq!(host["data"], json!({"secret": "s-x-team-x-vc", "other": "s"}));
    assert!(
        world
            .mappings()
            .is_referenced(&Reference::new(Kind::Secret, "team", "s"))
    );
}

#[test]
fn what_comes_from_the_host_is_changed_for_the_virtual_cluster() {
    let patches = json!([{"path": "metadata.labels.tier", "expression": "value.toUpperCase()"}]);
    let mut world = patched(Direction::FromHost, Kind::IngressClass, patches);
    world.settings.from_host.insert(Kind::IngressClass, Default::default());
    let class = json!({
        "metadata": {"name": "nginx", "uid": "h", "resourceVersion": "5", "labels": {"tier": "gold"}}, "spec": {"controller": "c"},
    });
    world.put(Side::Host, Kind::IngressClass, class);
    let created = world.create(&world.plan(Kind::IngressClass, "", "nginx"), "v");
    assert_eq!(created["metadata"]["labels"], json!({"tier": "GOLD"}));
    assert_eq!(
        summary(&world.plan(Kind::IngressClass, "", "nginx")),
        Vec::<String>::new()
    );
}

#[test]
fn an_expression_that_fails_is_told_and_nothing_is_written() {
    let patches = json!([{"path": "spec.rules[*].host", "expression": "value.no.such"}]);
    let world = patched(Direction::ToHost, Kind::Ingress, patches);
    world.put(
        Side::Virtual,
        Kind::Ingress,
        object("web", json!({"spec": {"rules": [{"host": "a"}]}})),
    );
    let plan = world.plan(Kind::Ingress, "team", "web");
    assert!(plan.steps.is_empty());
    assert!(
        plan.notes[0].text.starts_with("Error syncing: patches[0]: "),
        "{:?}",
        plan.notes
    );
    let mut patches = Patches::default();
    let rules = Rules {
        key: "k".into(),
        patches: serde_json::from_value(
            json!([{"path": "a", "labels": {}}, {"path": "b", "reverseExpression": "1 +"}]),
        )
        .unwrap(),
    };
    let error = patches.add(Direction::ToHost, Kind::Pod, rules).unwrap_err();
    assert!(error.starts_with("k[1].reverseExpression: "), "{error}");
}
