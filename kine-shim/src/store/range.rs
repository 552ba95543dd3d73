//! Key ranges as etcd writes them, and the choice of keys a `RangeRequest` asks for.

use std::ops::Bound;

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        RangeRequest,
        range_request::{SortOrder, SortTarget},
    },
    mvccpb::KeyValue,
};

use super::index::{Keys, Version};
use crate::error::Error;

/// A set of keys: one key, everything from a key on, or a half-open interval.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRange {
    /// First key of the range.
    pub start: Bytes,
    /// Where the range ends.
    pub end: RangeEnd,
}

/// The end of a [`KeyRange`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RangeEnd {
    /// The range holds the start key only.
    Single,
    /// The range holds every key smaller than this one.
    Before(Bytes),
    /// The range has no end.
    Unbounded,
}

impl KeyRange {
    /// Reads the pair `key`, `range_end` of a request: an empty end means the one key, a single zero byte no end.
    pub fn new(key: &Bytes, range_end: &Bytes) -> Self {
        let end = match range_end.as_ref() {
            [] => RangeEnd::Single,
            [0] => RangeEnd::Unbounded,
            _ => RangeEnd::Before(range_end.clone()),
        };
        Self {
            start: key.clone(),
            end,
        }
    }

    /// Whether the range holds `key`.
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            RangeEnd::Single => key == self.start,
            RangeEnd::Unbounded => key >= self.start,
            RangeEnd::Before(end) => key >= self.start && key < end,
        }
    }

    /// Whether no key can be in the range.
    pub fn is_empty(&self) -> bool {
        matches!(&self.end, RangeEnd::Before(end) if *end <= self.start)
    }

    /// The range as bounds of an ordered map; only to be used when the range is not empty.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let start = Bound::Included(self.start.as_ref());
        match &self.end {
            RangeEnd::Single => (start, start),
            RangeEnd::Unbounded => (start, Bound::Unbounded),
            RangeEnd::Before(end) => (start, Bound::Excluded(end.as_ref())),
        }
    }
}

/// What a range request picked from the index, before values are read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Chosen keys with the version to return, in the order to return them unless values decide it.
    pub keys: Vec<(Bytes, Version)>,
    /// Number of keys in the range, whatever the limit and the filters.
    pub count: i64,
    /// Keys were left out because of the limit.
    pub more: bool,
    /// Values have to be read: the answer shows them or is sorted by them.
    pub values_needed: bool,
}

/// Refuses a read at a revision that is not there any more or not there yet.
pub fn check_revision(revision: i64, current: i64, compacted: i64) -> Result<(), Error> {
    if revision > current {
        Err(Error::FutureRevision)
    } else if revision > 0 && revision < compacted {
        Err(Error::Compacted)
    } else {
        Ok(())
    }
}

/// Refuses a range request that is malformed, in etcd's order of checks.
pub fn check_request(request: &RangeRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    SortOrder::try_from(request.sort_order).map_err(|_| Error::InvalidSortOption)?;
    SortTarget::try_from(request.sort_target).map_err(|_| Error::InvalidSortOption)?;
    Ok(())
}

