//! What is said to the server: the schema and the texts of the statements.
//!
//! Everything is said as text, values as hexadecimal literals, which mean the same whatever the server's `sql_mode` and
//! character sets are. Several statements go into one packet: a group takes two round trips, one to begin and one to commit,
//! however many rows it writes. A prepared statement would need one more for every number of rows it is prepared for.

use std::fmt::Write;

use super::super::{
    NewRow,
    driver::{Changes, LeaseWrite},
    names,
};

/// What a name in column `name` can be: ASCII, not too long, and without spaces at the end, which do not count when names
/// are compared (kine: `VARCHAR(630) CHARACTER SET ascii`).
const NAME_LENGTH: usize = 630;

/// Makes a connection independent of the server's settings. A connection that falls silent within a group is given up by
/// the server, so that it does not keep the others from writing.
pub(super) const SESSION: &str = "\
    SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', autocommit = 1, \
        character_set_client = binary, character_set_connection = binary, character_set_results = NULL, \
        innodb_lock_wait_timeout = 10, wait_timeout = 60, net_write_timeout = 600; \
    SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";
/// What else MariaDB needs: long lists of identifiers are to be looked up one by one, not joined.
pub(super) const MARIADB_SESSION: &str = "SET SESSION in_predicate_conversion_threshold = 0";
/// What else MySQL needs: sizes that are not those of yesterday.
pub(super) const MYSQL_SESSION: &str = "SET SESSION information_schema_stats_expiry = 0";

pub(super) const VERSION: &str = "SELECT VERSION()";

/// Creates what is missing. kine's indexes are left out, as for SQLite: the store finds rows by their identifiers.
pub(super) const SCHEMA: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS kine (
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        name VARCHAR(630) CHARACTER SET ascii COLLATE ascii_bin,
        created INTEGER,
        deleted INTEGER,
        create_revision BIGINT UNSIGNED,
        prev_revision BIGINT UNSIGNED,
        lease BIGINT,
        value MEDIUMBLOB,
        old_value MEDIUMBLOB,
        revision BIGINT,
        sub BIGINT,
        version BIGINT,
        raw MEDIUMBLOB
    ) ENGINE = InnoDB",
    "CREATE TABLE IF NOT EXISTS kine_meta (
        name VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
        value BIGINT NOT NULL
    ) ENGINE = InnoDB",
    "CREATE TABLE IF NOT EXISTS kine_lease (
        id BIGINT NOT NULL PRIMARY KEY,
        ttl BIGINT NOT NULL,
        expires BIGINT NOT NULL
    ) ENGINE = InnoDB",
];

/// Says by its rows whether table `kine` is the one above.
pub(super) const OWN_COLUMNS: &str = "SELECT 1 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'kine' AND column_name = 'raw'";

/// Turns kine's table into the one above, all at once. In kine's, names that differ in case only are the same.
pub(super) const ADOPT: &str = "ALTER TABLE kine
    MODIFY COLUMN id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    MODIFY COLUMN name VARCHAR(630) CHARACTER SET ascii COLLATE ascii_bin,
    MODIFY COLUMN create_revision BIGINT UNSIGNED,
    MODIFY COLUMN prev_revision BIGINT UNSIGNED,
    MODIFY COLUMN lease BIGINT,
    ADD COLUMN revision BIGINT,
    ADD COLUMN sub BIGINT,
    ADD COLUMN version BIGINT,
    ADD COLUMN raw MEDIUMBLOB";

/// The kind of storage of table `kine`.
pub(super) const ENGINE: &str =
    "SELECT engine FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'kine'";

/// Keeps two processes from preparing the same database at the same time.
pub(super) const LOCK: &str = "SELECT GET_LOCK(CONCAT('kine-shim ', LEFT(DATABASE(), 50)), 600)";
pub(super) const UNLOCK: &str = "SELECT RELEASE_LOCK(CONCAT('kine-shim ', LEFT(DATABASE(), 50)))";

