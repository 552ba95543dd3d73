//! What the rows of a healthy store look like, as rules that every row is held against.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
};

use crate::{
    backend::{LeaseRow, Numbers, Row, StoredRow, contents::Misfit},
    store::{
        alarm::{CORRUPT, NO_SPACE},
        index::Version,
        lease::MAX_TTL,
    },
};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The row, if it is about one.
    pub row: Option<i64>,
    /// What is wrong, and what to do.
    pub text: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.row {
            Some(row) => write!(f, "row {row}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Findings kept; a store that has more is beyond being looked at one by one.
const MOST: usize = 1000;

/// What is to be done about most of it: what is missing or wrong cannot be made up again.
const RESTORE: &str = "restore a snapshot";

/// What is known of a key from its rows so far.
#[derive(Debug, Clone, Copy)]
struct Known {
    version: Version,
    value: u64,
    by_kine: bool,
}

/// The rules with what they have to remember from row to row.
#[derive(Debug)]
pub struct Rules {
    findings: Vec<Finding>,
    more: usize,
    keys: HashMap<Vec<u8>, Known>,
    hasher: RandomState,
    /// Rows above this one are all there.
    compact_row: i64,
    /// The revision that goes with it, once it is known.
    compacted: Option<i64>,
    /// The last row as identifier, revision and position; zeros before the first.
    last: (i64, i64, i64),
    own_rows: usize,
    rows: usize,
}

impl Rules {
    /// Rules for the rows of a store with these numbers.
    pub fn new(numbers: &Numbers) -> Self {
        let compact_row = numbers.counters.compact_row.unwrap_or(0);
        let by_kine = numbers.kine_compact_row > compact_row;
        Self {
            findings: Vec::new(),
            more: 0,
            keys: HashMap::new(),
            hasher: RandomState::new(),
            compact_row: compact_row.max(numbers.kine_compact_row),
            compacted: numbers.counters.compact_revision.filter(|_| !by_kine),
            last: (0, 0, 0),
            own_rows: 0,
            rows: 0,
        }
    }

    /// Notes a finding.
    pub fn find(&mut self, row: Option<i64>, text: impl Into<String>) {
        if self.findings.len() < MOST {
            self.findings.push(Finding { row, text: text.into() });
        } else {
            self.more += 1;
        }
    }

    fn broken(&mut self, row: i64, what: impl std::fmt::Display) {
        self.find(Some(row), format!("{what}; {RESTORE}"));
    }

    /// A row that cannot be read.
    pub fn misfit(&mut self, misfit: &Misfit) {
        self.rows += 1;
        self.broken(misfit.id, format!("column {} holds {}", misfit.column, misfit.holds));
        // The row is there, only its place in the order is not known.
        self.last = (misfit.id, self.last.1, self.last.2);
    }

    /// A row, with the version the store makes of it, if it makes any.
    pub fn row(&mut self, stored: &StoredRow, derived: Option<Version>) {
        let record = &stored.row;
        self.rows += 1;
        self.order(record, stored.sub);
        let Some(key) = &record.key else {
            self.own_rows += 1;
            if record.deleted || record.prev_row < 0 {
                self.broken(
                    record.id,
                    "kine's own row compact_rev_key does not hold a row to compact to",
                );
            }
            return;
        };
        if key.is_empty() {
            self.broken(record.id, "the key is empty");
        }
        if record.created && record.deleted {
            self.broken(record.id, "it both creates and deletes its key");
        }
        if record.prev_row < 0 || record.prev_row >= record.id {
            self.broken(
                record.id,
                format!("it replaces row {}, which is not before it", record.prev_row),
            );
        }
        let before = self.keys.get(key).copied();
        self.chain(record, before);
        match record.deleted {
            true => self.deletion(stored, before),
            false => self.write(stored, before, derived),
        }
        let version = derived.unwrap_or_else(|| Version::tombstone(record.id, record.revision.unwrap_or(record.id)));
        let known = Known {
            version,
            value: self.hasher.hash_one(stored.value.as_deref().unwrap_or_default()),
            by_kine: record.version.is_none(),
        };
        if derived.is_some() {
            self.keys.insert(key.clone(), known);
        }
    }

    /// Identifiers and revisions grow without gaps; positions count the rows of a revision.
    fn order(&mut self, record: &Row, sub: i64) {
        let id = record.id;
        let revision = record.revision.unwrap_or(id);
        let (last_id, last_revision, last_sub) = self.last;
        let mut whole = true;
        if id <= 0 {
            self.broken(id, "identifiers of rows start at 1");
            whole = false;
        } else if id > self.compact_row {
            let expected = last_id.max(self.compact_row).saturating_add(1);
            if id > expected {
                let missing = if id - expected == 1 { "one row" } else { "rows" };
                self.broken(
                    id,
                    format!("{missing} before it, from {expected} to {}, are missing", id - 1),
                );
                whole = false;
            }
        }
        if revision <= 0 || revision > id {
            self.broken(
                id,
                format!("revision {revision} is impossible: it lies between 1 and the identifier"),
            );
            // Later rows are held against the last revision that made sense.
            self.last = (id, last_revision, last_sub);
            return;
        }
        if id > self.compact_row && last_id <= self.compact_row && self.compacted.is_none() {
            // kine compacts to a row; without further columns that is also the revision.
            self.compacted = Some(last_revision.saturating_add(self.compact_row.saturating_sub(last_id)));
        }
        let compacted = self.compacted.unwrap_or(0);
        if id <= self.compact_row {
            let later = self.compacted.is_some_and(|compacted| revision > compacted);
            if later {
                self.broken(
                    id,
                    format!("its revision {revision} is after {compacted}, but the row is compacted"),
                );
            }
            if revision < last_revision || revision == last_revision && sub <= last_sub && last_id > 0 {
                self.broken(
                    id,
                    format!("revision {revision} ({sub}) follows revision {last_revision} ({last_sub})"),
                );
            }
        } else if whole {
            let base = last_revision.max(compacted);
            let same = revision == last_revision && last_id > self.compact_row && sub == last_sub.saturating_add(1);
            let next = revision == base.saturating_add(1) && sub == 0;
            if !same && !next && last_id > 0 {
                self.broken(
                    id,
                    format!("revision {revision} ({sub}) follows revision {base} ({last_sub}), which leaves a gap"),
                );
            } else if last_id == 0 && revision != base.saturating_add(1) {
                self.broken(id, format!("revisions start at {revision}, after {base}"));
            }
        } else if revision < last_revision {
            self.broken(id, format!("revision {revision} follows revision {last_revision}"));
        }
        self.last = (id, revision.max(last_revision), sub);
    }

    /// Every row names the one before it of the same key.
    fn chain(&mut self, record: &Row, before: Option<Known>) {
        match before {
            Some(before) if before.version.id != record.prev_row => self.broken(
                record.id,
                format!(
                    "it replaces row {}, but the key was last changed in row {}",
                    record.prev_row, before.version.id
                ),
            ),
            None if record.prev_row > self.compact_row => {
                self.broken(
                    record.id,
                    format!("it replaces row {}, which is missing", record.prev_row),
                );
            }
            // Compaction removes deletions, and what was replaced before the revision compacted to.
            None if record.prev_row > 0 && record.id > self.compact_row && !record.created => {
                self.broken(
                    record.id,
                    format!("it replaces row {}, which is missing", record.prev_row),
                );
            }
            _ => {}
        }
    }

    fn deletion(&mut self, stored: &StoredRow, before: Option<Known>) {
        let record = &stored.row;
        let by_kine = record.version.is_none();
        if !by_kine && (record.version != Some(0) || stored.value.is_some() || record.lease != 0) {
            self.broken(record.id, "it deletes its key and has a version, a value or a lease");
        }
        match before {
            Some(before) if !before.version.is_live() => {
                self.broken(record.id, "it deletes a key that is deleted already");
            }
            // Within one transaction the old value is that before the transaction.
            Some(before) if before.version.revision < record.revision.unwrap_or(record.id) && !before.by_kine => {
                let old = self.hasher.hash_one(stored.old_value.as_deref().unwrap_or_default());
                if old != before.value {
                    self.broken(
                        record.id,
                        format!("its old value is not the value of row {}", before.version.id),
                    );
                }
            }
            // kine fills gaps with deletions of keys that never were.
            None if record.prev_row == 0 && !by_kine => self.broken(record.id, "it deletes a key that never was"),
            _ => {}
        }
    }

    fn write(&mut self, stored: &StoredRow, before: Option<Known>, derived: Option<Version>) {
        let record = &stored.row;
        let live_before = before.filter(|before| before.version.is_live());
        if record.created && live_before.is_some() {
            self.broken(record.id, "it creates a key that is there");
        }
        if !record.created && live_before.is_none() && (before.is_some() || record.prev_row == 0) {
            self.broken(record.id, "it changes a key that is not there");
        }
        // What kine leaves out is derived, so it cannot be wrong.
        let (Some(version), Some(derived)) = (record.version, derived) else {
            return;
        };
        let revision = derived.revision;
        if version < 1 || (version == 1) != record.created {
            self.broken(record.id, format!("version {version} does not go with the row"));
        }
        if stored.value.is_none() {
            self.broken(record.id, "it has no value");
        }
        let expected = match live_before {
            Some(before) if !record.created => {
                Some((before.version.create_revision, before.version.version.saturating_add(1)))
            }
            _ if record.created => Some((revision, 1)),
            _ => None,
        };
        match expected {
            // kine leaves it out in rows that create.
            Some((created_at, _))
                if record.create_revision != created_at && (version > 1 || record.create_revision != 0) =>
            {
                self.broken(
                    record.id,
                    format!("create revision {} should be {created_at}", record.create_revision),
                )
            }
            Some((_, count)) if version != count => {
                self.broken(record.id, format!("version {version} should be {count}"));
            }
            None if record.create_revision <= 0 || record.create_revision >= revision => self.broken(
                record.id,
                format!(
                    "create revision {} is not before revision {revision}",
                    record.create_revision
                ),
            ),
            _ => {}
        }
    }

    /// Holds the numbers and leases against the rows, and returns all findings and how many there are beyond those.
    pub fn finish(mut self, numbers: &Numbers, leases: &[LeaseRow]) -> (Vec<Finding>, usize) {
        self.own_row(numbers);
        if ours(numbers) {
            self.identity(numbers);
            self.compaction(numbers);
            self.counters(numbers);
        }
        self.leases(leases);
        (self.findings, self.more)
    }

    fn own_row(&mut self, numbers: &Numbers) {
        match self.own_rows {
            0 if ours(numbers) || self.rows > 0 => self.find(
                None,
                format!("kine's own row compact_rev_key is missing, so kine could not open the store; {RESTORE}"),
            ),
            0 | 1 => {}
            rows => self.find(
                None,
                format!("there are {rows} rows compact_rev_key; delete all but the first"),
            ),
        }
    }

    fn identity(&mut self, numbers: &Numbers) {
        for (name, id) in [("cluster_id", numbers.cluster_id), ("member_id", numbers.member_id)] {
            if id <= 0 {
                let what = if id == 0 { "missing".to_owned() } else { id.to_string() };
                self.find(
                    None,
                    format!("{name} is {what}; without it in kine_meta, a start makes up a new one"),
                );
            }
        }
        if numbers.counters.alarms & !(NO_SPACE | CORRUPT) != 0 {
            self.find(None, "alarms has bits that are no alarms; set it to 0 in kine_meta");
        }
    }

    fn compaction(&mut self, numbers: &Numbers) {
        let (last_row, last_revision, _) = self.last;
        let (compacted, row) = match (numbers.counters.compact_revision, numbers.counters.compact_row) {
            (Some(compacted), Some(row)) => (compacted, row),
            (None, None) => return,
            _ => {
                self.find(
                    None,
                    format!("only one of compact_revision and compact_row is there; {RESTORE}"),
                );
                return;
            }
        };
        let kine_row = numbers.kine_compact_row;
        if row > kine_row {
            self.find(
                None,
                format!("the store is compacted to row {row}, but row compact_rev_key says {kine_row}; {RESTORE}"),
            );
        }
        if compacted < 0 || compacted > row {
            self.find(
                None,
                format!("compact_revision {compacted} does not go with compact_row {row}; {RESTORE}"),
            );
        }
        // kine may have removed even the newest rows.
        if kine_row <= row && (compacted > last_revision || row > last_row) {
            self.find(
                None,
                format!(
                    "the store is compacted to revision {compacted} and row {row}, but its last are {last_revision} and \
                     {last_row}; {RESTORE}"
                ),
            );
        }
    }

    /// Several processes on one database count together, in numbers that are stored.
    fn counters(&mut self, numbers: &Numbers) {
        let (last_row, last_revision, _) = self.last;
        for (name, counted, last) in [
            ("revision", numbers.counters.revision, last_revision),
            ("last_row", numbers.counters.last_row, last_row),
        ] {
            if counted != 0 && counted != last {
                self.find(
                    None,
                    format!("{name} is {counted}, but that of the last row is {last}; {RESTORE}"),
                );
            }
        }
    }

    fn leases(&mut self, leases: &[LeaseRow]) {
        for LeaseRow { id, ttl, .. } in leases {
            if *id == 0 || !(1..=MAX_TTL).contains(ttl) {
                self.find(
                    None,
                    format!("lease {id} lives {ttl} seconds, which no lease does; delete it from kine_lease"),
                );
            }
        }
        let known: HashSet<i64> = leases.iter().map(|lease| lease.id).collect();
        let mut orphans: Vec<_> = self
            .keys
            .values()
            .filter(|key| !key.by_kine && key.version.is_live() && key.version.lease != 0)
            .filter(|key| !known.contains(&key.version.lease))
            .map(|key| (key.version.id, key.version.lease))
            .collect();
        orphans.sort_unstable();
        for (row, lease) in orphans {
            self.find(
                Some(row),
                format!("its lease {lease} is not in kine_lease; add it there with its seconds to live"),
            );
        }
    }
}

/// Whether the store has been opened since kine wrote it.
fn ours(numbers: &Numbers) -> bool {
    let counters = &numbers.counters;
    numbers.cluster_id != 0
        || numbers.member_id != 0
        || counters.compact_revision.is_some()
        || counters.compact_row.is_some()
}
