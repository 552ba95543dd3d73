//! The connection that writes.

use std::fs::File;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{blob, key, number, size, value};
use crate::backend::{
    Fault, Meta, NewRow, Row, Size,
    dialect::{Dialect, SQLITE},
    names,
};

/// Page cache of the writing connection, in KiB.
pub(super) const CACHE_KIB: i64 = 2048;
/// Pages in the write-ahead log at which a commit checkpoints by itself, should the writer not have done so before.
const CHECKPOINT_PAGES: i64 = 8192;
/// Bytes the write-ahead log is cut to after a checkpoint.
const LOG_LIMIT: i64 = 16 << 20;

/// The one connection that writes.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    dialect: &'static Dialect,
    open: bool,
    _lock: File,
}

impl Writer {
    /// A writer on an open database; `lock` is held as long as it lives.
    pub(super) fn new(connection: Connection, lock: File) -> Self {
        Self {
            connection,
            dialect: &SQLITE,
            open: false,
            _lock: lock,
        }
    }

    /// Sets the connection up and brings the tables up to date.
    pub(super) fn prepare(&mut self) -> Result<(), Fault> {
        // Takes effect in a new database only; an old one stays as it is.
        self.connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
        let mode: String = self
            .connection
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(Fault::Other(format!(
                "the journal mode is {mode} and cannot be changed to WAL"
            )));
        }
        self.connection.execute_batch(&format!(
            "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
             PRAGMA journal_size_limit = {LOG_LIMIT};"
        ))?;
        self.begin()?;
        let done = self.migrate();
        if done.is_err() {
            self.rollback();
            return done;
        }
        self.commit()
    }

    fn migrate(&self) -> Result<(), Fault> {
        let connection = &self.connection;
        for statement in self.dialect.schema {
            connection.execute(statement, [])?;
        }
        let columns = connection
            .prepare(self.dialect.columns)?
            .query_map([], |row| row.get::<_, String>(0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for (column, add) in self.dialect.extra_columns {
            if !columns.iter().any(|present| present == column) {
                connection.execute(add, [])?;
            }
        }
        let packed = connection
            .prepare(self.dialect.packed)?
            .query_map([], |row| {
                Ok((row.get(0)?, blob(row.get_ref(1)?), blob(row.get_ref(2)?)))
            })?
            .collect::<rusqlite::Result<Vec<(i64, Vec<u8>, Vec<u8>)>>>()?;
        for (id, value, old_value) in packed {
            let (version, value) = names::unpack(&value);
            let old_value = (!old_value.is_empty()).then(|| names::unpack(&old_value).1);
            connection.execute(self.dialect.unpack, params![id, value, old_value, version])?;
        }
        let empty = self.last_id()? == 0;
        if empty {
            // kine's own row takes row 1, and revision 1 is where an empty etcd starts.
            connection.execute(self.dialect.compact_row, [1])?;
        }
        Ok(())
    }

    /// The highest row identifier there is, 0 for none.
    pub fn last_id(&self) -> Result<i64, Fault> {
        Ok(self.connection.query_row(self.dialect.last_id, [], |row| row.get(0))?)
    }

    /// The row up to which the table is compacted, as kine's own row says; 0 for not at all.
    pub fn compacted_row(&self) -> Result<i64, Fault> {
        Ok(self
            .connection
            .query_row(self.dialect.compacted_row, [], |row| row.get(0))?)
    }

    /// Calls `each` with every row, without values, in the order of their identifiers.
    pub fn load(&self, mut each: impl FnMut(Row)) -> Result<(), Fault> {
        let mut statement = self.connection.prepare(self.dialect.load)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(Row {
                id: row.get(0)?,
                key: key(row.get_ref(1)?),
                created: number(row.get_ref(2)?) != 0,
                deleted: number(row.get_ref(3)?) != 0,
                create_revision: number(row.get_ref(4)?),
                prev_row: number(row.get_ref(5)?),
                lease: number(row.get_ref(6)?),
                revision: row.get(7)?,
                version: row.get(8)?,
            });
        }
        Ok(())
    }

    /// Starts a transaction if none is open.
    pub fn begin(&mut self) -> Result<(), Fault> {
        if !self.open {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.open = true;
        }
        Ok(())
    }

    /// Whether a transaction is open.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Makes the open transaction durable.
    pub fn commit(&mut self) -> Result<(), Fault> {
        let done = self.connection.execute_batch("COMMIT").map_err(Fault::from);
        if done.is_err() {
            self.rollback();
        }
        self.open = false;
        done
    }

    /// Undoes the open transaction. That it fails means SQLite has undone it already.
    pub fn rollback(&mut self) {
        if self.open && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.open = false;
    }

    /// Adds a row to the open transaction.
    pub fn insert(&self, row: &NewRow<'_>) -> Result<(), Fault> {
        let revision = (row.revision != row.id).then_some(row.revision);
        let sub = (row.sub != 0).then_some(row.sub);
        self.connection.prepare_cached(self.dialect.insert)?.execute(params![
            row.id,
            names::encode(row.key),
            row.created,
            row.deleted,
            row.create_revision,
            row.prev_row,
            row.lease,
            revision,
            sub,
            row.version,
            row.value,
            row.old_value,
        ])?;
        Ok(())
    }

    /// Removes rows in the open transaction.
    pub fn delete(&self, ids: &[i64]) -> Result<(), Fault> {
        let mut statement = self.connection.prepare_cached(self.dialect.delete)?;
        for id in ids {
            statement.execute([id])?;
        }
        Ok(())
    }

    /// The value of a row, those of the open transaction included.
    pub fn value(&self, id: i64) -> Result<Option<Bytes>, Fault> {
        value(&self.connection, self.dialect, id)
    }

    /// A number of the store.
    pub fn meta(&self, meta: Meta) -> Result<Option<i64>, Fault> {
        let mut statement = self.connection.prepare_cached(self.dialect.meta)?;
        Ok(statement.query_row([meta.name()], |row| row.get(0)).optional()?)
    }

    /// Sets a number of the store in the open transaction.
    pub fn set_meta(&self, meta: Meta, value: i64) -> Result<(), Fault> {
        self.connection
            .prepare_cached(self.dialect.set_meta)?
            .execute(params![meta.name(), value])?;
        Ok(())
    }

    /// Moves kine's own row forward, so that kine knows what is compacted.
    pub fn set_compact_row(&self, id: i64) -> Result<(), Fault> {
        self.connection
            .prepare_cached(self.dialect.set_compact_row)?
            .execute([id])?;
        Ok(())
    }

    /// All leases, as identifier and seconds to live.
    pub fn leases(&self) -> Result<Vec<(i64, i64)>, Fault> {
        let mut statement = self.connection.prepare(self.dialect.leases)?;
        let leases = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(leases.collect::<rusqlite::Result<_>>()?)
    }

    /// Adds a lease in the open transaction.
    pub fn put_lease(&self, id: i64, ttl: i64) -> Result<(), Fault> {
        self.connection
            .prepare_cached(self.dialect.put_lease)?
            .execute([id, ttl])?;
        Ok(())
    }

    /// Removes a lease in the open transaction.
    pub fn delete_lease(&self, id: i64) -> Result<(), Fault> {
        self.connection
            .prepare_cached(self.dialect.delete_lease)?
            .execute([id])?;
        Ok(())
    }

    /// Moves what is in the write-ahead log into the database file as far as readers allow, without waiting for them.
    pub fn checkpoint(&self) -> Result<(), Fault> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// Gives up to `pages` free pages back to the file system. Does nothing in a file that kine made.
    pub fn vacuum_some(&self, pages: i64) -> Result<(), Fault> {
        let mut statement = self
            .connection
            .prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    }

    /// Free pages that [`Writer::vacuum_some`] could give back.
    pub fn reclaimable_pages(&self) -> Result<i64, Fault> {
        let mode: i64 = self.connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?;
        if mode == 0 {
            return Ok(0);
        }
        Ok(self
            .connection
            .query_row("PRAGMA freelist_count", [], |row| row.get(0))?)
    }

    /// Rewrites the whole file without free space. No transaction may be open.
    pub fn vacuum(&self) -> Result<(), Fault> {
        Ok(self.connection.execute_batch("VACUUM")?)
    }

    /// How large the database is.
    pub fn size(&self) -> Result<Size, Fault> {
        size(&self.connection, self.dialect)
    }

    /// Keeps the file from growing beyond `pages` pages, which is what a full disk looks like.
    #[cfg(test)]
    pub(crate) fn limit(&self, pages: i64) {
        let limit = format!("PRAGMA max_page_count = {pages}");
        self.connection.query_row(&limit, [], |_| Ok(())).expect("limit");
    }
}