/// What decides whether a commit survives a power failure of the server.
pub(super) const DURABILITY: &str = "SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog";

/// Fails where one of the tables of a store is missing that has been opened since kine made it, if kine did. Unlike the
/// information schema, tables are never seen in the middle of being replaced.
pub(super) const PRESENT: &str = "SELECT EXISTS (SELECT 1 FROM kine), EXISTS (SELECT 1 FROM kine_meta),
    EXISTS (SELECT 1 FROM kine_lease)";

pub(super) const LAST_ID: &str = "SELECT coalesce(max(id), 0) FROM kine";
pub(super) const PACKED: &str =
    "SELECT id, value, old_value FROM kine WHERE name = 'compact_rev_key_apiserver' AND version IS NULL";
pub(super) const COMPACT_ROW: &str =
    "INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease, value, old_value)
     VALUES (1, 'compact_rev_key', 1, 0, 0, 0, 0, x'', x'')";
pub(super) const COMPACTED_ROW: &str =
    "SELECT coalesce(max(prev_revision), 0) FROM kine WHERE name = 'compact_rev_key'";

pub(super) const BEGIN: &str = "START TRANSACTION";
pub(super) const SNAPSHOT: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
pub(super) const COMMIT: &str = "COMMIT";
pub(super) const ROLLBACK: &str = "ROLLBACK";

pub(super) const META: &str = "SELECT name, value FROM kine_meta";
pub(super) const LOCKED_META: &str = "SELECT name, value FROM kine_meta FOR UPDATE";
pub(super) const EPOCH: &str = "SELECT value FROM kine_meta WHERE name = 'epoch'";

/// All rows without values.
pub(super) const LOAD: &str = "SELECT id, name, raw, created, deleted, create_revision, prev_revision, lease, revision, \
    version FROM kine ORDER BY id";
/// All rows with values.
pub(super) const DUMP: &str = "SELECT id, name, raw, created, deleted, create_revision, prev_revision, lease, revision, \
    version, sub, value, old_value FROM kine ORDER BY id";

pub(super) const SIZE: &str = "SELECT coalesce(sum(data_length + index_length), 0), coalesce(sum(data_free), 0)
    FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_name IN ('kine', 'kine_meta', 'kine_lease')";
pub(super) const OPTIMIZE: &str = "OPTIMIZE TABLE kine";

/// The clock of the server, in milliseconds.
const NOW: &str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";

/// All leases with the milliseconds they have left.
pub(super) fn leases() -> String {
    format!("SELECT id, ttl, expires - {NOW} FROM kine_lease")
}

/// What some leases have left, in milliseconds.
pub(super) fn leases_left(ids: &[i64]) -> String {
    format!("SELECT id, expires - {NOW} FROM kine_lease WHERE id IN ({})", list(ids))
}

/// The values of some rows.
pub(super) fn values(ids: &[i64]) -> String {
    format!("SELECT id, value FROM kine WHERE id IN ({})", list(ids))
}

/// Up to `limit` rows from one identifier up to, not including, another, with their values and those before.
pub(super) fn payloads(from: i64, to: i64, limit: usize) -> String {
    format!(
        "SELECT kine.id, kine.name, kine.raw, kine.sub, kine.value, coalesce(kine.old_value, earlier.value)
         FROM kine LEFT JOIN kine AS earlier ON earlier.id = kine.prev_revision
         WHERE kine.id >= {from} AND kine.id < {to} ORDER BY kine.id LIMIT {limit}"
    )
}

/// Everything in the rows after one.
pub(super) fn news(after: i64) -> String {
    format!(
        "SELECT kine.id, kine.name, kine.raw, kine.created, kine.deleted, kine.create_revision, kine.prev_revision,
             kine.lease, kine.revision, kine.version, kine.sub, kine.value, coalesce(kine.old_value, earlier.value)
         FROM kine LEFT JOIN kine AS earlier ON earlier.id = kine.prev_revision
         WHERE kine.id > {after} ORDER BY kine.id"
    )
}

