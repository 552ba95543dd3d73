//! Events of the host, shown at the virtual object that they are about. One that is about something else is shown when it says so.

use serde_json::{Value, json};

use crate::engine::plan::{Plan, Step};
use crate::json;
use crate::kinds::Kind;
use crate::names::{Claim, Names, Reference, claim, keys};
use crate::object::ObjectKey;
use crate::world::World;

/// Kinds whose events are shown.
const ABOUT: [Kind; 7] = [
    Kind::Pod,
    Kind::Service,
    Kind::Endpoints,
    Kind::ConfigMap,
    Kind::Secret,
    Kind::PersistentVolumeClaim,
    Kind::Ingress,
];

/// Where events are shown that are about nothing in the virtual cluster
/// (`ForceSyncedEventNamespace` in `pkg/mappings/resources/events.go` of vCluster).
const OTHERS: &str = "default";

/// The virtual object that a host event is about: its kind, names and uid.
struct Subject {
    kind: Kind,
    host: ObjectKey,
    virtual_: ObjectKey,
}

fn subject(world: &World, event: &Value) -> Option<Subject> {
    let involved = event.get("involvedObject")?;
    let kind = Kind::parse(json::text(involved, &["kind"])).filter(|kind| ABOUT.contains(kind))?;
    let version = json::text(involved, &["apiVersion"]);
    let group = version.split_once('/').map_or("", |(group, _)| group);
    // There are other kinds of these names.
    if !version.is_empty() && group != kind.group() {
        return None;
    }
    let host = ObjectKey::new(json::text(involved, &["namespace"]), json::text(involved, &["name"]));
    let object = world.host.get(kind, &host.namespace, &host.name)?.value();
    match claim(&world.names, &kind.gvk(), &object) {
        Claim::Ours { namespace, name, .. } => Some(Subject {
            kind,
            host,
            virtual_: ObjectKey { namespace, name },
        }),
        Claim::Foreign => None,
    }
}

/// Whether an event is shown whatever it is about.
fn is_forced(event: &Value) -> bool {
    json::text(event, &["metadata", "annotations", keys::FORCE_SYNC]) == "true"
}

/// The item under which a host event is worked on: its own name, in the namespace of the virtual object.
pub(super) fn item(world: &World, event: &Value) -> Option<Reference> {
    let namespace = match subject(world, event) {
        Some(subject) => subject.virtual_.namespace,
        None if is_forced(event) => OTHERS.to_owned(),
        None => return None,
    };
    let name = json::text(event, &["metadata", "name"]);
    Some(Reference::new(Kind::Event, &namespace, name))
}

/// The host's event of an item.
pub(super) fn of_host(world: &World, item: &Reference) -> Option<Value> {
    let of = |namespace: &str| {
        let event = world.host.get(Kind::Event, namespace, &item.key.name)?;
        Some(event.value())
    };
    let others = || of(world.names.host_namespace()).filter(|event| is_forced(event) && item.key.namespace == OTHERS);
    of(&world.names.target(&item.key.namespace)).or_else(others)
}

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let Some(event) = of_host(world, item) else {
        return Plan::nothing();
    };
    let shown = subject(world, &event).and_then(|subject| {
        let ObjectKey { namespace, name } = &subject.virtual_;
        let regarding = world.virtual_side.get(subject.kind, namespace, name)?;
        let object = translate(&world.names, &event, &subject, regarding.uid(), regarding.version());
        Some(object)
    });
    let step = shown
        .or_else(|| is_forced(&event).then(|| unrelated(&event)))
        .map(|object| Step::Upsert {
            kind: Kind::Event,
            object,
        });
    Plan {
        release: true,
        ..Plan::nothing().and(step)
    }
}

/// The event under another name, with nothing of its metadata but labels and annotations that are not the product's own.
fn named(event: &Value, namespace: &str, name: &str) -> Value {
    let mut named = event.clone();
    named["apiVersion"] = json!("v1");
    named["kind"] = json!("Event");
    let mut metadata = json!({"name": name, "namespace": namespace});
    for map in ["labels", "annotations"] {
        let mut all = json::strings(event, &["metadata", map]);
        all.retain(|key, _| !key.starts_with(keys::PREFIX));
        json::put(&mut metadata, map, (!all.is_empty()).then(|| json!(all)));
    }
    named["metadata"] = metadata;
    named
}

/// An event about nothing that the virtual cluster knows.
fn unrelated(event: &Value) -> Value {
    let mut shown = named(event, OTHERS, json::text(event, &["metadata", "name"]));
    shown["involvedObject"] = json!({"namespace": OTHERS});
    shown
}

