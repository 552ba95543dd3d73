//! The connection that writes.

use std::{fs::File, path::Path, sync::Arc};

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::{
    Meta, blob, each_lease,
    log::{self, Log},
    meta, numbers, row, value,
};
use crate::backend::{
    Fault, Item, LeaseRow, NewRow, Row, StoredRow,
    dialect::{Dialect, SQLITE},
    driver::{self, Begun, Changes, LeaseWrite, Purpose, Wish},
    endpoint::Synchronous,
    names, random_id,
};

/// Page cache of the writing connection, in KiB.
pub(super) const CACHE_KIB: i64 = 2048;
/// Pages given back to the file system at once.
const VACUUM_PAGES: i64 = 64;
/// Free pages worth keeping for the next writes.
const SPARE_PAGES: i64 = 256;

/// The one connection that writes.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    dialect: &'static Dialect,
    open: bool,
    /// Where kine's own row is: without an index on names, looking for it means reading everything.
    compact_row: i64,
    log: Log,
    /// Closed after the connections.
    _database: Arc<File>,
    /// Released last.
    _lock: File,
}

impl Writer {
    /// A writer on the open database at `path`; `lock` is held as long as it lives.
    pub(super) fn new(path: &Path, mut connection: Connection, database: Arc<File>, lock: File) -> Result<Self, Fault> {
        let log = Log::new(path, database.clone(), &mut connection)?;
        Ok(Self {
            connection,
            dialect: &SQLITE,
            open: false,
            compact_row: 0,
            log,
            _database: database,
            _lock: lock,
        })
    }

    /// Sets the connection up and brings the tables up to date.
    pub(super) fn prepare(&mut self, synchronous: Synchronous) -> Result<(), Fault> {
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
            "PRAGMA synchronous = {}; PRAGMA journal_size_limit = {};",
            synchronous.pragma(),
            log::KEPT
        ))?;
        self.start()?;
        let done = self.migrate();
        if done.is_err() {
            self.undo();
            return done;
        }
        self.compact_row = self
            .connection
            .query_row(self.dialect.find_compact_row, [], |row| row.get(0))?;
        self.finish()
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
        let last: i64 = connection.query_row(self.dialect.last_id, [], |row| row.get(0))?;
        if last == 0 {
            // kine's own row takes row 1, and revision 1 is where an empty etcd starts.
            connection.execute(self.dialect.compact_row, [1])?;
        }
        for id in [Meta::ClusterId, Meta::MemberId] {
            if meta(connection, self.dialect, id)?.is_none() {
                self.set_meta(id, random_id())?;
            }
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), Fault> {
        if !self.open {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.open = true;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Fault> {
        let done = self.connection.execute_batch("COMMIT").map_err(Fault::from);
        if done.is_err() {
            self.undo();
        }
        self.open = false;
        done
    }

    /// Undoes the open transaction. That it fails means SQLite has undone it already.
    fn undo(&mut self) {
        if self.open && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.open = false;
    }

    fn insert(&self, rows: &[NewRow<'_>]) -> Result<(), Fault> {
        let mut insert = self.connection.prepare_cached(self.dialect.insert)?;
        for row in rows {
            let revision = (row.revision != row.id).then_some(row.revision);
            let sub = (row.sub != 0).then_some(row.sub);
            insert.execute(params![
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
        }
        Ok(())
    }

    fn set_meta(&self, meta: Meta, value: i64) -> Result<(), Fault> {
        self.connection
            .prepare_cached(self.dialect.set_meta)?
            .execute(params![meta.name(), value])?;
        Ok(())
    }

    fn apply(&self, changes: &Changes<'_>) -> Result<(), Fault> {
        let prepare = |statement| self.connection.prepare_cached(statement);
        self.insert(&changes.rows)?;
        for change in &changes.leases {
            match change {
                LeaseWrite::Grant { id, ttl } => prepare(self.dialect.put_lease)?.execute([id, ttl])?,
                // When a lease ends is known in memory only.
                LeaseWrite::Renew { .. } => 0,
                LeaseWrite::Revoke { id } => prepare(self.dialect.delete_lease)?.execute([id])?,
            };
        }
        if let Some((revision, row)) = changes.compacted {
            self.set_meta(Meta::CompactRevision, revision)?;
            self.set_meta(Meta::CompactRow, row)?;
            prepare(self.dialect.set_compact_row)?.execute([row, self.compact_row])?;
        }
        if let Some(alarms) = changes.alarms {
            self.set_meta(Meta::Alarms, alarms)?;
        }
        if !changes.removed.is_empty() {
            let mut delete = prepare(self.dialect.delete)?;
            // Neighbours go in one statement.
            for run in changes.removed.chunk_by(|id, next| id + 1 == *next) {
                if let [first, ..] = run {
                    delete.execute([first, &run[run.len() - 1]])?;
                }
            }
        }
        Ok(())
    }

    /// Keeps the file from growing beyond `pages` pages, which is what a full disk looks like.
    #[cfg(test)]
    pub(crate) fn limit(&self, pages: i64) {
        let limit = format!("PRAGMA max_page_count = {pages}");
        self.connection.query_row(&limit, [], |_| Ok(())).expect("limit");
    }
}

impl driver::Writer for Writer {
    fn load(&mut self, each: &mut dyn FnMut(Item<Row>)) -> Result<(), Fault> {
        each(Item::Numbers(numbers(&self.connection, self.dialect)?));
        let mut statement = self.connection.prepare(self.dialect.load)?;
        let mut rows = statement.query([])?;
        while let Some(found) = rows.next()? {
            each(Item::Row(row(found)?));
        }
        each_lease(&self.connection, self.dialect, |lease| {
            each(Item::Lease(lease));
            Ok(())
        })
    }

    fn begin(&mut self, _: Purpose, _: &Wish) -> Result<Option<Begun>, Fault> {
        Ok(None)
    }

    fn news(&mut self, _: i64, _: &mut dyn FnMut(StoredRow)) -> Result<(), Fault> {
        Ok(())
    }

    fn leases(&mut self) -> Result<Vec<LeaseRow>, Fault> {
        let mut leases = Vec::new();
        each_lease(&self.connection, self.dialect, |lease| {
            leases.push(lease);
            Ok(())
        })?;
        Ok(leases)
    }

    fn value(&self, id: i64) -> Result<Option<Bytes>, Fault> {
        value(&self.connection, self.dialect, id)
    }

    fn commit(&mut self, changes: &Changes<'_>) -> Result<(), Fault> {
        self.start()?;
        self.apply(changes)?;
        self.finish()
    }

    fn rollback(&mut self) {
        self.undo();
    }

    fn defragment(&mut self) -> Result<(), Fault> {
        self.log.rest();
        Ok(self.connection.execute_batch("VACUUM")?)
    }

    fn tend_log(&mut self) -> Result<bool, Fault> {
        self.log.tend(&self.connection)
    }

    fn checkpoint(&mut self) -> Result<(), Fault> {
        self.log.move_all(&self.connection)
    }

    /// Does nothing in a file that kine made.
    fn reclaim(&mut self) -> Result<bool, Fault> {
        let number = |pragma: &str| self.connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
        if number("PRAGMA auto_vacuum")? == 0 || number("PRAGMA freelist_count")? <= SPARE_PAGES {
            return Ok(false);
        }
        let mut statement = self
            .connection
            .prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(true)
    }
}
