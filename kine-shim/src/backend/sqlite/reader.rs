//! The connections that read.

use std::{
    cmp::Ordering,
    fs::File,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use chassis::lock;
use rusqlite::{Connection, OpenFlags, types::ValueRef};

use super::{blob, connect, each_lease, key, number, numbers, row, sibling, size};
use crate::backend::{
    Fault, Item, Payload, Size, StoredRow,
    dialect::{Dialect, SQLITE},
    driver, random_id,
};

/// Page cache of a reading connection, in KiB.
const CACHE_KIB: i64 = 512;
/// Rows at most this far apart are reached by stepping from one to the other, others are looked up.
const NEAR: i64 = 16;
/// Reading connections kept open while nobody uses them.
const IDLE_READERS: usize = 1;

/// The connections that read. Each reads from a consistent snapshot and holds up nobody.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    dialect: &'static Dialect,
    idle: Mutex<Vec<Connection>>,
    /// Closed after the connections.
    _database: Arc<File>,
}

impl Readers {
    /// Readers of the database at `path`; connections are made when they are needed.
    pub(super) fn new(path: &Path, database: Arc<File>) -> Self {
        Self {
            path: path.to_owned(),
            dialect: &SQLITE,
            idle: Mutex::default(),
            _database: database,
        }
    }

    /// Lends `work` a connection.
    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let idle = lock(&self.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = connect(&self.path, OpenFlags::empty(), CACHE_KIB)?;
                connection.execute_batch("PRAGMA query_only = ON")?;
                connection
            }
        };
        let done = work(&connection);
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        done
    }
}

impl driver::Readers for Readers {
    fn values(&self, ids: &[i64], each: &mut dyn FnMut(usize, Bytes)) -> Result<bool, Fault> {
        self.with(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut statement = connection.prepare_cached(self.dialect.values)?;
            let mut at = 0;
            for run in ids.chunk_by(|id, next| next - id <= NEAR) {
                let mut rows = statement.query([run[0], run[run.len() - 1]])?;
                for id in run {
                    loop {
                        let Some(row) = rows.next()? else { return Ok(false) };
                        match row.get::<_, i64>(0)?.cmp(id) {
                            Ordering::Less => {}
                            Ordering::Equal => {
                                each(at, Bytes::from(blob(row.get_ref(1)?)));
                                break;
                            }
                            Ordering::Greater => return Ok(false),
                        }
                    }
                    at += 1;
                }
            }
            drop(statement);
            snapshot.finish()?;
            Ok(true)
        })
    }

    fn payloads(&self, from: i64, to: i64, each: &mut dyn FnMut(Payload) -> ControlFlow<()>) -> Result<(), Fault> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(self.dialect.payloads)?;
            let mut rows = statement.query([from, to])?;
            while let Some(row) = rows.next()? {
                let Some(key) = key(row.get_ref(1)?) else { continue };
                let payload = Payload {
                    id: row.get(0)?,
                    key,
                    sub: number(row.get_ref(2)?),
                    value: blob(row.get_ref(3)?),
                    old_value: blob(row.get_ref(4)?),
                };
                if each(payload).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn dump(&self, each: &mut dyn FnMut(Item<StoredRow>) -> Result<(), Fault>) -> Result<(), Fault> {
        self.with(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            each(Item::Numbers(numbers(connection, self.dialect)?))?;
            {
                let mut statement = connection.prepare(self.dialect.dump)?;
                let mut rows = statement.query([])?;
                let bytes = |value: ValueRef<'_>| value.as_bytes().ok().map(Bytes::copy_from_slice);
                while let Some(found) = rows.next()? {
                    each(Item::Row(StoredRow {
                        row: row(found)?,
                        sub: number(found.get_ref(9)?),
                        value: bytes(found.get_ref(10)?),
                        old_value: bytes(found.get_ref(11)?),
                    }))?;
                }
            }
            each_lease(connection, self.dialect, |lease| each(Item::Lease(lease)))?;
            Ok(snapshot.finish()?)
        })
    }

    fn size(&self) -> Result<Size, Fault> {
        self.with(|connection| size(connection, self.dialect))
    }

    fn log_bytes(&self) -> i64 {
        let log = std::fs::metadata(sibling(&self.path, "-wal"));
        log.map_or(0, |log| i64::try_from(log.len()).unwrap_or(i64::MAX))
    }

    fn copy(&self) -> Result<File, Fault> {
        let target = sibling(&self.path, &format!("-snapshot-{:016x}", random_id()));
        let io = |error: std::io::Error| Fault::Other(format!("{}: {error}", target.display()));
        let connection = connect(&self.path, OpenFlags::empty(), CACHE_KIB)?;
        let copied = connection.execute("VACUUM INTO ?1", [target.to_string_lossy()]);
        let file = File::open(&target).map_err(io);
        let removed = std::fs::remove_file(&target).map_err(io);
        copied?;
        removed?;
        file
    }
}
