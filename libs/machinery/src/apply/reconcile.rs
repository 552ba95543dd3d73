//! Owners of the parts of what has become one value since own the whole (structured-merge-diff
//! `typed/reconcile_schema.go`).

use super::fieldset::{Path, PathElement, Set};
use super::view::{Atom, Identity, View};

/// Adapts a set that was written under an older schema; `None` when nothing has changed.
pub(super) fn reconcile(set: &Set, view: View<'_>) -> Option<Set> {
    let mut changed = Set::default();
    visit(Some(set), false, view, &mut Vec::new(), &mut changed);
    (!changed.is_empty()).then(|| set.recursive_difference(&changed).union(&changed))
}

fn visit(set: Option<&Set>, is_atomic: bool, view: View<'_>, path: &mut Path, changed: &mut Set) {
    match view.atom(None) {
        None | Some(Atom::Scalar(_)) => {}
        Some(Atom::List(list)) => {
            if !is_atomic && matches!(list.identity, Identity::Atomic) {
                changed.insert(path);
            } else if let Some(set) = set {
                each(
                    set,
                    path,
                    |element| {
                        Some(if matches!(element, PathElement::Field(_)) {
                            view.child(element)
                        } else {
                            list.items
                        })
                    },
                    changed,
                );
            }
        }
        Some(Atom::Map(map)) => {
            if map.undeclared {
                return;
            }
            let Some(set) = set else { return };
            if !is_atomic && map.atomic {
                if !set.is_empty() {
                    changed.insert(path);
                }
                return;
            }
            let child = |element: &PathElement| match element {
                PathElement::Field(name) => map.field(name),
                _ => None,
            };
            each(set, path, child, changed);
        }
    }
}

/// Visits the children of a set, members or not.
fn each<'a>(set: &Set, path: &mut Path, view_of: impl Fn(&PathElement) -> Option<View<'a>>, changed: &mut Set) {
    let only_children = set.children.keys().filter(|element| !set.members.contains(element));
    for element in only_children.chain(&set.members) {
        let Some(view) = view_of(element) else { continue };
        let below = set.children.get(element);
        let is_atomic = set.members.contains(element) && below.is_none();
        path.push(element.clone());
        visit(below, is_atomic, view, path, changed);
        path.pop();
    }
}
