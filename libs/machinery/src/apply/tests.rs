use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::gvk::GroupVersion;
use crate::schema::{by_gvk, decode};

const NOW: &str = "2026-01-02T03:04:05Z";

/// A little API server: one object that is written in turns.
struct Server {
    version: Version<'static>,
    kind: &'static str,
    live: Option<Value>,
}

impl Server {
    fn new(group: &str, version: &str, kind: &'static str) -> Self {
        let ty = by_gvk(group, version, kind).unwrap();
        let api_version = GroupVersion::new(group, version).to_string();
        Server {
            version: Version {
                api_version,
                ty: Some(ty),
                reset: None,
            },
            kind,
            live: None,
        }
    }

    fn config_maps() -> Self {
        Self::new("", "v1", "ConfigMap")
    }

    fn manager<'a>(&'a self, subresource: &'a str) -> FieldManager<'a> {
        let kind = GroupVersion::parse(&self.version.api_version).unwrap().kind(self.kind);
        FieldManager {
            kind,
            subresource,
            versions: &self.version,
            now: NOW,
        }
    }

    fn typed(&self, mut object: Value) -> Value {
        object["apiVersion"] = json!(self.version.api_version);
        object["kind"] = json!(self.kind);
        object
    }

    fn decoded(&self, object: &Value) -> Value {
        decode::assign(object, self.version.ty.unwrap()).unwrap().value
    }

    fn update(&mut self, new: Value, manager: &str) -> Value {
        self.update_through("", new, manager)
    }

    fn update_through(&mut self, subresource: &str, new: Value, manager: &str) -> Value {
        let new = self.decoded(&self.typed(new));
        let mut new = self.manager(subresource).update(self.live.as_ref(), new, manager);
        new["metadata"]["uid"] = json!("u");
        if let Some(live) = &self.live {
            keep_times(live, &mut new);
        }
        self.live.insert(new).clone()
    }

    fn apply(&mut self, config: Value, manager: &str, force: bool) -> Result<Value, Error> {
        let config = self.typed(config);
        let applied = self.manager("").apply(self.live.as_ref(), &config, manager, force)?;
        let mut object = self.decoded(&applied.object);
        object["metadata"]["uid"] = json!("u");
        Ok(self.live.insert(object).clone())
    }
}

/// The managers of an object, each as `name operation subresource` with its fields.
fn owners(object: &Value) -> Vec<(String, Value)> {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    entries
        .iter()
        .map(|e| {
            let id = [text(e, "manager"), text(e, "operation"), text(e, "subresource")].join(" ");
            (id.trim().to_owned(), e["fieldsV1"].clone())
        })
        .collect()
}

#[test]
fn creating_owns_what_is_set_without_defaults_of_the_encoding() {
    let mut server = Server::new("apps", "v1", "Deployment");
    let object = server.update(
        json!({"metadata": {"name": "d", "labels": {"a": "b"}}, "spec": {"replicas": 2,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i",
                "ports": [{"containerPort": 80, "protocol": "TCP"}], "args": ["x"]}]}}}}),
        "parity",
    );
    let expected = json!({
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {"f:replicas": {}, "f:selector": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
            "f:template": {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:containers": {
                "k:{\"name\":\"c\"}": {".": {}, "f:args": {}, "f:image": {}, "f:name": {}, "f:ports": {".": {},
                    "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}}},
                    "f:resources": {}}}}}}});
    assert_eq!(owners(&object), [("parity Update".to_owned(), expected)]);
    assert_eq!(object["metadata"]["managedFields"][0]["time"], NOW);
}

