//! The newest known version of every object of one kind.
//!
//! Two sources feed it: the watch, and the answers to our own writes. The second makes a write visible at once, so that
//! nothing has to be read back or waited for; resource versions decide which of the two is newer.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::object::{Object, ObjectKey};

/// Deleted uids that are remembered, so that late events about them do not bring them back.
const REMEMBERED_DELETIONS: usize = 256;

/// How one object changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// The version before, if there was one.
    pub old: Option<Arc<Object>>,
    /// The version after, if there is one.
    pub new: Option<Arc<Object>>,
}

impl Change {
    /// The object after the change, or before it when it is gone.
    pub fn object(&self) -> Option<&Arc<Object>> {
        self.new.as_ref().or(self.old.as_ref())
    }
}

/// The objects of one kind.
#[derive(Debug, Default)]
pub struct Cache {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<ObjectKey, Arc<Object>>,
    deleted: VecDeque<Box<str>>,
}

impl Cache {
    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.read().objects.get(&ObjectKey::new(namespace, name)).cloned()
    }

    /// All objects, in order of namespace and name.
    pub fn list(&self) -> Vec<Arc<Object>> {
        self.read().objects.values().cloned().collect()
    }

    /// The objects of one namespace, in order of their names.
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<Object>> {
        let from = Bound::Included(ObjectKey::new(namespace, ""));
        let inner = self.read();
        let range = inner.objects.range((from, Bound::Unbounded));
        range
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes over a version unless it is old news.
    pub fn apply(&self, object: Object) -> Option<Change> {
        self.write().apply(object)
    }

    /// Forgets an object if this uid is what is there; an empty uid fits every object.
    pub fn remove(&self, key: &ObjectKey, uid: &str) -> Option<Change> {
        self.write().remove(key, uid)
    }

    /// Keeps of an object only that it was seen: its content is not needed any more.
    pub fn release(&self, key: &ObjectKey) {
        let mut inner = self.write();
        if let Some(object) = inner.objects.get_mut(key) {
            *object = Arc::new(object.hollow());
        }
    }

    /// Takes over a complete list, read at `version`, of the objects whose keys `covers` accepts.
    pub fn replace(&self, objects: Vec<Object>, version: u64, covers: impl Fn(&ObjectKey) -> bool) -> Vec<Change> {
        let mut inner = self.write();
        let listed: std::collections::BTreeSet<ObjectKey> = objects.iter().map(|object| object.key().clone()).collect();
        // What we wrote after the list was read is not in the list, and not gone either.
        let vanished: Vec<ObjectKey> = inner
            .objects
            .iter()
            .filter(|(key, object)| {
                covers(key) && !listed.contains(key) && (version == 0 || object.version() <= version)
            })
            .map(|(key, _)| key.clone())
            .collect();
        let mut changes: Vec<Change> = vanished.iter().filter_map(|key| inner.remove(key, "")).collect();
        changes.extend(objects.into_iter().filter_map(|object| inner.apply(object)));
        changes
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn apply(&mut self, object: Object) -> Option<Change> {
        if self.deleted.iter().any(|uid| !uid.is_empty() && **uid == *object.uid()) {
            return None;
        }
        let old = self.objects.get(object.key()).cloned();
        if old
            .as_ref()
            .is_some_and(|old| object.version() != 0 && old.version() >= object.version())
        {
            return None;
        }
        let new = Arc::new(object);
        self.objects.insert(new.key().clone(), new.clone());
        Some(Change { old, new: Some(new) })
    }

    fn remove(&mut self, key: &ObjectKey, uid: &str) -> Option<Change> {
        if !uid.is_empty() && self.objects.get(key).is_some_and(|object| object.uid() != uid) {
            return None;
        }
        let old = self.objects.remove(key)?;
        if self.deleted.len() >= REMEMBERED_DELETIONS {
            self.deleted.pop_front();
        }
        self.deleted.push_back(old.uid().into());
        Some(Change {
            old: Some(old),
            new: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, uid: &str, version: u64) -> Object {
        Object::new(json!({"metadata": {
            "namespace": "ns", "name": name, "uid": uid, "resourceVersion": version.to_string(), "managedFields": [{}],
        }}))
    }

    fn names(changes: &[Change]) -> Vec<&str> {
        changes
            .iter()
            .filter_map(|change| Some(change.object()?.key().name.as_str()))
            .collect()
    }

    #[test]
    fn older_versions_and_echoes_are_no_news() {
        let cache = Cache::default();
        assert!(cache.apply(object("a", "1", 5)).is_some());
        assert!(
            cache.apply(object("a", "1", 5)).is_none(),
            "the watch echoes our own write"
        );
        assert!(cache.apply(object("a", "1", 4)).is_none());
        assert!(cache.apply(object("a", "1", 6)).is_some());
        assert_eq!(cache.get("ns", "a").map(|object| object.version()), Some(6));
    }

    #[test]
    fn what_was_deleted_stays_deleted() {
        let cache = Cache::default();
        cache.apply(object("a", "1", 5));
        let key = ObjectKey::new("ns", "a");
        assert!(cache.remove(&key, "other").is_none());
        assert!(cache.remove(&key, "1").is_some());
        assert!(cache.apply(object("a", "1", 7)).is_none());
        assert!(cache.apply(object("a", "2", 8)).is_some());
    }

    #[test]
    fn a_list_replaces_what_is_older_than_itself() {
        let cache = Cache::default();
        cache.apply(object("kept", "1", 3));
        cache.apply(object("gone", "2", 4));
        cache.apply(object("written-meanwhile", "3", 12));
        cache.apply(object("of-another-list", "5", 5));
        let list = vec![object("kept", "1", 3), object("new", "4", 9)];
        let changes = cache.replace(list, 10, |key| key.name != "of-another-list");
        assert_eq!(names(&changes), ["gone", "new"]);
        assert_eq!(cache.len(), 4);
    }

    #[test]
    fn namespaces_do_not_mix_and_ownership_records_are_dropped() {
        let cache = Cache::default();
        cache.apply(object("a", "1", 1));
        cache.apply(Object::new(json!({"metadata": {"namespace": "nsx", "name": "b"}})));
        assert_eq!(cache.list_in("ns").len(), 1);
        assert!(cache.list_in("n").is_empty());
        assert_eq!(cache.list_in("ns")[0].value()["metadata"].get("managedFields"), None);
    }
}
