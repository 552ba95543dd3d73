//! SQLite: write-ahead log, `synchronous=FULL`, one writing connection and a few reading ones.

mod ahead;
mod build;
mod contents;
mod export;
mod log;
mod reader;
mod writer;

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, ToSql,
    types::{ToSqlOutput, ValueRef},
};

pub use self::{
    build::Build,
    contents::{Contents, Unreadable},
    export::export,
    reader::Readers,
    writer::Writer,
};
use super::{
    Counters, Fault, LeaseRow, Numbers, Row, Size,
    dialect::Dialect,
    endpoint::Synchronous,
    names::{self, Name},
};

/// How long a connection waits for a lock another process holds, for example a shell someone opened.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A number that belongs to the whole store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meta {
    ClusterId,
    MemberId,
    CompactRevision,
    CompactRow,
    Alarms,
}

impl Meta {
    /// The name of the number in table `kine_meta`.
    const fn name(self) -> &'static str {
        match self {
            Self::ClusterId => "cluster_id",
            Self::MemberId => "member_id",
            Self::CompactRevision => "compact_revision",
            Self::CompactRow => "compact_row",
            Self::Alarms => "alarms",
        }
    }
}

/// How long a process that starts waits for the lock of one that ends, and the pause between attempts.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

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
pub fn open(path: &Path, synchronous: Synchronous) -> Result<(Writer, Readers), OpenError> {
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
    let connection = connect(path, OpenFlags::SQLITE_OPEN_CREATE, writer::CACHE_KIB).map_err(fault)?;
    if exists {
        check(&connection).map_err(fault)?;
    }
    // Whoever closes a file gives up all locks its process has on it, so this is done last.
    let database = Arc::new(File::open(path).map_err(io)?);
    let mut writer = Writer::new(path, connection, database.clone(), lock).map_err(fault)?;
    writer.prepare(synchronous).map_err(fault)?;
    if let Err(error) = log::reserve(path) {
        tracing::warn!(%error, "there is no space to reserve for the write-ahead log; writes will take longer");
    }
    Ok((writer, Readers::new(path, database)))
}

/// Takes the lock that keeps a second process from opening the same database; it ends with the process. A process that is
/// just ending, or a child it is just starting, may hold it for a moment longer.
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
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(fs::TryLockError::Error(error)) => return Err(io(error)),
        }
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
    connection.execute_batch(&format!("PRAGMA cache_size = -{cache_kib}"))?;
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

fn value(connection: &Connection, dialect: &Dialect, id: i64) -> Result<Option<Bytes>, Fault> {
    let mut statement = connection.prepare_cached(dialect.value)?;
    let value = statement
        .query_row([id], |row| Ok(Bytes::from(blob(row.get_ref(0)?))))
        .optional()?;
    Ok(value)
}

fn meta(connection: &Connection, dialect: &Dialect, meta: Meta) -> Result<Option<i64>, Fault> {
    let mut statement = connection.prepare_cached(dialect.meta)?;
    Ok(statement.query_row([meta.name()], |row| row.get(0)).optional()?)
}

fn numbers(connection: &Connection, dialect: &Dialect) -> Result<Numbers, Fault> {
    let number = |id| meta(connection, dialect, id);
    Ok(Numbers {
        cluster_id: number(Meta::ClusterId)?.unwrap_or(0),
        member_id: number(Meta::MemberId)?.unwrap_or(0),
        kine_compact_row: connection.query_row(dialect.compacted_row, [], |row| row.get(0))?,
        counters: Counters {
            compact_revision: number(Meta::CompactRevision)?,
            compact_row: number(Meta::CompactRow)?,
            alarms: number(Meta::Alarms)?.unwrap_or(0),
            ..Counters::default()
        },
    })
}

/// Reads the columns that every statement about rows begins with.
fn row(found: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: found.get(0)?,
        key: key(found.get_ref(1)?),
        created: number(found.get_ref(2)?) != 0,
        deleted: number(found.get_ref(3)?) != 0,
        create_revision: number(found.get_ref(4)?),
        prev_row: number(found.get_ref(5)?),
        lease: number(found.get_ref(6)?),
        revision: found.get(7)?,
        version: found.get(8)?,
    })
}

fn each_lease(
    connection: &Connection,
    dialect: &Dialect,
    mut each: impl FnMut(LeaseRow) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut statement = connection.prepare(dialect.leases)?;
    let mut leases = statement.query([])?;
    while let Some(lease) = leases.next()? {
        each(LeaseRow {
            id: lease.get(0)?,
            ttl: lease.get(1)?,
            left: None,
        })?;
    }
    Ok(())
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
