//! What differs between databases: the schema and the texts of the statements. Behaviour is written once, above.

/// The statements for one kind of database.
#[derive(Debug)]
pub struct Dialect {
    /// Creates what is missing; every statement may run again.
    pub schema: &'static [&'static str],
    /// Lists the columns of table `kine`.
    pub columns: &'static str,
    /// Columns kine does not have, with the statement that adds each.
    pub extra_columns: &'static [(&'static str, &'static str)],
    /// All rows without values, in order.
    pub load: &'static str,
    /// All rows with values, in order.
    pub dump: &'static str,
    /// The highest row identifier.
    pub last_id: &'static str,
    /// Adds a row.
    pub insert: &'static str,
    /// Removes the rows from one identifier up to and including another.
    pub delete: &'static str,
    /// The value of a row.
    pub value: &'static str,
    /// The values of the rows from one identifier up to and including another, in order.
    pub values: &'static str,
    /// Rows from one identifier up to, not including, another, with their values and those before.
    pub payloads: &'static str,
    /// The rows in which kine stored the API server's compaction key, values packed with versions.
    pub packed: &'static str,
    /// Replaces the values and the version of a row.
    pub unpack: &'static str,
    /// The row up to which kine has compacted.
    pub compacted_row: &'static str,
    /// Adds kine's own row.
    pub compact_row: &'static str,
    /// Where kine's own row is.
    pub find_compact_row: &'static str,
    /// Moves kine's own row to another row identifier.
    pub set_compact_row: &'static str,
    /// Reads a number of the store.
    pub meta: &'static str,
    /// Writes a number of the store.
    pub set_meta: &'static str,
    /// All leases.
    pub leases: &'static str,
    /// Adds or replaces a lease.
    pub put_lease: &'static str,
    /// Removes a lease.
    pub delete_lease: &'static str,
    /// Pages, free pages and bytes per page.
    pub size: &'static str,
}

/// SQLite.
///
/// kine's indexes and AUTOINCREMENT are left out: the store finds rows by their identifiers and counts those itself, and each
/// of them would cost every write a page or more. kine adds its indexes again when it opens the file; in a file kine made
/// they stay.
pub const SQLITE: Dialect = Dialect {
    schema: &[
        "CREATE TABLE IF NOT EXISTS kine (
            id INTEGER PRIMARY KEY,
            name TEXT,
            created INTEGER,
            deleted INTEGER,
            create_revision INTEGER,
            prev_revision INTEGER,
            lease INTEGER,
            revision INTEGER,
            sub INTEGER,
            version INTEGER,
            value BLOB,
            old_value BLOB
        )",
        "CREATE TABLE IF NOT EXISTS kine_meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS kine_lease (id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL)",
        // A snapshot that is served is none any more: the digest recorded in it will soon be wrong.
        "DROP TABLE IF EXISTS kine_snapshot",
    ],
    columns: "SELECT name FROM pragma_table_info('kine')",
    extra_columns: &[
        ("revision", "ALTER TABLE kine ADD COLUMN revision INTEGER"),
        ("sub", "ALTER TABLE kine ADD COLUMN sub INTEGER"),
        ("version", "ALTER TABLE kine ADD COLUMN version INTEGER"),
    ],
    load: "SELECT id, name, created, deleted, create_revision, prev_revision, lease, revision, version
           FROM kine ORDER BY id",
    dump: "SELECT id, name, created, deleted, create_revision, prev_revision, lease, revision, version, sub, value, old_value
           FROM kine ORDER BY id",
    last_id: "SELECT coalesce(max(id), 0) FROM kine",
    insert:
        "INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease, revision, sub, version,
                               value, old_value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    delete: "DELETE FROM kine WHERE id BETWEEN ?1 AND ?2",
    value: "SELECT value FROM kine WHERE id = ?1",
    values: "SELECT id, value FROM kine WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
    payloads: "SELECT kine.id, kine.name, kine.sub, kine.value, coalesce(kine.old_value, before.value)
               FROM kine LEFT JOIN kine AS before ON before.id = kine.prev_revision
               WHERE kine.id >= ?1 AND kine.id < ?2 ORDER BY kine.id",
    packed: "SELECT id, value, old_value FROM kine WHERE name = 'compact_rev_key_apiserver' AND version IS NULL",
    unpack: "UPDATE kine SET value = ?2, old_value = ?3, version = ?4 WHERE id = ?1",
    compacted_row: "SELECT coalesce(max(prev_revision), 0) FROM kine WHERE name = 'compact_rev_key'",
    compact_row:
        "INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease, value, old_value)
                  VALUES (?1, 'compact_rev_key', 1, 0, 0, 0, 0, x'', x'')",
    find_compact_row: "SELECT coalesce(max(id), 0) FROM kine WHERE name = 'compact_rev_key'",
    set_compact_row: "UPDATE kine SET prev_revision = ?1 WHERE id = ?2 AND prev_revision < ?1",
    meta: "SELECT value FROM kine_meta WHERE name = ?1",
    set_meta: "INSERT INTO kine_meta (name, value) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    leases: "SELECT id, ttl FROM kine_lease",
    put_lease: "INSERT INTO kine_lease (id, ttl) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET ttl = excluded.ttl",
    delete_lease: "DELETE FROM kine_lease WHERE id = ?1",
    size: "SELECT page_count, freelist_count, page_size
           FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()",
};
