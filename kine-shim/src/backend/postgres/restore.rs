//! A new store in a schema of its own, whose tables take the place of the old ones at the end.

use tokio_postgres::Statement;

use super::{
    connect::Connector,
    errors::fault,
    rows::{self, column},
    session::Session,
    statements,
};
use crate::backend::{
    Fault, Item, LeaseRow, Numbers, StoredRow,
    contents::{EachItem, Source, Target},
    endpoint::{DatastoreOptions, Server},
    names, random_id,
};

/// Where the new store is made.
const SCHEMA: &str = "kine_restore";
/// Where the old store goes, with a number.
const REPLACED: &str = "kine_replaced_";
/// The tables of a store.
const TABLES: [&str; 3] = ["kine", "kine_counters", "kine_lease"];
/// Rows written with one statement, and bytes in them, at most.
const ROWS: usize = 500;
const BYTES: usize = 4 << 20;

/// The lock that every start takes while it brings tables up to date, kept as long as the connection lives.
const LOCK: &str = "SELECT pg_try_advisory_lock(5428031907410)";
/// Other connections of a shim to this database.
const BUSY: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'kine-shim' AND pid <> pg_backend_pid()";
const PLACE: &str = "SELECT current_schema()::text";
const PRESENT: &str = "SELECT to_regclass($1::text) IS NOT NULL";
const FREE: &str = "SELECT min(number)::int8 FROM generate_series(1, 100000) AS number
    WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1::text || number)";
const COUNTERS: &str = "
    INSERT INTO kine_counters (epoch, lease_epoch, revision, last_row, compact_revision, compact_row, alarms, cluster_id,
                               member_id, kine_row)
    SELECT 1, 1, 0, 0, $1, $2, 0, $3, $4,
           coalesce((SELECT min(id) FROM kine WHERE name = 'compact_rev_key' AND raw_name IS NULL), 0)";
/// Keeps kine's sequence where it would be if kine had written the rows.
const SEQUENCE: &str = "SELECT setval(pg_get_serial_sequence('kine', 'id'), (SELECT coalesce(max(id), 1) FROM kine))";

/// A store in the making.
#[derive(Debug)]
pub(super) struct Restore {
    session: Session,
    insert: Statement,
    waiting: Columns,
    /// The schema of the store to replace, quoted.
    place: String,
}

impl Restore {
    /// Makes the schema, unless a shim has the database open.
    pub(super) fn start(server: &Server, options: &DatastoreOptions) -> Result<Self, Fault> {
        let session = Session::open_or_create(&Connector::new(server, options))?;
        let place = session.run(async {
            let client = &session.client;
            let locked = client.query_one(LOCK, &[]).await.map_err(|error| fault(&error))?;
            if !column::<bool>(&locked, 0)? {
                return Err(Fault::Busy("another one starts or restores right now".into()));
            }
            let place = client.query_one(PLACE, &[]).await.map_err(|error| fault(&error))?;
            let place: Option<String> = column(&place, 0)?;
            place.ok_or_else(|| Fault::Other("search_path names no schema that exists".into()))
        })?;
        quiet(&session)?;
        // The source may take its time. What a restore that was cut off has left is of no use.
        let setup = format!(
            "SET idle_in_transaction_session_timeout = 0; DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA};
             SET search_path = {SCHEMA}; BEGIN; {}; {}",
            statements::SCHEMA,
            statements::ADD_COLUMNS
        );
        session.run(async {
            session
                .client
                .batch_execute(&setup)
                .await
                .map_err(|error| fault(&error))
        })?;
        let [insert] = session.prepare([statements::INSERT])?;
        Ok(Self {
            session,
            insert,
            waiting: Columns::default(),
            place: format!("\"{}\"", place.replace('"', "\"\"")),
        })
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let columns = std::mem::take(&mut self.waiting);
        if columns.ids.is_empty() {
            return Ok(());
        }
        self.session.run(async {
            let inserted = self
                .session
                .client
                .execute(
                    &self.insert,
                    &[
                        &columns.ids,
                        &columns.names,
                        &columns.raw_names,
                        &columns.created,
                        &columns.deleted,
                        &columns.create_revisions,
                        &columns.prev_rows,
                        &columns.leases,
                        &columns.revisions,
                        &columns.subs,
                        &columns.versions,
                        &columns.values,
                        &columns.old_values,
                    ],
                )
                .await;
            inserted.map(drop).map_err(|error| fault(&error))
        })
    }

    /// Whether the old store has this table.
    fn has(&self, table: &str) -> Result<bool, Fault> {
        let name = format!("{}.{table}", self.place);
        self.session.run(async {
            let found = self.session.client.query_one(PRESENT, &[&name]).await;
            column(&found.map_err(|error| fault(&error))?, 0)
        })
    }
}

/// Refuses to go on while a shim uses the database.
fn quiet(session: &Session) -> Result<(), Fault> {
    let others: i64 = session.run(async {
        let found = session
            .client
            .query_one(BUSY, &[])
            .await
            .map_err(|error| fault(&error))?;
        column(&found, 0)
    })?;
    match others {
        0 => Ok(()),
        _ => Err(Fault::Busy("a shim serves it; stop that one first".into())),
    }
}