/// Replaces the values and the version of a row.
pub(super) fn unpack(id: i64, value: &[u8], old_value: Option<&[u8]>, version: i64) -> String {
    let mut text = "UPDATE kine SET value = ".to_owned();
    push_bytes(&mut text, value);
    text.push_str(", old_value = ");
    push_optional(&mut text, old_value);
    let _ = write!(text, ", version = {version} WHERE id = {id}");
    text
}

/// Sets numbers of the store.
pub(super) fn set_meta(numbers: &[(&str, i64)]) -> String {
    let pairs: Vec<_> = numbers
        .iter()
        .map(|(name, value)| format!("('{name}', {value})"))
        .collect();
    format!(
        "INSERT INTO kine_meta (name, value) VALUES {} ON DUPLICATE KEY UPDATE value = VALUES(value)",
        pairs.join(", ")
    )
}

/// Adds numbers of the store that are not there.
pub(super) fn add_meta(numbers: &[(&str, i64)]) -> String {
    let pairs: Vec<_> = numbers
        .iter()
        .map(|(name, value)| format!("('{name}', {value})"))
        .collect();
    format!("INSERT IGNORE INTO kine_meta (name, value) VALUES {}", pairs.join(", "))
}

/// Everything a group changes, as statements of not much more than `size` bytes each.
pub(super) fn changes(changes: &Changes<'_>, size: usize) -> Vec<String> {
    let mut statements = Vec::new();
    inserts(&changes.rows, size, &mut statements);
    for lease in &changes.leases {
        statements.push(match lease {
            LeaseWrite::Grant { id, ttl } => grant("kine_lease", *id, *ttl),
            LeaseWrite::Renew { id } => {
                format!("UPDATE kine_lease SET expires = {NOW} + ttl * 1000 WHERE id = {id}")
            }
            LeaseWrite::Revoke { id } => format!("DELETE FROM kine_lease WHERE id = {id}"),
        });
    }
    let mut numbers = Vec::new();
    if let Some((revision, row)) = changes.compacted {
        numbers.extend([("compact_revision", revision), ("compact_row", row)]);
        // kine's own row, so that kine knows what is compacted.
        statements.push(format!(
            "UPDATE kine SET prev_revision = {row} WHERE name = 'compact_rev_key' AND prev_revision < {row}"
        ));
    }
    if let Some(alarms) = changes.alarms {
        numbers.push(("alarms", alarms));
    }
    if !changes.removed.is_empty() {
        statements.push(format!("DELETE FROM kine WHERE id IN ({})", list(changes.removed)));
    }
    if let Some(counters) = &changes.counters {
        numbers.extend([
            ("epoch", counters.epoch),
            ("lease_epoch", counters.lease_epoch),
            ("revision", counters.revision),
            ("last_row", counters.last_row),
        ]);
    }
    if !numbers.is_empty() {
        statements.push(set_meta(&numbers));
    }
    statements
}

/// Adds or replaces a lease, which starts to live now.
pub(super) fn grant(table: &str, id: i64, ttl: i64) -> String {
    format!(
        "INSERT INTO {table} (id, ttl, expires) VALUES ({id}, {ttl}, {NOW} + {ttl} * 1000)
         ON DUPLICATE KEY UPDATE ttl = VALUES(ttl), expires = VALUES(expires)"
    )
}

/// Whether column `name` can hold a name.
pub(super) fn fits(name: &str) -> bool {
    name.is_ascii() && name.len() <= NAME_LENGTH && !name.ends_with(' ')
}

