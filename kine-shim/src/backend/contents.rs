//! A whole store as the tools see it: read from one snapshot of any database, written into a new one.

use super::{Fault, Item, LeaseRow, Numbers, StoredRow};

/// A row whose columns do not hold what belongs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Identifier of the row.
    pub id: i64,
    /// The column.
    pub column: &'static str,
    /// What it holds instead.
    pub holds: &'static str,
}

/// What [`Source::dump`] calls for each piece; an error ends the reading.
pub type EachItem<'a> = dyn FnMut(Result<Item<StoredRow>, Misfit>) -> Result<(), Fault> + 'a;

/// A store that is read whole, without changing it.
pub trait Source {
    /// What the database itself finds wrong with its storage, one line each.
    fn integrity(&mut self) -> Result<Vec<String>, Fault>;
    /// Calls `each` with everything there is at one moment, whoever writes meanwhile.
    fn dump(&mut self, each: &mut EachItem<'_>) -> Result<(), Fault>;
    /// The digest recorded when the snapshot was made, if this is a snapshot.
    fn recorded_digest(&mut self) -> Result<Option<String>, Fault>;

    /// Whether there is neither a key nor a past nor a lease.
    fn is_empty(&mut self) -> Result<bool, Fault> {
        let mut empty = true;
        self.dump(&mut |item| {
            empty = empty
                && match item {
                    Ok(Item::Numbers(_)) => true,
                    Ok(Item::Row(row)) => row.row.key.is_none(),
                    Ok(Item::Lease(_)) | Err(_) => false,
                };
            Ok(())
        })?;
        Ok(empty)
    }
}

/// A store in the making. Nobody sees it before it is put in its place.
pub trait Target {
    /// Whether there is something in its place that must not be replaced without being asked to. What cannot be read is
    /// better not replaced either.
    fn replaces_something(&mut self) -> Result<bool, Fault>;
    /// Adds a row; rows come in the order of identifiers.
    fn push(&mut self, row: &StoredRow) -> Result<(), Fault>;
    /// Writes numbers and leases and makes everything durable. Leases start to live anew; alarms are not taken over, since
    /// they are those of the place the store was in.
    fn finish(&mut self, numbers: &Numbers, leases: &[LeaseRow]) -> Result<(), Fault>;
    /// Reads back what was written.
    fn read_back(&mut self) -> Result<Box<dyn Source + '_>, Fault>;
    /// Puts the new store in its place, all at once. With `keep`, returns the name under which the old one, if there was
    /// one, can be found from now on.
    fn swap(self: Box<Self>, keep: bool) -> Result<Option<String>, Fault>;
}
