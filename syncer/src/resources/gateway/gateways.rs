//! Gateways of tenants, to the host: of classes that the virtual cluster knows, and not under the names of Gateways of the
//! host.

use serde_json::{Value, json};

use super::copy::{self, Rules};
use super::imported;
use super::references::{Refusal, Translation};
use crate::engine::plan::{Note, Plan};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{METADATA_NAME, Reference};
use crate::resources::pair::{self, Pair};
use crate::world::World;

const RULES: Rules = Rules {
    spec,
    keep: |_, _| (),
    status: |_, _, host| Ok(host.get("status").cloned()),
    removed_when_denied: false,
};

pub(in crate::resources) fn plan(world: &World, item: &Reference) -> Plan {
    let pair = pair::load(world, item);
    let object = match &pair {
        Pair::Virtual(object) | Pair::Taken(object) | Pair::Both(object, _) | Pair::Replaced(object, _) => Some(object),
        Pair::Host(_) | Pair::Nothing => None,
    };
    let Some(object) = object.filter(|object| !pair::is_deleting(object)) else {
        return copy::plan(world, item, &RULES);
    };
    let refused = match imported::is_mirror(world, object) {
        true => Plan::nothing(),
        false => match ineligible(world, item, object) {
            Some(note) => Plan::refuse(note),
            None => return eligible(world, item, &pair),
        },
    };
    match &pair {
        Pair::Both(_, host) | Pair::Replaced(_, host) => Plan {
            notes: refused.notes,
            ..pair::delete(Side::Host, item, host)
        },
        _ => refused,
    }
}

/// Why a Gateway must not get to the host.
fn ineligible(world: &World, item: &Reference, object: &Value) -> Option<Note> {
    if imported::source(world, &item.key).is_some() {
        let text = format!("Gateway {} is reserved for an imported Gateway", item.key);
        return Some(Note::warning(text));
    }
    let class = json::text(object, &["spec", "gatewayClassName"]);
    let known = world.virtual_side.get(Kind::GatewayClass, "", class).is_some();
    (!known).then(|| {
        Note::warning(format!(
            "GatewayClass {class:?} is not available in this virtual cluster"
        ))
    })
}

fn eligible(world: &World, item: &Reference, pair: &Pair) -> Plan {
    let host = world.host_key(item.kind, &item.key.namespace, &item.key.name);
    let conflict = |with: &str| {
        Plan::refuse(Note::warning(format!(
            "Gateway conflicts with {with} host Gateway {host}"
        )))
    };
    match pair {
        Pair::Virtual(_) if imported::target(world, &host).is_some() => conflict("imported"),
        Pair::Taken(_) => conflict("unmanaged"),
        _ => copy::plan(world, item, &RULES),
    }
}

fn spec(translation: &mut Translation<'_>, object: &Value) -> Result<Value, Refusal> {
    let mut spec = object["spec"].clone();
    for (index, listener) in json::items_mut(&mut spec, "listeners").enumerate() {
        if let Some(namespaces) = listener.pointer_mut("/allowedRoutes/namespaces") {
            attach_here(translation.world, namespaces);
        }
        let Some(tls) = listener.get_mut("tls") else { continue };
        for (at, reference) in json::items_mut(tls, "certificateRefs").enumerate() {
            translation.certificate(reference, &format!("listeners[{index}].tls.certificateRefs[{at}]"))?;
        }
        authorities(
            translation,
            tls,
            &["frontendValidation"],
            &format!("listeners[{index}].tls"),
        )?;
    }
    if let Some(reference) = spec.pointer_mut("/infrastructure/parametersRef") {
        translation.parameters(reference, "translate infrastructure.parametersRef")?;
    }
    for holder in CLIENT_CERTIFICATES {
        if let Some(reference) = spec.pointer_mut(&format!("/{}/clientCertificateRef", holder.replace('.', "/"))) {
            translation.certificate(reference, &format!("{holder}.clientCertificateRef"))?;
        }
    }
    if let Some(frontend) = spec.pointer_mut("/tls/frontend") {
        authorities(translation, frontend, &["default", "validation"], "tls.frontend")?;
        for (index, port) in json::items_mut(frontend, "perPort").enumerate() {
            authorities(
                translation,
                port,
                &["tls", "validation"],
                &format!("tls.frontend.perPort[{index}]"),
            )?;
        }
    }
    Ok(spec)
}

/// Where it is said as whom a Gateway speaks to its backends; before v1.4 of the API, the second.
const CLIENT_CERTIFICATES: [&str; 2] = ["tls.backend", "backendTLS"];

/// The authorities that clients are to be certified by, where a path leads to them.
fn authorities(
    translation: &mut Translation<'_>,
    holder: &mut Value,
    path: &[&str],
    place: &str,
) -> Result<(), Refusal> {
    let Some(validation) = holder.pointer_mut(&format!("/{}", path.join("/"))) else {
        return Ok(());
    };
    for (at, reference) in json::items_mut(validation, "caCertificateRefs").enumerate() {
        translation.authority(
            reference,
            &format!("{place}.{}.caCertificateRefs[{at}]", path.join(".")),
        )?;
    }
    Ok(())
}

/// Which virtual namespaces may attach is decided before a route gets to the host; there all routes that may are in one
/// namespace, or in those of the virtual cluster, and nobody else's shall.
fn attach_here(world: &World, namespaces: &mut Value) {
    if matches!(json::text(namespaces, &["from"]), "All" | "Selector") {
        let mapped = world.names.single_namespace().is_none();
        // A selector cannot say "or": all that are known now, and another look when there are others.
        let several = mapped.then(|| {
            let known = json!({"key": METADATA_NAME, "operator": "In", "values": world.host_namespaces()});
            json!({"matchExpressions": [known]})
        });
        let from = if several.is_some() { "Selector" } else { "Same" };
        json::put(namespaces, "from", Some(from.into()));
        json::remove(namespaces, &["selector"]);
        json::put(namespaces, "selector", several);
    }
}
