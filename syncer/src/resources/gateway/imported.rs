//! Gateways of the host that the virtual cluster shows, by the mappings of vcluster.yaml: tenants attach routes to them and
//! change nothing. What a Gateway says about the host is left out, and who may attach is said anew, for virtual namespaces.

use serde_json::{Value, json};

use crate::engine::plan::{Note, Plan};
use crate::json::{self, Strings};
use crate::kinds::{Kind, Side};
use crate::names::{Reference, keys};
use crate::object::ObjectKey;
use crate::patches::{Rewriting, Way};
use crate::resources::{Direction, imports, pair};
use crate::world::World;

/// The annotation with which tools remember what they were told; it holds what is left out.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What is known of a Gateway of the host that has a mapping.
pub(super) enum Found {
    /// It is shown.
    Shown(Value),
    /// The selector leaves it out.
    Unselected,
    /// There is none.
    Missing,
    /// The host was not asked yet.
    Unknown,
}

/// The Gateway of the host that a virtual name belongs to, whether it exists or not: the name is not the tenant's.
pub(super) fn source(world: &World, key: &ObjectKey) -> Option<ObjectKey> {
    let mappings = world.settings.imports.get(&Kind::Gateway)?;
    mappings.iter().find_map(|mapping| {
        let namespace = mapping.from_namespace.as_deref()?;
        let name = match (&mapping.to_name, &mapping.from_name) {
            (Some(to), Some(from)) if *to == key.name => from,
            (None, None) => &key.name,
            _ => return None,
        };
        (mapping.to_namespace == key.namespace).then(|| ObjectKey::new(namespace, name))
    })
}

/// The virtual name of a Gateway of the host, if it has a mapping.
pub(super) fn target(world: &World, host: &ObjectKey) -> Option<ObjectKey> {
    imports::targets(world, Kind::Gateway, host).into_iter().next()
}

/// The Gateway of the host that a virtual one shows.
pub(in crate::resources) fn of_host(world: &World, item: &Reference) -> Option<Value> {
    match find(world, &source(world, &item.key)?) {
        Found::Shown(gateway) => Some(gateway),
        _ => None,
    }
}

/// Looks a Gateway of the host up that has a mapping.
pub(super) fn find(world: &World, host: &ObjectKey) -> Found {
    let Some(gateway) = world.foreign.caches.get(Kind::Gateway, &host.namespace, &host.name) else {
        return match world.foreign.is_known(Kind::Gateway, host) {
            true => Found::Missing,
            false => Found::Unknown,
        };
    };
    let gateway = gateway.value();
    let mappings = world.settings.imports.get(&Kind::Gateway).into_iter().flatten();
    let exact = mappings
        .filter(|mapping| mapping.from_namespace.as_deref() == Some(&host.namespace))
        .any(|mapping| mapping.from_name.as_deref() == Some(&host.name));
    let labels = json::at(&gateway, &["metadata", "labels"]);
    match exact || world.settings.gateways.selector.matches_labels(labels) {
        true => Found::Shown(gateway),
        false => Found::Unselected,
    }
}

/// Whether a virtual Gateway shows one of the host: it has one of the marks, either of which a tenant may have removed.
pub(super) fn is_mirror(world: &World, gateway: &Value) -> bool {
    world.settings.imports.contains_key(&Kind::Gateway)
        && (json::text(gateway, &["metadata", "labels", keys::IMPORTED_GATEWAY]) == "true"
            || json::text(gateway, &["metadata", "annotations", keys::MARKER]) == "vcluster")
}

/// The Gateway that routes see under a name which has a mapping. It is made from the host's: the object in the virtual
/// cluster might just have been changed by its tenant.
pub(super) fn seen(world: &World, key: &ObjectKey, host: &ObjectKey) -> Option<Value> {
    let Found::Shown(gateway) = find(world, host) else {
        return None;
    };
    let item = Reference {
        kind: Kind::Gateway,
        key: key.clone(),
    };
    let mut shown = mirror(world, &item, host, &gateway);
    if let Some(rewriting) = Rewriting::of(world, &item, Direction::FromHost) {
        rewriting.rewrite(Way::Forward, &mut shown).ok()?;
    }
    Some(shown)
}

