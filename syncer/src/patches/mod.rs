//! Patches: fields of synced objects that vcluster.yaml wants to be other on the other side. What a translation decided goes
//! in, and comes out rewritten; translations need not know about it.

pub mod expression;
mod labels;
mod reference;

use std::collections::BTreeMap;

use config::{Action, Patch};
use serde_json::{Value, json};

use crate::clusters;
use crate::engine::plan::{Note, Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::Reference;
use crate::object::ObjectKey;
use crate::resources::{self, Direction, usable};
use crate::world::World;

/// The patches of one kind in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The key of vcluster.yaml under which they stand.
    pub key: String,
    /// In the order of the file.
    pub patches: Vec<Patch>,
}

/// One patch.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    /// Where it stands in vcluster.yaml, such as `sync.toHost.pods.patches[0]`.
    name: String,
    patch: Patch,
}

/// All patches, and what expressions may know of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Patches {
    rules: BTreeMap<(Direction, Kind), Vec<Rule>>,
    config: Value,
}

impl Patches {
    /// No patches yet. Expressions will know the configuration.
    pub fn new(config: Value) -> Self {
        let rules = BTreeMap::new();
        Self { rules, config }
    }

    /// Takes over patches of one kind; the error names the key of the first expression that cannot be read. Of two for one
    /// path, the first one counts.
    pub fn add(&mut self, direction: Direction, kind: Kind, rules: Rules) -> Result<(), String> {
        let mut added = Vec::new();
        for (index, patch) in rules.patches.into_iter().enumerate() {
            let rule = format!("{}[{index}]", rules.key);
            if let Action::Expression { forward, reverse } = &patch.action {
                for (name, text) in [("expression", forward), ("reverseExpression", reverse)] {
                    if !text.is_empty() {
                        expression::check(text).map_err(|problem| format!("{rule}.{name}: {problem}"))?;
                    }
                }
            }
            added.push(Rule { name: rule, patch });
        }
        if !added.is_empty() {
            let all = self.rules.entry((direction, kind)).or_default();
            added.retain(|rule| all.iter().all(|other| other.patch.path != rule.patch.path));
            all.extend(added);
        }
        Ok(())
    }

    /// Whether a kind has any.
    pub fn concern(&self, direction: Direction, kind: Kind) -> bool {
        self.rules.contains_key(&(direction, kind))
    }
}

/// Which way a value travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the side that the object comes from.
    Forward,
    /// Back to it.
    Reverse,
}

/// One object whose fields are rewritten.
pub struct Rewriting<'a> {
    world: &'a World,
    direction: Direction,
    rules: &'a [Rule],
    virtual_: Option<Value>,
    host: Option<Value>,
}

/// Rewrites what a plan does to its own object.
pub fn apply(world: &World, item: &Reference, direction: Direction, mut plan: Plan) -> Plan {
    let Some(rewriting) = Rewriting::of(world, item, direction) else {
        return plan;
    };
    if matches!((item.kind, direction), (Kind::Custom(_), Direction::ToHost)) {
        // They are rewritten before they are compared, which is why their fields can be brought back.
        return of_own_names(world, &rewriting, plan);
    }
    let mut steps = Vec::new();
    for step in plan.steps {
        match rewriting.step(item, step) {
            Ok(step) => steps.extend(step),
            Err(note) => return Plan::refuse(note),
        }
    }
    plan.steps = steps;
    if let Some(mapping) = &mut plan.mapping {
        mapping.references.extend(rewriting.references());
    }
    of_own_names(world, &rewriting, plan)
}

/// A plan that changes nothing on the host as long as a patch would name another object there that is somebody else's, or may
/// come to be.
fn of_own_names(world: &World, rewriting: &Rewriting<'_>, mut plan: Plan) -> Plan {
    let named = rewriting.references().into_iter().map(|(named, _)| named);
    // What is only shown has the name that it has on the host.
    let named: Vec<Reference> = named
        .filter(|named| named.kind.is_namespaced() || world.settings.is_copied(named.kind))
        .collect();
    let names = |step: &Step| {
        matches!(
            step,
            Step::Create { side: Side::Host, .. } | Step::Patch { side: Side::Host, .. }
        )
    };
    if let Some(obstacles) = usable::obstacles(world, &named)
        && plan.steps.iter().any(names)
    {
        plan.steps.retain(|step| !names(step));
        plan.notes.extend(obstacles.notes);
        plan.waits.extend(obstacles.waits);
        plan.again_after = [plan.again_after, obstacles.again_after].into_iter().flatten().min();
    }
    plan
}