#[test]
fn conflicts_name_the_owner_and_force_takes_over() {
    let mut server = Server::config_maps();
    let config = |value: &str| json!({"metadata": {"name": "c"}, "data": {"a": value}});
    server.apply(config("1"), "m1", false).unwrap();
    let refused = server.apply(config("2"), "m2", false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        r#"Apply failed with 1 conflict: conflict with "m1": .data.a"#
    );
    let status = crate::status::Status::from(refused);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(status.details.unwrap().causes[0].message, r#"conflict with "m1""#);

    // The same value is no conflict; the second owner has no time, for it changed nothing.
    let shared = server.apply(config("1"), "m2", false).unwrap();
    let fields = json!({"f:data": {"f:a": {}}});
    assert_eq!(
        owners(&shared),
        [
            ("m2 Apply".to_owned(), fields.clone()),
            ("m1 Apply".to_owned(), fields.clone())
        ]
    );
    assert_eq!(shared["metadata"]["managedFields"][0].get("time"), None);

    let forced = server.apply(config("3"), "m2", true).unwrap();
    assert_eq!(owners(&forced), [("m2 Apply".to_owned(), fields)]);
    server.update(json!({"metadata": {"name": "c"}, "data": {"a": "4"}}), "editor");
    let refused = server.apply(config("5"), "m2", false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        r#"Apply failed with 1 conflict: conflict with "editor" using v1: .data.a"#
    );
}

#[test]
fn several_conflicts_are_grouped_by_manager() {
    let mut server = Server::config_maps();
    server
        .apply(json!({"metadata": {"name": "c"}, "data": {"a": "1"}}), "m1", false)
        .unwrap();
    server
        .apply(
            json!({"metadata": {"name": "c"}, "data": {"b": "1", "c": "1"}}),
            "m2",
            false,
        )
        .unwrap();
    let refused = server
        .apply(
            json!({"metadata": {"name": "c"}, "data": {"a": "2", "b": "2", "c": "2"}}),
            "m3",
            false,
        )
        .unwrap_err();
    let expected = "Apply failed with 3 conflicts: conflicts with \"m1\":\n- .data.a\nconflicts with \"m2\":\n- .data.b\n- .data.c";
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn what_is_applied_no_more_goes_unless_shared() {
    let mut server = Server::config_maps();
    server
        .apply(
            json!({"metadata": {"name": "c"}, "data": {"a": "1", "b": "1", "c": "1"}}),
            "m1",
            false,
        )
        .unwrap();
    server
        .apply(json!({"metadata": {"name": "c"}, "data": {"b": "1"}}), "m2", false)
        .unwrap();
    let object = server
        .apply(json!({"metadata": {"name": "c"}, "data": {"a": "1"}}), "m1", false)
        .unwrap();
    assert_eq!(object["data"], json!({"a": "1", "b": "1"}));
    let object = server.apply(json!({"metadata": {"name": "c"}}), "m1", false).unwrap();
    assert_eq!(object["data"], json!({"b": "1"}));
    assert_eq!(
        owners(&object),
        [("m2 Apply".to_owned(), json!({"f:data": {"f:b": {}}}))]
    );
}

#[test]
fn what_holds_what_goes_stays_empty() {
    let ty = by_gvk("", "v1", "Pod").unwrap();
    let view = view::View::root(ty);
    let live = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"nodeSelector": {"a": "1"},
        "containers": [{"name": "c", "env": [{"name": "e"}]}]}});
    let gone = |config: Value| walk::to_set(&config, view);
    for (removed, expected) in [
        (
            json!({"spec": {"containers": [{"name": "c", "env": [{"name": "e"}]}]}}),
            json!({"metadata": {"labels": {"a": "1"}}, "spec": {"nodeSelector": {"a": "1"}, "containers": []}}),
        ),
        (
            json!({"metadata": {"labels": {"a": "1"}}}),
            json!({"metadata": {"labels": {}}, "spec": live["spec"]}),
        ),
    ] {
        assert_eq!(
            merge::remove(&live, &gone(removed.clone()), view),
            expected,
            "{removed}"
        );
    }
}

