//! One number for everything a store holds, whichever database it is in.
//!
//! The digest is the SHA-256 sum of: the text `kine-shim store 1`; one sum per row that can still be asked for, in the order
//! of the changes; the newest revision, the revision compacted to (-1 for never), the number of leases, and each lease's
//! identifier and seconds to live in the order of identifiers. The sum of a row covers revision, create revision, version
//! (0 for a deletion), lease, key and value. Numbers are eight bytes, the most significant first; keys and values follow
//! their lengths.
//!
//! Rows that a compaction has made superfluous do not count, whether they are removed already or not. Neither do row
//! identifiers, old values and the names of cluster and member. What kine leaves out is counted as the store derives it.
//! So stores that give the same answers have the same digest, and a copy can be held against what it was made of.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest as _, Sha256};

use crate::store::index::Version;

const TITLE: &[u8] = b"kine-shim store 1";

type Sum = [u8; 32];

/// A digest in the making. Rows come in the order of their identifiers.
#[derive(Debug)]
pub struct Digest {
    sha: Sha256,
    compact_row: i64,
    /// What of the rows up to the compaction is still needed, by row: everything but the newest of each key goes.
    base: BTreeMap<i64, Base>,
    newest: HashMap<Vec<u8>, i64>,
}

#[derive(Debug)]
struct Base {
    sum: Sum,
    /// Revision of a deletion.
    deleted_at: Option<i64>,
}

impl Digest {
    /// A digest of a store that is compacted up to row `compact_row`, 0 for none.
    pub fn new(compact_row: i64) -> Self {
        let mut sha = Sha256::new();
        sha.update(TITLE);
        Self {
            sha,
            compact_row,
            base: BTreeMap::new(),
            newest: HashMap::new(),
        }
    }

    /// Adds a version of a key. `compacted` is the revision compacted to as far as it is known, -1 for never.
    pub fn push(&mut self, key: &[u8], version: &Version, value: &[u8], compacted: i64) {
        let sum = row_sum(key, version, value);
        if version.id > self.compact_row {
            self.settle(compacted);
            self.sha.update(sum);
            return;
        }
        let deleted_at = (!version.is_live()).then_some(version.revision);
        self.base.insert(version.id, Base { sum, deleted_at });
        if let Some(before) = self.newest.insert(key.to_vec(), version.id) {
            self.base.remove(&before);
        }
    }

    /// Adds what is left of the rows up to the compaction.
    fn settle(&mut self, compacted: i64) {
        for row in std::mem::take(&mut self.base).into_values() {
            if row.deleted_at.is_none_or(|revision| revision >= compacted) {
                self.sha.update(row.sum);
            }
        }
    }

    /// The digest, in hexadecimal digits.
    pub fn finish(mut self, revision: i64, compacted: i64, leases: &[(i64, i64)]) -> String {
        self.settle(compacted);
        let count = i64::try_from(leases.len()).unwrap_or(i64::MAX);
        for number in [revision, compacted, count] {
            self.sha.update(number.to_be_bytes());
        }
        for (id, ttl) in leases {
            self.sha.update(id.to_be_bytes());
            self.sha.update(ttl.to_be_bytes());
        }
        self.sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn row_sum(key: &[u8], version: &Version, value: &[u8]) -> Sum {
    let mut sha = Sha256::new();
    for number in [
        version.revision,
        version.create_revision,
        version.version,
        version.lease,
    ] {
        sha.update(number.to_be_bytes());
    }
    for part in [key, value] {
        sha.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        sha.update(part);
    }
    sha.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(id: i64, version: i64) -> Version {
        Version {
            id,
            revision: id,
            create_revision: 2,
            version,
            lease: 0,
        }
    }

    fn digest(compact_row: i64, rows: &[(&str, Version)]) -> String {
        let mut digest = Digest::new(compact_row);
        for (key, version) in rows {
            digest.push(key.as_bytes(), version, b"value", compact_row);
        }
        digest.finish(9, compact_row, &[(7, 60)])
    }

    #[test]
    fn what_is_compacted_does_not_count() {
        let (old, newer, gone, newest) = (version(2, 1), version(3, 2), Version::tombstone(4, 4), version(6, 1));
        let swept = digest(5, &[("a", newer), ("c", newest)]);
        assert_eq!(
            digest(5, &[("a", old), ("a", newer), ("b", gone), ("c", newest)]),
            swept
        );
        // A deletion at the revision itself can still be watched.
        let last = Version::tombstone(5, 5);
        assert_ne!(digest(5, &[("a", newer), ("b", last), ("c", newest)]), swept);
        assert_ne!(digest(2, &[("a", old), ("a", newer), ("c", newest)]), swept);
    }

    #[test]
    fn everything_else_does() {
        let rows = [("a", version(2, 1)), ("b", version(3, 1))];
        let whole = digest(0, &rows);
        assert_eq!(digest(0, &rows), whole);
        assert_ne!(digest(0, &rows[..1]), whole);
        assert_ne!(digest(0, &[rows[1], rows[0]]), whole);
        assert_ne!(digest(0, &[rows[0], ("b", Version { lease: 1, ..rows[1].1 })]), whole);
        // Bytes that move from the key to the value make a difference.
        assert_ne!(
            row_sum(b"ab", &version(2, 1), b"c"),
            row_sum(b"a", &version(2, 1), b"bc")
        );
    }
}
