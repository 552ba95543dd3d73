//! A new SQLite file: written whole under another name, then put in its place.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, params};

use super::{
    Meta, OpenError, connect,
    contents::{Contents, SNAPSHOT_FORMAT, SNAPSHOT_TABLE, Unreadable},
    lock, sibling,
};
use crate::backend::{
    Fault, LeaseRow, Numbers, StoredRow,
    contents::{Source, Target},
    dialect::SQLITE,
    names,
};

/// Page cache while a file is written, in KiB.
const CACHE_KIB: i64 = 8192;

/// A file in the making. It goes when it is dropped before it has been put in its place.
#[derive(Debug)]
pub struct Build {
    connection: Option<Connection>,
    partial: Partial,
    /// The file to replace.
    path: PathBuf,
    /// The lock of the store that is replaced, held until it has been. A snapshot replaces no store and needs none.
    _lock: Option<File>,
}

/// A file under a name of its own, locked as long as somebody works on it.
#[derive(Debug)]
struct Partial {
    path: PathBuf,
    lock: File,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It is gone already when it was put in its place.
        let _ = fs::remove_file(&self.path);
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Fault {
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Fault::NoSpace(format!("{}: {error}", path.display()))
        }
        _ => Fault::Other(format!("{}: {error}", path.display())),
    }
}

impl Build {
    /// Starts a snapshot that is going to be the file at `path`.
    pub fn snapshot(path: &Path) -> Result<Self, Fault> {
        Self::start(path, "-partial-", None)
    }

    /// Starts a store that is going to be the one at `path`, which nobody may have open.
    pub fn store(path: &Path) -> Result<Self, OpenError> {
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        if let Some(directory) = directory {
            fs::create_dir_all(directory).map_err(|source| OpenError::Io {
                path: directory.to_owned(),
                source,
            })?;
        }
        let lock = lock(path)?;
        if !path.exists() && sibling(path, "-wal").exists() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        Self::start(path, "-restore-", Some(lock)).map_err(|fault| OpenError::from_fault(path, fault))
    }

    fn start(path: &Path, mark: &str, lock: Option<File>) -> Result<Self, Fault> {
        sweep(path, mark);
        let partial = Partial::create(sibling(path, &format!("{mark}{}", std::process::id())))?;
        let connection = connect(&partial.path, OpenFlags::SQLITE_OPEN_CREATE, CACHE_KIB)?;
        // Until it is finished nobody needs the file, so nothing protects it against a crash.
        connection
            .execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
        connection.execute_batch("BEGIN")?;
        for statement in SQLITE.schema {
            connection.execute(statement, [])?;
        }
        Ok(Self {
            connection: Some(connection),
            partial,
            path: path.to_owned(),
            _lock: lock,
        })
    }

    fn connection(&self) -> Result<&Connection, Fault> {
        self.connection
            .as_ref()
            .ok_or_else(|| Fault::Other("the new file is finished already".into()))
    }

    /// Records the digest of everything in the file, which makes it a snapshot.
    pub fn record(&mut self, digest: &str) -> Result<(), Fault> {
        let connection = self.connection()?;
        connection.execute(
            &format!("CREATE TABLE {SNAPSHOT_TABLE} (format INTEGER NOT NULL, digest TEXT NOT NULL)"),
            [],
        )?;
        connection.execute(
            &format!("INSERT INTO {SNAPSHOT_TABLE} VALUES (?1, ?2)"),
            params![SNAPSHOT_FORMAT, digest],
        )?;
        Ok(())
    }
}

impl Target for Build {
    fn replaces_something(&mut self) -> Result<bool, Fault> {
        let exists = self.path.try_exists().map_err(failed(&self.path))?;
        let empty = || Contents::open(&self.path).is_ok_and(|mut contents| contents.is_empty().unwrap_or(false));
        Ok(exists && !empty())
    }

    fn push(&mut self, stored: &StoredRow) -> Result<(), Fault> {
        let row = &stored.row;
        let name = row
            .key
            .as_deref()
            .map_or(names::Name::Text(names::COMPACT_ROW), names::encode);
        self.connection()?.prepare_cached(SQLITE.insert)?.execute(params![
            row.id,
            name,
            row.created,
            row.deleted,
            row.create_revision,
            row.prev_row,
            row.lease,
            row.revision,
            (stored.sub != 0).then_some(stored.sub),
            row.version,
            stored.value.as_deref(),
            stored.old_value.as_deref(),
        ])?;
        Ok(())
    }