#[test]
fn list_elements_are_merged_by_key_and_kept_in_order() {
    let mut server = Server::new("", "v1", "Pod");
    let pod = |containers: Value| json!({"metadata": {"name": "p"}, "spec": {"containers": containers}});
    server
        .apply(
            pod(json!([{"name": "a", "image": "a"}, {"name": "b", "image": "b"}])),
            "m1",
            false,
        )
        .unwrap();
    server
        .apply(pod(json!([{"name": "side", "image": "s"}])), "m2", false)
        .unwrap();
    let object = server
        .apply(
            pod(json!([{"name": "b", "image": "b"}, {"name": "a", "image": "a"}])),
            "m1",
            false,
        )
        .unwrap();
    let names = |object: &Value| -> Vec<String> {
        let containers = object["spec"]["containers"].as_array().unwrap();
        containers
            .iter()
            .map(|c| c["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&object), ["b", "side", "a"].map(str::to_owned).to_vec());
    let object = server
        .apply(pod(json!([{"name": "a", "image": "a"}])), "m1", false)
        .unwrap();
    assert_eq!(names(&object), ["side", "a"].map(str::to_owned).to_vec());
}

#[test]
fn configurations_that_do_not_fit_are_refused_in_upstreams_words() {
    let prefix = "failed to create typed patch object (/bb; /v1, Kind=ConfigMap): ";
    for (config, expected) in [
        (
            json!({"metadata": {"name": "bb"}, "data": {"a": 5}}),
            ".data.a: expected string, got &value.valueUnstructured{Value:5}",
        ),
        (
            json!({"metadata": {"name": "bb"}, "nope": 1}),
            ".nope: field not declared in schema",
        ),
        (
            json!({"metadata": {"name": "bb"}, "data": []}),
            ".data: expected map, got &{[]}",
        ),
        (
            json!({"metadata": {"name": "bb", "ownerReferences": [{"uid": "u"}, {"uid": "u"}]}}),
            r#".metadata.ownerReferences: duplicate entries for key [uid="u"]"#,
        ),
    ] {
        let refused = Server::config_maps().apply(config.clone(), "m", false).unwrap_err();
        assert_eq!(refused, Error::Failed(format!("{prefix}{expected}")), "{config}");
    }
    let mut services = Server::new("", "v1", "Service");
    let ports =
        json!({"metadata": {"name": "s"}, "spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}});
    let refused = services.apply(ports, "m", false).unwrap_err().to_string();
    assert!(
        refused.ends_with(r#".spec.ports: duplicate entries for key [port=80,protocol="TCP"]"#),
        "{refused}"
    );

    let manager = services.manager("");
    for (config, expected) in [
        (json!({"metadata": {"name": "bb"}}), "invalid object type: /, Kind="),
        (
            json!({"apiVersion": "v1", "kind": "Secret"}),
            "invalid object type: /v1, Kind=Secret",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"managedFields": [{"manager": "x"}]}}),
            "metadata.managedFields must be nil",
        ),
    ] {
        assert_eq!(
            manager.apply(None, &config, "m", false),
            Err(Error::BadRequest(expected.to_owned()))
        );
    }
}

#[test]
fn kubectl_takes_over_what_it_applied_on_the_client() {
    let mut server = Server::config_maps();
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let applied =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "1"}});
    server.update(
        json!({"metadata": {"name": "c", "annotations": {annotation: applied.to_string()}}, "data": {"a": "1", "b": "1"}}),
        "kubectl-client-side-apply",
    );
    let config = json!({"metadata": {"name": "c"}, "data": {"a": "2", "b": "1"}});
    assert!(matches!(
        server.apply(config.clone(), "other", false),
        Err(Error::Conflicts(_))
    ));
    let object = server.apply(config, "kubectl", false).unwrap();
    assert_eq!(object["data"]["a"], "2");
    let text = object["metadata"]["annotations"][annotation].as_str().unwrap();
    assert_eq!(
        text,
        "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"2\",\"b\":\"1\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c\"}}\n"
    );

    // What somebody changed meanwhile stays a conflict.
    server.update(
        json!({"metadata": {"name": "c", "annotations": {annotation: text}}, "data": {"a": "3", "b": "1"}}),
        "editor",
    );
    let refused = server
        .apply(
            json!({"metadata": {"name": "c"}, "data": {"a": "4", "b": "1"}}),
            "kubectl",
            false,
        )
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        r#"Apply failed with 1 conflict: conflict with "editor" using v1: .data.a"#
    );
}