fn translate(names: &Names, event: &Value, subject: &Subject, uid: &str, version: u64) -> Value {
    let name = json::text(event, &["metadata", "name"]);
    let virtual_name = match name.strip_prefix(subject.host.name.as_str()) {
        Some(rest) => format!("{}{rest}", subject.virtual_.name),
        None => name.to_owned(),
    };
    let mut translated = named(event, &subject.virtual_.namespace, &virtual_name);
    let involved = &mut translated["involvedObject"];
    involved["name"] = json!(subject.virtual_.name);
    involved["namespace"] = json!(subject.virtual_.namespace);
    involved["uid"] = json!(uid);
    involved["resourceVersion"] = json!(version.to_string());
    let message = json::text(event, &["message"]);
    translated["message"] = json!(names.retold(message, &subject.host, &subject.virtual_));
    translated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Side;
    use crate::testing::world;

    #[test]
    fn names_in_an_event_become_virtual() {
        let subject = Subject {
            kind: Kind::Pod,
            host: ObjectKey::new("host", "web-x-team-x-vc"),
            virtual_: ObjectKey::new("team", "web"),
        };
        let event = json!({
            "metadata": {
                "name": "web-x-team-x-vc.17a", "namespace": "host", "uid": "e1", "resourceVersion": "9",
                "labels": {"a": "b"}, "annotations": {keys::FORCE_SYNC: "true"},
            },
            "involvedObject": {"kind": "Pod", "namespace": "host", "name": "web-x-team-x-vc", "uid": "h1"},
            "reason": "Scheduled",
            "message": "Successfully assigned host/web-x-team-x-vc to worker-1",
            "count": 2,
        });
        assert_eq!(
            translate(&world().names, &event, &subject, "v1", 7),
            json!({
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": "web.17a", "namespace": "team", "labels": {"a": "b"}},
                "involvedObject": {"kind": "Pod", "namespace": "team", "name": "web", "uid": "v1", "resourceVersion": "7"},
                "reason": "Scheduled",
                "message": "Successfully assigned team/web to worker-1",
                "count": 2,
            })
        );
    }

    /// Of events about what is not the virtual cluster's, those that say so are shown, and nothing of what they are about.
    #[test]
    fn events_about_anything_are_shown_if_they_want_to_be() {
        let event = |kind: &str, version: &str, annotations: Value| {
            json!({
                "metadata": {"name": "other.1", "namespace": "host", "uid": "e", "resourceVersion": "3", "annotations": annotations},
                "involvedObject": {"kind": kind, "apiVersion": version, "namespace": "host", "name": "other", "uid": "o"},
                "reason": "Noted", "message": "something about host/other",
            })
        };
        let forced = json!({keys::FORCE_SYNC: "true", "note": "kept"});
        let table = [
            ("ConfigMap", "v1", forced.clone(), true),
            ("Node", "v1", forced, true),
            ("ConfigMap", "v1", json!({keys::FORCE_SYNC: "false"}), false),
            ("ConfigMap", "v1", json!({}), false),
        ];
        for (kind, version, annotations, is_shown) in table {
            let world = world();
            let items = world.put(Side::Host, Kind::Event, event(kind, version, annotations));
            let expected = is_shown.then(|| Reference::new(Kind::Event, "default", "other.1"));
            assert_eq!(items, Vec::from_iter(expected));
            let plan = world.plan(Kind::Event, "default", "other.1");
            let steps = is_shown.then(|| Step::Upsert {
                kind: Kind::Event,
                object: json!({
                    "apiVersion": "v1", "kind": "Event",
                    "metadata": {"name": "other.1", "namespace": "default", "annotations": {"note": "kept"}},
                    "involvedObject": {"namespace": "default"},
                    "reason": "Noted", "message": "something about host/other",
                }),
            });
            assert_eq!(plan.steps, Vec::from_iter(steps), "{kind}");
        }
    }

    #[test]
    fn kinds_of_other_groups_are_other_kinds() {
        let world = world();
        let metadata = json!({
            "namespace": "host", "name": "web-x-team-x-vc", "uid": "h", "labels": {keys::MARKER: "vc"},
            "annotations": {keys::OBJECT_NAME: "web", keys::OBJECT_NAMESPACE: "team"},
        });
        world.put(Side::Host, Kind::Service, json!({"metadata": metadata}));
        for (version, is_about) in [("v1", true), ("", true), ("serving.knative.dev/v1", false)] {
            let event = json!({"involvedObject": {
                "kind": "Service", "apiVersion": version, "namespace": "host", "name": "web-x-team-x-vc",
            }});
            assert_eq!(subject(&world, &event).is_some(), is_about, "{version}");
        }
    }
}
