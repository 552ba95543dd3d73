//! Conditions in statuses.

use machinery::meta;
use serde_json::{Value, json};

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// What it is about.
    pub(super) kind: &'static str,
    /// `True`, `False` or `Unknown`.
    pub(super) status: &'static str,
    /// Why, in one word.
    pub(super) reason: &'static str,
    /// Why, in a sentence.
    pub(super) message: String,
}

impl Condition {
    pub(super) fn new(
        kind: &'static str,
        status: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Condition {
            kind,
            status,
            reason,
            message: message.into(),
        }
    }

    /// Whether an object says the same already.
    pub(super) fn is_in(&self, object: &Value) -> bool {
        find(object, self.kind).is_some_and(|found| {
            let says = |field: &str, value: &str| meta::str_at(found, &[field]).unwrap_or_default() == value;
            says("status", self.status) && says("reason", self.reason) && says("message", &self.message)
        })
    }

    /// Puts it into an object. The time of the transition stays while the status does.
    pub(super) fn put(&self, object: &mut Value, now: &str) {
        let mut new = json!({
            "type": self.kind,
            "status": self.status,
            "reason": self.reason,
            "message": self.message,
            "lastTransitionTime": now,
        });
        let mut conditions = meta::list_at(object, &["status", "conditions"]).to_vec();
        match conditions.iter_mut().find(|condition| condition["type"] == self.kind) {
            Some(old) => {
                if old["status"] == self.status && old["lastTransitionTime"].is_string() {
                    new["lastTransitionTime"] = old["lastTransitionTime"].take();
                }
                *old = new;
            }
            None => conditions.push(new),
        }
        meta::set(object, &["status", "conditions"], conditions);
    }
}

/// Takes the condition of a type from an object.
pub(super) fn remove(object: &mut Value, kind: &str) {
    let mut conditions = meta::list_at(object, &["status", "conditions"]).to_vec();
    conditions.retain(|condition| condition["type"] != kind);
    meta::set(object, &["status", "conditions"], conditions);
}

/// The condition of a type.
pub(super) fn find<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = meta::list_at(object, &["status", "conditions"]);
    conditions.iter().find(|condition| condition["type"] == kind)
}

/// Whether an object has the condition with the status `True`.
pub(super) fn holds(object: &Value, kind: &str) -> bool {
    find(object, kind).is_some_and(|condition| condition["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_move_with_the_status_only() {
        let mut object = json!({"status": {"conditions": [{"type": "Other", "status": "True"}]}});
        let accepted = Condition::new("Accepted", "False", "Conflict", "x");
        assert!(!accepted.is_in(&object));
        accepted.put(&mut object, "1");
        assert!(accepted.is_in(&object) && !holds(&object, "Accepted"));
        Condition::new("Accepted", "False", "Conflict", "y").put(&mut object, "2");
        assert_eq!(object["status"]["conditions"][1]["lastTransitionTime"], "1");
        Condition::new("Accepted", "True", "Fine", "").put(&mut object, "3");
        assert_eq!(object["status"]["conditions"][1]["lastTransitionTime"], "3");
        assert!(holds(&object, "Accepted"));
        assert_eq!(meta::list_at(&object, &["status", "conditions"]).len(), 2);
    }
}
