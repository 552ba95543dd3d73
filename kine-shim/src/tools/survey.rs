//! One pass over a whole store: the index that the store would build from it, what breaks the rules, and the digest.

use std::{borrow::Cow, time::Instant};

use super::{
    digest::Digest,
    rules::{Finding, Rules},
};
use crate::{
    backend::{
        Fault, Item, LeaseRow, Numbers, Row, StoredRow,
        contents::{Misfit, Source},
        names::{self, COMPACT_ROW},
    },
    store::load::Loader,
};

/// What a store is, in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Keys that exist.
    pub keys: usize,
    /// Rows, kine's own included.
    pub rows: usize,
    /// The newest revision.
    pub revision: i64,
    /// The revision compacted to, -1 for never.
    pub compacted: i64,
    /// Leases.
    pub leases: usize,
    /// The digest ([`super::digest`]).
    pub digest: String,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let compacted = match self.compacted {
            -1 => "never compacted".to_owned(),
            revision => format!("compacted to {revision}"),
        };
        write!(
            f,
            "{} keys, {} rows, revision {}, {compacted}, {} leases, digest {}",
            self.keys, self.rows, self.revision, self.leases, self.digest
        )
    }
}

/// What a survey found.
#[derive(Debug)]
pub struct Report {
    /// The numbers.
    pub summary: Summary,
    /// What breaks the rules, at most so many.
    pub findings: Vec<Finding>,
    /// How many findings there are beyond those.
    pub more: usize,
}

/// A survey under way.
#[derive(Debug)]
pub struct Survey {
    loader: Loader,
    digest: Digest,
    rules: Rules,
    numbers: Numbers,
    leases: Vec<LeaseRow>,
    /// The last row that kine regards as compacted, as identifier and revision.
    compacted: (i64, i64),
    rows: usize,
}

impl Default for Survey {
    fn default() -> Self {
        Self::new(Numbers::default())
    }
}

impl Survey {
    fn new(numbers: Numbers) -> Self {
        let compact_row = numbers.counters.compact_row.unwrap_or(0).max(numbers.kine_compact_row);
        Self {
            loader: Loader::new(numbers),
            digest: Digest::new(compact_row),
            rules: Rules::new(&numbers),
            numbers,
            leases: Vec::new(),
            compacted: (0, 0),
            rows: 0,
        }
    }

    /// Surveys all of `source`.
    pub fn of(source: &mut dyn Source) -> Result<Report, Fault> {
        let mut survey = Self::default();
        source.dump(&mut |item| {
            survey.push(&item);
            Ok(())
        })?;
        Ok(survey.finish())
    }

    /// Takes in a piece. The numbers come first, rows in the order of their identifiers.
    pub fn push(&mut self, item: &Result<Item<StoredRow>, Misfit>) {
        match item {
            Ok(Item::Numbers(numbers)) => *self = Self::new(*numbers),
            Ok(Item::Row(stored)) => self.row(stored),
            Ok(Item::Lease(lease)) => self.leases.push(*lease),
            Err(misfit) => {
                self.rows += 1;
                self.rules.misfit(misfit);
            }
        }
    }

    fn row(&mut self, stored: &StoredRow) {
        self.rows += 1;
        let row = &stored.row;
        let (value, version) = unpacked(stored);
        self.loader.push(&Row { version, ..row.clone() });
        let index = &self.loader.state().index;
        let newest = row.key.as_ref().and_then(|key| index.newest(key));
        let derived = newest.filter(|version| version.id == row.id);
        self.rules.row(stored, derived);
        if row.id <= self.numbers.kine_compact_row {
            self.compacted = (row.id, row.revision.unwrap_or(row.id));
        }
        if let (Some(key), Some(version)) = (&row.key, &derived) {
            self.digest.push(key, version, &value, self.compacted_to());
        }
    }

    /// The revision compacted to, as [`Loader::finish`] finds it.
    fn compacted_to(&self) -> i64 {
        let counters = &self.numbers.counters;
        let ours = counters.compact_revision.unwrap_or(-1);
        if self.numbers.kine_compact_row <= counters.compact_row.unwrap_or(0) {
            return ours;
        }
        let (last, revision) = self.compacted;
        ours.max(revision.saturating_add(self.numbers.kine_compact_row.saturating_sub(last)))
    }

    /// The numbers and leases of the store.
    pub fn ledger(&self) -> (Numbers, Vec<LeaseRow>) {
        (self.numbers, self.leases.clone())
    }

    /// What was found.
    pub fn finish(self) -> Report {
        let (state, made_up) = self.loader.finish(&self.leases, Instant::now());
        let mut leases: Vec<_> = self.leases.iter().map(|lease| (lease.id, lease.ttl)).collect();
        leases.extend(made_up);
        leases.sort_unstable();
        let mut keys = 0;
        state
            .index
            .each_newest(|_, version| keys += usize::from(version.is_live()));
        let digest = self.digest.finish(state.revision, state.compacted, &leases);
        let (findings, more) = self.rules.finish(&self.numbers, &self.leases);
        Report {
            summary: Summary {
                keys,
                rows: self.rows,
                revision: state.revision,
                compacted: state.compacted,
                leases: leases.len(),
                digest,
            },
            findings,
            more,
        }
    }
}

/// The value and version of a row; kine packs both into the value of one key, and opening its store takes them apart.
fn unpacked(stored: &StoredRow) -> (Cow<'_, [u8]>, Option<i64>) {
    let value = stored.value.as_deref().unwrap_or_default();
    let version = stored.row.version;
    if version.is_some() || stored.row.key.as_deref() != Some(COMPACT_ROW) {
        return (Cow::Borrowed(value), version);
    }
    let (version, value) = names::unpack(value);
    (value, Some(version))
}
