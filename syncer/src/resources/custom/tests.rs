//! Custom resources: definitions, copies on the host, and what the host shows.

use serde_json::{Value, json};

use super::definition::{self, Wanted};
use super::line;
use crate::json;
use crate::kinds::{CustomKind, Kind, Side};
use crate::names::Reference;
use crate::patches::{Patches, Rules};
use crate::resources::Direction;
use crate::testing::{settings, summary};
use crate::world::World;

fn database(namespaced: bool) -> CustomKind {
    CustomKind {
        group: "db.example.com".into(),
        version: "v2".into(),
        plural: "databases".into(),
        kind: "Database".into(),
        namespaced,
        status: true,
    }
}

/// A world in which databases are synced, with these patches.
fn world(direction: Direction, patches: Value) -> (World, Kind) {
    let mut settings = settings();
    settings.service_name = String::new();
    let line = line(database(direction == Direction::ToHost), direction);
    settings.custom.push(line);
    settings.patches = Patches::new(json!({}));
    let rules = Rules {
        key: "patches".into(),
        patches: serde_json::from_value(patches).unwrap(),
    };
    settings.patches.add(direction, line.kind, rules).unwrap();
    (World::new(settings), line.kind)
}

fn object(version: &str, more: Value) -> Value {
    let mut object = json!({
        "apiVersion": "db.example.com/v2", "kind": "Database",
        "metadata": {"namespace": "team", "name": "main", "uid": "v1", "resourceVersion": version},
    });
    json::merge(&mut object, &more);
    object
}

fn steps(world: &World, kind: Kind) -> Vec<String> {
    summary(&world.plan(kind, "team", "main"))
}

fn changed(mut host: Value, more: Value) -> Value {
    json::merge(&mut host, &json!({"metadata": {"resourceVersion": "101"}}));
    json::merge(&mut host, &more);
    host
}

