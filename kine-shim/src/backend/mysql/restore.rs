//! A new store in tables of its own, which take the names of the old ones at the end, all in one statement.

use std::{fmt::Write, sync::Arc};

use super::{
    link::Link,
    rows::{Columns, numbers, single},
    settings::Settings,
    sql,
};
use crate::backend::{
    Fault, Item, LeaseRow, Numbers, StoredRow,
    contents::{EachItem, Source, Target},
    endpoint::{DatastoreOptions, Server},
    names, random_id,
};

/// What the names of the tables of a store begin with, and how they end.
const OURS: &str = "kine";
const NEW: &str = "kine_restore";
const REPLACED: &str = "kine_replaced_";
const TABLES: [&str; 3] = ["", "_meta", "_lease"];
/// Bytes of one statement, roughly.
const STATEMENT: usize = 1 << 20;

/// The lock that every start takes while it prepares the tables, kept as long as the connection lives.
const LOCK: &str = "SELECT GET_LOCK(CONCAT('kine-shim ', LEFT(DATABASE(), 50)), 0)";
/// Other connections to this database.
const BUSY: &str =
    "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()";

/// A store in the making.
#[derive(Debug)]
pub(super) struct Restore {
    link: Link,
    waiting: String,
}

impl Restore {
    /// Makes the tables, unless a shim has the database open.
    pub(super) fn start(server: &Server, options: &DatastoreOptions) -> Result<Self, Fault> {
        let mut link = Link::new(Arc::new(Settings::new(server, options)))?;
        link.create_database()?;
        let locked = single(link.ask(LOCK)?.into_iter().flatten().collect())?;
        if locked != Some(1) {
            return Err(Fault::Busy("another one starts or restores right now".into()));
        }
        quiet(&mut link)?;
        // The source may take its time.
        link.tell("SET SESSION wait_timeout = 28800")?;
        for table in TABLES {
            // What a restore that was cut off has left is of no use.
            link.tell(&format!("DROP TABLE IF EXISTS {NEW}{table}"))?;
        }
        for statement in sql::SCHEMA {
            link.tell(&statement.replacen(OURS, NEW, 1))?;
        }
        link.tell(sql::BEGIN)?;
        Ok(Self {
            link,
            waiting: String::new(),
        })
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let statement = std::mem::take(&mut self.waiting);
        if !statement.is_empty() {
            self.link.tell(&statement)?;
        }
        Ok(())
    }

    fn has(&mut self, table: &str) -> Result<bool, Fault> {
        let ask = format!(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '{table}'"
        );
        Ok(single(self.link.tell(&ask)?.into_iter().flatten().collect())? == Some(1))
    }
}

/// Refuses to go on while a shim uses the database.
fn quiet(link: &mut Link) -> Result<(), Fault> {
    match single(link.tell(BUSY)?.into_iter().flatten().collect())? {
        Some(0) | None => Ok(()),
        Some(_) => Err(Fault::Busy(
            "a shim or somebody else has it open; stop that first".into(),
        )),
    }
}

impl Target for Restore {
    fn replaces_something(&mut self) -> Result<bool, Fault> {
        if !self.has(OURS)? {
            return Ok(false);
        }
        let ask = "SELECT count(*) FROM (SELECT 1 FROM kine WHERE name <> 'compact_rev_key' LIMIT 1) AS some";
        Ok(single(self.link.tell(ask)?.into_iter().flatten().collect())? != Some(0))
    }

