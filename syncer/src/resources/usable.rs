//! Whether a host object may name the host copy of another object. It must not as long as that name belongs to somebody
//! else, or may come to: whoever names an object can see what is in it.

use std::time::Duration;

use super::pair::{self, Pair};
use crate::engine::plan::{Awaited, Note, Place, Plan};
use crate::names::Reference;
use crate::object::ObjectKey;
use crate::world::World;

/// When a name that somebody else has is looked at again: nobody tells when it is free.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// The answer for one object.
#[derive(Debug)]
enum Usable {
    /// Its name on the host is its own.
    Yes,
    /// Not before this has appeared.
    Awaited(Awaited),
    /// Not before this has appeared, which only the owner can see to.
    Missing(Awaited, String),
    /// Somebody else has the name.
    Taken(String),
}

fn usable(world: &World, target: &Reference) -> Usable {
    let host = world.host_key(target.kind, &target.key.namespace, &target.key.name);
    match pair::load(world, target) {
        Pair::Both(..) | Pair::Host(_) => Usable::Yes,
        Pair::Virtual(object) if pair::is_deleting(&object) => absent(world, target, &host),
        Pair::Nothing => absent(world, target, &host),
        Pair::Virtual(_) | Pair::Replaced(..) => Usable::Awaited(Awaited {
            place: Place::Host,
            kind: target.kind,
            key: host,
        }),
        Pair::Taken(_) => Usable::Taken(pair::taken_text(target, &host)),
    }
}

/// As in any cluster, an object may be named before it exists, but only when nobody else can have its name on the host.
fn absent(world: &World, target: &Reference, host: &ObjectKey) -> Usable {
    let Reference { kind, key } = target;
    if world.host.get(*kind, &host.namespace, &host.name).is_some() {
        return Usable::Taken(pair::taken_text(target, host));
    }
    if !kind.is_namespaced() || world.names.is_exclusive(&key.name, &key.namespace) {
        return Usable::Yes;
    }
    let text = format!(
        "{kind} {key} does not exist, and its name on the host, {}, is one that other virtual clusters can have; this is \
         synced when it exists",
        host.name
    );
    let awaited = Awaited {
        place: Place::Virtual,
        kind: *kind,
        key: key.clone(),
    };
    Usable::Missing(awaited, text)
}

/// What has to happen before a host object may name all of these; `None` when it may.
pub(crate) fn obstacles<'a>(world: &World, targets: impl IntoIterator<Item = &'a Reference>) -> Option<Plan> {
    let mut plan = Plan::nothing();
    for target in targets {
        match usable(world, target) {
            Usable::Yes => {}
            Usable::Awaited(awaited) => plan.waits.push(awaited),
            Usable::Missing(awaited, text) => {
                plan.waits.push(awaited);
                plan.notes.push(Note::warning(text));
            }
            Usable::Taken(text) => {
                plan.again_after = Some(LOOK_AGAIN);
                plan.notes.push(Note::error(text));
            }
        }
    }
    (plan != Plan::nothing()).then_some(plan)
}

/// Why an object of a kind that has no copies here must not be named: others can have one of its name on the host.
pub(super) fn ambiguous(world: &World, kind: &str, namespace: &str, name: &str) -> Option<Note> {
    let others_can = !name.is_empty() && !world.names.is_exclusive(name, namespace);
    others_can.then(|| {
        Note::warning(format!(
            "{kind} {namespace}/{name} is not synced, and its name on the host is one that other virtual clusters can have, or \
             the host's controllers"
        ))
    })
}
