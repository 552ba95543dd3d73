//! The connection that writes.

use std::cell::RefCell;

use bytes::Bytes;
use mysql_async::Row as Sent;

use super::{
    link::{Link, Trouble},
    rows::{Columns, numbers, pairs, single},
    sql,
};
use crate::backend::{
    Counters, Fault, Item, LeaseRow, Row, StoredRow,
    driver::{self, Begun, Changes, Purpose, Wish},
};

/// Bytes of one packet, roughly; servers take 16 MiB (MariaDB) or 64 MiB (MySQL) unless told otherwise.
const PACKET: usize = 2 << 20;
/// How often a group is tried again that the server undid to let another one go on.
const ATTEMPTS: usize = 5;

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    link: RefCell<Link>,
    /// What the group that has begun was told.
    begun: Option<Counters>,
}

impl Writer {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link: RefCell::new(link),
            begun: None,
        }
    }

    fn tell(&mut self, statement: &str) -> Result<Vec<Sent>, Fault> {
        Ok(self.link.get_mut().tell(statement)?.into_iter().flatten().collect())
    }

    /// Begins again after the server has undone a group. What was decided still holds if nobody has committed meanwhile.
    fn begin_again(&mut self) -> Result<bool, Fault> {
        let begun = self.begun.take();
        let now = driver::Writer::begin(self, Purpose::Write, &Wish::default())?;
        Ok(now.map(|now| now.counters) == begun)
    }

    /// Says everything and commits; the last packet has the commit in it.
    fn attempt(&mut self, packets: &[String]) -> Result<(), Trouble> {
        let link = self.link.get_mut();
        let last = packets.len().saturating_sub(1);
        for (at, packet) in packets.iter().enumerate() {
            link.tell(packet).map_err(|trouble| match trouble {
                Trouble::Fault(Fault::Lost(text)) if at == last => Trouble::Fault(Fault::Unknown(text)),
                trouble => trouble,
            })?;
        }
        Ok(())
    }
}

impl driver::Writer for Writer {
    fn load(&mut self, each: &mut dyn FnMut(Item<Row>)) -> Result<(), Fault> {
        let link = self.link.get_mut();
        let first = [sql::SNAPSHOT, sql::META, sql::COMPACTED_ROW].join("; ");
        let mut sets = link.ask(&first)?.into_iter().skip(1);
        let mut read = numbers(sets.next().unwrap_or_default())?;
        read.kine_compact_row = single(sets.next().unwrap_or_default())?.unwrap_or(0);
        each(Item::Numbers(read));
        link.stream(sql::LOAD, &mut |row| {
            each(Item::Row(Columns::of(row).row()?));
            Ok(())
        })?;
        link.stream(&sql::leases(), &mut |row| {
            each(Item::Lease(Columns::of(row).lease()?));
            Ok(())
        })?;
        self.tell(sql::COMMIT)?;
        Ok(())
    }

    fn begin(&mut self, purpose: Purpose, wish: &Wish) -> Result<Option<Begun>, Fault> {
        // To the server, beginning is also the end of what was begun before, and a commit at that.
        if self.begun.is_some() {
            self.rollback();
        }
        let mut statements = match purpose {
            Purpose::Look => vec![sql::SNAPSHOT.to_owned(), sql::META.to_owned()],
            Purpose::Write => vec![sql::BEGIN.to_owned(), sql::LOCKED_META.to_owned()],
        };
        if !wish.values.is_empty() {
            statements.push(sql::values(&wish.values));
        }
        if !wish.leases.is_empty() {
            statements.push(sql::leases_left(&wish.leases));
        }
        let asked = self.link.get_mut().ask(&statements.join("; "));
        let mut sets = asked
            .inspect_err(|_| self.link.get_mut().rollback())?
            .into_iter()
            .skip(1);
        let mut next = |wanted: bool| match wanted {
            true => sets.next().unwrap_or_default(),
            false => Vec::new(),
        };
        let counters = numbers(next(true))?.counters;
        let values = values(next(!wish.values.is_empty()))?;
        let leases = pairs(next(!wish.leases.is_empty()))?;
        self.begun = Some(counters);
        Ok(Some(Begun {
            counters,
            values,
            leases,
        }))
    }

    fn news(&mut self, after: i64, each: &mut dyn FnMut(StoredRow)) -> Result<(), Fault> {
        self.link.get_mut().stream(&sql::news(after), &mut |row| {
            each(Columns::of(row).stored()?);
            Ok(())
        })
    }

    fn leases(&mut self) -> Result<Vec<LeaseRow>, Fault> {
        self.tell(&sql::leases())?
            .into_iter()
            .map(|row| Columns::of(row).lease())
            .collect()
    }

    fn value(&self, id: i64) -> Result<Option<Bytes>, Fault> {
        let rows = self.link.borrow_mut().tell(&sql::values(&[id]))?;
        let found = values(rows.into_iter().flatten().collect())?;
        Ok(found.into_iter().next().map(|(_, value)| value))
    }

    fn commit(&mut self, changes: &Changes<'_>) -> Result<(), Fault> {
        let packets = packets(sql::changes(changes, PACKET));
        let mut done = self.attempt(&packets);
        for _ in 1..ATTEMPTS {
            match done {
                Err(Trouble::Deadlock(_)) if self.begin_again()? => done = self.attempt(&packets),
                _ => break,
            }
        }
        if done.is_ok() {
            self.begun = None;
        }
        Ok(done?)
    }

    fn rollback(&mut self) {
        self.begun = None;
        self.link.get_mut().rollback();
    }

    fn defragment(&mut self) -> Result<(), Fault> {
        let link = self.link.get_mut();
        // A connection that was given up meanwhile is noticed here.
        link.ask(sql::VERSION)?;
        link.stream(sql::OPTIMIZE, &mut |_| Ok(()))
    }
}

/// Statements put together to packets, with a commit at the end.
fn packets(statements: Vec<String>) -> Vec<String> {
    let mut packets = vec![String::new()];
    for statement in statements.into_iter().chain([sql::COMMIT.to_owned()]) {
        match packets.last_mut() {
            Some(last) if last.is_empty() => *last = statement,
            Some(last) if last.len() + statement.len() <= PACKET => {
                last.push_str("; ");
                last.push_str(&statement);
            }
            _ => packets.push(statement),
        }
    }
    packets
}

pub(super) fn values(rows: Vec<Sent>) -> Result<Vec<(i64, Bytes)>, Fault> {
    rows.into_iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok((columns.number()?, columns.bytes().unwrap_or_default()))
        })
        .collect()
}
