//! An SQLite file read whole, without changing it.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension, types::ValueRef};

use super::{BUSY_TIMEOUT, Meta, sibling};
use crate::backend::{
    Counters, Fault, Item, LeaseRow, Numbers, Row, StoredRow,
    contents::{EachItem, Misfit, Source},
    names::{self, Name},
};

/// The table in which a snapshot keeps its digest. A store that is served has none: it would soon be wrong.
pub(super) const SNAPSHOT_TABLE: &str = "kine_snapshot";
/// Version of what a snapshot holds.
pub(super) const SNAPSHOT_FORMAT: i64 = 1;

/// The columns of `kine` that are needed, and those kine does not have.
const COLUMNS: [&str; 9] = [
    "id",
    "name",
    "created",
    "deleted",
    "create_revision",
    "prev_revision",
    "lease",
    "value",
    "old_value",
];
const OUR_COLUMNS: [&str; 3] = ["revision", "sub", "version"];

/// Most lines of SQLite's own check.
const INTEGRITY_LINES: i64 = 100;

/// Why a file cannot be read as a store, as what follows the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system does not let us.
    #[error("cannot be read: {0}")]
    Io(std::io::Error),
    /// It is a snapshot that an etcd made.
    #[error("is a snapshot of an etcd, whose format is another one; start that etcd and copy its keys over")]
    Etcd,
    /// It is no database at all.
    #[error("is not an SQLite database")]
    Foreign,
    /// It is a database of something else.
    #[error("is not a store: it has no table `kine`{0}")]
    NoTable(String),
    /// A newer version made it.
    #[error("is a snapshot of format {0}, which a newer version made; use that version")]
    Newer(i64),
    /// The database failed.
    #[error("cannot be read: {0}")]
    Failed(#[from] Fault),
}