/// Picks what `request` asks for from `keys` at the revision it names, `current` when it names none.
///
/// The result is complete but for [`finish`], which needs the values.
pub fn select(keys: &impl Keys, request: &RangeRequest, current: i64, compacted: i64) -> Result<Selection, Error> {
    check_revision(request.revision, current, compacted)?;
    let revision = if request.revision > 0 {
        request.revision
    } else {
        current
    };
    let range = KeyRange::new(&request.key, &request.range_end);
    let mut selection = Selection::default();
    if request.count_only {
        keys.visit(&range, revision, &mut |_, _| selection.count += 1);
        return Ok(selection);
    }

    let (order, target) = sorting(request);
    // etcd takes the limit first when no order is asked for, and sorts what is left (`rangeLimit`). One more key tells
    // whether there are more.
    let unordered = request.sort_order() == SortOrder::None || order == SortOrder::None;
    let collect = match usize::try_from(request.limit) {
        Ok(limit) if limit > 0 && unordered && !has_filters(request) => limit.saturating_add(1),
        _ => usize::MAX,
    };
    keys.visit(&range, revision, &mut |key, version| {
        selection.count += 1;
        if selection.keys.len() < collect && passes_filters(request, version) {
            selection.keys.push((Bytes::copy_from_slice(key), *version));
        }
    });
    selection.values_needed = !request.keys_only || target == SortTarget::Value;
    match target {
        SortTarget::Value if order != SortOrder::None => return Ok(selection),
        SortTarget::Value | SortTarget::Key => arrange(&mut selection.keys, order, |(a, _), (b, _)| a.cmp(b)),
        SortTarget::Version => arrange(&mut selection.keys, order, |(_, a), (_, b)| a.version.cmp(&b.version)),
        SortTarget::Create => {
            arrange(&mut selection.keys, order, |(_, a), (_, b)| {
                a.create_revision.cmp(&b.create_revision)
            });
        }
        SortTarget::Mod => arrange(&mut selection.keys, order, |(_, a), (_, b)| a.revision.cmp(&b.revision)),
    }
    selection.more = truncate(&mut selection.keys, request.limit);
    Ok(selection)
}

/// Completes a selection whose values have been read: sorts by value if asked to, applies the limit, drops values nobody
/// asked for. Returns the key-value pairs and whether some were left out.
pub fn finish(request: &RangeRequest, mut kvs: Vec<KeyValue>, more: bool) -> (Vec<KeyValue>, bool) {
    let (order, target) = sorting(request);
    let mut more = more;
    if target == SortTarget::Value && order != SortOrder::None {
        arrange(&mut kvs, order, |a, b| a.value.cmp(&b.value));
        more |= truncate(&mut kvs, request.limit);
    }
    if request.keys_only {
        for kv in &mut kvs {
            kv.value = Bytes::new();
        }
    }
    (kvs, more)
}

/// The order that applies: keys come sorted anyway, and another target without an order means ascending
/// (etcd: `sortRangeResults`).
fn sorting(request: &RangeRequest) -> (SortOrder, SortTarget) {
    let target = request.sort_target();
    match (request.sort_order(), target) {
        (SortOrder::Ascend, SortTarget::Key) => (SortOrder::None, target),
        (SortOrder::None, SortTarget::Key) => (SortOrder::None, target),
        (SortOrder::None, _) => (SortOrder::Ascend, target),
        (order, _) => (order, target),
    }
}

fn has_filters(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn passes_filters(request: &RangeRequest, version: &Version) -> bool {
    (request.max_mod_revision == 0 || version.revision <= request.max_mod_revision)
        && (request.min_mod_revision == 0 || version.revision >= request.min_mod_revision)
        && (request.max_create_revision == 0 || version.create_revision <= request.max_create_revision)
        && (request.min_create_revision == 0 || version.create_revision >= request.min_create_revision)
}

fn arrange<T>(items: &mut [T], order: SortOrder, compare: impl Fn(&T, &T) -> std::cmp::Ordering) {
    match order {
        SortOrder::None => {}
        SortOrder::Ascend => items.sort_by(compare),
        SortOrder::Descend => items.sort_by(|a, b| compare(b, a)),
    }
}

fn truncate<T>(items: &mut Vec<T>, limit: i64) -> bool {
    match usize::try_from(limit) {
        Ok(limit) if limit > 0 && items.len() > limit => {
            items.truncate(limit);
            true
        }
        _ => false,
    }
}

/// The wire form of a key at a version.
pub fn key_value(key: Bytes, version: &Version, value: Bytes) -> KeyValue {
    KeyValue {
        key,
        create_revision: version.create_revision,
        mod_revision: version.revision,
        version: version.version,
        value,
        lease: version.lease,
    }
}
