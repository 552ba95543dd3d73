//! ConfigMaps and Secrets of the host that the virtual cluster has copies of.

use config::ObjectMapping;
use serde_json::{Value, json};

use super::*;
use crate::foreign;
use crate::object::Object;
use crate::testing::settings;

fn world_with(kind: Kind, mappings: &[(&str, &str)]) -> World {
    let mut world = world();
    let mappings = mappings
        .iter()
        .map(|(from, to)| ObjectMapping::parse(from, to).expect("valid"));
    world.settings.imports.insert(kind, mappings.collect());
    namespace(&world, "team");
    world
}

impl World {
    /// Puts an object of somebody else on the host.
    pub(super) fn put_foreign(&self, kind: Kind, object: Value) -> Vec<Reference> {
        match self.foreign.caches.of(kind).apply(Object::new(object)) {
            Some(change) => affected_by_foreign(self, kind, &change),
            None => Vec::new(),
        }
    }

    fn know_everything(&self) {
        foreign::scopes(&self.settings)
            .iter()
            .for_each(|scope| self.foreign.complete(scope));
    }
}

fn host_map(namespace: &str, name: &str, version: u64, data: Value) -> Value {
    json!({
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("{namespace}/{name}"), "resourceVersion": version.to_string(),
            "labels": {"l": "1", "vcluster.loft.sh/x": "y"}, "annotations": {"a": "1"},
        },
        "data": data,
    })
}

#[test]
fn a_copy_follows_the_hosts_object() {
    let mut world = world_with(Kind::ConfigMap, &[("src/*", "team/*")]);
    let item = Reference::new(Kind::ConfigMap, "team", "c");
    let affected = world.put_foreign(Kind::ConfigMap, host_map("src", "c", 3, json!({"k": "1"})));
    assert_eq!(affected, [item]);
    let created = world.create(&world.plan(Kind::ConfigMap, "team", "c"), "v1");
    assert_eq!(created["data"], json!({"k": "1"}));
    assert_eq!(created["metadata"]["labels"], json!({"l": "1"}));
    let annotations = json!({"a": "1", "vcluster.loft.sh/imported-from": "src/c"});
    assert_eq!(created["metadata"]["annotations"], annotations);
    assert_eq!(summary(&world.plan(Kind::ConfigMap, "team", "c")), Vec::<String>::new());

    // The tenant's change is taken back.
    let mut changed = created.clone();
    changed["data"] = json!({"k": "2", "more": "3"});
    changed["metadata"]["resourceVersion"] = json!("101");
    world.put(Side::Virtual, Kind::ConfigMap, changed);
    assert_eq!(
        summary(&world.plan(Kind::ConfigMap, "team", "c")),
        ["patch virtual ConfigMap team/c {\"data\":{\"k\":\"1\",\"more\":null},\"metadata\":{}}"]
    );
    // It is a ConfigMap like any other: pods use it.
    world.put(Side::Virtual, Kind::ConfigMap, json!({
        "metadata": {"namespace": "team", "name": "c", "uid": "v1", "resourceVersion": "102", "labels": {"l": "1"}, "annotations": annotations},
        "data": {"k": "1"},
    }));
    world.settings.all_config_maps = true;
    let copy = world.create(&world.plan(Kind::ConfigMap, "team", "c"), "h1");
    assert_eq!(copy["metadata"]["name"], "c-x-team-x-vc");
    assert_eq!(
        copy["metadata"]["annotations"].get("vcluster.loft.sh/imported-from"),
        None
    );
}