impl<'a> Rewriting<'a> {
    /// What there is to rewrite in an object; nothing when its kind has no patches.
    pub fn of(world: &'a World, item: &Reference, direction: Direction) -> Option<Self> {
        let rules = world.settings.patches.rules.get(&(direction, item.kind))?;
        let find = |side: Side, key: &ObjectKey| {
            let found = world.side(side).get(item.kind, &key.namespace, &key.name);
            found.map(|object| object.value())
        };
        let host = match direction {
            Direction::FromHost if item.kind.is_namespaced() => resources::shown(world, item),
            _ => find(
                Side::Host,
                &world.host_key(item.kind, &item.key.namespace, &item.key.name),
            ),
        };
        Some(Self {
            world,
            direction,
            rules,
            virtual_: find(Side::Virtual, &item.key),
            host,
        })
    }

    /// Rewrites what one step does to the object; nothing remains of a step that changes nothing any more.
    pub fn step(&self, item: &Reference, step: Step) -> Result<Option<Step>, Note> {
        match step {
            Step::Create { side, kind, mut object } if kind == item.kind => {
                self.rewrite(self.way(side), &mut object)?;
                Ok(Some(Step::Create { side, kind, object }))
            }
            Step::Upsert { kind, mut object } if kind == item.kind => {
                self.rewrite(self.way(Side::Virtual), &mut object)?;
                Ok(Some(Step::Upsert { kind, object }))
            }
            Step::Patch {
                side,
                kind,
                key,
                subresource,
                patch,
                mut body,
            } if kind == item.kind => {
                let rewritten = self.rewrite(self.way(side), &mut body)?;
                // The translation compares what it wants with what was rewritten, and finds them different for ever.
                if rewritten && self.changes_nothing(side, kind, &key, patch, &body) {
                    return Ok(None);
                }
                Ok(Some(Step::Patch {
                    side,
                    kind,
                    key,
                    subresource,
                    patch,
                    body,
                }))
            }
            other => Ok(Some(other)),
        }
    }

    fn way(&self, side: Side) -> Way {
        match (self.direction, side) {
            (Direction::ToHost, Side::Host) | (Direction::FromHost, Side::Virtual) => Way::Forward,
            _ => Way::Reverse,
        }
    }

    fn changes_nothing(&self, side: Side, kind: Kind, key: &ObjectKey, patch: clusters::Patch, body: &Value) -> bool {
        let actual = self.world.side(side).get(kind, &key.namespace, &key.name);
        actual.is_some_and(|actual| !patch.changes(&actual.value(), body))
    }

    /// Rewrites an object, or a patch of one; returns whether any path led somewhere.
    pub fn rewrite(&self, way: Way, value: &mut Value) -> Result<bool, Note> {
        let mut met = false;
        for Rule { name, patch } in self.rules {
            for pointer in patch.path.pointers(value) {
                let current = value.pointer(&pointer).cloned().unwrap_or_default();
                // What is to be removed is nothing that could be rewritten.
                if current.is_null() {
                    continue;
                }
                met = true;
                let new = self
                    .rewritten(&patch.action, way, &pointer, current)
                    .map_err(|problem| complaint(name, &problem))?;
                match new {
                    Some(new) => {
                        if let Some(slot) = value.pointer_mut(&pointer) {
                            *slot = new;
                        }
                    }
                    None => remove(value, &pointer),
                }
            }
        }
        Ok(met)
    }