impl From<rusqlite::Error> for Unreadable {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// An SQLite file open for reading, in one transaction from beginning to end.
#[derive(Debug)]
pub struct Contents {
    connection: Connection,
    path: PathBuf,
    has_meta: bool,
    has_leases: bool,
    recorded: Option<String>,
    select: String,
}

impl Contents {
    /// Opens the file at `path`. It may be in use, in which case the newest commit is what is read.
    pub fn open(path: &Path) -> Result<Self, Unreadable> {
        sniff(path)?;
        // Without a log nobody has the file open, and nothing at all needs to be written beside it.
        let quiet = !sibling(path, "-wal").try_exists().map_err(Unreadable::Io)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri(path, quiet), flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch("BEGIN")?;
        let has = |table: &str| {
            connection
                .query_row(
                    "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1",
                    [table],
                    |_| Ok(()),
                )
                .optional()
                .map(|found| found.is_some())
        };
        if !has("kine")? {
            return Err(Unreadable::NoTable(String::new()));
        }
        let present = connection
            .prepare("SELECT name FROM pragma_table_info('kine')")?
            .query_map([], |row| row.get::<_, String>(0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let is_present = |column: &&str| present.iter().any(|present| present == column);
        if let Some(missing) = COLUMNS.iter().find(|column| !is_present(column)) {
            return Err(Unreadable::NoTable(format!(" with a column `{missing}`")));
        }
        let ours = OUR_COLUMNS.map(|column| if is_present(&column) { column } else { "NULL" });
        let select = format!(
            "SELECT {}, {} FROM kine ORDER BY id",
            COLUMNS.join(", "),
            ours.join(", ")
        );
        let (has_meta, has_leases) = (has("kine_meta")?, has("kine_lease")?);
        let recorded = if has(SNAPSHOT_TABLE)? {
            Some(recorded(&connection)?)
        } else {
            None
        };
        Ok(Self {
            path: path.to_owned(),
            has_meta,
            has_leases,
            recorded,
            select,
            connection,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn numbers(&self) -> Result<Numbers, Fault> {
        let number = |meta: Meta| -> Result<Option<i64>, Fault> {
            if !self.has_meta {
                return Ok(None);
            }
            let mut statement = self
                .connection
                .prepare_cached("SELECT value FROM kine_meta WHERE name = ?1")?;
            Ok(statement.query_row([meta.name()], |row| row.get(0)).optional()?)
        };
        Ok(Numbers {
            cluster_id: number(Meta::ClusterId)?.unwrap_or(0),
            member_id: number(Meta::MemberId)?.unwrap_or(0),
            kine_compact_row: self.connection.query_row(
                "SELECT coalesce(max(prev_revision), 0) FROM kine
                 WHERE name = 'compact_rev_key' AND typeof(prev_revision) = 'integer'",
                [],
                |row| row.get(0),
            )?,
            counters: Counters {
                compact_revision: number(Meta::CompactRevision)?,
                compact_row: number(Meta::CompactRow)?,
                alarms: number(Meta::Alarms)?.unwrap_or(0),
                ..Counters::default()
            },
        })
    }
}

/// Tells what is no SQLite database by how it begins.
fn sniff(path: &Path) -> Result<(), Unreadable> {
    /// Where bbolt, etcd's database, has its magic number, and the number.
    const BOLT: (std::ops::Range<usize>, u32) = (16..20, 0xed0c_daed);
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(100).read_to_end(&mut head))
        .map_err(Unreadable::Io)?;
    let bolt = head.get(BOLT.0).and_then(|bytes| bytes.try_into().ok());
    if bolt.map(u32::from_le_bytes) == Some(BOLT.1) {
        Err(Unreadable::Etcd)
    } else if !head.starts_with(b"SQLite format 3\0") {
        Err(Unreadable::Foreign)
    } else {
        Ok(())
    }
}

fn recorded(connection: &Connection) -> Result<String, Unreadable> {
    let sql = format!("SELECT format, digest FROM {SNAPSHOT_TABLE}");
    let found = connection
        .query_row(&sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    match found {
        Some((SNAPSHOT_FORMAT, digest)) => Ok(digest),
        Some((format, _)) if format > SNAPSHOT_FORMAT => Err(Unreadable::Newer(format)),
        // A record that says nothing matches no digest.
        _ => Ok(String::new()),
    }
}

/// The URI of a file; `immutable` keeps SQLite from looking for a log or locking anything.
fn uri(path: &Path, immutable: bool) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    if immutable {
        uri.push_str("?immutable=1");
    }
    uri
}

impl Source for Contents {
    fn integrity(&mut self) -> Result<Vec<String>, Fault> {
        let mut statement = self
            .connection
            .prepare(&format!("PRAGMA integrity_check({INTEGRITY_LINES})"))?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
        let mut lines = lines.collect::<rusqlite::Result<Vec<_>>>()?;
        lines.retain(|line| line != "ok");
        Ok(lines)
    }

    fn dump(&mut self, each: &mut EachItem<'_>) -> Result<(), Fault> {
        each(Ok(Item::Numbers(self.numbers()?)))?;
        let mut statement = self.connection.prepare(&self.select)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(read(row)?.map(Item::Row))?;
        }
        if !self.has_leases {
            return Ok(());
        }
        let mut statement = self.connection.prepare("SELECT id, ttl FROM kine_lease ORDER BY id")?;
        let mut leases = statement.query([])?;
        while let Some(lease) = leases.next()? {
            let (id, ttl) = (lease.get(0)?, lease.get(1)?);
            each(Ok(Item::Lease(LeaseRow { id, ttl, left: None })))?;
        }
        Ok(())
    }

    fn recorded_digest(&mut self) -> Result<Option<String>, Fault> {
        Ok(self.recorded.clone())
    }
}

/// Reads a row in the order of [`COLUMNS`] and [`OUR_COLUMNS`].
fn read(row: &rusqlite::Row<'_>) -> Result<Result<StoredRow, Misfit>, Fault> {
    let id: i64 = row.get(0)?;
    let values: Vec<ValueRef<'_>> = (1..COLUMNS.len() + OUR_COLUMNS.len())
        .map(|at| row.get_ref(at))
        .collect::<rusqlite::Result<_>>()?;
    Ok(fit(id, &values).map_err(|(column, holds)| Misfit { id, column, holds }))
}

type Wrong = (&'static str, &'static str);

fn fit(id: i64, values: &[ValueRef<'_>]) -> Result<StoredRow, Wrong> {
    let [
        name,
        created,
        deleted,
        create_revision,
        prev_row,
        lease,
        value,
        old_value,
        revision,
        sub,
        version,
    ] = values
    else {
        return Err(("name", "too few columns"));
    };
    let key = match name {
        ValueRef::Text(text) => names::decode(Name::Text(text)),
        ValueRef::Blob(bytes) => names::decode(Name::Blob(bytes)),
        other => return Err(("name", kind(other))),
    };
    Ok(StoredRow {
        row: Row {
            id,
            key: key.map(<[u8]>::to_vec),
            created: integer("created", created)?.unwrap_or(0) != 0,
            deleted: integer("deleted", deleted)?.unwrap_or(0) != 0,
            create_revision: integer("create_revision", create_revision)?.unwrap_or(0),
            prev_row: integer("prev_revision", prev_row)?.unwrap_or(0),
            lease: integer("lease", lease)?.unwrap_or(0),
            revision: integer("revision", revision)?,
            version: integer("version", version)?,
        },
        sub: integer("sub", sub)?.unwrap_or(0),
        value: bytes("value", value)?,
        old_value: bytes("old_value", old_value)?,
    })
}

fn integer(column: &'static str, value: &ValueRef<'_>) -> Result<Option<i64>, Wrong> {
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(number) => Ok(Some(*number)),
        other => Err((column, kind(other))),
    }
}

/// kine's own rows, and those people write, may hold text.
fn bytes(column: &'static str, value: &ValueRef<'_>) -> Result<Option<Bytes>, Wrong> {
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Some(Bytes::copy_from_slice(bytes))),
        other => Err((column, kind(other))),
    }
}

fn kind(value: &ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "nothing",
        ValueRef::Integer(_) => "a number",
        ValueRef::Real(_) => "a fraction",
        ValueRef::Text(_) => "text",
        ValueRef::Blob(_) => "bytes",
    }
}
