//! The newest known version of every object of one kind.
//!
//! Two sources feed it: the watch, and the answers to our own writes. The second makes a write visible at once, so that
//! nothing has to be read back or waited for; resource versions decide which of the two is newer.

use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;

use crate::json;
use crate::object::{Object, ObjectKey};

/// Deleted uids that are remembered, so that late events about them do not bring them back.
const REMEMBERED_DELETIONS: usize = 256;

/// How one object changed.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The version before, if there was one.
    pub old: Option<Arc<Object>>,
    /// The version after, if there is one.
    pub new: Option<Arc<Object>>,
    /// Both as trees, made when somebody looks: several do.
    values: [OnceCell<Value>; 2],
}

impl Change {
    /// From one version to another.
    pub fn new(old: Option<Arc<Object>>, new: Option<Arc<Object>>) -> Self {
        Self {
            old,
            new,
            values: Default::default(),
        }
    }

    /// The object after the change, or before it when it is gone.
    pub fn object(&self) -> Option<&Arc<Object>> {
        self.new.as_ref().or(self.old.as_ref())
    }

    /// The parsed version before.
    pub fn old_value(&self) -> Option<&Value> {
        let old = self.old.as_ref()?;
        Some(self.values[0].get_or_init(|| old.value()))
    }

    /// The parsed version after.
    pub fn new_value(&self) -> Option<&Value> {
        let new = self.new.as_ref()?;
        Some(self.values[1].get_or_init(|| new.value()))
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
    /// The newest version ever seen.
    newest: u64,
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

    /// The versions of all objects.
    pub fn versions(&self) -> BTreeMap<ObjectKey, u64> {
        let inner = self.read();
        let versions = inner.objects.iter();
        versions.map(|(key, object)| (key.clone(), object.version())).collect()
    }

    /// The newest version that the server ever showed.
    pub fn newest(&self) -> u64 {
        self.read().newest
    }

    /// Takes over a version as the server sent it, unless it is old news.
    pub fn take(&self, value: Value) -> Option<Change> {
        // Every answer to a write of ours comes again from the watch: it need not be written down a second time to see that.
        let metadata = &value["metadata"];
        let (namespace, name) = (json::text(metadata, &["namespace"]), json::text(metadata, &["name"]));
        let version = Object::version_of(&value);
        let known = self.get(namespace, name);
        if version != 0 && known.is_some_and(|known| known.version() >= version) {
            return None;
        }
        let (object, value) = Object::with_value(value);
        let mut change = self.apply(object)?;
        change.values[1] = OnceCell::from(value);
        Some(change)
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

    /// Takes over a complete list, read at `version` when nothing newer than `seen` had been shown before, of the objects
    /// whose keys `covers` accepts. A list that is older than that comes from a server whose store was put back: then the
    /// list alone counts.
    pub fn replace(
        &self,
        objects: Vec<Object>,
        (version, seen): (u64, u64),
        covers: impl Fn(&ObjectKey) -> bool,
    ) -> Vec<Change> {
        let mut inner = self.write();
        if version != 0 && version < seen {
            return inner.start_over(objects, version, covers);
        }
        inner.newest = inner.newest.max(version);
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
    fn start_over(&mut self, objects: Vec<Object>, version: u64, covers: impl Fn(&ObjectKey) -> bool) -> Vec<Change> {
        self.newest = version;
        self.deleted.clear();
        let (mut before, others) = std::mem::take(&mut self.objects)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(key, _)| covers(key));
        self.objects = others;
        let mut changes = Vec::new();
        for object in objects {
            let new = Arc::new(object);
            let old = before.remove(new.key());
            self.objects.insert(new.key().clone(), new.clone());
            // The same numbers may stand for something else by now.
            changes.push(Change::new(old, Some(new)));
        }
        let gone = before.into_values().map(|old| Change::new(Some(old), None));
        changes.extend(gone);
        changes
    }

    fn apply(&mut self, object: Object) -> Option<Change> {
        if self.deleted.iter().any(|uid| !uid.is_empty() && **uid == *object.uid()) {
            return None;
        }
        self.newest = self.newest.max(object.version());
        let old = self.objects.get(object.key()).cloned();
        if old
            .as_ref()
            .is_some_and(|old| object.version() != 0 && old.version() >= object.version())
        {
            return None;
        }
        let new = Arc::new(object);
        self.objects.insert(new.key().clone(), new.clone());
        Some(Change::new(old, Some(new)))
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
        Some(Change::new(Some(old), None))
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
        let changes = cache.replace(list, (10, 9), |key| key.name != "of-another-list");
        assert_eq!(names(&changes), ["gone", "new"]);
        assert_eq!(cache.len(), 4);
    }

    #[test]
    fn a_store_that_was_put_back_counts_from_anew() {
        let cache = Cache::default();
        cache.apply(object("kept", "1", 30));
        cache.apply(object("gone", "2", 40));
        cache.apply(object("of-another-list", "3", 35));
        let seen = cache.newest();
        assert_eq!(seen, 40);
        let changes = cache.replace(vec![object("kept", "1", 20)], (25, seen), |key| {
            key.name != "of-another-list"
        });
        assert_eq!(names(&changes), ["kept", "gone"]);
        assert_eq!(cache.get("ns", "kept").map(|object| object.version()), Some(20));
        assert!(
            cache.apply(object("gone", "2", 26)).is_some(),
            "what happened is forgotten"
        );
        assert_eq!(cache.newest(), 26);
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
