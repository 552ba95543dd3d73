//! What a controller has asked for and not yet seen in its informer. Until that has arrived (or five minutes have passed),
//! counting pods would count wrong (`pkg/controller/controller_utils.go`).

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use client::{Change, ObjectKey};
use k8s_openapi::api::core::v1::Pod;

use super::pods;

/// An event that does not arrive within this time never will (`ExpectationsTimeout`).
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

struct Expected {
    creations: i64,
    /// UIDs, because a pod may be seen more than once on its way out.
    deletions: HashSet<String>,
    since: Instant,
}

/// Expectations of one controller by the object it reconciles.
#[derive(Default)]
pub(crate) struct Expectations {
    by_owner: Mutex<HashMap<ObjectKey, Expected>>,
}

impl Expectations {
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Expected>> {
        self.by_owner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn expect(&self, owner: &ObjectKey, creations: usize, deletions: impl IntoIterator<Item = String>) {
        let expected = Expected {
            creations: i64::try_from(creations).unwrap_or(i64::MAX),
            deletions: deletions.into_iter().collect(),
            since: Instant::now(),
        };
        self.lock().insert(owner.clone(), expected);
    }

    /// A creation was seen, or will never be.
    pub(crate) fn creation_observed(&self, owner: &ObjectKey) {
        if let Some(expected) = self.lock().get_mut(owner) {
            expected.creations -= 1;
        }
    }

    /// A deletion was seen, or will never be.
    pub(crate) fn deletion_observed(&self, owner: &ObjectKey, uid: &str) {
        if let Some(expected) = self.lock().get_mut(owner) {
            expected.deletions.remove(uid);
        }
    }

    /// Takes in what the informer shows of a pod of `owner`. A pod on its way out is as good as deleted.
    pub(crate) fn observe(&self, owner: &ObjectKey, change: &Change<'_, Pod>) {
        let pod = change.object();
        match change {
            Change::Added(_) if !pods::is_deleting(pod) => self.creation_observed(owner),
            Change::Updated { .. } if !pods::is_deleting(pod) => {}
            _ => self.deletion_observed(owner, pod.metadata.uid.as_deref().unwrap_or_default()),
        }
    }

    /// Whether everything asked for has arrived.
    pub(crate) fn satisfied(&self, owner: &ObjectKey) -> bool {
        self.lock().get(owner).is_none_or(|expected| {
            (expected.creations <= 0 && expected.deletions.is_empty()) || expected.since.elapsed() > TIMEOUT
        })
    }

    /// Forgets an owner that is gone.
    pub(crate) fn forget(&self, owner: &ObjectKey) {
        self.lock().remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_creations_and_deletions_have_to_arrive() {
        let owner = ObjectKey::new("ns", "rs");
        let expectations = Expectations::default();
        assert!(expectations.satisfied(&owner), "nothing was asked for");
        expectations.expect(&owner, 2, ["u1".to_owned()]);
        expectations.creation_observed(&owner);
        expectations.deletion_observed(&owner, "u1");
        assert!(!expectations.satisfied(&owner));
        expectations.deletion_observed(&owner, "u1");
        expectations.creation_observed(&owner);
        assert!(expectations.satisfied(&owner));
        expectations.expect(&owner, 1, []);
        expectations.forget(&owner);
        assert!(expectations.satisfied(&owner));
    }
}
