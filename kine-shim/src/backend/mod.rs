//! The database below the store: one connection that writes, a few that read, and what can go wrong with them. [`driver`]
//! says what every kind of database must be able to do.
//!
//! # The table
//!
//! Everything is in table `kine`, one row per change of a key, with the columns kine gives it: `id`, `name`, `created`,
//! `deleted`, `create_revision`, `prev_revision` (the row this one replaces), `lease`, `value` and `old_value`. A database
//! kine wrote therefore opens, and the queries people know (`SELECT max(id) FROM kine WHERE name = …`) go on working.
//!
//! kine has one revision per row, while etcd gives all changes of a transaction one revision. So a row keeps an `id` of its
//! own, handed out without gaps in commit order, and three further columns say what kine does not know: `revision` (NULL
//! where it is the same as `id`, which is always so until the first transaction that changed several keys), `sub` (the
//! position of the change within its transaction) and `version` (the number of writes since the key was created). The
//! reverse way, from a revision to its rows, is kept in memory ([`crate::store::anchors`]). The alternatives were to pack
//! revision and position into `id`, which kine could not read, or to hand out one revision per row, which is not what
//! etcd answers.
//!
//! The store needs no `old_value`: the row before is there as long as anybody may ask for it. It is written for deletions,
//! where kine hands it to API servers, and left NULL elsewhere, which halves what an update writes.
//!
//! Row `compact_rev_key` is kine's own: its `prev_revision` is the row the table is compacted to. The key of that name,
//! which API servers use, is stored as `compact_rev_key_apiserver`, as kine does. Names that are not UTF-8 are stored as
//! BLOBs; on a server, where the column holds text only, they are in a column `raw_name` and `name` has a digest. Leases and
//! the few numbers that belong to the whole store are in tables of their own.

pub mod contents;
pub mod dialect;
pub mod driver;
mod dsn;
pub mod endpoint;
pub mod mysql;
pub mod names;
pub mod observed;
pub mod postgres;
pub mod sqlite;
mod tls;

use std::hash::{BuildHasher, Hasher as _, RandomState};

use bytes::Bytes;

use self::{
    contents::Target,
    driver::{Peers, Readers, Writer},
    endpoint::{DatastoreOptions, Endpoint},
};

/// A database that is open.
#[derive(Debug)]
pub struct Backend {
    /// The connection that writes.
    pub writer: Box<dyn Writer>,
    /// The connections that read.
    pub readers: Box<dyn Readers>,
    /// Where one hears of other processes that write to the database; `None` when there cannot be any.
    pub peers: Option<Box<dyn Peers>>,
}

/// An error that keeps a database from opening: one sentence for the person who starts the service, naming the flag.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An SQLite file.
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
    /// A database server.
    #[error("--endpoint: {endpoint}: {fault}")]
    Server {
        /// The endpoint without its password.
        endpoint: String,
        /// What went wrong.
        fault: Fault,
    },
    /// The system has no thread left.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

impl OpenError {
    /// The error for a database that failed while it was opened or loaded.
    pub fn new(endpoint: &Endpoint, fault: Fault) -> Self {
        match endpoint {
            Endpoint::Sqlite(path) => sqlite::OpenError::from_fault(path, fault).into(),
            Endpoint::Postgres(server) | Endpoint::Mysql(server) => Self::Server {
                endpoint: server.to_string(),
                fault,
            },
        }
    }
}

/// Opens the database, creating what is missing, and brings its tables up to date. Blocks the calling thread, which must
/// not be one that runs asynchronous tasks.
pub fn open(endpoint: &Endpoint, options: &DatastoreOptions) -> Result<Backend, OpenError> {
    match endpoint {
        Endpoint::Sqlite(path) => {
            let (writer, readers) = sqlite::open(path, options.sqlite_synchronous)?;
            Ok(Backend {
                writer: Box::new(writer),
                readers: Box::new(readers),
                peers: None,
            })
        }
        Endpoint::Postgres(server) => postgres::open(server, options).map_err(|fault| OpenError::new(endpoint, fault)),
        Endpoint::Mysql(server) => mysql::open(server, options).map_err(|fault| OpenError::new(endpoint, fault)),
    }
}

/// What is wrong with a database that has no store to inspect.
const NO_STORE: &str =
    "there is no store in it, or one of kine that has not been opened since; start a shim on it first";

/// Opens a store on a database server to be read whole, without changing anything. `None` for a file.
pub fn inspect(endpoint: &Endpoint, options: &DatastoreOptions) -> Result<Option<Box<dyn Readers>>, OpenError> {
    let inspected = match endpoint {
        Endpoint::Sqlite(_) => return Ok(None),
        Endpoint::Postgres(server) => postgres::inspect(server, options),
        Endpoint::Mysql(server) => mysql::inspect(server, options),
    };
    inspected.map(Some).map_err(|fault| OpenError::new(endpoint, fault))
}

