//! Reading a value by its schema: checking it and collecting the paths it sets
//! (structured-merge-diff `typed/validate.go`, `typed/tofieldset.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::fieldset::{Path, PathElement, Set};
use super::value::go_syntax;
use super::view::{Atom, Identity, ScalarKind, View};

/// What does not fit the schema, each with its path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mismatches(Vec<(String, String)>);

impl fmt::Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |(path, what): &(String, String)| {
            if path.is_empty() {
                what.clone()
            } else {
                format!("{path}: {what}")
            }
        };
        match self.0.as_slice() {
            [one] => f.write_str(&show(one)),
            many => {
                f.write_str("errors:")?;
                many.iter().try_for_each(|one| write!(f, "\n  {}", show(one)))
            }
        }
    }
}

/// Checks a value against the schema; repeated elements of keyed lists do not fit either.
pub(super) fn validate(value: &Value, view: View<'_>) -> Result<(), Mismatches> {
    let mut found = Mismatches::default();
    check(value, view, false, &mut String::new(), &mut found);
    if found.0.is_empty() { Ok(()) } else { Err(found) }
}

/// Whether a value fits the schema when elements of keyed lists may repeat (`AllowDuplicates`).
pub(super) fn fits(value: &Value, view: View<'_>) -> bool {
    let mut found = Mismatches::default();
    check(value, view, true, &mut String::new(), &mut found);
    found.0.is_empty()
}

fn check(value: &Value, view: View<'_>, may_repeat: bool, path: &mut String, found: &mut Mismatches) {
    let mut report = |path: &str, what: String| found.0.push((path.to_owned(), what));
    let length = path.len();
    match (view.atom(Some(value)), value) {
        (None, _) => report(path, "schema error: invalid atom: inlined".to_owned()),
        (Some(_), Value::Null) => {}
        (Some(Atom::Scalar(kind)), value) => {
            if let Some(complaint) = scalar_complaint(kind, value) {
                report(path, complaint);
            }
        }
        (Some(Atom::List(list)), Value::Array(items)) => {
            let mut seen = BTreeSet::new();
            for (i, item) in items.iter().enumerate() {
                let element = match list.identity {
                    Identity::Atomic => PathElement::Index(i64::try_from(i).unwrap_or(i64::MAX)),
                    Identity::Value | Identity::Keys(_) => match list.element_of(item) {
                        Ok(element) => element,
                        Err(why) => return found.0.push((path.clone(), format!("element {i}: {why}"))),
                    },
                };
                path.push_str(&element.to_string());
                if !seen.insert(element.clone()) && !may_repeat {
                    found.0.push((
                        path[..length].to_owned(),
                        format!("duplicate entries for key {element}"),
                    ));
                }
                check(item, list.items, may_repeat, path, found);
                path.truncate(length);
            }
        }
        (Some(Atom::List(_)), value) => report(
            path,
            format!("expected list, got &{{{}}}", crate::patch::go_value(value)),
        ),
        (Some(Atom::Map(map)), Value::Object(fields)) => {
            for (name, value) in fields {
                path.push('.');
                path.push_str(name);
                match map.field(name) {
                    Some(view) => check(value, view, may_repeat, path, found),
                    None => {
                        found.0.push((path.clone(), "field not declared in schema".to_owned()));
                        path.truncate(length);
                        return;
                    }
                }
                path.truncate(length);
            }
        }
        (Some(Atom::Map(_)), value) => report(
            path,
            format!("expected map, got &{{{}}}", crate::patch::go_value(value)),
        ),
    }
}

fn scalar_complaint(kind: ScalarKind, value: &Value) -> Option<String> {
    let shown = || crate::patch::go_value(value);
    match (kind, value) {
        (ScalarKind::Numeric, Value::Number(_))
        | (ScalarKind::String, Value::String(_))
        | (ScalarKind::Boolean, Value::Bool(_))
        | (ScalarKind::Untyped, Value::Number(_) | Value::String(_) | Value::Bool(_)) => None,
        (ScalarKind::Numeric, _) => Some(format!(
            "expected numeric (int or float), got {}",
            crate::patch::go_type(value)
        )),
        (ScalarKind::String, _) => Some(format!(
            "expected string, got &value.valueUnstructured{{Value:{}}}",
            go_syntax(value)
        )),
        (ScalarKind::Boolean, _) => Some(format!("expected boolean, got &{{{}}}", shown())),
        (ScalarKind::Untyped, _) => Some(format!("expected any scalar, got &{{{}}}", shown())),
    }
}

/// The paths a value sets.
pub(super) fn to_set(value: &Value, view: View<'_>) -> Set {
    let mut set = Set::default();
    collect(value, view, &mut Vec::new(), &mut set);
    set
}

fn collect(value: &Value, view: View<'_>, path: &mut Path, set: &mut Set) {
    match (view.atom(Some(value)), value) {
        (None, _) => {}
        (Some(Atom::Scalar(_)), _) => set.insert(path),
        (Some(Atom::List(list)), value) => {
            if matches!(list.identity, Identity::Atomic) {
                return set.insert(path);
            }
            let elements: Vec<(PathElement, &Value)> = value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|item| Some((list.element_of(item).ok()?, item)))
                .collect();
            let mut times = BTreeMap::<PathElement, usize>::new();
            for (element, _) in &elements {
                *times.entry(element.clone()).or_default() += 1;
            }
            for (element, item) in elements {
                let once = times.get(&element) == Some(&1);
                path.push(element);
                // Repeated elements are owned as a whole.
                if once {
                    collect(item, list.items, path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
        (Some(Atom::Map(map)), value) => {
            if map.atomic {
                return set.insert(path);
            }
            for (name, value) in value.as_object().into_iter().flatten() {
                let Some(view) = map.field(name) else { continue };
                path.push(PathElement::Field(name.clone()));
                collect(value, view, path, set);
                let is_empty = value.is_null() || value.as_object().is_some_and(|m| m.is_empty());
                if is_empty || !map.names(name) {
                    set.insert(path);
                }
                path.pop();
            }
        }
    }
}

/// The set with every field the schema names made a member wherever something below it is one.
pub(super) fn with_named_fields(set: &Set, view: View<'_>) -> Set {
    let mut members = set.members.clone();
    members.extend(set.children.keys().filter(|element| view.names(element)).cloned());
    let children = set
        .children
        .iter()
        .map(|(e, child)| (e.clone(), with_named_fields(child, view.child(e))));
    Set {
        members,
        children: children.collect(),
    }
}
