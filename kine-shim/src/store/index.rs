//! The in-memory index: every key with its versions since the last compaction, in key order.
//!
//! It answers existence, counts and ranges at any revision; only values are read from the database. A version costs 40
//! bytes and a key some 100 bytes beside its name.

use std::collections::{BTreeMap, btree_map};

use super::range::KeyRange;

/// One version of a key, without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Row that holds the value.
    pub id: i64,
    /// Revision that wrote the version.
    pub revision: i64,
    /// Revision that created the key in its present life; 0 for a tombstone.
    pub create_revision: i64,
    /// Number of writes since creation; 0 marks a tombstone.
    pub version: i64,
    /// Lease the key is attached to, 0 for none.
    pub lease: i64,
}

impl Version {
    /// A deletion.
    pub fn tombstone(id: i64, revision: i64) -> Self {
        Self {
            id,
            revision,
            create_revision: 0,
            version: 0,
            lease: 0,
        }
    }

    /// Whether the key exists in this version.
    pub fn is_live(&self) -> bool {
        self.version > 0
    }
}

/// Anything that can be asked for keys at a revision.
pub trait Keys {
    /// The version of `key` in force at `revision`, tombstones included.
    fn last_at(&self, key: &[u8], revision: i64) -> Option<Version>;

    /// Calls `each` for every key of `range` that exists at `revision`, in key order.
    fn visit(&self, range: &KeyRange, revision: i64, each: &mut dyn FnMut(&[u8], &Version));

    /// The version of `key` in force at `revision` if the key exists then.
    fn live_at(&self, key: &[u8], revision: i64) -> Option<Version> {
        self.last_at(key, revision).filter(Version::is_live)
    }
}

/// The versions of every key, oldest first.
#[derive(Debug, Default)]
pub struct Index {
    keys: BTreeMap<Box<[u8]>, Vec<Version>>,
}

impl Index {
    /// Adds the newest version of a key. Versions must come in the order of their rows.
    pub fn push(&mut self, key: &[u8], version: Version) {
        match self.keys.get_mut(key) {
            Some(versions) => versions.push(version),
            None => {
                self.keys.insert(key.into(), vec![version]);
            }
        }
    }

    /// Takes over every version of `newer`, all of which are newer than what is here.
    pub fn append(&mut self, newer: Self) {
        for (key, mut versions) in newer.keys {
            match self.keys.entry(key) {
                btree_map::Entry::Occupied(entry) => entry.into_mut().append(&mut versions),
                btree_map::Entry::Vacant(entry) => {
                    versions.shrink_to_fit();
                    entry.insert(versions);
                }
            }
        }
    }

    /// Number of keys known, deleted ones included until they are compacted.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is known.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The newest version of `key`, tombstones included.
    pub fn newest(&self, key: &[u8]) -> Option<Version> {
        self.keys.get(key).and_then(|versions| versions.last()).copied()
    }

    /// The version of `key` that is in row `id`.
    pub fn row(&self, key: &[u8], id: i64) -> Option<Version> {
        let versions = self.keys.get(key)?;
        let at = versions.binary_search_by_key(&id, |version| version.id).ok()?;
        Some(versions[at])
    }

    /// Calls `each` with every key and its newest version.
    pub fn each_newest(&self, mut each: impl FnMut(&[u8], &Version)) {
        for (key, versions) in &self.keys {
            if let Some(version) = versions.last() {
                each(key, version);
            }
        }
    }

    /// Finds what a compaction to `revision` makes superfluous: looks at no more than `keys` keys after `cursor` and
    /// stops once `rows` rows are found, if need be in the middle of a key. A deletion that nothing follows stays known
    /// until its row is gone: a key made anew before that has to name the row it replaces, or it would name none, as the
    /// first row of the key does, and no two rows of a key may name the same (kine's index of names and rows replaced).
    pub fn superfluous(&self, revision: i64, cursor: Option<&[u8]>, keys: usize, rows: usize) -> Superfluous {
        use std::ops::Bound::{Excluded, Unbounded};
        let mut found = Superfluous::default();
        let start = cursor.map_or(Unbounded, Excluded);
        let (mut looked_at, mut last) = (0, None);
        for (key, versions) in self.keys.range::<[u8], _>((start, Unbounded)) {
            if looked_at == keys || found.rows.len() == rows {
                found.more = true;
                break;
            }
            let superfluous = superfluous_prefix(versions, revision);
            let drop = superfluous.min(rows - found.rows.len());
            found.rows.extend(versions[..drop].iter().map(|version| version.id));
            let mut forget = drop;
            if drop == versions.len()
                && let Some(deletion) = versions.last()
            {
                found.deletions.push((deletion.id, key.clone()));
                forget -= 1;
            }
            if forget > 0 {
                found.keys.push((key.clone(), forget));
            }
            if drop < superfluous {
                found.more = true;
                break;
            }
            looked_at += 1;
            last = Some(key);
        }
        found.cursor = last.cloned().or_else(|| cursor.map(Box::from));
        found
    }