    fn push(&mut self, stored: &StoredRow) -> Result<(), Fault> {
        if self.waiting.is_empty() {
            let _ = write!(
                self.waiting,
                "INSERT INTO {NEW} (id, name, raw, created, deleted, create_revision, prev_revision, lease, revision, sub,
                 version, value, old_value) VALUES "
            );
        } else {
            self.waiting.push_str(", ");
        }
        let row = &stored.row;
        let (name, raw) = match &row.key {
            Some(key) => names::encode_text(key, sql::fits),
            None => (String::from_utf8_lossy(names::COMPACT_ROW), None),
        };
        let text = &mut self.waiting;
        let _ = write!(text, "({}, ", row.id);
        sql::push_bytes(text, name.as_bytes());
        text.push_str(", ");
        sql::push_optional(text, raw);
        let _ = write!(
            text,
            ", {}, {}, {}, {}, {}",
            u8::from(row.created),
            u8::from(row.deleted),
            row.create_revision,
            row.prev_row,
            row.lease
        );
        let sub = (stored.sub != 0).then_some(stored.sub);
        for number in [row.revision, sub, row.version] {
            let _ = match number {
                Some(number) => write!(text, ", {number}"),
                None => write!(text, ", NULL"),
            };
        }
        for value in [&stored.value, &stored.old_value] {
            text.push_str(", ");
            sql::push_optional(text, value.as_deref());
        }
        text.push(')');
        if text.len() >= STATEMENT {
            self.flush()?;
        }
        Ok(())
    }

    fn finish(&mut self, numbers: &Numbers, leases: &[LeaseRow]) -> Result<(), Fault> {
        self.flush()?;
        let named = |id: i64| if id == 0 { random_id() } else { id };
        let mut meta = vec![
            ("cluster_id", named(numbers.cluster_id)),
            ("member_id", named(numbers.member_id)),
            ("epoch", 0),
            ("lease_epoch", 0),
            ("revision", 0),
            ("last_row", 0),
            ("alarms", 0),
        ];
        meta.extend(
            numbers
                .counters
                .compact_revision
                .map(|revision| ("compact_revision", revision)),
        );
        meta.extend(numbers.counters.compact_row.map(|row| ("compact_row", row)));
        self.link
            .tell(&sql::add_meta(&meta).replacen("kine_meta", &format!("{NEW}_meta"), 1))?;
        for lease in leases {
            self.link
                .tell(&sql::grant(&format!("{NEW}_lease"), lease.id, lease.ttl))?;
        }
        self.link.tell(sql::COMMIT)?;
        Ok(())
    }

    fn read_back(&mut self) -> Result<Box<dyn Source + '_>, Fault> {
        Ok(Box::new(Written(&mut self.link)))
    }

    fn swap(mut self: Box<Self>, keep: bool) -> Result<Option<String>, Fault> {
        quiet(&mut self.link)?;
        let mut name = None;
        for number in 1_u32.. {
            let candidate = format!("{REPLACED}{number}");
            if !self.has(&candidate)? {
                name = Some(candidate);
                break;
            }
        }
        let name = name.ok_or_else(|| Fault::Other("no name is free for the old tables".into()))?;
        let (mut renames, mut old) = (Vec::new(), Vec::new());
        for table in TABLES {
            if self.has(&format!("{OURS}{table}"))? {
                renames.push(format!("{OURS}{table} TO {name}{table}"));
                old.push(format!("{name}{table}"));
            }
        }
        renames.extend(TABLES.map(|table| format!("{NEW}{table} TO {OURS}{table}")));
        self.link.tell(&format!("RENAME TABLE {}", renames.join(", ")))?;
        if old.is_empty() {
            return Ok(None);
        }
        if !keep {
            self.link.tell(&format!("DROP TABLE {}", old.join(", ")))?;
            return Ok(None);
        }
        Ok(Some(format!("table {name}")))
    }
}

/// The store just written.
struct Written<'a>(&'a mut Link);

impl Source for Written<'_> {
    fn integrity(&mut self) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }

    fn dump(&mut self, each: &mut EachItem<'_>) -> Result<(), Fault> {
        let named = |statement: &str, table: &str| {
            statement.replacen(&format!("FROM {OURS}{table}"), &format!("FROM {NEW}{table}"), 1)
        };
        let mut read = numbers(self.0.tell(&named(sql::META, "_meta"))?.into_iter().flatten().collect())?;
        let compacted_row = self.0.tell(&named(sql::COMPACTED_ROW, ""))?;
        read.kine_compact_row = single(compacted_row.into_iter().flatten().collect())?.unwrap_or(0);
        each(Ok(Item::Numbers(read)))?;
        self.0.stream(&named(sql::DUMP, ""), &mut |row| {
            each(Ok(Item::Row(Columns::of(row).stored()?)))
        })?;
        self.0.stream(&named(&sql::leases(), "_lease"), &mut |row| {
            each(Ok(Item::Lease(Columns::of(row).lease()?)))
        })
    }

    fn recorded_digest(&mut self) -> Result<Option<String>, Fault> {
        Ok(None)
    }
}
