//! Merging an applied configuration into a live object, and taking paths out of one
//! (structured-merge-diff `typed/merge.go`, `typed/remove.go`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::fieldset::{PathElement, Set};
use super::view::{Atom, Identity, ListAtom, View};

/// Merges `config` into `live`: what both set is the configuration's, nothing is removed.
///
/// # Errors
/// When a list's elements cannot be told apart.
pub(super) fn merge(live: &Value, config: &Value, view: View<'_>) -> Result<Value, String> {
    Ok(visit(Some(live), Some(config), view)?.unwrap_or_default())
}

fn visit(live: Option<&Value>, config: Option<&Value>, view: View<'_>) -> Result<Option<Value>, String> {
    let (_, atom) = view.atoms(live, config);
    let whole = || Ok(config.or(live).cloned());
    match atom {
        None => Err("schema error: invalid atom: inlined".to_owned()),
        Some(Atom::Scalar(_)) => whole(),
        Some(Atom::List(list)) => {
            let (old, new) = (live.and_then(Value::as_array), config.and_then(Value::as_array));
            let empty = old.is_none_or(Vec::is_empty) && new.is_none_or(Vec::is_empty);
            if empty || matches!(list.identity, Identity::Atomic) {
                return whole();
            }
            let merged = merge_lists(&list, old.map_or(&[], Vec::as_slice), new.map_or(&[], Vec::as_slice))?;
            Ok((!merged.is_empty()).then_some(Value::Array(merged)))
        }
        Some(Atom::Map(map)) => {
            let (old, new) = (live.and_then(Value::as_object), config.and_then(Value::as_object));
            let empty = old.is_none_or(Map::is_empty) && new.is_none_or(Map::is_empty);
            if empty || map.atomic {
                return whole();
            }
            let mut merged = Map::new();
            let only_new = new
                .into_iter()
                .flatten()
                .filter(|(name, _)| !old.is_some_and(|old| old.contains_key(*name)));
            for (name, _) in old.into_iter().flatten().chain(only_new) {
                let sides = (old.and_then(|m| m.get(name)), new.and_then(|m| m.get(name)));
                let value = match map.field(name) {
                    Some(view) => visit(sides.0, sides.1, view)?,
                    None => sides.1.or(sides.0).cloned(),
                };
                if let Some(value) = value {
                    merged.insert(name.clone(), value);
                }
            }
            Ok((!merged.is_empty()).then_some(Value::Object(merged)))
        }
    }
}

/// The elements of a list in order, and each by its path element; repeated ones by `None`.
type Indexed<'a> = (Vec<PathElement>, BTreeMap<PathElement, Option<&'a Value>>);

fn index<'a>(list: &ListAtom<'_>, items: &'a [Value], allow_repeats: bool) -> Result<Indexed<'a>, String> {
    let mut order = Vec::with_capacity(items.len());
    let mut by_element = BTreeMap::new();
    for (i, item) in items.iter().enumerate() {
        let element = list.element_of(item).map_err(|why| format!("element {i}: {why}"))?;
        let repeated = by_element.contains_key(&element);
        if repeated && !allow_repeats {
            return Err(format!("duplicate entries for key {element}"));
        }
        by_element.insert(element.clone(), (!repeated).then_some(item));
        order.push(element);
    }
    Ok((order, by_element))
}

/// Merges keyed lists. The configuration's elements come in its order; the others stay where they were relative to
/// the elements that both have.
fn merge_lists(list: &ListAtom<'_>, live: &[Value], config: &[Value]) -> Result<Vec<Value>, String> {
    let (new_order, new) = index(list, config, false)?;
    let (old_order, old) = index(list, live, true)?;
    let mut out = Vec::with_capacity(old_order.len().max(new_order.len()));
    let null = Value::Null;
    let mut take = |old: Option<&Value>, new: Option<&Value>| -> Result<(), String> {
        out.extend(visit(old, new, list.items)?);
        Ok(())
    };
    let both = |element: &PathElement| {
        let old = old.get(element).map(|item| item.unwrap_or(&null));
        (old, new.get(element).copied().flatten())
    };
    let mut shared: VecDeque<&PathElement> = new_order.iter().filter(|e| old.contains_key(e)).collect();
    let mut next_shared = shared.pop_front();
    let mut merged = BTreeSet::new();
    let (mut i, mut j) = (0, 0);
    while i < old_order.len() || j < new_order.len() {
        if let (Some(left), Some(right)) = (old_order.get(i), new_order.get(j)) {
            if left == right {
                merged.insert(left);
                let (old, new) = both(left);
                take(old, new)?;
                i += 1;
                j += 1;
                next_shared = shared.pop_front();
                continue;
            }
            let out_of_turn = new.contains_key(left) && next_shared.is_some_and(|next| next != left);
            if out_of_turn {
                i += 1;
                continue;
            }
        }
        if let Some(left) = old_order.get(i) {
            if !new.contains_key(left) {
                // By place, not by element: a repeated element is each time another one.
                take(live.get(i), None)?;
                i += 1;
                continue;
            }
            if merged.contains(left) {
                i += 1;
            }
        }
        if let Some(right) = new_order.get(j) {
            merged.insert(right);
            let (old, new) = both(right);
            take(old, new)?;
            j += 1;
            if next_shared == Some(right) {
                next_shared = shared.pop_front();
            }
        }
    }
    Ok(out)
}

/// The value without the members of `remove`. What is emptied by that becomes null; what holds it keeps it, empty.
pub(super) fn remove(value: &Value, remove: &Set, view: View<'_>) -> Value {
    match (view.atom(Some(value)), value) {
        (Some(Atom::List(list)), Value::Array(items)) if !matches!(list.identity, Identity::Atomic) => {
            let kept = items.iter().filter_map(|item| {
                let Ok(element) = list.element_of(item) else {
                    return Some(item.clone());
                };
                keep(item, &element, remove, list.items)
            });
            let kept: Vec<Value> = kept.collect();
            if kept.is_empty() {
                Value::Null
            } else {
                Value::Array(kept)
            }
        }
        (Some(Atom::Map(map)), Value::Object(fields)) if !map.atomic => {
            let kept = fields.iter().filter_map(|(name, value)| {
                let Some(view) = map.field(name) else {
                    return Some((name.clone(), value.clone()));
                };
                let element = PathElement::Field(name.clone());
                Some((name.clone(), keep(value, &element, remove, view)?))
            });
            let kept: Map<String, Value> = kept.collect();
            if kept.is_empty() {
                Value::Null
            } else {
                Value::Object(kept)
            }
        }
        (Some(Atom::Scalar(_)) | None, value) => value.clone(),
        _ => Value::Null,
    }
}

/// What is left of a child; `None` when it is a member of the set itself.
fn keep(child: &Value, element: &PathElement, removed: &Set, view: View<'_>) -> Option<Value> {
    if removed.members.contains(element) {
        return None;
    }
    let below = removed.below(element);
    Some(if below.is_empty() {
        child.clone()
    } else {
        match (remove(child, below, view), child) {
            (Value::Null, Value::Object(_)) => Value::Object(Map::new()),
            (Value::Null, Value::Array(_)) => Value::Array(Vec::new()),
            (kept, _) => kept,
        }
    })
}