#[test]
fn a_copy_goes_with_the_hosts_object_and_nothing_else_does() {
    let world = world_with(Kind::ConfigMap, &[("src/c", "team/mine")]);
    world.put(Side::Virtual, Kind::ConfigMap, config_map("mine", "own", json!({})));
    assert_eq!(
        world.plan(Kind::ConfigMap, "team", "mine").steps,
        [],
        "it was here before"
    );
    let mut copy = config_map("mine", "copy", json!({}));
    copy["metadata"]["resourceVersion"] = json!("7");
    copy["metadata"]["annotations"] = json!({"vcluster.loft.sh/imported-from": "src/c"});
    world.put(Side::Virtual, Kind::ConfigMap, copy.clone());
    assert_eq!(
        world.plan(Kind::ConfigMap, "team", "mine").steps,
        [],
        "the host was not read yet"
    );
    world.know_everything();
    assert_eq!(
        summary(&world.plan(Kind::ConfigMap, "team", "mine")),
        ["delete virtual ConfigMap team/mine copy"]
    );
    // Nobody maps anything to this name.
    copy["metadata"]["name"] = json!("other");
    world.put(Side::Virtual, Kind::ConfigMap, copy);
    assert_eq!(world.plan(Kind::ConfigMap, "team", "other").steps, []);
}

#[test]
fn names_are_mapped_as_exactly_as_they_are_given() {
    let world = world_with(
        Kind::ConfigMap,
        &[
            ("src/one", "team/first"),
            ("src/*", "rest/*"),
            ("/own", "team/*"),
            ("", "all"),
        ],
    );
    for (namespace, name, expected) in [
        ("src", "one", "team/first"),
        ("src", "two", "rest/two"),
        ("host", "own", "team/own"),
        ("host", "any", "all/any"),
        ("host", "kube-root-ca.crt", ""),
        ("elsewhere", "one", ""),
    ] {
        let object = Object::new(host_map(namespace, name, 1, json!({})));
        let keys: Vec<String> =
            super::super::imports::affected(&world, Kind::ConfigMap, &Change::new(None, Some(object.into())))
                .iter()
                .map(|item| item.key.to_string())
                .collect();
        assert_eq!(keys.join(" "), expected, "{namespace}/{name}");
    }
    // A namespace that is missing is made first, one that ends is waited for.
    world.put_foreign(Kind::ConfigMap, host_map("src", "two", 3, json!({})));
    let plan = world.plan(Kind::ConfigMap, "rest", "two");
    assert_eq!(summary(&plan), ["create virtual Namespace rest"]);
    assert_eq!(plan.waits[0].kind, Kind::Namespace);
    world.create(&plan, "n");
    assert_eq!(
        summary(&world.plan(Kind::ConfigMap, "rest", "two")),
        ["create virtual ConfigMap rest/two"]
    );
    let ending = json!({"metadata": {"name": "rest", "uid": "n", "resourceVersion": "200", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    world.put(Side::Virtual, Kind::Namespace, ending);
    assert_eq!(world.plan(Kind::ConfigMap, "rest", "two").steps, []);
    assert_eq!(
        world.plan(Kind::ConfigMap, "rest", "one").steps,
        [],
        "its own mapping leads elsewhere"
    );
}

#[test]
fn of_two_sources_with_one_name_the_first_copied_stays() {
    let world = world_with(Kind::Secret, &[("a/*", "team/*"), ("b/*", "team/*")]);
    let secret = |namespace: &str| {
        let mut secret = host_map(namespace, "s", 3, json!({"from": namespace}));
        secret["type"] = json!("example.com/kind");
        secret
    };
    world.put_foreign(Kind::Secret, secret("b"));
    let created = world.create(&world.plan(Kind::Secret, "team", "s"), "v1");
    assert_eq!(
        (&created["data"], &created["type"]),
        (&json!({"from": "b"}), &json!("example.com/kind"))
    );
    world.put_foreign(Kind::Secret, secret("a"));
    assert_eq!(world.plan(Kind::Secret, "team", "s").steps, []);
    // A type cannot be changed.
    let mut other = secret("b");
    other["type"] = json!("Opaque");
    other["metadata"]["resourceVersion"] = json!("4");
    world.put_foreign(Kind::Secret, other);
    assert_eq!(
        summary(&world.plan(Kind::Secret, "team", "s")),
        ["delete virtual Secret team/s v1"]
    );
}

#[test]
fn without_mappings_nothing_is_watched() {
    assert!(foreign::scopes(&settings()).is_empty());
}
