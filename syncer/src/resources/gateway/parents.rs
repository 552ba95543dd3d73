//! What routes attach to: whether the listeners of a Gateway let them, the names of parents on the host, and the parents that
//! a status names.

use machinery::selector::label::Selector;
use serde_json::Value;

use super::references::{Refusal, Translation, said};
use super::{imported, names};
use crate::json;
use crate::kinds::{GATEWAY_API, Kind};
use crate::object::ObjectKey;
use crate::world::World;

/// Checks and translates the parents of a route.
pub(super) fn attach(translation: &mut Translation<'_>, spec: &mut Value) -> Result<(), Refusal> {
    for (index, reference) in json::items_mut(spec, "parentRefs").enumerate() {
        let place = format!("translate parentRefs[{index}]");
        let Some(kind) = kind(reference) else {
            let (group, kind) = (
                said(reference, "group", GATEWAY_API),
                said(reference, "kind", "Gateway"),
            );
            let why = format!("parentRef group {group:?} kind {kind:?} is not supported");
            return Err(Refusal::Unsupported(why).at(&place));
        };
        if kind == Kind::Gateway {
            permitted(translation, reference)
                .map_err(|why| Refusal::Denied(why).at(&format!("authorize parentRefs[{index}]")))?;
        }
        translation.rename(reference, kind, &place)?;
    }
    Ok(())
}

/// The kind of a parent, if routes can have such parents.
fn kind(reference: &Value) -> Option<Kind> {
    match (
        said(reference, "group", GATEWAY_API),
        said(reference, "kind", "Gateway"),
    ) {
        (GATEWAY_API, "Gateway") => Some(Kind::Gateway),
        ("", "Service") => Some(Kind::Service),
        _ => None,
    }
}

/// Whether the Gateway that is named lets the route attach to one of its listeners.
fn permitted(translation: &Translation<'_>, reference: &Value) -> Result<(), String> {
    let (world, route, namespace) = (translation.world, translation.kind, translation.namespace);
    let key = ObjectKey::new(translation.namespace_of(reference), json::text(reference, &["name"]));
    let (name, of) = (&key.name, &key.namespace);
    let Some(gateway) = gateway(world, &key) else {
        return Err(format!(
            "{route} in namespace {namespace:?} is not permitted to attach to missing Gateway {name:?} in namespace {of:?}"
        ));
    };
    let lets = |listener: &Value| {
        selects(reference, listener) && takes_kind(listener, route) && takes_namespace(world, listener, of, namespace)
    };
    if json::items(&gateway, &["spec", "listeners"]).iter().any(lets) {
        return Ok(());
    }
    Err(format!(
        "{route} in namespace {namespace:?} is not permitted by Gateway {name:?} in namespace {of:?} allowedRoutes"
    ))
}

fn gateway(world: &World, key: &ObjectKey) -> Option<Value> {
    if let Some(host) = imported::source(world, key) {
        return imported::seen(world, key, &host);
    }
    let gateway = world.virtual_side.get(Kind::Gateway, &key.namespace, &key.name);
    gateway.map(|gateway| gateway.value())
}

fn selects(reference: &Value, listener: &Value) -> bool {
    let section = json::text(reference, &["sectionName"]);
    let port = json::integer(reference, &["port"]);
    (section.is_empty() || section == json::text(listener, &["name"]))
        && port.is_none_or(|port| json::integer(listener, &["port"]) == Some(port))
}

fn takes_kind(listener: &Value, route: Kind) -> bool {
    let kinds = json::items(listener, &["allowedRoutes", "kinds"]);
    if !kinds.is_empty() {
        return kinds
            .iter()
            .any(|kind| said(kind, "group", GATEWAY_API) == GATEWAY_API && said(kind, "kind", "") == route.name());
    }
    let protocol = json::text(listener, &["protocol"]);
    match route {
        Kind::HttpRoute => matches!(protocol, "HTTP" | "HTTPS"),
        Kind::TlsRoute => protocol == "TLS",
        _ => false,
    }
}

fn takes_namespace(world: &World, listener: &Value, gateways: &str, routes: &str) -> bool {
    let policy = json::at(listener, &["allowedRoutes", "namespaces"]);
    let from = policy.and_then(|policy| policy.get("from")).and_then(Value::as_str);
    match from.unwrap_or("Same") {
        "All" => true,
        "Same" => routes == gateways,
        "Selector" => {
            let namespace = world.virtual_side.get(Kind::Namespace, "", routes);
            namespace.is_some_and(|namespace| {
                let labels = json::strings(&namespace.value(), &["metadata", "labels"]);
                let selector = Selector::of(policy.and_then(|policy| policy.get("selector")));
                selector.matches(|key| labels.get(key).map(String::as_str))
            })
        }
        _ => false,
    }
}