fn inserts(rows: &[NewRow<'_>], size: usize, statements: &mut Vec<String>) {
    const INTO: &str = "INSERT INTO kine (id, name, raw, created, deleted, create_revision, prev_revision, lease, \
        revision, sub, version, value, old_value) VALUES ";
    let mut text = String::new();
    for row in rows {
        if text.len() >= size {
            statements.push(std::mem::take(&mut text));
        }
        text.push_str(if text.is_empty() { INTO } else { ", " });
        push_row(&mut text, row);
    }
    if !text.is_empty() {
        statements.push(text);
    }
}

fn push_row(text: &mut String, row: &NewRow<'_>) {
    let (name, raw) = names::encode_text(row.key, fits);
    let _ = write!(text, "({}, ", row.id);
    push_bytes(text, name.as_bytes());
    text.push_str(", ");
    push_optional(text, raw);
    let _ = write!(
        text,
        ", {}, {}, {}, {}, {}, ",
        u8::from(row.created),
        u8::from(row.deleted),
        row.create_revision,
        row.prev_row,
        row.lease
    );
    for (number, usual) in [(row.revision, row.id), (row.sub, 0)] {
        if number == usual {
            text.push_str("NULL, ");
        } else {
            let _ = write!(text, "{number}, ");
        }
    }
    let _ = write!(text, "{}, ", row.version);
    push_optional(text, row.value);
    text.push_str(", ");
    push_optional(text, row.old_value);
    text.push(')');
}

pub(super) fn push_optional(text: &mut String, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => push_bytes(text, bytes),
        None => text.push_str("NULL"),
    }
}

/// A hexadecimal literal.
pub(super) fn push_bytes(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.reserve(bytes.len() * 2 + 3);
    text.push_str("x'");
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text.push('\'');
}

fn list(ids: &[i64]) -> String {
    let mut text = String::with_capacity(ids.len() * 8);
    for (at, id) in ids.iter().enumerate() {
        let _ = write!(text, "{}{id}", if at == 0 { "" } else { "," });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Counters;

    fn row<'a>(id: i64, key: &'a [u8], value: &'a [u8]) -> NewRow<'a> {
        NewRow {
            id,
            key,
            created: true,
            deleted: false,
            create_revision: 2,
            prev_row: 0,
            lease: 0,
            revision: 2,
            sub: id - 2,
            version: 1,
            value: Some(value),
            old_value: None,
        }
    }

    #[test]
    fn rows_become_few_statements() {
        let group = Changes {
            rows: vec![row(2, b"a", b"'"), row(3, b"a\xff", b"\0")],
            ..Changes::default()
        };
        let written = changes(&group, 1 << 20);
        assert_eq!(written.len(), 1);
        let rows = written[0].split_once(" VALUES ").expect("rows").1;
        let first = "(2, x'61', NULL, 1, 0, 2, 0, 0, NULL, NULL, 1, x'27', NULL)";
        let (found, second) = rows.split_at(first.len());
        assert_eq!(found, first);
        assert!(
            second.ends_with(", x'61ff', 1, 0, 2, 0, 0, 2, 1, 1, x'00', NULL)"),
            "{second}"
        );
        assert_eq!(changes(&group, 10).len(), 2, "large ones are split");
    }

    #[test]
    fn names_the_column_cannot_hold_go_elsewhere() {
        let long = vec![b'k'; 631];
        for (key, fits) in [
            (&b"/registry/pods/a"[..], true),
            (b"/registry/A", true),
            (b"space ", false),
            (b"\xc3\xa4", false),
            (b"nul\0", false),
            (&long, false),
            (&long[1..], true),
        ] {
            let mut text = String::new();
            push_row(&mut text, &row(2, key, b""));
            assert_eq!(text.contains(", NULL, 1, 0"), fits, "{text}");
        }
    }

    #[test]
    fn numbers_are_written_at_once() {
        let group = Changes {
            removed: &[4, 5],
            compacted: Some((7, 8)),
            counters: Some(Counters {
                epoch: 9,
                ..Counters::default()
            }),
            ..Changes::default()
        };
        let written = changes(&group, 1);
        assert_eq!(written.len(), 3);
        assert_eq!(written[1], "DELETE FROM kine WHERE id IN (4,5)");
        assert!(written[2].contains("('compact_revision', 7), ('compact_row', 8), ('epoch', 9)"));
    }
}