    /// Forgets the oldest version of `key` if it is the one in row `id`.
    pub fn forget_row(&mut self, key: &[u8], id: i64) {
        let Some(versions) = self.keys.get_mut(key) else { return };
        if versions.first().is_some_and(|oldest| oldest.id == id) {
            versions.remove(0);
            if versions.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    /// Forgets the oldest `drop` versions of each key named.
    pub fn forget(&mut self, keys: &[(Box<[u8]>, usize)]) {
        for (key, drop) in keys {
            if let Some(versions) = self.keys.get_mut(key) {
                versions.drain(..(*drop).min(versions.len()));
                if versions.is_empty() {
                    self.keys.remove(key);
                } else {
                    versions.shrink_to_fit();
                }
            }
        }
    }
}

/// What one slice of a compaction has to forget.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Superfluous {
    /// Rows of the versions.
    pub rows: Vec<i64>,
    /// Keys with the number of their oldest versions to forget.
    pub keys: Vec<(Box<[u8]>, usize)>,
    /// Keys of which only a deletion is left, with its row: to be forgotten when the row is gone.
    pub deletions: Vec<(i64, Box<[u8]>)>,
    /// The last key that is through: the next slice starts after it.
    pub cursor: Option<Box<[u8]>>,
    /// Some keys have not been looked at.
    pub more: bool,
}

/// Number of the oldest versions that no read at or after `revision` can see. A tombstone written at `revision` itself
/// stays, so that a watch from that revision still sees the deletion (etcd 3.5.16 and newer: `keyIndex.compact`).
fn superfluous_prefix(versions: &[Version], revision: i64) -> usize {
    let visible = versions.partition_point(|version| version.revision <= revision);
    match visible.checked_sub(1) {
        None => 0,
        Some(last) if !versions[last].is_live() && versions[last].revision < revision => visible,
        Some(last) => last,
    }
}

fn at(versions: &[Version], revision: i64) -> Option<&Version> {
    // Mostly the newest one is wanted, and many versions are many places in memory.
    if let Some(newest) = versions.last().filter(|newest| newest.revision <= revision) {
        return Some(newest);
    }
    let after = versions.partition_point(|version| version.revision <= revision);
    after.checked_sub(1).map(|last| &versions[last])
}

impl Keys for Index {
    fn last_at(&self, key: &[u8], revision: i64) -> Option<Version> {
        at(self.keys.get(key)?, revision).copied()
    }

    fn visit(&self, range: &KeyRange, revision: i64, each: &mut dyn FnMut(&[u8], &Version)) {
        if range.is_empty() {
            return;
        }
        for (key, versions) in self.keys.range::<[u8], _>(range.bounds()) {
            if let Some(version) = at(versions, revision)
                && version.is_live()
            {
                each(key, version);
            }
        }
    }
}

/// An index with newer versions laid over it that are not committed yet.
pub struct Layered<'a> {
    /// What is committed.
    pub base: &'a Index,
    /// What is not.
    pub top: &'a Index,
}

impl Keys for Layered<'_> {
    fn last_at(&self, key: &[u8], revision: i64) -> Option<Version> {
        self.top
            .last_at(key, revision)
            .or_else(|| self.base.last_at(key, revision))
    }

    fn visit(&self, range: &KeyRange, revision: i64, each: &mut dyn FnMut(&[u8], &Version)) {
        if self.top.is_empty() {
            return self.base.visit(range, revision, each);
        }
        if range.is_empty() {
            return;
        }
        let mut base = self.base.keys.range::<[u8], _>(range.bounds()).peekable();
        let mut top = self.top.keys.range::<[u8], _>(range.bounds()).peekable();
        loop {
            let from_top = match (base.peek(), top.peek()) {
                (None, None) => return,
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some((below, _)), Some((above, _))) => above <= below,
            };
            let (key, version) = if from_top {
                let Some((key, versions)) = top.next() else { return };
                let below = base.next_if(|(below, _)| *below == key);
                (
                    key,
                    at(versions, revision).or_else(|| below.and_then(|(_, versions)| at(versions, revision))),
                )
            } else {
                let Some((key, versions)) = base.next() else { return };
                (key, at(versions, revision))
            };
            if let Some(version) = version.filter(|version| version.is_live()) {
                each(key, version);
            }
        }
    }
}