#[test]
fn everything_but_the_status_goes_down_and_the_status_comes_back() {
    let (world, kind) = world(Direction::ToHost, json!([]));
    let host = world.copied(
        kind,
        object(
            "5",
            json!({"spec": {"size": 1}, "extra": true, "status": {"phase": "Old"}}),
        ),
    );
    assert_eq!(host["apiVersion"], "db.example.com/v2");
    assert_eq!(host["metadata"]["name"], "main-x-team-x-vc");
    assert_eq!(
        (&host["spec"], &host["extra"], host.get("status")),
        (&json!({"size": 1}), &json!(true), None)
    );
    world.put(Side::Host, kind, changed(host, json!({"status": {"phase": "Ready"}})));
    assert_eq!(
        steps(&world, kind),
        [r#"patch virtual Database team/main status{"metadata":{},"status":{"phase":"Ready"}}"#]
    );
    world.take(Side::Virtual, kind, "team", "main");
    assert_eq!(steps(&world, kind), ["delete host Database host/main-x-team-x-vc h1"]);
}

#[test]
fn what_the_host_fills_in_stays_until_the_virtual_object_changes() {
    let (world, kind) = world(Direction::ToHost, json!([]));
    let host = world.copied(
        kind,
        object("5", json!({"spec": {"size": 1, "parts": [{"name": "a"}]}})),
    );
    let filled = json!({"spec": {"class": "default", "parts": [{"name": "a", "port": 1}]}});
    world.put(Side::Host, kind, changed(host.clone(), filled));
    assert_eq!(steps(&world, kind), Vec::<String>::new());
    // What somebody changed is brought back.
    world.put(
        Side::Host,
        kind,
        changed(
            host,
            json!({"metadata": {"resourceVersion": "102"}, "spec": {"size": 9, "class": "default"}}),
        ),
    );
    assert_eq!(
        steps(&world, kind),
        [r#"patch host Database host/main-x-team-x-vc {"metadata":{},"spec":{"size":1}}"#]
    );
    world.put(Side::Virtual, kind, object("6", json!({"spec": {"size": 2}})));
    let steps = steps(&world, kind);
    assert_eq!(steps.len(), 1);
    assert!(
        steps[0].ends_with(r#""spec":{"class":null,"parts":null,"size":2}}"#),
        "{steps:?}"
    );
    assert!(steps[0].contains("vcluster.loft.sh/applied-digest"), "{steps:?}");
}

#[test]
fn patches_translate_names_and_values_and_bring_them_back() {
    let patches = json!([
        {"path": "spec.credentials", "reference": {
            "apiVersion": "v1", "kind": "ConfigMap", "kindPath": "kind", "namePath": "name", "namespacePath": "namespace"}},
        {"path": "status.secretName", "reference": {"apiVersion": "v1", "kind": "Secret"}},
        {"path": "spec.selector", "labels": {}},
        {"path": "spec.host", "expression": "value + '.host'", "reverseExpression": "value.replace(/\\.host$/, '')"},
        {"path": "spec.assigned", "reverseExpression": "value"},
    ]);
    let (world, kind) = world(Direction::ToHost, patches);
    let virtual_ = object(
        "5",
        json!({"spec": {
            "credentials": {"kind": "Secret", "name": "login", "namespace": "other"},
            "selector": {"matchLabels": {"app": "db", "release": "r"}},
            "host": "a",
        }}),
    );
    let host = world.copied(kind, virtual_);
    assert_eq!(
        host["spec"]["credentials"],
        json!({"kind": "Secret", "name": "login-x-other-x-vc", "namespace": "host"})
    );
    assert_eq!(host["spec"]["host"], "a.host");
    let labels = host["spec"]["selector"]["matchLabels"].as_object().unwrap();
    assert!(
        labels["app"] == "db" && labels.len() == 2 && !labels.contains_key("release"),
        "{labels:?}"
    );
    let secret = Reference::new(Kind::Secret, "other", "login");
    assert!(world.mappings().is_referenced(&secret));

    let annotations = json!({
        "vcluster.loft.sh/object-name": "login", "vcluster.loft.sh/object-namespace": "other", "vcluster.loft.sh/object-uid": "s",
        "vcluster.loft.sh/object-kind": "/v1, Kind=Secret", "vcluster.loft.sh/object-host-name": "login-x-other-x-vc",
        "vcluster.loft.sh/object-host-namespace": "host",
    });
    world.put(
        Side::Host,
        Kind::Secret,
        json!({"metadata": {
            "namespace": "host", "name": "login-x-other-x-vc", "uid": "hs", "resourceVersion": "7",
            "labels": {"vcluster.loft.sh/managed-by": "vc"}, "annotations": annotations,
        }}),
    );
    let more = json!({"spec": {"host": "b.host", "assigned": 7}, "status": {"secretName": "login-x-other-x-vc"}});
    world.put(Side::Host, kind, changed(host.clone(), more));
    assert_eq!(
        steps(&world, kind),
        [
            r#"patch virtual Database team/main {"metadata":{},"spec":{"assigned":7,"host":"b"}}"#,
            r#"patch virtual Database team/main status{"metadata":{},"status":{"secretName":"login"}}"#,
        ]
    );
    // A value that would come back as another one would travel for ever.
    world.put(
        Side::Host,
        kind,
        changed(
            host,
            json!({"metadata": {"resourceVersion": "103"}, "spec": {"host": "elsewhere"}}),
        ),
    );
    let plan = world.plan(kind, "team", "main");
    assert!(plan.steps.is_empty());
    assert_eq!(
        plan.notes[0].text,
        "Error syncing: patches[3]: reverseExpression does not undo expression at spec.host"
    );
}

#[test]
fn the_virtual_cluster_shows_what_is_on_the_host() {
    let (world, kind) = world(
        Direction::FromHost,
        json!([{"path": "spec.tier", "expression": "value.toUpperCase()"}]),
    );
    let host = |version: &str, tier: &str| {
        json!({
            "apiVersion": "db.example.com/v2", "kind": "Database", "status": {"free": 3}, "spec": {"tier": tier},
            "metadata": {"name": "plan", "uid": "h", "resourceVersion": version, "labels": {"a": "b"}},
        })
    };
    world.put(Side::Host, kind, host("5", "gold"));
    let mut created = world.create(&world.plan(kind, "", "plan"), "v");
    let steps = summary(&world.plan(kind, "", "plan"));
    assert_eq!(
        steps,
        [r#"patch virtual Database plan status{"metadata":{},"status":{"free":3}}"#]
    );
    created["metadata"]["resourceVersion"] = json!("101");
    created["status"] = json!({"free": 3});
    world.put(Side::Virtual, kind, created.clone());
    assert_eq!(
        (&created["spec"], &created["metadata"]["labels"]),
        (&json!({"tier": "GOLD"}), &json!({"a": "b"}))
    );
    assert_eq!(summary(&world.plan(kind, "", "plan")), Vec::<String>::new());
    world.put(Side::Host, kind, host("6", "silver"));
    assert_eq!(
        summary(&world.plan(kind, "", "plan")),
        [r#"patch virtual Database plan {"metadata":{},"spec":{"tier":"SILVER"}}"#]
    );
    world.take(Side::Host, kind, "", "plan");
    assert_eq!(
        summary(&world.plan(kind, "", "plan")),
        ["delete virtual Database plan v"]
    );
}

#[test]
fn definitions_say_which_version_counts_and_lose_their_conversion() {
    let version = |name: &str, served: bool, storage: bool| json!({"name": name, "served": served, "storage": storage, "subresources": {"status": {}}});
    let definition = json!({
        "metadata": {"name": "databases.db.example.com", "uid": "x", "annotations": {"a": "b"}},
        "spec": {
            "group": "db.example.com", "scope": "Namespaced", "names": {"plural": "databases", "kind": "Database"},
            "versions": [version("v1", true, false), version("v2", true, true), version("v3", false, false)],
            "conversion": {"strategy": "Webhook"},
        },
        "status": {},
    });
    let of = |key: &str| definition::kind(&Wanted::parse(key), &definition);
    assert_eq!(of("databases.db.example.com"), Ok(database(true)));
    assert_eq!(
        of("databases.db.example.com/v1").map(|kind| kind.version),
        Ok("v1".to_owned())
    );
    assert_eq!(
        of("databases.db.example.com/v3"),
        Err("the host does not serve this version, but v1, v2".to_owned())
    );
    let shown = definition::for_virtual(&of("databases.db.example.com/v1").unwrap(), &definition);
    assert_eq!(shown["spec"]["versions"], json!([version("v1", true, true)]));
    assert!(shown["spec"].get("conversion").is_none() && shown.get("status").is_none());
    assert_eq!(
        shown["metadata"],
        json!({"name": "databases.db.example.com", "labels": {}, "annotations": {"a": "b"}})
    );
}

#[test]
fn objects_in_namespaces_of_the_host_are_copied_by_their_mappings() {
    let mut settings = settings();
    let line = line(database(true), Direction::FromHost);
    let mapping = config::ObjectMapping::parse("shared/*", "team/*").unwrap();
    settings.custom.push(line);
    settings.imports.insert(line.kind, vec![mapping]);
    settings.service_name = String::new();
    let role = crate::resources::role::roles_elsewhere("vc", &settings);
    assert!(role["shared"].contains("resources: [databases]"), "{role:?}");
    let world = World::new(settings);
    let host = json!({
        "metadata": {"namespace": "shared", "name": "main", "uid": "h", "resourceVersion": "5"}, "spec": {"size": 1}, "status": {"free": 3},
    });
    world.put(
        Side::Virtual,
        Kind::Namespace,
        json!({"metadata": {"name": "team", "uid": "n", "resourceVersion": "1"}}),
    );
    world
        .foreign
        .caches
        .of(line.kind)
        .apply(crate::object::Object::new(host));
    let created = world.create(&world.plan(line.kind, "team", "main"), "v");
    assert_eq!(created["spec"], json!({"size": 1}));
    assert_eq!(
        steps(&world, line.kind),
        [r#"patch virtual Database team/main status{"metadata":{},"status":{"free":3}}"#]
    );
}
