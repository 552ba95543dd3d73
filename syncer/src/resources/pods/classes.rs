//! Who a pod runs as, how important it is, and what runs it: names of objects that the host may know under other names, or
//! not at all.

use serde_json::{Value, json};

use crate::engine::plan::Note;
use crate::json;
use crate::kinds::Kind;
use crate::names::Reference;
use crate::resources::{mirrored, priorityclasses};
use crate::world::World;

/// The service account that pods have when they name none.
const DEFAULT_ACCOUNT: &str = "default";

/// Translates service account, priority class and runtime class of a pod spec.
pub(super) fn translate(world: &World, namespace: &str, spec: &mut Value) {
    let account = account(world, namespace, json::text(spec, &["serviceAccountName"]));
    json::put(
        spec,
        "serviceAccountName",
        (!account.is_empty()).then(|| json!(account)),
    );
    let class = priority_class(world, json::text(spec, &["priorityClassName"]));
    json::put(spec, "priorityClassName", (!class.is_empty()).then(|| json!(class)));
    let forced = &world.settings.pods.runtime_class;
    if !forced.is_empty() {
        json::put(spec, "runtimeClassName", Some(json!(forced)));
    }
}

fn account(world: &World, namespace: &str, name: &str) -> String {
    if !world.settings.to_host.contains(&Kind::ServiceAccount) {
        return world.settings.workload_service_account.clone();
    }
    let name = if name.is_empty() { DEFAULT_ACCOUNT } else { name };
    world.host_name(Kind::ServiceAccount, namespace, name)
}

/// The class on the host. Classes that are not synced mean nothing there, or something else.
fn priority_class(world: &World, name: &str) -> String {
    let settings = &world.settings;
    let class = if name.is_empty() {
        String::new()
    } else if settings.to_host.contains(&Kind::PriorityClass) {
        world.host_name(Kind::PriorityClass, "", name)
    } else if settings.from_host.contains_key(&Kind::PriorityClass) {
        name.to_owned()
    } else {
        String::new()
    };
    if class.is_empty() {
        settings.pods.priority_class.clone()
    } else {
        class
    }
}

/// The objects behind these names of which the host has copies.
pub(super) fn references(world: &World, pod: &Value) -> Vec<Reference> {
    let namespace = json::text(pod, &["metadata", "namespace"]);
    let of = |field| json::text(pod, &["spec", field]);
    let account = match of("serviceAccountName") {
        "" => DEFAULT_ACCOUNT,
        account => account,
    };
    let class = of("priorityClassName");
    let copied = |kind: &Kind| world.settings.to_host.contains(kind);
    let account = Some(Reference::new(Kind::ServiceAccount, namespace, account));
    let class = (!class.is_empty()).then(|| Reference::new(Kind::PriorityClass, "", class));
    let named = account.into_iter().chain(class);
    named.filter(|reference| copied(&reference.kind)).collect()
}

/// Why a pod is not synced: it names a class of the host that is not selected.
pub(super) fn refusal(world: &World, pod: &Value) -> Option<Note> {
    let name = json::text(pod, &["metadata", "name"]);
    let of = |field| json::text(pod, &["spec", field]);
    let priority = Some(of("priorityClassName")).filter(|class| !priorityclasses::SYSTEM.contains(class));
    priority
        .and_then(|class| mirrored::limit(world, "pod", name, Kind::PriorityClass, "priority class", class))
        .or_else(|| {
            let class = of("runtimeClassName");
            mirrored::limit(world, "pod", name, Kind::RuntimeClass, "runtime class", class)
        })
}
