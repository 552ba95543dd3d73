//! The connections that read.

use std::{
    fs::File,
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use chassis::lock;

use super::{
    link::Link,
    rows::{Columns, numbers, pairs, single},
    settings::Settings,
    sql,
    writer::values,
};
use crate::backend::{Fault, Item, Payload, Size, StoredRow, driver, sqlite};

/// Reading connections kept open while nobody uses them.
const IDLE_READERS: usize = 2;
/// Rows of one answer. When a reader breaks off, the rest of it is thrown away.
const PAGE: usize = 256;
/// Rows looked up with one statement.
const LOOK_UP: usize = 1000;

/// The connections that read.
#[derive(Debug)]
pub(super) struct Readers {
    settings: Arc<Settings>,
    idle: Mutex<Vec<Link>>,
}

impl Readers {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            idle: Mutex::default(),
        }
    }

    /// Lends `work` a connection.
    fn with<T>(&self, work: impl FnOnce(&mut Link) -> Result<T, Fault>) -> Result<T, Fault> {
        let idle = lock(&self.idle).pop();
        let mut link = match idle {
            Some(link) => link,
            None => Link::new(Arc::clone(&self.settings))?,
        };
        let done = work(&mut link);
        if done.is_err() {
            link.rollback();
        }
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_READERS {
            idle.push(link);
        }
        done
    }

    fn number(&self, statement: &str) -> Result<Option<i64>, Fault> {
        self.with(|link| single(link.ask(statement)?.into_iter().flatten().collect()))
    }
}

impl driver::Readers for Readers {
    fn values(&self, ids: &[i64], each: &mut dyn FnMut(usize, Bytes)) -> Result<bool, Fault> {
        let mut statements: Vec<_> = ids.chunks(LOOK_UP).map(sql::values).collect();
        if statements.len() > 1 {
            statements.insert(0, sql::SNAPSHOT.into());
            statements.push(sql::COMMIT.into());
        }
        let rows = self.with(|link| link.ask(&statements.join("; ")))?;
        let mut found = values(rows.into_iter().flatten().collect())?;
        found.sort_unstable_by_key(|(id, _)| *id);
        let mut complete = true;
        for (at, id) in ids.iter().enumerate() {
            match found.binary_search_by_key(id, |(id, _)| *id) {
                Ok(place) => each(at, found[place].1.clone()),
                Err(_) => complete = false,
            }
        }
        Ok(complete)
    }

    fn payloads(&self, from: i64, to: i64, each: &mut dyn FnMut(Payload) -> ControlFlow<()>) -> Result<(), Fault> {
        self.with(|link| {
            link.ask(sql::SNAPSHOT)?;
            let mut from = from;
            loop {
                let mut rows = 0;
                let mut flow = ControlFlow::Continue(());
                link.stream(&sql::payloads(from, to, PAGE), &mut |row| {
                    let mut columns = Columns::of(row);
                    let (id, payload) = columns.payload()?;
                    rows += 1;
                    from = id + 1;
                    if let (Some(payload), ControlFlow::Continue(())) = (payload, flow) {
                        flow = each(payload);
                    }
                    Ok(())
                })?;
                if rows < PAGE || flow.is_break() {
                    break;
                }
            }
            link.tell(sql::COMMIT)?;
            Ok(())
        })
    }

    fn dump(&self, each: &mut dyn FnMut(Item<StoredRow>) -> Result<(), Fault>) -> Result<(), Fault> {
        self.with(|link| {
            let first = [sql::SNAPSHOT, sql::META, sql::COMPACTED_ROW].join("; ");
            let mut sets = link.ask(&first)?.into_iter().skip(1);
            let mut read = numbers(sets.next().unwrap_or_default())?;
            read.kine_compact_row = single(sets.next().unwrap_or_default())?.unwrap_or(0);
            each(Item::Numbers(read))?;
            link.stream(sql::DUMP, &mut |row| each(Item::Row(Columns::of(row).stored()?)))?;
            link.stream(&sql::leases(), &mut |row| each(Item::Lease(Columns::of(row).lease()?)))?;
            link.tell(sql::COMMIT)?;
            Ok(())
        })
    }

    fn size(&self) -> Result<Size, Fault> {
        let rows = self.with(|link| link.ask(sql::SIZE))?;
        let sizes = pairs(rows.into_iter().flatten().collect())?;
        let (used, free) = sizes.into_iter().next().unwrap_or_default();
        Ok(Size {
            total: used + free,
            used,
        })
    }

    fn copy(&self) -> Result<File, Fault> {
        sqlite::export(self)
    }

    fn epoch(&self) -> Result<i64, Fault> {
        Ok(self.number(sql::EPOCH)?.unwrap_or(0))
    }

    fn lease_left(&self, id: i64) -> Result<Option<i64>, Fault> {
        let rows = self.with(|link| link.ask(&sql::leases_left(&[id])))?;
        let left = pairs(rows.into_iter().flatten().collect())?;
        Ok(left.into_iter().next().map(|(_, left)| left))
    }
}
