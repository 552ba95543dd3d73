//! One change of one object, and what it means to a watcher that sees only a part of the objects.

use super::interface::{Event, Scope};
use machinery::object::Stored;
use std::sync::OnceLock;

/// A change as the store saw it. It is shared by all watchers.
#[derive(Debug)]
pub(super) struct Change {
    /// The revision of the change.
    pub(super) revision: u64,
    /// The state before; `None` for a new object.
    pub(super) previous: Option<Stored>,
    /// The state after; `None` for a removed object.
    pub(super) current: Option<Stored>,
    /// The state before under the revision of the change, made for the first watcher that needs it.
    gone: OnceLock<Stored>,
}

impl Change {
    pub(super) fn new(revision: u64, previous: Option<Stored>, current: Option<Stored>) -> Self {
        Change {
            revision,
            previous,
            current,
            gone: OnceLock::new(),
        }
    }

    /// What a watcher of `scope` is told. An object that enters the scope is added and one that leaves it is deleted,
    /// whatever happened to it in the store.
    pub(super) fn event(&self, scope: &Scope) -> Option<Event> {
        let previous = self.previous.as_ref().filter(|object| scope.contains(object));
        let current = self.current.as_ref().filter(|object| scope.contains(object));
        match (previous, current) {
            (None, None) => None,
            (None, Some(object)) => Some(Event::Added(object.clone())),
            (Some(_), Some(object)) => Some(Event::Modified(object.clone())),
            (Some(object), None) => Some(Event::Deleted(
                self.gone.get_or_init(|| object.at_revision(self.revision)).clone(),
            )),
        }
    }

    /// Roughly what keeping the change costs. The state before is usually also the state after of an earlier change.
    pub(super) fn cost(&self) -> usize {
        let newest = self.current.as_ref().or(self.previous.as_ref());
        size_of::<Self>() + newest.map_or(0, |object| object.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::Codec;
    use super::*;
    use machinery::object::Selectable;
    use machinery::selector::{Selector, label};

    fn object(app: &str, revision: u64) -> Stored {
        let json = format!(r#"{{"metadata":{{"name":"o","namespace":"n","labels":{{"app":"{app}"}}}}}}"#);
        Codec::new("/registry", "configmaps", true, Selectable::NONE, None)
            .decode("k", json.as_bytes(), revision)
            .unwrap()
    }

    #[test]
    fn entering_and_leaving_a_selector_is_told_as_creation_and_deletion() {
        let labels = label::Selector::parse("app=web").unwrap();
        let scope = Scope {
            selector: Selector {
                labels,
                ..Selector::default()
            },
            ..Scope::default()
        };
        for (before, after, expected) in [
            (None, Some("web"), "added 2"),
            (None, Some("db"), ""),
            (Some("db"), Some("web"), "added 2"),
            (Some("web"), Some("web"), "modified 2"),
            (Some("web"), Some("db"), "deleted 2"),
            (Some("web"), None, "deleted 2"),
            (Some("db"), None, ""),
            (Some("db"), Some("db"), ""),
        ] {
            let change = Change::new(2, before.map(|app| object(app, 1)), after.map(|app| object(app, 2)));
            let told = match change.event(&scope) {
                None => String::new(),
                Some(Event::Added(object)) => format!("added {}", object.revision),
                Some(Event::Modified(object)) => format!("modified {}", object.revision),
                Some(Event::Deleted(object)) => {
                    assert_eq!(object.index.label("app"), Some("web"), "the last matching state");
                    format!("deleted {}", object.revision)
                }
                Some(other) => format!("{other:?}"),
            };
            assert_eq!(told, expected, "{before:?} -> {after:?}");
        }
        let elsewhere = Scope {
            namespace: "other".to_owned(),
            ..Scope::default()
        };
        assert!(Change::new(2, None, Some(object("web", 2))).event(&elsewhere).is_none());
    }
}
