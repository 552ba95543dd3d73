//! Events of the host, shown at the virtual object that they are about.

use serde_json::{Value, json};

use crate::engine::plan::{Plan, Step};
use crate::json;
use crate::kinds::Kind;
use crate::names::{Claim, Names, Reference, claim};
use crate::object::ObjectKey;
use crate::world::World;

/// Kinds whose events are shown.
const ABOUT: [Kind; 5] = [Kind::Pod, Kind::Service, Kind::Endpoints, Kind::ConfigMap, Kind::Secret];

/// The virtual object that a host event is about: its kind, names and uid.
struct Subject {
    kind: Kind,
    host: ObjectKey,
    virtual_: ObjectKey,
}

fn subject(world: &World, event: &Value) -> Option<Subject> {
    let involved = event.get("involvedObject")?;
    let kind = Kind::parse(json::text(involved, &["kind"])).filter(|kind| ABOUT.contains(kind))?;
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

/// The item under which a host event is worked on: its own name, in the namespace of the virtual object.
pub(super) fn item(world: &World, event: &Value) -> Option<Reference> {
    let subject = subject(world, event)?;
    Some(Reference::new(
        Kind::Event,
        &subject.virtual_.namespace,
        json::text(event, &["metadata", "name"]),
    ))
}

/// The host's event of an item.
pub(super) fn of_host(world: &World, item: &Reference) -> Option<Value> {
    let namespace = world.names.target(&item.key.namespace);
    let event = world.host.get(Kind::Event, &namespace, &item.key.name)?;
    Some(event.value())
}

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let Some(event) = of_host(world, item) else {
        return Plan::nothing();
    };
    let Some(subject) = subject(world, &event) else {
        return Plan::nothing();
    };
    let regarding = world
        .virtual_side
        .get(subject.kind, &subject.virtual_.namespace, &subject.virtual_.name);
    let Some(regarding) = regarding else {
        return Plan {
            release: true,
            ..Plan::nothing()
        };
    };
    let object = translate(&world.names, &event, &subject, regarding.uid(), regarding.version());
    Plan {
        release: true,
        ..Plan::step(Step::Upsert {
            kind: Kind::Event,
            object,
        })
    }
}

fn translate(names: &Names, event: &Value, subject: &Subject, uid: &str, version: u64) -> Value {
    let name = json::text(event, &["metadata", "name"]);
    let virtual_name = match name.strip_prefix(subject.host.name.as_str()) {
        Some(rest) => format!("{}{rest}", subject.virtual_.name),
        None => name.to_owned(),
    };
    let mut translated = event.clone();
    translated["apiVersion"] = json!("v1");
    translated["kind"] = json!("Event");
    translated["metadata"] = json!({"name": virtual_name, "namespace": subject.virtual_.namespace});
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
    use crate::testing::world;

    #[test]
    fn names_in_an_event_become_virtual() {
        let subject = Subject {
            kind: Kind::Pod,
            host: ObjectKey::new("host", "web-x-team-x-vc"),
            virtual_: ObjectKey::new("team", "web"),
        };
        let event = json!({
            "metadata": {"name": "web-x-team-x-vc.17a", "namespace": "host", "uid": "e1", "resourceVersion": "9"},
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
                "metadata": {"name": "web.17a", "namespace": "team"},
                "involvedObject": {"kind": "Pod", "namespace": "team", "name": "web", "uid": "v1", "resourceVersion": "7"},
                "reason": "Scheduled",
                "message": "Successfully assigned team/web to worker-1",
                "count": 2,
            })
        );
    }
}
