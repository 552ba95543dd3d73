//! The database below the store: one connection that writes, a few that read, and what can go wrong with them.
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
//! BLOBs. Leases and the few numbers that belong to the whole store are in tables of their own.

pub mod dialect;
pub mod endpoint;
pub mod names;
pub mod sqlite;

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

/// A number that belongs to the whole store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meta {
    /// Identifier of the cluster, made up when the database is created.
    ClusterId,
    /// Identifier of the one member.
    MemberId,
    /// The revision the store is compacted to.
    CompactRevision,
    /// The row that goes with it. When kine's own row names a later one, kine has compacted the file since.
    CompactRow,
    /// Alarms raised by hand, as a sum of powers of two of their numbers.
    Alarms,
}

impl Meta {
    /// The name of the number in table `kine_meta`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClusterId => "cluster_id",
            Self::MemberId => "member_id",
            Self::CompactRevision => "compact_revision",
            Self::CompactRow => "compact_row",
            Self::Alarms => "alarms",
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