    fn finish(&mut self, numbers: &Numbers, leases: &[LeaseRow]) -> Result<(), Fault> {
        let connection = self.connection()?;
        let known = |id: i64| (id != 0).then_some(id);
        for (meta, value) in [
            (Meta::ClusterId, known(numbers.cluster_id)),
            (Meta::MemberId, known(numbers.member_id)),
            (Meta::CompactRevision, numbers.counters.compact_revision),
            (Meta::CompactRow, numbers.counters.compact_row),
        ] {
            if let Some(value) = value {
                connection.execute(SQLITE.set_meta, params![meta.name(), value])?;
            }
        }
        for lease in leases {
            connection.execute(SQLITE.put_lease, [lease.id, lease.ttl])?;
        }
        connection.execute_batch("COMMIT")?;
        if let Some(connection) = self.connection.take() {
            connection.close().map_err(|(_, error)| error)?;
        }
        self.partial.lock.sync_all().map_err(failed(&self.partial.path))
    }

    fn read_back(&mut self) -> Result<Box<dyn Source + '_>, Fault> {
        match Contents::open(&self.partial.path) {
            Ok(contents) => Ok(Box::new(contents)),
            Err(Unreadable::Failed(fault)) => Err(fault),
            Err(error) => Err(Fault::Damaged(format!("the new file {error}"))),
        }
    }

    fn swap(self: Box<Self>, keep: bool) -> Result<Option<String>, Fault> {
        let is_store = self._lock.is_some();
        let kept = if is_store { retire(&self.path, keep)? } else { None };
        fs::rename(&self.partial.path, &self.path).map_err(failed(&self.path))?;
        sync_directory(&self.path)?;
        Ok(kept.map(|kept| kept.display().to_string()))
    }
}

impl Partial {
    fn create(path: PathBuf) -> Result<Self, Fault> {
        let lock = File::create(&path).map_err(failed(&path))?;
        lock.try_lock()
            .map_err(|error| Fault::Busy(format!("{}: {error}", path.display())))?;
        Ok(Self { path, lock })
    }
}

/// Removes what runs that were cut off have left.
fn sweep(path: &Path, mark: &str) {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let name = sibling(path, mark);
    let Some(prefix) = name.file_name() else { return };
    let entries = fs::read_dir(directory.unwrap_or(Path::new(".")))
        .into_iter()
        .flatten()
        .flatten();
    for entry in entries {
        let ours = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(prefix.as_encoded_bytes());
        // Whoever still works on it holds its lock.
        if ours && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes the store at `path` ready to be replaced: everything it has goes into the one file, which gets a second name if
/// it is to be kept. Until the new file takes the first name, the old store is whole and can be used.
fn retire(path: &Path, keep: bool) -> Result<Option<PathBuf>, Fault> {
    let io = failed(path);
    let (log, shared) = (sibling(path, "-wal"), sibling(path, "-shm"));
    let exists = path.try_exists().map_err(&io)?;
    if exists && log.try_exists().map_err(&io)? {
        // Closing the last connection to a healthy file empties and removes the log.
        let connection = connect(path, OpenFlags::empty(), CACHE_KIB)?;
        let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        drop(connection);
        match emptied.map_err(Fault::from) {
            // A damaged file keeps its log, under the name that goes with the file's new one.
            Ok(0) | Err(Fault::Damaged(_)) => {}
            Ok(_) => return Err(Fault::Busy("a reader keeps its log from being emptied".into())),
            Err(fault) => return Err(fault),
        }
    }
    let mut kept = None;
    if exists && keep {
        let name = free_name(path)?;
        for suffix in ["", "-wal"] {
            let (from, to) = (sibling(path, suffix), sibling(&name, suffix));
            if from.try_exists().map_err(&io)? {
                second_name(&from, &to).map_err(failed(&to))?;
            }
        }
        sync_directory(path)?;
        kept = Some(name);
    }
    for leftover in [log, shared] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&leftover)(error)),
            _ => {}
        }
    }
    Ok(kept)
}

/// A link costs nothing; where the file system has none, a copy does.
fn second_name(from: &Path, to: &Path) -> io::Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}

/// The first name of the kind `state.db-replaced-1` that is free.
fn free_name(path: &Path) -> Result<PathBuf, Fault> {
    for number in 1_u32.. {
        let name = sibling(path, &format!("-replaced-{number}"));
        if !name.try_exists().map_err(failed(&name))? {
            return Ok(name);
        }
    }
    Err(Fault::Other(format!(
        "{}: no name is free for the old file",
        path.display()
    )))
}

fn sync_directory(path: &Path) -> Result<(), Fault> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))
        .and_then(|directory| directory.sync_all())
        .map_err(failed(path))
}