pub(in crate::resources) fn plan(world: &World, item: &Reference) -> Plan {
    let actual = world.virtual_side.get(item.kind, &item.key.namespace, &item.key.name);
    let actual = actual.map(|object| object.value());
    let source = source(world, &item.key);
    let found = source.as_ref().map_or(Found::Missing, |host| find(world, host));
    match (source, found, actual) {
        (Some(host), Found::Shown(gateway), None) if !pair::is_deleting(&gateway) => {
            let labels = Strings::from([(keys::IMPORTED_GATEWAY.to_owned(), "true".to_owned())]);
            pair::create_in_labelled_namespace(world, item.kind, mirror(world, item, &host, &gateway), &labels)
        }
        // What a tenant had there before the mapping came is the tenant's.
        (_, _, Some(actual)) if !is_mirror(world, &actual) || pair::is_deleting(&actual) => Plan::nothing(),
        (Some(host), Found::Shown(gateway), Some(actual)) => {
            update(world, item, &actual, &gateway, &mirror(world, item, &host, &gateway))
        }
        (_, Found::Unselected, Some(actual)) => {
            let reason = "host Gateway does not match sync.fromHost.gateways.selector";
            let note = Note::warning(format!("Deleting imported Gateway mirror: {reason}"));
            pair::delete(Side::Virtual, item, &actual).note(note)
        }
        (_, Found::Missing, Some(actual)) => {
            let reason = format!("host Gateway for imported mirror {} is missing", item.key);
            let note = Note::warning(format!("Deleting virtual Gateway: {reason}"));
            pair::delete(Side::Virtual, item, &actual).note(note)
        }
        _ => Plan::nothing(),
    }
}

fn update(world: &World, item: &Reference, actual: &Value, gateway: &Value, wanted: &Value) -> Plan {
    let maps = |object: &Value| {
        let map = |name: &str| json!(json::strings(object, &["metadata", name]));
        json!({"labels": map("labels"), "annotations": map("annotations")})
    };
    let metadata = json::merge_diff(&maps(actual), &maps(wanted));
    let spec = |object: &Value| json!({"spec": object["spec"]});
    let rest = json::merge_diff(&spec(actual), &spec(wanted));
    let status = gateway.get("status").and_then(|_| {
        let mut shown = gateway.clone();
        if !world.settings.gateways.expose_addresses
            && let Some(status) = shown.get_mut("status")
        {
            json::remove(status, &["addresses"]);
        }
        pair::status_step(world, item, actual, &shown)
    });
    Plan::nothing()
        .and(pair::patch_step(Side::Virtual, item, actual, metadata, rest))
        .and(status)
}

/// The Gateway as the virtual cluster sees it, without its status.
fn mirror(world: &World, item: &Reference, host: &ObjectKey, gateway: &Value) -> Value {
    let mut metadata = imports::metadata(gateway);
    metadata["labels"][keys::IMPORTED_GATEWAY] = "true".into();
    json::remove(&mut metadata["annotations"], &[LAST_APPLIED]);
    metadata["annotations"][keys::MARKER] = "vcluster".into();
    if world.settings.gateways.expose_source {
        metadata["annotations"][keys::SOURCE_GATEWAY] = host.to_string().into();
    }
    metadata.insert("name".to_owned(), json!(item.key.name));
    metadata.insert("namespace".to_owned(), json!(item.key.namespace));
    json!({
        "apiVersion": item.kind.api_version(),
        "kind": item.kind.name(),
        "metadata": metadata,
        "spec": spec(world, host, gateway),
    })
}

fn spec(world: &World, host: &ObjectKey, gateway: &Value) -> Value {
    let settings = &world.settings.gateways;
    let mut spec = gateway["spec"].clone();
    if settings.hide_infrastructure {
        json::remove(&mut spec, &["infrastructure"]);
    }
    let single = settings.overrides.get(host);
    let allowed = single.and_then(|single| single.allowed_routes.as_ref());
    let allowed = allowed.or(settings.allowed_routes.as_ref());
    for listener in json::items_mut(&mut spec, "listeners") {
        if let Some(tls) = listener.get_mut("tls").filter(|_| settings.hide_certificates) {
            hide_certificates(tls);
        }
        if let Some(allowed) = allowed {
            listener["allowedRoutes"] = allowed.clone();
        }
    }
    spec
}

/// A listener that ends TLS is valid only with certificates or options.
fn hide_certificates(tls: &mut Value) {
    json::remove(tls, &["certificateRefs"]);
    let ends = matches!(json::text(tls, &["mode"]), "" | "Terminate");
    let has_options = tls["options"].as_object().is_some_and(|options| !options.is_empty());
    if ends && !has_options {
        tls["options"] = json!({keys::HIDDEN_CERTIFICATES: "true"});
    }
}