    /// The new value; `None` takes it away.
    fn rewritten(&self, action: &Action, way: Way, pointer: &str, current: Value) -> Result<Option<Value>, String> {
        match (action, way) {
            (Action::Expression { forward, .. }, Way::Forward) if forward.is_empty() => Ok(Some(current)),
            (Action::Expression { reverse, .. }, Way::Reverse) if reverse.is_empty() => Ok(None),
            (Action::Expression { forward, .. }, Way::Forward) => self.evaluate(forward, pointer, &current),
            (Action::Expression { reverse, .. }, Way::Reverse) => self.evaluate(reverse, pointer, &current),
            (Action::Reference(reference), way) => Ok(reference::rewrite(self, reference, way, pointer, current)),
            (Action::Labels, way) => Ok(Some(labels::rewrite(&self.world.names, self.to(way), current))),
        }
    }

    /// The side that a value gets to.
    fn to(&self, way: Way) -> Side {
        match (self.direction, way) {
            (Direction::ToHost, Way::Forward) | (Direction::FromHost, Way::Reverse) => Side::Host,
            _ => Side::Virtual,
        }
    }

    fn evaluate(&self, text: &str, pointer: &str, value: &Value) -> Result<Option<Value>, String> {
        let settings = &self.world.settings;
        let context = json!({
            "vcluster": {"name": settings.vcluster, "namespace": settings.host_namespace, "config": settings.patches.config},
            "virtualObject": self.virtual_,
            "hostObject": self.host,
            "path": dotted(pointer),
        });
        expression::evaluate(text, value, &context)
    }

    /// What the host's values at the paths with a reverse expression are in the virtual object, by JSON pointer. A value
    /// that would come back to the host as another one is refused: it would travel for ever.
    pub fn brought_back(&self, host: &Value) -> Result<Vec<(String, Value)>, Note> {
        let mut found = Vec::new();
        for Rule { name, patch } in self.rules {
            let Action::Expression { forward, reverse } = &patch.action else {
                continue;
            };
            if reverse.is_empty() {
                continue;
            }
            for pointer in patch.path.pointers(host) {
                let current = host.pointer(&pointer).cloned().unwrap_or_default();
                let back = self.evaluate(reverse, &pointer, &current);
                let there = |back: Option<Value>| match back {
                    Some(back) if !forward.is_empty() => Ok((self.evaluate(forward, &pointer, &back)?, Some(back))),
                    back => Ok((Some(current.clone()), back)),
                };
                let (again, back) = back.and_then(there).map_err(|problem| complaint(name, &problem))?;
                match back {
                    Some(back) if again.as_ref() == Some(&current) => found.push((pointer, back)),
                    Some(_) => {
                        let problem = format!("reverseExpression does not undo expression at {}", dotted(&pointer));
                        return Err(complaint(name, &problem));
                    }
                    None => {}
                }
            }
        }
        Ok(found)
    }

    /// The objects that the virtual object names, with their names on the host.
    pub fn references(&self) -> Vec<(Reference, ObjectKey)> {
        let (Direction::ToHost, Some(object)) = (self.direction, &self.virtual_) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for Rule { patch, .. } in self.rules {
            let Action::Reference(reference) = &patch.action else {
                continue;
            };
            for pointer in patch.path.pointers(object) {
                found.extend(reference::target(self, reference, object, &pointer));
            }
        }
        found
    }
}

fn complaint(rule: &str, problem: &str) -> Note {
    Note::error(format!("Error syncing: {rule}: {problem}"))
}

fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, token)) = pointer.rsplit_once('/') else {
        return;
    };
    let token = token.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(parent @ Value::Object(_)) => json::remove(parent, &[&token]),
        Some(Value::Array(items)) => {
            // The others keep their places, which later pointers rely on.
            if let Some(item) = token.parse().ok().and_then(|index: usize| items.get_mut(index)) {
                *item = Value::Null;
            }
        }
        _ => {}
    }
}

/// `/spec/rules/0/host` as `spec.rules[0].host`.
fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{token}]"));
        } else if token.contains(['.', '[', ']']) {
            path.push_str(&format!("[{token:?}]"));
        } else {
            let dot = if path.is_empty() { "" } else { "." };
            path.push_str(dot);
            path.push_str(&token);
        }
    }
    path
}

#[cfg(test)]
mod tests;
