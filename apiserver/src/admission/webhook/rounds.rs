//! Which webhooks are called once more when something has changed after them (`mutating/reinvocationcontext.go`).

use serde_json::Value;
use std::collections::BTreeSet;

/// What is known of the webhooks that were called.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// Those that want to see later changes, and have been called since the last one.
    called: BTreeSet<String>,
    /// Those that are called once more.
    repeated: BTreeSet<String>,
    /// What the object was when the last one had been called.
    output: Option<Value>,
}

impl Rounds {
    /// Begins the second time: what other plugins have changed meanwhile counts as a change.
    pub(super) fn begin_again(&mut self, object: &Value) {
        if self.output.as_ref() != Some(object) {
            self.changed();
        }
    }

    /// The object was changed: all who were called before want to see it.
    pub(super) fn changed(&mut self) {
        self.repeated.append(&mut self.called);
    }

    /// A webhook that wants to see later changes was called.
    pub(super) fn called(&mut self, uid: &str) {
        self.called.insert(uid.to_owned());
    }

    /// Whether a webhook is called once more.
    pub(super) fn repeats(&self, uid: &str) -> bool {
        self.repeated.contains(uid)
    }

    /// All have been called.
    pub(super) fn end(&mut self, object: &Value) {
        self.output = Some(object.clone());
    }
}
