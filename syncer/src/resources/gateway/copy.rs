//! Objects of the Gateway API of which the host has copies: their spec with the names of the host, and the status of the
//! copy with the virtual ones.

use std::collections::BTreeMap;

use serde_json::Value;

use super::names;
use super::references::{Refusal, Translation};
use crate::engine::plan::{Awaited, Note, Place, Plan};
use crate::json;
use crate::kinds::Side;
use crate::names::{Mapping, Reference, reconcile_metadata};
use crate::resources::copied::Fields;
use crate::resources::pair::{self, Pair};
use crate::resources::usable;
use crate::world::World;

/// What differs between kinds.
pub(super) struct Rules {
    /// The spec for the host.
    pub spec: fn(&mut Translation<'_>, &Value) -> Result<Value, Refusal>,
    /// What only the host's spec has and is to stay there, put into the wanted one.
    pub keep: fn(&Value, &mut Value),
    /// The status of the virtual object, from the two objects; the problem is a clause.
    pub status: fn(&World, &Value, &Value) -> Result<Option<Value>, String>,
    /// Whether the copy goes when a reference is denied that was allowed before.
    pub removed_when_denied: bool,
}

/// Decides about one object.
pub(super) fn plan(world: &World, item: &Reference, rules: &Rules) -> Plan {
    match pair::load(world, item) {
        Pair::Nothing => Plan {
            forget: true,
            ..Plan::nothing()
        },
        Pair::Taken(_) => pair::taken(world, item),
        Pair::Host(host) | Pair::Replaced(_, host) => pair::delete(Side::Host, item, &host),
        Pair::Virtual(object) if pair::is_deleting(&object) => Plan::nothing(),
        Pair::Virtual(object) => create(world, item, &object, rules),
        Pair::Both(object, host) if pair::is_deleting(&object) => pair::delete(Side::Host, item, &host),
        Pair::Both(object, host) => update(world, item, &object, &host, rules),
    }
}

fn create(world: &World, item: &Reference, object: &Value, rules: &Rules) -> Plan {
    let mut translation = Translation::new(world, item);
    let spec = match (rules.spec)(&mut translation, object) {
        Ok(spec) => spec,
        Err(refusal) => return Plan::refuse(refusal.note()),
    };
    let mapping = mapping(world, item, &translation);
    if let Some(waiting) = waiting(world, &translation) {
        return Plan {
            // A Secret gets to the host because somebody names it.
            mapping: Some(mapping),
            ..waiting
        };
    }
    let gvk = item.kind.gvk();
    let source = pair::source(world, &gvk, &mapping.host.name, object, &[]);
    let content = Fields::from_iter([("spec".to_owned(), spec)]);
    pair::create_copy(world, item, &mapping, &source, content)
}

fn update(world: &World, item: &Reference, object: &Value, host: &Value, rules: &Rules) -> Plan {
    let mut translation = Translation::new(world, item);
    let mut wanted = match (rules.spec)(&mut translation, object) {
        Ok(spec) => spec,
        Err(refusal) if refusal.is_final() && rules.removed_when_denied => {
            return pair::delete(Side::Host, item, host).note(refusal.note());
        }
        Err(refusal) => return Plan::refuse(refusal.note()),
    };
    let named = translation.references.iter().map(|named| &named.item);
    let copies = named.filter(|item| !names::is_imported(world, item.kind, &item.key));
    if let Some(obstacles) = usable::obstacles(world, copies) {
        return Plan {
            mapping: Some(mapping(world, item, &translation)),
            ..obstacles
        };
    }
    (rules.keep)(host, &mut wanted);
    let gvk = item.kind.gvk();
    let name = pair::key_of(host).name;
    let change = reconcile_metadata(&pair::source(world, &gvk, &name, object, &[]), host);
    let spec = |spec: &Value| serde_json::json!({"spec": spec});
    let content = json::merge_diff(&spec(&host["spec"]), &spec(&wanted));
    let down = pair::patch_step(Side::Host, item, host, change.host, content);
    let up = pair::patch_step(Side::Virtual, item, object, change.virtual_, None);
    let plan = Plan {
        mapping: Some(mapping(world, item, &translation)),
        ..Plan::nothing()
    };
    let plan = plan.and(down).and(up);
    match (rules.status)(world, object, host) {
        // Until the host's controllers say something, there is nothing to show.
        Ok(None) => plan,
        Ok(Some(status)) => {
            let mut shown = host.clone();
            json::put(&mut shown, "status", Some(status));
            plan.and(pair::status_step(world, item, object, &shown))
        }
        Err(problem) => plan.note(Note::error(format!("Error syncing: translate status: {problem}"))),
    }
}

fn mapping(world: &World, item: &Reference, translation: &Translation<'_>) -> Mapping {
    let references = translation.references.iter();
    let references: BTreeMap<_, _> = references
        .map(|named| (named.item.clone(), named.host.clone()))
        .collect();
    Mapping {
        references,
        ..pair::mapping(world, item)
    }
}

/// What to wait for before there is a copy: everything that it names has to be on the host. Who names what does not exist
/// is told.
fn waiting(world: &World, translation: &Translation<'_>) -> Option<Plan> {
    let mut plan = Plan::nothing();
    for named in &translation.references {
        let Reference { kind, key } = &named.item;
        let Some(problem) = names::missing(world, *kind, key, &named.host) else {
            continue;
        };
        let place = match names::is_imported(world, *kind, key) {
            true => Place::Foreign,
            false => Place::Host,
        };
        plan.waits.push(Awaited {
            place,
            kind: *kind,
            key: named.host.clone(),
        });
        let comes = world.virtual_side.get(*kind, &key.namespace, &key.name).is_some() && place == Place::Host;
        if !comes && plan.notes.is_empty() {
            let refusal = Plan::refuse(Note::error(format!("Error syncing: {}: {problem}", named.at)));
            plan.notes = refusal.notes;
            plan.again_after = refusal.again_after;
        }
    }
    (!plan.waits.is_empty()).then_some(plan)
}