/// Starts a new store that is to take the place of the one at `endpoint`, which nobody may have open.
pub fn restore(endpoint: &Endpoint, options: &DatastoreOptions) -> Result<Box<dyn Target>, OpenError> {
    match endpoint {
        Endpoint::Sqlite(path) => Ok(Box::new(sqlite::Build::store(path)?)),
        Endpoint::Postgres(server) => {
            postgres::restore(server, options).map_err(|fault| OpenError::new(endpoint, fault))
        }
        Endpoint::Mysql(server) => mysql::restore(server, options).map_err(|fault| OpenError::new(endpoint, fault)),
    }
}

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The disk is full; trying again helps once there is space.
    #[error("the disk of the database is full: {0}")]
    NoSpace(String),
    /// The file is not a healthy database; trying again does not help.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// Another process holds the database; trying again may help.
    #[error("the database is locked by another process: {0}")]
    Busy(String),
    /// There is no connection, and nothing of what was asked has happened; trying again helps once there is one.
    #[error("no connection to the database: {0}")]
    Lost(String),
    /// The connection broke while a commit was under way: the database knows whether it happened.
    #[error("the connection broke before the database confirmed the commit: {0}")]
    Unknown(String),
    /// Anything else, such as an I/O error.
    #[error("the database failed: {0}")]
    Other(String),
}

/// A row of table `kine` without its values, as it is read when the store opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Identifier of the row.
    pub id: i64,
    /// The key, decoded from `name`; `None` for kine's own `compact_rev_key`.
    pub key: Option<Vec<u8>>,
    /// The row creates the key.
    pub created: bool,
    /// The row deletes the key.
    pub deleted: bool,
    /// Revision that created the key, 0 where kine leaves that out.
    pub create_revision: i64,
    /// Row this one replaces, 0 for none.
    pub prev_row: i64,
    /// Lease, 0 for none.
    pub lease: i64,
    /// Revision, `None` where it is the same as `id`.
    pub revision: Option<i64>,
    /// Number of writes since the key was created, `None` in rows written by kine.
    pub version: Option<i64>,
}

/// A row to write.
#[derive(Debug)]
pub struct NewRow<'a> {
    /// Identifier of the row.
    pub id: i64,
    /// The key.
    pub key: &'a [u8],
    /// The row creates the key.
    pub created: bool,
    /// The row deletes the key.
    pub deleted: bool,
    /// Revision that created the key.
    pub create_revision: i64,
    /// Row this one replaces, 0 for none.
    pub prev_row: i64,
    /// Lease, 0 for none.
    pub lease: i64,
    /// Revision of the transaction.
    pub revision: i64,
    /// Position of the change within its transaction.
    pub sub: i64,
    /// Number of writes since the key was created, 0 for a deletion.
    pub version: i64,
    /// The value, `None` for a deletion.
    pub value: Option<&'a [u8]>,
    /// The value before the transaction, for a deletion.
    pub old_value: Option<&'a [u8]>,
}

/// A row with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// All but the values.
    pub row: Row,
    /// Position of the change within its transaction.
    pub sub: i64,
    /// The value, `None` for a deletion.
    pub value: Option<Bytes>,
    /// The value before.
    pub old_value: Option<Bytes>,
}

/// The values of a row, as watchers and hashes read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Identifier of the row.
    pub id: i64,
    /// The key.
    pub key: Vec<u8>,
    /// Position of the change within its transaction.
    pub sub: i64,
    /// The value, empty for a deletion.
    pub value: Vec<u8>,
    /// The value before the transaction, empty when the key did not exist.
    pub old_value: Vec<u8>,
}

/// What grows with every commit, and a few numbers more that belong to the whole store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Grows with every commit that other processes have to know of.
    pub epoch: i64,
    /// Grows with every commit that grants or revokes leases.
    pub lease_epoch: i64,
    /// The newest revision, 0 where only the rows say it.
    pub revision: i64,
    /// Identifier of the newest row, 0 where only the rows say it.
    pub last_row: i64,
    /// The revision the store is compacted to.
    pub compact_revision: Option<i64>,
    /// The row that goes with it. When kine's own row names a later one, kine has compacted the database since.
    pub compact_row: Option<i64>,
    /// Alarms raised by hand, as a sum of powers of two of their numbers.
    pub alarms: i64,
}

/// The numbers of a store as they are read when it opens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Identifier of the cluster, made up when the database is created.
    pub cluster_id: i64,
    /// Identifier of the one member.
    pub member_id: i64,
    /// The row up to which the table is compacted as kine's own row says, 0 for not at all.
    pub kine_compact_row: i64,
    /// The rest.
    pub counters: Counters,
}

/// A lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRow {
    /// Its identifier.
    pub id: i64,
    /// Seconds to live.
    pub ttl: i64,
    /// Milliseconds until it ends by the clock of the database; `None` where that is not stored.
    pub left: Option<i64>,
}

/// A piece of a whole database; the numbers come first, then the rows in the order of their identifiers and the leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<R> {
    /// The numbers.
    Numbers(Numbers),
    /// A row.
    Row(R),
    /// A lease.
    Lease(LeaseRow),
}

/// A positive number nobody can guess, from the keys the standard library draws for its hash maps.
pub(crate) fn random_id() -> i64 {
    loop {
        let id = RandomState::new().build_hasher().finish() & u64::MAX >> 1;
        if id != 0 {
            return id.cast_signed();
        }
    }
}

/// How large a database is, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// What it takes on disk, without the write-ahead log.
    pub total: i64,
    /// What of it holds data.
    pub used: i64,
}