#[test]
fn objects_without_owners_get_one_before_the_first_apply() {
    let mut server = Server::config_maps();
    server.update(
        json!({"metadata": {"name": "c", "managedFields": [{}]}, "data": {"a": "1"}}),
        "creator",
    );
    let cleared = server.update(
        json!({"metadata": {"name": "c", "managedFields": []}, "data": {"a": "1"}}),
        "creator",
    );
    assert_eq!(owners(&cleared), []);
    let untracked = server.update(
        json!({"metadata": {"name": "c"}, "data": {"a": "1", "b": "1"}}),
        "creator",
    );
    assert_eq!(owners(&untracked), []);
    let object = server
        .apply(json!({"metadata": {"name": "c"}, "data": {"a": "1"}}), "m", false)
        .unwrap();
    let names: Vec<String> = owners(&object).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["m Apply", "before-first-apply Update"]);
}

#[test]
fn subresources_have_entries_of_their_own() {
    let mut server = Server::new("apps", "v1", "Deployment");
    let object = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1}});
    server.update(object.clone(), "creator");
    let mut with_status = object;
    with_status["status"] = json!({"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]});
    let object = server.update_through("status", with_status, "controller");
    let expected = json!({"f:status": {"f:conditions": {".": {}, "k:{\"type\":\"Available\"}": {".": {}, "f:lastTransitionTime": {},
        "f:lastUpdateTime": {}, "f:status": {}, "f:type": {}}}, "f:replicas": {}}});
    assert_eq!(owners(&object)[0], ("controller Update status".to_owned(), expected));
}

#[test]
fn more_than_ten_updaters_are_folded() {
    let mut server = Server::config_maps();
    let mut data = serde_json::Map::new();
    for i in 0..14 {
        data.insert(format!("k{i:02}"), json!("v"));
        server.update(json!({"metadata": {"name": "c"}, "data": data}), &format!("m{i:02}"));
    }
    let owners = owners(server.live.as_ref().unwrap());
    assert_eq!(owners.len(), 10);
    let ancient = owners
        .iter()
        .find(|(name, _)| name == "ancient-changes Update")
        .unwrap();
    assert_eq!(
        ancient.1["f:data"].as_object().unwrap().len(),
        6,
        "the map itself and five keys: {}",
        ancient.1
    );
}

#[test]
fn writing_the_same_again_keeps_the_times() {
    let mut server = Server::config_maps();
    let first = server.update(json!({"metadata": {"name": "c"}, "data": {"a": "1"}}), "m");
    let manager = FieldManager {
        now: "2027-01-01T00:00:00Z",
        ..server.manager("")
    };
    let mut changed = first.clone();
    changed["data"]["a"] = json!("2");
    let changed = manager.update(Some(&first), changed, "m");
    let mut kept = changed.clone();
    keep_times(&first, &mut kept);
    assert_eq!(kept, changed, "a real change has a new time");
    let mut same = first.clone();
    same["metadata"]["managedFields"][0]["time"] = json!("2027-01-01T00:00:00Z");
    keep_times(&first, &mut same);
    assert_eq!(same, first);
}

#[test]
fn reset_fields_are_owned_by_nobody() {
    let reset = Set::of_fields(&[&["status"]]);
    let mut server = Server::new("apps", "v1", "Deployment");
    let version = Version {
        reset: Some(&reset),
        ..server.version.clone()
    };
    let kind = GroupVersion::new("apps", "v1").kind("Deployment");
    let manager = FieldManager {
        kind,
        subresource: "",
        versions: &version,
        now: NOW,
    };
    let config = server.typed(json!({"metadata": {"name": "d"}, "spec": {"replicas": 1}, "status": {"replicas": 7}}));
    let object = manager.apply(None, &config, "m", false).unwrap().object;
    assert_eq!(
        owners(&object),
        [("m Apply".to_owned(), json!({"f:spec": {"f:replicas": {}}}))]
    );
    server.live = None;
}

#[test]
fn owners_pass_through_scale_and_back() {
    let mut server = Server::new("apps", "v1", "Deployment");
    let object = server
        .apply(
            json!({"metadata": {"name": "d", "labels": {"a": "b"}}, "spec": {"replicas": 1}}),
            "m",
            false,
        )
        .unwrap();
    let replicas: &scale::Replicas<'_> = &|_| Some(vec!["spec", "replicas"]);
    let parent = managed::Managed::decode(&object).unwrap();
    let seen = scale::to_scale(&parent, replicas);
    assert_eq!(seen.encode()[0]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(scale::to_parent(&parent, &seen, "apps/v1", replicas), parent);

    let id = managed::ManagerId::new("scaler", false, "autoscaling/v1", "scale");
    let mut taken = seen;
    let (_, mut owned) = taken.fields.pop_first().unwrap();
    owned.applied = false;
    taken.fields.insert(id, owned);
    let mut object = object;
    scale::write(&mut object, &scale::to_parent(&parent, &taken, "apps/v1", replicas));
    let expected = [
        ("m Apply".to_owned(), json!({"f:metadata": {"f:labels": {"f:a": {}}}})),
        ("scaler Update scale".to_owned(), json!({"f:spec": {"f:replicas": {}}})),
    ];
    assert_eq!(owners(&object), expected);
}

fn data() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-d]", "[12]", 1..4)
        .prop_map(|data| json!({"metadata": {"name": "c"}, "data": data}))
}