impl Target for Restore {
    fn replaces_something(&mut self) -> Result<bool, Fault> {
        if !self.has("kine")? {
            return Ok(false);
        }
        let ask = format!(
            "SELECT EXISTS (SELECT FROM {}.kine WHERE name <> 'compact_rev_key')",
            self.place
        );
        self.session.run(async {
            let found = self.session.client.query_one(&ask, &[]).await;
            column(&found.map_err(|error| fault(&error))?, 0)
        })
    }

    fn push(&mut self, row: &StoredRow) -> Result<(), Fault> {
        self.waiting.push(row);
        if self.waiting.ids.len() >= ROWS || self.waiting.bytes >= BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn finish(&mut self, numbers: &Numbers, leases: &[LeaseRow]) -> Result<(), Fault> {
        self.flush()?;
        let named = |id: i64| if id == 0 { random_id() } else { id };
        let (cluster_id, member_id) = (named(numbers.cluster_id), named(numbers.member_id));
        let (compact_revision, compact_row) = (numbers.counters.compact_revision, numbers.counters.compact_row);
        let (ids, ttls): (Vec<i64>, Vec<i64>) = leases.iter().map(|lease| (lease.id, lease.ttl)).unzip();
        let client = &self.session.client;
        let write = async {
            client
                .execute(COUNTERS, &[&compact_revision, &compact_row, &cluster_id, &member_id])
                .await?;
            client.execute(statements::GRANT, &[&ids, &ttls]).await?;
            client.query_one(SEQUENCE, &[]).await?;
            client.batch_execute("COMMIT").await
        };
        self.session.run(async { write.await.map_err(|error| fault(&error)) })
    }

    fn read_back(&mut self) -> Result<Box<dyn Source + '_>, Fault> {
        Ok(Box::new(Written(&self.session)))
    }

    fn swap(self: Box<Self>, keep: bool) -> Result<Option<String>, Fault> {
        quiet(&self.session)?;
        let mut old = Vec::new();
        for table in TABLES {
            if self.has(table)? {
                old.push(table);
            }
        }
        let mut swap = vec!["BEGIN".to_owned()];
        let mut kept = None;
        if keep && !old.is_empty() {
            let number: i64 = self.session.run(async {
                let free = self.session.client.query_one(FREE, &[&REPLACED]).await;
                column(&free.map_err(|error| fault(&error))?, 0)
            })?;
            let name = format!("{REPLACED}{number}");
            swap.push(format!("CREATE SCHEMA {name}"));
            kept = Some(name);
        }
        let place = &self.place;
        swap.extend(old.iter().map(|table| match &kept {
            Some(name) => format!("ALTER TABLE {place}.{table} SET SCHEMA {name}"),
            None => format!("DROP TABLE {place}.{table}"),
        }));
        swap.extend(TABLES.map(|table| format!("ALTER TABLE {SCHEMA}.{table} SET SCHEMA {place}")));
        swap.push(format!("DROP SCHEMA {SCHEMA}"));
        swap.push("COMMIT".to_owned());
        let swap = swap.join("; ");
        self.session.run(async {
            self.session
                .client
                .batch_execute(&swap)
                .await
                .map_err(|error| fault(&error))
        })?;
        Ok(kept.map(|name| format!("schema {name}")))
    }
}

/// The store just written.
struct Written<'a>(&'a Session);

impl Source for Written<'_> {
    fn integrity(&mut self) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }

    fn dump(&mut self, each: &mut EachItem<'_>) -> Result<(), Fault> {
        self.0.load(
            statements::DUMP,
            |item: Item<StoredRow>| each(Ok(item)),
            rows::stored_row,
        )
    }

    fn recorded_digest(&mut self) -> Result<Option<String>, Fault> {
        Ok(None)
    }
}

/// Rows as one array for each column.
#[derive(Debug, Default)]
struct Columns {
    bytes: usize,
    ids: Vec<i64>,
    names: Vec<String>,
    raw_names: Vec<Option<Vec<u8>>>,
    created: Vec<i32>,
    deleted: Vec<i32>,
    create_revisions: Vec<i64>,
    prev_rows: Vec<i64>,
    leases: Vec<i64>,
    revisions: Vec<Option<i64>>,
    subs: Vec<Option<i64>>,
    versions: Vec<Option<i64>>,
    values: Vec<Option<Vec<u8>>>,
    old_values: Vec<Option<Vec<u8>>>,
}

impl Columns {
    fn push(&mut self, stored: &StoredRow) {
        let row = &stored.row;
        let (name, raw_name) = match &row.key {
            Some(key) => {
                let (name, raw_name) = names::encode_text(key, |_| true);
                (name.into_owned(), raw_name.map(<[u8]>::to_vec))
            }
            None => (String::from_utf8_lossy(names::COMPACT_ROW).into_owned(), None),
        };
        let (value, old_value) = (stored.value.as_deref(), stored.old_value.as_deref());
        self.bytes += name.len() + value.map_or(0, <[u8]>::len) + old_value.map_or(0, <[u8]>::len);
        self.ids.push(row.id);
        self.names.push(name);
        self.raw_names.push(raw_name);
        self.created.push(row.created.into());
        self.deleted.push(row.deleted.into());
        self.create_revisions.push(row.create_revision);
        self.prev_rows.push(row.prev_row);
        self.leases.push(row.lease);
        self.revisions.push(row.revision);
        self.subs.push((stored.sub != 0).then_some(stored.sub));
        self.versions.push(row.version);
        self.values.push(value.map(<[u8]>::to_vec));
        self.old_values.push(old_value.map(<[u8]>::to_vec));
    }
}
