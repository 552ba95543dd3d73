//! Which paths differ between two values (structured-merge-diff `typed/compare.go`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::fieldset::{Path, PathElement, Set};
use super::value::equal;
use super::view::{Atom, Identity, ListAtom, MapAtom, View};

/// The paths that differ; no path is in more than one set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) removed: Set,
    pub(super) modified: Set,
    pub(super) added: Set,
}

impl Comparison {
    /// The comparison without the fields in `ignored` and everything below them.
    pub(super) fn without(self, ignored: Option<&Set>) -> Self {
        match ignored {
            None => self,
            Some(ignored) => Comparison {
                removed: self.removed.recursive_difference(ignored),
                modified: self.modified.recursive_difference(ignored),
                added: self.added.recursive_difference(ignored),
            },
        }
    }
}

/// Compares two values of one type.
pub(super) fn compare(old: &Value, new: &Value, view: View<'_>) -> Comparison {
    let mut walker = Walker {
        found: Comparison::default(),
        path: Vec::new(),
    };
    walker.visit(Some(old), Some(new), view);
    walker.found
}

struct Walker {
    found: Comparison,
    path: Path,
}

impl Walker {
    fn visit(&mut self, old: Option<&Value>, new: Option<&Value>, view: View<'_>) {
        let (first, second) = view.atoms(old, new);
        if let Some(first) = first {
            self.atom(first, old, new);
        }
        let was_leaf = match second {
            Some(second) => self.atom(second, old, new),
            None => false,
        };
        if !was_leaf {
            match (old, new) {
                (None, _) => self.found.added.insert(&self.path),
                (_, None) => self.found.removed.insert(&self.path),
                _ => {}
            }
        }
    }

    /// Compares values as an atom; tells whether they were compared as a whole.
    fn atom(&mut self, atom: Atom<'_>, old: Option<&Value>, new: Option<&Value>) -> bool {
        match atom {
            Atom::Scalar(_) => self.leaf(old, new),
            Atom::List(list) => {
                let items = |v: Option<&'_ Value>| v.and_then(Value::as_array).is_none_or(Vec::is_empty);
                if matches!(list.identity, Identity::Atomic) || (items(old) && items(new)) {
                    return self.leaf(old, new);
                }
                self.list(&list, old, new);
                false
            }
            Atom::Map(map) => {
                let empty = |v: Option<&'_ Value>| v.and_then(Value::as_object).is_none_or(|m| m.is_empty());
                if map.atomic || (empty(old) && empty(new)) {
                    return self.leaf(old, new);
                }
                self.map(&map, old, new);
                false
            }
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) -> bool {
        match (old, new) {
            (None, _) => self.found.added.insert(&self.path),
            (_, None) => self.found.removed.insert(&self.path),
            (Some(old), Some(new)) if !equal(old, new) => self.found.modified.insert(&self.path),
            _ => {}
        }
        true
    }

    fn below(&mut self, element: PathElement, old: Option<&Value>, new: Option<&Value>, view: View<'_>) {
        self.path.push(element);
        self.visit(old, new, view);
        self.path.pop();
    }

    fn map(&mut self, map: &MapAtom<'_>, old: Option<&Value>, new: Option<&Value>) {
        let old = old.and_then(Value::as_object);
        let new = new.and_then(Value::as_object);
        let only_new = new
            .into_iter()
            .flatten()
            .filter(|(name, _)| !old.is_some_and(|old| old.contains_key(*name)));
        for (name, _) in old.into_iter().flatten().chain(only_new) {
            let Some(view) = map.field(name) else { continue };
            let (old, new) = (old.and_then(|m| m.get(name)), new.and_then(|m| m.get(name)));
            self.below(PathElement::Field(name.clone()), old, new, view);
        }
    }

    fn list(&mut self, list: &ListAtom<'_>, old: Option<&Value>, new: Option<&Value>) {
        let mut all = BTreeMap::<PathElement, (Vec<&Value>, Vec<&Value>)>::new();
        let items = |v| Option::<&Value>::and_then(v, Value::as_array).into_iter().flatten();
        for item in items(old) {
            if let Ok(element) = list.element_of(item) {
                all.entry(element).or_default().0.push(item);
            }
        }
        for item in items(new) {
            if let Ok(element) = list.element_of(item) {
                all.entry(element).or_default().1.push(item);
            }
        }
        for (element, (old, new)) in all {
            match (old.len(), new.len()) {
                (0 | 1, 0 | 1) => self.below(element, old.first().copied(), new.first().copied(), list.items),
                // Repeated elements are compared as one value.
                (2.., 2..) => {
                    let same = old.len() == new.len() && old.iter().zip(&new).all(|(l, r)| equal(l, r));
                    if !same {
                        self.mark(element, |found| &mut found.modified);
                    }
                }
                (2.., _) => {
                    if let Some(new) = new.first() {
                        self.below(element.clone(), None, Some(new), list.items);
                    }
                    self.mark(element, |found| &mut found.removed);
                }
                (_, 2..) => {
                    if let Some(old) = old.first() {
                        self.below(element.clone(), Some(old), None, list.items);
                    }
                    self.mark(element, |found| &mut found.added);
                }
            }
        }
    }

    fn mark(&mut self, element: PathElement, set: impl Fn(&mut Comparison) -> &mut Set) {
        self.path.push(element);
        set(&mut self.found).insert(&self.path);
        self.path.pop();
    }
}