proptest! {
    #[test]
    fn applying_twice_changes_nothing(first in data(), other in data(), config in data()) {
        let mut server = Server::config_maps();
        server.apply(first, "m1", true).unwrap();
        server.apply(other, "m2", true).unwrap();
        let once = server.apply(config.clone(), "m1", true).unwrap();
        let twice = server.apply(config.clone(), "m1", true).unwrap();
        prop_assert_eq!(&once, &twice);
        for (key, value) in config["data"].as_object().unwrap() {
            prop_assert_eq!(&once["data"][key], value);
        }
    }

    #[test]
    fn every_field_of_an_applied_object_has_an_owner(configs in proptest::collection::vec((data(), "m[1-3]"), 1..6)) {
        let mut server = Server::config_maps();
        for (config, manager) in configs {
            server.apply(config, &manager, true).unwrap();
        }
        let live = server.live.unwrap();
        let managed = managed::Managed::decode(&live).unwrap();
        for key in live["data"].as_object().into_iter().flatten().map(|(key, _)| key) {
            let path = fieldset::fields(&["data", key]);
            prop_assert!(managed.fields.values().any(|owned| owned.set.has(&path)), "{}", key);
        }
    }
}

/// Two versions that differ in more than their names, and a third that is gone.
struct Differing;

impl Versions for Differing {
    fn version(&self, api_version: &str) -> Option<Version<'_>> {
        let kind = if api_version == "v1" { "ConfigMap" } else { "Namespace" };
        Some(Version {
            api_version: api_version.to_owned(),
            ty: by_gvk("", "v1", kind),
            reset: None,
        })
    }

    fn convert(&self, object: &Value, api_version: &str) -> Result<Option<Value>, String> {
        if api_version == "v3" {
            return Err("there is no v3".to_owned());
        }
        let mut converted = object.clone();
        converted["apiVersion"] = api_version.into();
        Ok(Some(converted))
    }

    fn may_misfit(&self) -> bool {
        true
    }
}

#[test]
fn owners_are_lost_where_an_object_has_no_form_in_their_version() {
    let versions = Differing;
    let managers = FieldManager {
        kind: GroupVersion::new("", "v1").kind("ConfigMap"),
        subresource: "",
        versions: &versions,
        now: NOW,
    };
    let live = |version: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"}, "metadata": {"name": "a", "uid": "u",
            "managedFields": [{"manager": "m", "operation": "Apply", "apiVersion": version, "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}}}]}})
    };
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"l": "w"}});
    for (version, expected) in [
        ("v1", None),
        ("v2", Some(".data: field not declared in schema")),
        ("v3", Some("there is no v3")),
    ] {
        let live = live(version);
        let applied = managers.apply(Some(&live), &config, "n", false);
        let refused = applied.err().map(|error| match error {
            Error::Failed(why) => why,
            other => panic!("{other:?}"),
        });
        assert_eq!(refused.as_deref(), expected, "{version}");
        let updated = managers.update(Some(&live), live.clone(), "n");
        let owned = updated["metadata"].get("managedFields").is_some();
        assert_eq!(owned, expected.is_none(), "{version}");
    }
}
