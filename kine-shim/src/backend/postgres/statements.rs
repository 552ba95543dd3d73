//! The SQL for PostgreSQL.

/// The database's clock in milliseconds.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::int8"
    };
}

/// The columns of a row without values, as [`super::rows::row`] reads them.
macro_rules! row {
    () => {
        "kine.id, kine.name, kine.raw_name, kine.created, kine.deleted, kine.create_revision, kine.prev_revision,
         kine.lease, kine.revision, kine.version"
    };
}

/// The numbers, as [`super::rows::counters`] reads them.
macro_rules! counters {
    () => {
        "SELECT epoch, lease_epoch, revision, last_row, compact_revision, compact_row, alarms, cluster_id, member_id,
                kine_row FROM kine_counters"
    };
}

/// Settings of every connection. Nobody may hold up the others by dying within a group.
pub(super) const SETTINGS: &str = "
    SET synchronous_commit = on; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s';
    SET statement_timeout = 0; SET jit = off; SET client_min_messages = warning;
    SET default_transaction_isolation = 'read committed'; SET application_name = 'kine-shim'";

/// Keeps two stores from bringing the tables up to date at the same time; the number means nothing.
pub(super) const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(5428031907410)";

/// Creates what is missing; every statement may run again.
///
/// kine's indexes are left out for the reason given for SQLite. kine's sequence is there, so that kine can go on with the
/// table, but nothing is ever taken from it.
pub(super) const SCHEMA: &str = r#"
    CREATE TABLE IF NOT EXISTS kine (
        id BIGSERIAL PRIMARY KEY,
        name TEXT COLLATE "C",
        created INTEGER,
        deleted INTEGER,
        create_revision BIGINT,
        prev_revision BIGINT,
        lease BIGINT,
        value BYTEA,
        old_value BYTEA
    );
    CREATE TABLE IF NOT EXISTS kine_counters (
        one BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
        epoch BIGINT NOT NULL,
        lease_epoch BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        last_row BIGINT NOT NULL,
        compact_revision BIGINT,
        compact_row BIGINT,
        alarms BIGINT NOT NULL,
        cluster_id BIGINT NOT NULL,
        member_id BIGINT NOT NULL,
        kine_row BIGINT NOT NULL
    ) WITH (fillfactor = 10);
    CREATE TABLE IF NOT EXISTS kine_lease (
        id BIGINT PRIMARY KEY,
        ttl BIGINT NOT NULL,
        expires BIGINT NOT NULL
    ) WITH (fillfactor = 50)
"#;

/// Whether there is a store that has been opened since kine made it, if kine did.
pub(super) const PRESENT: &str = "SELECT to_regclass('kine') IS NOT NULL AND to_regclass('kine_counters') IS NOT NULL";
/// Whether the table is one that kine made and nobody has brought up to date.
pub(super) const OLD_COLUMNS: &str = "
    SELECT bool_or(column_name = 'raw_name'), bool_or(column_name = 'lease' AND data_type = 'bigint')
    FROM information_schema.columns WHERE table_name = 'kine' AND table_schema = current_schema()";
/// Adds the columns kine does not have.
pub(super) const ADD_COLUMNS: &str = "
    ALTER TABLE kine ADD COLUMN IF NOT EXISTS revision BIGINT, ADD COLUMN IF NOT EXISTS sub BIGINT,
        ADD COLUMN IF NOT EXISTS version BIGINT, ADD COLUMN IF NOT EXISTS raw_name BYTEA";
/// Lets a lease have any identifier; to kine it is a small number.
pub(super) const WIDEN_LEASE: &str = "ALTER TABLE kine ALTER COLUMN lease SET DATA TYPE BIGINT";

/// Adds kine's own row to an empty table.
pub(super) const FIRST_ROW: &str = "
    INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease, value, old_value)
    SELECT 1, 'compact_rev_key', 1, 0, 0, 0, 0, '', '' WHERE NOT EXISTS (SELECT FROM kine)";
/// Adds the numbers if they are not there yet.
pub(super) const FIRST_COUNTERS: &str = "
    INSERT INTO kine_counters (epoch, lease_epoch, revision, last_row, alarms, cluster_id, member_id, kine_row)
    SELECT 1, 1, 0, 0, 0, $1, $2,
           coalesce((SELECT min(id) FROM kine WHERE name = 'compact_rev_key' AND raw_name IS NULL), 0)
    WHERE NOT EXISTS (SELECT FROM kine_counters)";
/// The rows after those the numbers know, which kine has written: their highest identifier and revision.
pub(super) const FOREIGN: &str = "
    SELECT max(kine.id), max(coalesce(kine.revision, kine.id))
    FROM kine, kine_counters WHERE kine.id > kine_counters.last_row";
/// Those of them in which kine stored the API server's compaction key, values packed with versions.
pub(super) const PACKED: &str = "
    SELECT kine.id, kine.value, kine.old_value FROM kine, kine_counters
    WHERE kine.id > kine_counters.last_row AND name = 'compact_rev_key_apiserver' AND version IS NULL";
/// Replaces the values and the version of a row.
pub(super) const UNPACK: &str = "UPDATE kine SET value = $2, old_value = $3, version = $4 WHERE id = $1";
/// Takes in rows that kine has written. What kine has compacted takes its place among the identifiers, too.
pub(super) const ADOPT: &str = "
    UPDATE kine_counters SET epoch = epoch + 1, last_row = greatest(last_row, $1), revision = greatest(revision, $2)";
