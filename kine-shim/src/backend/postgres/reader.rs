//! The connections that read.

use std::{cell::Cell, fs::File, ops::ControlFlow, sync::Mutex};

use bytes::Bytes;
use chassis::lock;
use tokio_postgres::Statement;

use super::{
    connect::Connector,
    errors::fault,
    rows::{self, bytes, column, key},
    session::Session,
    statements,
};
use crate::backend::{Fault, Item, Payload, Size, StoredRow, driver, sqlite};

/// Connections kept open while nobody uses them.
const IDLE_READERS: usize = 2;

/// Connections to read with, made when they are needed.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    idle: Mutex<Vec<Reader>>,
}

/// A connection with its statements.
#[derive(Debug)]
struct Reader {
    session: Session,
    values: Statement,
    payloads: Statement,
    epoch: Statement,
    leases_left: Statement,
}

impl Reader {
    fn open(connector: &Connector) -> Result<Self, Fault> {
        let session = Session::open(connector)?;
        let [values, payloads, epoch, leases_left] = session.prepare([
            statements::VALUES,
            statements::PAYLOADS,
            statements::EPOCH,
            statements::LEASES_LEFT,
        ])?;
        Ok(Self {
            session,
            values,
            payloads,
            epoch,
            leases_left,
        })
    }
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        Self {
            connector,
            idle: Mutex::default(),
        }
    }

    /// Lends `work` a connection.
    fn with<T>(&self, work: impl FnOnce(&Reader) -> Result<T, Fault>) -> Result<T, Fault> {
        let idle = {
            let mut idle = lock(&self.idle);
            idle.retain(|reader| !reader.session.is_closed());
            idle.pop()
        };
        let reader = match idle {
            Some(reader) => reader,
            None => Reader::open(&self.connector)?,
        };
        let done = work(&reader);
        // One that has failed may be in any state.
        if done.is_ok() {
            let mut idle = lock(&self.idle);
            if idle.len() < IDLE_READERS {
                idle.push(reader);
            }
        }
        done
    }

    /// Asks a question that can be asked again: a connection that nobody has used for a while may have broken unseen.
    fn ask<T>(&self, work: impl Fn(&Reader) -> Result<T, Fault>) -> Result<T, Fault> {
        match self.with(&work) {
            Err(Fault::Lost(_)) => {
                lock(&self.idle).clear();
                self.with(&work)
            }
            done => done,
        }
    }
}

impl driver::Readers for Pool {
    fn values(&self, ids: &[i64], each: &mut dyn FnMut(usize, Bytes)) -> Result<bool, Fault> {
        let found = self.ask(|reader| {
            let mut found = Vec::with_capacity(ids.len());
            let read = rows::each(&reader.session.client, &reader.values, [ids], |row| {
                found.push((column::<i64>(row, 0)?, bytes(row, 1)?.unwrap_or_default()));
                Ok(())
            });
            reader.session.run(read)?;
            Ok(found)
        })?;
        if found.len() < ids.len() {
            return Ok(false);
        }
        let mut places: Vec<usize> = (0..ids.len()).collect();
        places.sort_unstable_by_key(|at| ids[*at]);
        for (id, value) in found {
            if let Ok(place) = places.binary_search_by_key(&id, |at| ids[*at]) {
                each(places[place], value);
            }
        }
        Ok(true)
    }

    fn payloads(&self, from: i64, to: i64, each: &mut dyn FnMut(Payload) -> ControlFlow<()>) -> Result<(), Fault> {
        let begun = Cell::new(false);
        let mut read = |reader: &Reader| {
            let mut broken_off = false;
            let read = rows::each(&reader.session.client, &reader.payloads, [from, to], |row| {
                let Some(key) = key(row, 1)? else { return Ok(()) };
                if broken_off {
                    return Ok(());
                }
                let value = |at| Ok::<_, Fault>(bytes(row, at)?.map(Vec::from).unwrap_or_default());
                let payload = Payload {
                    id: column(row, 0)?,
                    key,
                    sub: column::<Option<i64>>(row, 3)?.unwrap_or(0),
                    value: value(4)?,
                    old_value: value(5)?,
                };
                begun.set(true);
                broken_off = each(payload).is_break();
                Ok(())
            });
            reader.session.run(read)
        };
        match self.with(&mut read) {
            Err(Fault::Lost(_)) if !begun.get() => {
                lock(&self.idle).clear();
                self.with(&mut read)
            }
            done => done,
        }
    }

    fn dump(&self, each: &mut dyn FnMut(Item<StoredRow>) -> Result<(), Fault>) -> Result<(), Fault> {
        self.with(|reader| reader.session.load(statements::DUMP, each, rows::stored_row))
    }

    fn size(&self) -> Result<Size, Fault> {
        self.ask(|reader| {
            let ask = async {
                let asked = reader.session.client.query_one(statements::SIZE, &[]).await;
                asked.map_err(|error| fault(&error))
            };
            let found = reader.session.run(ask)?;
            let (total, live, dead): (i64, i64, i64) = (column(&found, 0)?, column(&found, 1)?, column(&found, 2)?);
            let rows = (live + dead).max(1);
            // Rows that are dead are space to use again.
            let free = i128::from(total) * i128::from(dead) / i128::from(rows);
            let free = i64::try_from(free).unwrap_or(0);
            Ok(Size {
                total,
                used: total - free,
            })
        })
    }

    fn copy(&self) -> Result<File, Fault> {
        sqlite::export(self)
    }

    fn epoch(&self) -> Result<i64, Fault> {
        self.ask(|reader| {
            let ask = async {
                let asked = reader.session.client.query_one(&reader.epoch, &[]).await;
                asked.map_err(|error| fault(&error))
            };
            column(&reader.session.run(ask)?, 0)
        })
    }

    fn lease_left(&self, id: i64) -> Result<Option<i64>, Fault> {
        let ids = [id];
        self.ask(|reader| {
            let mut left = None;
            let read = rows::each(&reader.session.client, &reader.leases_left, [ids.as_slice()], |row| {
                left = Some(column(row, 1)?);
                Ok(())
            });
            reader.session.run(read)?;
            Ok(left)
        })
    }
}
