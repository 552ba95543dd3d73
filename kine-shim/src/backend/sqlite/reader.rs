//! The connections that read.

use std::{
    fs::File,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Mutex,
};

use bytes::Bytes;
use chassis::lock;
use rusqlite::{Connection, OpenFlags};

use super::{blob, connect, key, number, sibling, size, value};
use crate::backend::{
    Fault, Payload, Size,
    dialect::{Dialect, SQLITE},
};

/// Page cache of a reading connection, in KiB.
const CACHE_KIB: i64 = 512;
/// Reading connections kept open while nobody uses them.
const IDLE_READERS: usize = 1;

/// The connections that read. Each reads from a consistent snapshot and holds up nobody.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    dialect: &'static Dialect,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Readers of the database at `path`; connections are made when they are needed.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            dialect: &SQLITE,
            idle: Mutex::default(),
        }
    }

    /// Lends `work` a reader; blocks the calling thread.
    pub fn with<T>(&self, work: impl FnOnce(&Reader<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let idle = lock(&self.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = connect(&self.path, OpenFlags::empty(), CACHE_KIB)?;
                connection.execute_batch("PRAGMA query_only = ON")?;
                connection
            }
        };
        let done = work(&Reader {
            connection: &connection,
            dialect: self.dialect,
        });
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        done
    }

    /// Makes a consistent copy of the whole database. The copy has no name any more: it goes when it is closed.
    pub fn copy(&self, suffix: &str) -> Result<File, Fault> {
        let target = sibling(&self.path, suffix);
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

/// A reading connection on loan.
#[derive(Debug)]
pub struct Reader<'a> {
    connection: &'a Connection,
    dialect: &'static Dialect,
}

impl Reader<'_> {
    /// The value of a row, `None` when the row is gone.
    pub fn value(&self, id: i64) -> Result<Option<Bytes>, Fault> {
        value(self.connection, self.dialect, id)
    }

    /// Calls `each` with the rows from identifier `from` up to, not including, `to`, until it breaks off.
    pub fn payloads(&self, from: i64, to: i64, mut each: impl FnMut(Payload) -> ControlFlow<()>) -> Result<(), Fault> {
        let mut statement = self.connection.prepare_cached(self.dialect.payloads)?;
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
    }

    /// Runs `work` on one snapshot of the database.
    pub fn snapshot<T>(&self, work: impl FnOnce(&Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let transaction = self.connection.unchecked_transaction()?;
        let done = work(self);
        transaction.finish()?;
        done
    }

    /// How large the database is.
    pub fn size(&self) -> Result<Size, Fault> {
        size(self.connection, self.dialect)
    }
}