/// Whether a route asks for no other host names than the Gateways of the host allow to which it attaches.
pub(super) fn hostnames(translation: &Translation<'_>, spec: &Value) -> Result<(), Refusal> {
    let asked = json::items(spec, &["hostnames"]);
    for parent in json::items(spec, &["parentRefs"]) {
        let (group, kind) = (said(parent, "group", GATEWAY_API), said(parent, "kind", "Gateway"));
        if (group, kind) != (GATEWAY_API, "Gateway") {
            continue;
        }
        let name = json::text(parent, &["name"]);
        let key = ObjectKey::new(translation.namespace_of(parent), name);
        let source = imported::source(translation.world, &key);
        let single = source.and_then(|host| translation.world.settings.gateways.overrides.get(&host));
        let Some(allowed) = single.map(|single| &single.hostnames).filter(|names| !names.is_empty()) else {
            continue;
        };
        let refusal = |what: String| {
            Err(Refusal::Failed(format!(
                "{what} is not permitted by imported Gateway {name:?} hostname policy"
            )))
        };
        if asked.is_empty() {
            return refusal(format!("{} with no hostnames", translation.kind));
        }
        let mut asked = asked.iter().filter_map(Value::as_str);
        if let Some(hostname) = asked.find(|hostname| !is_allowed(hostname, allowed)) {
            return refusal(format!("hostname {hostname:?}"));
        }
    }
    Ok(())
}

fn is_allowed(hostname: &str, allowed: &[String]) -> bool {
    let hostname = hostname.trim().to_lowercase();
    allowed.iter().any(|pattern| {
        let pattern = pattern.trim().to_lowercase();
        let below = pattern.strip_prefix('*').filter(|suffix| suffix.starts_with('.'));
        pattern == hostname
            || below.is_some_and(|suffix| hostname.ends_with(suffix) && hostname != suffix.trim_start_matches('.'))
    })
}

/// The status of a copy with the virtual names of what it is about: `list` has the entries, `field` of each names it.
pub(super) fn status(
    world: &World,
    object: &Value,
    host: &Value,
    list: &str,
    field: &str,
) -> Result<Option<Value>, String> {
    let Some(mut status) = host.get("status").cloned() else {
        return Ok(None);
    };
    for (index, entry) in json::items_mut(&mut status, list).enumerate() {
        let Some(reference) = entry.get_mut(field) else {
            continue;
        };
        to_virtual(world, object, host, reference)
            .map_err(|problem| format!("translate {list}[{index}].{field}: {problem}"))?;
    }
    Ok(Some(status))
}

fn to_virtual(world: &World, object: &Value, host: &Value, reference: &mut Value) -> Result<(), String> {
    let of_host = json::text(host, &["metadata", "namespace"]);
    let of_object = json::text(object, &["metadata", "namespace"]);
    let kind = kind(reference).ok_or_else(|| {
        let (group, kind) = (
            said(reference, "group", GATEWAY_API),
            said(reference, "kind", "Gateway"),
        );
        format!("parentRef group {group:?} kind {kind:?} is not supported")
    })?;
    let name = json::text(reference, &["name"]);
    // Controllers may leave the namespace out that the copy's spec states.
    let stated = namespace(reference, "");
    let of_parent = match stated {
        "" => {
            let parents = json::items(host, &["spec", "parentRefs"]).iter();
            let mut same = parents.filter(|parent| is_same(parent, reference, of_host));
            same.find_map(|parent| Some(namespace(parent, "")).filter(|namespace| !namespace.is_empty()))
                .unwrap_or(of_host)
        }
        stated => stated,
    };
    let key = names::to_virtual(world, kind, &ObjectKey::new(of_parent, name))
        .ok_or_else(|| format!("could not translate host {kind} {name:?} to virtual"))?;
    json::put(reference, "name", Some(key.name.as_str().into()));
    json::put(reference, "namespace", Some(key.namespace.as_str().into()));
    // It is stated where the virtual object states it.
    let mut parents = json::items(object, &["spec", "parentRefs"]).iter();
    let states = parents.any(|parent| is_same(parent, reference, of_object) && !namespace(parent, "").is_empty());
    if key.namespace == of_object && !states {
        json::remove(reference, &["namespace"]);
    }
    Ok(())
}

/// Whether two references are about the same section of the same parent.
fn is_same(one: &Value, other: &Value, default: &str) -> bool {
    let parts = |reference: &Value| {
        let text = |field, default: &str| said(reference, field, default).to_owned();
        (
            [
                text("group", GATEWAY_API),
                text("kind", "Gateway"),
                text("name", ""),
                text("sectionName", ""),
            ],
            json::integer(reference, &["port"]).unwrap_or_default(),
            namespace(reference, default).to_owned(),
        )
    };
    parts(one) == parts(other)
}

fn namespace<'v>(reference: &'v Value, default: &'v str) -> &'v str {
    match json::text(reference, &["namespace"]) {
        "" => default,
        namespace => namespace,
    }
}
