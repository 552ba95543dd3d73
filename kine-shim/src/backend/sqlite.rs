//! SQLite: write-ahead log, `synchronous=FULL`, one writing connection and a few reading ones.

use std::{
    fs::{self, File, OpenOptions},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, ToSql, params,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    Fault, Meta, NewRow, Payload, Row, Size,
    dialect::{Dialect, SQLITE},
    names::{self, Name},
};

/// How long a connection waits for a lock another process holds, for example a shell someone opened.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Page cache of the writing connection, in KiB.
const WRITER_CACHE_KIB: i64 = 2048;
/// Page cache of a reading connection, in KiB.
const READER_CACHE_KIB: i64 = 512;
/// Reading connections kept open while nobody uses them.
const IDLE_READERS: usize = 1;
/// Pages in the write-ahead log at which a commit checkpoints by itself, should the writer not have done so before.
const CHECKPOINT_PAGES: i64 = 8192;
/// Bytes the write-ahead log is cut to after a checkpoint.
const LOG_LIMIT: i64 = 16 << 20;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoSpace(text),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(text),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(text),
            _ => Self::Other(text),
        }
    }
}

impl ToSql for Name<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(text) => ValueRef::Text(text),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// An error that keeps the store from opening, worded for the person who starts it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file could not be reached.
    #[error("--endpoint: cannot open {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process uses the file.
    #[error("--endpoint: {0} is in use by another process; stop that one first")]
    InUse(PathBuf),
    /// The log is there and the database is not.
    #[error(
        "--endpoint: {0} is missing but its write-ahead log is there; put the file back or move the log away, \
         nothing was changed"
    )]
    Missing(PathBuf),
    /// The check at start failed.
    #[error("--endpoint: {path} is damaged ({reason}); restore a snapshot of it, nothing was changed")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the check found.
        reason: String,
    },
    /// Anything else.
    #[error("--endpoint: {path}: {fault}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the database said.
        fault: Fault,
    },
}

impl OpenError {
    /// The error for a database at `path` that failed while it was opened.
    pub fn from_fault(path: &Path, fault: Fault) -> Self {
        match fault {
            Fault::Damaged(reason) => Self::Damaged {
                path: path.to_owned(),
                reason,
            },
            fault => Self::Failed {
                path: path.to_owned(),
                fault,
            },
        }
    }
}

/// Opens the database at `path`, creating it if there is none, checks it, and brings its tables up to date.
pub fn open(path: &Path) -> Result<(Writer, Readers), OpenError> {
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory).map_err(io)?;
    }
    let lock = lock(path)?;
    let exists = path.try_exists().map_err(io)?;
    if !exists && sibling(path, "-wal").try_exists().map_err(io)? {
        return Err(OpenError::Missing(path.to_owned()));
    }
    let fault = |fault| OpenError::from_fault(path, fault);
    let connection = connect(path, OpenFlags::SQLITE_OPEN_CREATE, WRITER_CACHE_KIB).map_err(fault)?;
    if exists {
        check(&connection).map_err(fault)?;
    }
    let mut writer = Writer {
        connection,
        dialect: &SQLITE,
        open: false,
        _lock: lock,
    };
    writer.prepare().map_err(fault)?;
    let readers = Readers {
        path: path.to_owned(),
        dialect: &SQLITE,
        idle: Mutex::default(),
    };
    Ok((writer, readers))
}

/// Takes the lock that keeps a second process from opening the same database; it ends with the process.
fn lock(path: &Path) -> Result<File, OpenError> {
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(sibling(path, "-lock"))
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(io(error)),
    }
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn connect(path: &Path, create: OpenFlags, cache_kib: i64) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(&format!(
        "PRAGMA cache_size = -{cache_kib}; PRAGMA temp_store = MEMORY;"
    ))?;
    Ok(connection)
}

fn check(connection: &Connection) -> Result<(), Fault> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(Fault::Damaged(verdict))
    }
}

/// The one connection that writes.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    dialect: &'static Dialect,
    open: bool,
    _lock: File,
}

impl Writer {
    fn prepare(&mut self) -> Result<(), Fault> {
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

    /// The highest row identifier ever handed out, be the row still there or not.
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
}

/// The connections that read. Each reads from a consistent snapshot and holds up nobody.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    dialect: &'static Dialect,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Lends `work` a reader; blocks the calling thread.
    pub fn with<T>(&self, work: impl FnOnce(&Reader<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = connect(&self.path, OpenFlags::empty(), READER_CACHE_KIB)?;
                connection.execute_batch("PRAGMA query_only = ON")?;
                connection
            }
        };
        let done = work(&Reader {
            connection: &connection,
            dialect: self.dialect,
        });
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        done
    }

    /// The path of a file next to the database.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        sibling(&self.path, suffix)
    }

    /// Writes a consistent copy of the whole database to `target`, which must not exist.
    pub fn copy_to(&self, target: &Path) -> Result<(), Fault> {
        let connection = connect(&self.path, OpenFlags::empty(), READER_CACHE_KIB)?;
        connection.execute("VACUUM INTO ?1", [target.to_string_lossy()])?;
        Ok(())
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

fn value(connection: &Connection, dialect: &Dialect, id: i64) -> Result<Option<Bytes>, Fault> {
    let mut statement = connection.prepare_cached(dialect.value)?;
    let value = statement
        .query_row([id], |row| Ok(Bytes::from(blob(row.get_ref(0)?))))
        .optional()?;
    Ok(value)
}

fn size(connection: &Connection, dialect: &Dialect) -> Result<Size, Fault> {
    let (pages, free, bytes): (i64, i64, i64) =
        connection.query_row(dialect.size, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(Size {
        total: pages * bytes,
        used: (pages - free) * bytes,
    })
}

/// A number that kine may have left NULL.
fn number(value: ValueRef<'_>) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn blob(value: ValueRef<'_>) -> Vec<u8> {
    value.as_bytes().map(<[u8]>::to_vec).unwrap_or_default()
}

fn key(name: ValueRef<'_>) -> Option<Vec<u8>> {
    let name = match name {
        ValueRef::Text(text) => Name::Text(text),
        ValueRef::Blob(bytes) => Name::Blob(bytes),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => return None,
    };
    names::decode(name).map(<[u8]>::to_vec)
}