/// Starts the life of every lease anew, as an etcd does when it becomes the leader.
pub(super) const EXTEND_LEASES: &str = concat!(
    "UPDATE kine_lease SET expires = greatest(expires, ",
    now!(),
    " + ttl * 1000)"
);
/// The sequence that kine takes identifiers from.
pub(super) const SEQUENCE: &str = "SELECT pg_get_serial_sequence('kine', 'id')";

/// The numbers.
pub(super) const COUNTERS: &str = counters!();
/// Begins a group. Who waits for a row that is updated all the time starts over whenever it has changed, and may wait for
/// ever; who waits for an advisory lock is served in turn. It is the table's own, and goes with the transaction.
pub(super) const BEGIN: &str = "
    BEGIN; SELECT pg_advisory_xact_lock(1802071653, 'kine_counters'::regclass::oid::int4)";
/// The numbers, kept from everybody else.
pub(super) const LOCKED_COUNTERS: &str = concat!(counters!(), " FOR UPDATE");
/// The newest epoch.
pub(super) const EPOCH: &str = "SELECT epoch FROM kine_counters";
/// The row up to which kine has compacted.
pub(super) const COMPACTED_ROW: &str = "
    SELECT coalesce(max(kine.prev_revision), 0) FROM kine, kine_counters WHERE kine.id = kine_counters.kine_row";

/// All rows without values.
pub(super) const LOAD: &str = concat!("SELECT ", row!(), " FROM kine ORDER BY id");
/// All rows with values.
pub(super) const DUMP: &str = concat!(
    "SELECT ",
    row!(),
    ", kine.sub, kine.value, kine.old_value FROM kine ORDER BY id"
);
/// Rows after one, with their values and those before.
pub(super) const NEWS: &str = concat!(
    "SELECT ",
    row!(),
    ", kine.sub, kine.value, coalesce(kine.old_value, before.value)
     FROM kine LEFT JOIN kine AS before ON before.id = kine.prev_revision WHERE kine.id > $1 ORDER BY kine.id"
);
/// Rows from one identifier up to, not including, another, with their values and those before.
pub(super) const PAYLOADS: &str = "
    SELECT kine.id, kine.name, kine.raw_name, kine.sub, kine.value, coalesce(kine.old_value, before.value)
    FROM kine LEFT JOIN kine AS before ON before.id = kine.prev_revision
    WHERE kine.id >= $1 AND kine.id < $2 ORDER BY kine.id";
/// The values of rows.
pub(super) const VALUES: &str = "SELECT id, value FROM kine WHERE id = ANY($1)";

/// Adds rows, given as one array for each column.
pub(super) const INSERT: &str = "
    INSERT INTO kine (id, name, raw_name, created, deleted, create_revision, prev_revision, lease, revision, sub, version,
                      value, old_value)
    SELECT * FROM unnest($1::int8[], $2::text[], $3::bytea[], $4::int4[], $5::int4[], $6::int8[], $7::int8[], $8::int8[],
                         $9::int8[], $10::int8[], $11::int8[], $12::bytea[], $13::bytea[])";
/// Removes rows.
pub(super) const DELETE: &str = "DELETE FROM kine WHERE id = ANY($1)";
/// Moves kine's own row forward, so that kine knows what is compacted.
pub(super) const SET_COMPACT_ROW: &str = "
    UPDATE kine SET prev_revision = $1 FROM kine_counters
    WHERE kine.id = kine_counters.kine_row AND kine.prev_revision < $1";
/// Sets the numbers, tells peers, and keeps kine's sequence where it would be if kine had written the rows.
pub(super) const ADVANCE: &str = "
    WITH advanced AS (
        UPDATE kine_counters SET epoch = $1, lease_epoch = $2, revision = $3, last_row = $4, compact_revision = $5,
                                 compact_row = $6, alarms = $7
        RETURNING last_row
    )
    SELECT pg_notify('kine', $8), setval($9::text::regclass, last_row) FROM advanced";
/// Listens to peers.
pub(super) const LISTEN: &str = "LISTEN kine";

/// All leases, with the milliseconds until they end.
pub(super) const LEASES: &str = concat!("SELECT id, ttl, expires - ", now!(), " FROM kine_lease ORDER BY id");
/// The milliseconds until leases end.
pub(super) const LEASES_LEFT: &str = concat!("SELECT id, expires - ", now!(), " FROM kine_lease WHERE id = ANY($1)");
/// Adds or replaces leases.
pub(super) const GRANT: &str = concat!(
    "INSERT INTO kine_lease (id, ttl, expires) SELECT id, ttl, ",
    now!(),
    " + ttl * 1000 FROM unnest($1::int8[], $2::int8[]) AS lease (id, ttl)
     ON CONFLICT (id) DO UPDATE SET ttl = excluded.ttl, expires = excluded.expires"
);
/// Starts the life of leases anew.
pub(super) const RENEW: &str = concat!(
    "UPDATE kine_lease SET expires = ",
    now!(),
    " + ttl * 1000 WHERE id = ANY($1)"
);
/// Removes leases.
pub(super) const REVOKE: &str = "DELETE FROM kine_lease WHERE id = ANY($1)";

/// Bytes of the tables with their indexes, and of rows alive and dead.
pub(super) const SIZE: &str = "
    SELECT (pg_total_relation_size('kine') + pg_total_relation_size('kine_counters')
            + pg_total_relation_size('kine_lease'))::int8,
           coalesce(n_live_tup, 0)::int8, coalesce(n_dead_tup, 0)::int8
    FROM (SELECT 'kine'::regclass AS id) AS kine LEFT JOIN pg_stat_user_tables ON relid = kine.id";
/// Gives the space of removed rows back. Rewriting the table would keep every peer waiting.
pub(super) const VACUUM: &str = "VACUUM (ANALYZE) kine";
