//! Conditions of the workload kinds: each kind has its own type with the same meaning.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DeploymentCondition, ReplicaSetCondition};
use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A condition that has a type, a status and a time of its last change of status.
pub(crate) trait Condition: Clone {
    fn kind(&self) -> &str;
    fn status(&self) -> &str;
    fn reason(&self) -> &str;
    fn transition(&mut self) -> &mut Option<Time>;
    fn new(kind: &str, status: &str, reason: &str, message: String, now: Timestamp) -> Self;
}

macro_rules! condition {
    ($type:ty $(, $update:ident)*) => {
        impl Condition for $type {
            fn kind(&self) -> &str {
                &self.type_
            }
            fn status(&self) -> &str {
                &self.status
            }
            fn reason(&self) -> &str {
                self.reason.as_deref().unwrap_or_default()
            }
            fn transition(&mut self) -> &mut Option<Time> {
                &mut self.last_transition_time
            }
            fn new(kind: &str, status: &str, reason: &str, message: String, now: Timestamp) -> Self {
                Self {
                    type_: kind.to_owned(),
                    status: status.to_owned(),
                    reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
                    message: Some(message).filter(|message| !message.is_empty()),
                    last_transition_time: Some(Time(now)),
                    $($update: Some(Time(now)),)*
                }
            }
        }
    };
}

condition!(DeploymentCondition, last_update_time);
condition!(ReplicaSetCondition);
condition!(JobCondition, last_probe_time);

pub(crate) fn find<'a, C: Condition>(conditions: &'a Option<Vec<C>>, kind: &str) -> Option<&'a C> {
    conditions.iter().flatten().find(|condition| condition.kind() == kind)
}

pub(crate) fn is_true<C: Condition>(conditions: &Option<Vec<C>>, kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status() == "True")
}

/// Sets a condition unless one with the same status and reason is there; the time of transition is kept while the status
/// stays the same (`SetDeploymentCondition` and its siblings).
pub(crate) fn set<C: Condition>(conditions: &mut Option<Vec<C>>, mut condition: C) {
    if let Some(current) = find(conditions, condition.kind()) {
        if current.status() == condition.status() && current.reason() == condition.reason() {
            return;
        }
        if current.status() == condition.status() {
            *condition.transition() = current.clone().transition().take();
        }
    }
    remove(conditions, condition.kind().to_owned().as_str());
    conditions.get_or_insert_default().push(condition);
}

pub(crate) fn remove<C: Condition>(conditions: &mut Option<Vec<C>>, kind: &str) {
    if let Some(list) = conditions {
        list.retain(|condition| condition.kind() != kind);
        if list.is_empty() {
            *conditions = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let new =
            |status, reason, second| DeploymentCondition::new("Progressing", status, reason, String::new(), at(second));
        let mut conditions = None;
        set(&mut conditions, new("True", "A", 1));
        set(&mut conditions, new("True", "A", 2));
        assert_eq!(
            find(&conditions, "Progressing").unwrap().last_update_time,
            Some(Time(at(1))),
            "unchanged is kept"
        );
        set(&mut conditions, new("True", "B", 3));
        let current = find(&conditions, "Progressing").unwrap();
        assert_eq!(current.last_transition_time, Some(Time(at(1))));
        assert_eq!(current.last_update_time, Some(Time(at(3))));
        set(&mut conditions, new("False", "C", 4));
        assert_eq!(
            find(&conditions, "Progressing").unwrap().last_transition_time,
            Some(Time(at(4)))
        );
        remove(&mut conditions, "Progressing");
        assert_eq!(conditions, None);
    }
}
