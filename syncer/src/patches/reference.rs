//! Names of other objects at the path of a patch.

use config::{ObjectReference, Path};
use serde_json::Value;

use super::{Rewriting, Way};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Claim, Reference, claim};
use crate::object::ObjectKey;

/// The name, and the namespace if it is there, as the other side knows them. `None` when no object has this name there.
pub(super) fn rewrite(
    rewriting: &Rewriting<'_>,
    reference: &ObjectReference,
    way: Way,
    pointer: &str,
    mut value: Value,
) -> Option<Value> {
    let to = rewriting.to(way);
    let from = match to {
        Side::Host => rewriting.virtual_.as_ref(),
        Side::Virtual => rewriting.host.as_ref(),
    };
    // A patch may hold but a part of what says which object is meant.
    let whole = from
        .and_then(|object| object.pointer(pointer))
        .cloned()
        .unwrap_or_default();
    let name = place(&value, reference.name_path.as_ref())?;
    let named = value.pointer(&name)?.as_str()?.to_owned();
    if named.is_empty() {
        return Some(value);
    }
    let kind = kind(rewriting, reference, &[&value, &whole]);
    let namespace = reference.namespace_path.as_ref().and_then(|path| {
        let pointer = path.pointers(&value).into_iter().next()?;
        Some((value.pointer(&pointer)?.as_str()?.to_owned(), pointer))
    });
    let stated = namespace.as_ref().map(|(namespace, _)| namespace.clone());
    let stated = stated.or_else(|| {
        let pointer = reference.namespace_path.as_ref()?.pointers(&whole).into_iter().next()?;
        Some(whole.pointer(&pointer)?.as_str()?.to_owned())
    });
    let target = match to {
        Side::Host => on_host(
            rewriting,
            kind,
            &stated.unwrap_or_else(|| own_namespace(rewriting)),
            &named,
        ),
        Side::Virtual => in_virtual(rewriting, kind?, &named)?,
    };
    *value.pointer_mut(&name)? = target.name.into();
    if let Some((_, pointer)) = namespace
        && let Some(slot) = value.pointer_mut(&pointer)
        && !target.namespace.is_empty()
    {
        *slot = target.namespace.into();
    }
    Some(value)
}

/// The virtual object that a value names, and what it is called on the host; only kinds that are synced have one.
pub(super) fn target(
    rewriting: &Rewriting<'_>,
    reference: &ObjectReference,
    object: &Value,
    pointer: &str,
) -> Option<(Reference, ObjectKey)> {
    let value = object.pointer(pointer)?;
    let name = value.pointer(&place(value, reference.name_path.as_ref())?)?.as_str()?;
    let kind = kind(rewriting, reference, &[value])?;
    let namespace = reference.namespace_path.as_ref().and_then(|path| {
        let pointer = path.pointers(value).into_iter().next()?;
        Some(value.pointer(&pointer)?.as_str()?.to_owned())
    });
    let namespace = if kind.is_namespaced() {
        namespace.unwrap_or_else(|| own_namespace(rewriting))
    } else {
        String::new()
    };
    let target = Reference::new(kind, &namespace, name);
    let host = rewriting.world.host_key(kind, &namespace, name);
    (!name.is_empty()).then_some((target, host))
}

fn place(value: &Value, path: Option<&Path>) -> Option<String> {
    match path {
        None => Some(String::new()),
        Some(path) => path.pointers(value).into_iter().next(),
    }
}

fn own_namespace(rewriting: &Rewriting<'_>) -> String {
    let object = rewriting.virtual_.as_ref();
    object.map_or_else(String::new, |object| {
        json::text(object, &["metadata", "namespace"]).to_owned()
    })
}

/// The kind that is named, if it is one that is synced.
fn kind(rewriting: &Rewriting<'_>, reference: &ObjectReference, values: &[&Value]) -> Option<Kind> {
    let said = |path: &Option<Path>, otherwise: &str| {
        let found = path.as_ref().and_then(|path| {
            values.iter().find_map(|value| {
                let pointer = path.pointers(value).into_iter().next()?;
                Some(value.pointer(&pointer)?.as_str()?.to_owned())
            })
        });
        found.unwrap_or_else(|| otherwise.to_owned())
    };
    let version = said(&reference.api_version_path, &reference.api_version);
    let name = said(&reference.kind_path, &reference.kind);
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    rewriting.world.settings.kind(group, &name)
}

/// A kind that is not synced has no recorded names: its objects may come to the host by other means, under the usual ones.
fn on_host(rewriting: &Rewriting<'_>, kind: Option<Kind>, namespace: &str, name: &str) -> ObjectKey {
    let world = rewriting.world;
    match kind {
        Some(kind) if kind.is_namespaced() => world.host_key(kind, namespace, name),
        Some(kind) => world.host_key(kind, "", name),
        None => ObjectKey::new(world.names.host_namespace(), &world.names.host_name(name, namespace)),
    }
}

fn in_virtual(rewriting: &Rewriting<'_>, kind: Kind, name: &str) -> Option<ObjectKey> {
    let world = rewriting.world;
    if world.is_mirrored(kind) {
        return Some(ObjectKey::new("", name));
    }
    let own = own_namespace(rewriting);
    let namespace = if kind.is_namespaced() {
        world.names.target(&own)
    } else {
        "".into()
    };
    let host = world.host.get(kind, &namespace, name)?.value();
    match claim(&world.names, &kind.gvk(), &host) {
        Claim::Ours { namespace, name, .. } => Some(ObjectKey::new(&namespace, &name)),
        Claim::Foreign => None,
    }
}
