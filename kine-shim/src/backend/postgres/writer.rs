//! The connection that writes.

use bytes::Bytes;
use tokio_postgres::{Error, Statement, types::ToSql};

use super::{
    connect::Connector,
    errors::{commit_fault, fault, is_answer},
    rows::{self, NONE, bytes, column, pair},
    session::Session,
    statements,
};
use crate::backend::{
    Fault, Item, LeaseRow, NewRow, Row, StoredRow,
    driver::{self, Begun, Changes, NetLeases, Purpose, Wish},
    names,
};

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Connection {
    connector: Connector,
    link: Option<Link>,
    name: String,
    sequence: Option<String>,
    open: bool,
}

/// A connection as long as it holds, with its statements.
#[derive(Debug)]
struct Link {
    session: Session,
    locked_counters: Statement,
    counters: Statement,
    values: Statement,
    leases_left: Statement,
    leases: Statement,
    news: Statement,
    insert: Statement,
    delete: Statement,
    advance: Statement,
}

impl Link {
    fn new(session: Session) -> Result<Self, Fault> {
        let [
            locked_counters,
            counters,
            values,
            leases_left,
            leases,
            news,
            insert,
            delete,
            advance,
        ] = session.prepare([
            statements::LOCKED_COUNTERS,
            statements::COUNTERS,
            statements::VALUES,
            statements::LEASES_LEFT,
            statements::LEASES,
            statements::NEWS,
            statements::INSERT,
            statements::DELETE,
            statements::ADVANCE,
        ])?;
        Ok(Self {
            session,
            locked_counters,
            counters,
            values,
            leases_left,
            leases,
            news,
            insert,
            delete,
            advance,
        })
    }

    fn begin(&self, purpose: Purpose, wish: &Wish) -> Result<Begun, Fault> {
        let client = &self.session.client;
        let (begin, counters) = match purpose {
            Purpose::Look => ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", &self.counters),
            Purpose::Write => (statements::BEGIN, &self.locked_counters),
        };
        let look_up = async |wanted: &Vec<i64>, statement: &Statement| {
            if wanted.is_empty() {
                return Ok(Vec::new());
            }
            client.query(statement, &[wanted]).await
        };
        // All of them are sent before the first is answered.
        let asked = async {
            let asked = futures::try_join!(
                client.batch_execute(begin),
                client.query(counters, &[]),
                look_up(&wish.values, &self.values),
                look_up(&wish.leases, &self.leases_left),
            );
            asked.map_err(|error| fault(&error))
        };
        let ((), counters, values, leases) = self.session.run(asked)?;
        let value = |found: &_| Ok((column(found, 0)?, bytes(found, 1)?.unwrap_or_default()));
        Ok(Begun {
            counters: rows::numbers(&counters)?.counters,
            values: values.iter().map(value).collect::<Result<_, Fault>>()?,
            leases: leases.iter().map(pair).collect::<Result<_, Fault>>()?,
        })
    }

    fn commit(&self, changes: &Changes<'_>, name: &str, sequence: Option<&str>) -> Result<(), Fault> {
        let client = &self.session.client;
        let leases = NetLeases::new(&changes.leases);
        let columns = Columns::new(&changes.rows);
        let insert = async {
            match columns.ids.is_empty() {
                true => Ok(0),
                false => client.execute(&self.insert, &columns.params()).await,
            }
        };
        let remove = async {
            match changes.removed {
                [] => Ok(0),
                removed => client.execute(&self.delete, &[&removed]).await,
            }
        };
        // Statements that are seldom needed are not kept prepared.
        let seldom = async |wanted: bool, statement: &str, params: &[&(dyn ToSql + Sync)]| match wanted {
            true => client.execute(statement, params).await,
            false => Ok(0),
        };
        let compact_row = changes.compacted.map_or(0, |(_, row)| row);
        let advance = async {
            let Some(to) = changes.counters else { return Ok(0) };
            let news = format!("{name} {}", to.epoch);
            let params: [&(dyn ToSql + Sync); 9] = [
                &to.epoch,
                &to.lease_epoch,
                &to.revision,
                &to.last_row,
                &to.compact_revision,
                &to.compact_row,
                &to.alarms,
                &news,
                &sequence,
            ];
            client.execute(&self.advance, &params).await
        };
        // The commit is sent last and without waiting; should a statement before it have failed, it undoes everything.
        let (grant, renew, revoke) = (
            !leases.granted.is_empty(),
            !leases.renewed.is_empty(),
            !leases.revoked.is_empty(),
        );
        let write = async {
            if grant || renew || revoke || changes.compacted.is_some() {
                seldom(grant, statements::GRANT, &[&leases.granted, &leases.ttls]).await?;
                seldom(renew, statements::RENEW, &[&leases.renewed]).await?;
                seldom(revoke, statements::REVOKE, &[&leases.revoked]).await?;
                seldom(
                    changes.compacted.is_some(),
                    statements::SET_COMPACT_ROW,
                    &[&compact_row],
                )
                .await?;
            }
            Ok::<_, Error>(())
        };
        self.session.run(async {
            write.await.map_err(|error| fault(&error))?;
            let (inserted, removed, advanced, committed) =
                futures::join!(insert, remove, advance, client.batch_execute("COMMIT"));
            for statement in [inserted, removed, advanced] {
                statement.map_err(|error| {
                    if is_answer(&error) {
                        fault(&error)
                    } else {
                        commit_fault(&error)
                    }
                })?;
            }
            committed.map_err(|error| commit_fault(&error))
        })
    }
}

impl Connection {
    /// Takes over a connection to a database that is up to date.
    pub(super) fn new(
        connector: Connector,
        session: Session,
        name: String,
        sequence: Option<String>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            connector,
            link: Some(Link::new(session)?),
            name,
            sequence,
            open: false,
        })
    }

    /// The connection, made anew if it has broken.
    fn link(&mut self) -> Result<&Link, Fault> {
        if self.link.as_ref().is_none_or(|link| link.session.is_closed()) {
            self.link = None;
            self.open = false;
            // Whatever it is this time, it worked before and may work again.
            let again = |fault| match fault {
                Fault::Other(text) => Fault::Lost(text),
                fault => fault,
            };
            let session = Session::open(&self.connector).map_err(again)?;
            self.link = Some(Link::new(session)?);
        }
        self.link.as_ref().ok_or_else(gone)
    }

    /// Gives up a connection that is of no use any more.
    fn settle<T>(&mut self, done: Result<T, Fault>) -> Result<T, Fault> {
        if matches!(done, Err(Fault::Lost(_) | Fault::Unknown(_))) {
            self.link = None;
            self.open = false;
        }
        done
    }

    /// The connection within a group.
    fn within(&self) -> Result<&Link, Fault> {
        self.link.as_ref().ok_or_else(gone)
    }
}

fn gone() -> Fault {
    Fault::Lost("the connection is closed".into())
}

impl driver::Writer for Connection {
    fn load(&mut self, each: &mut dyn FnMut(Item<Row>)) -> Result<(), Fault> {
        let link = self.link()?;
        let loaded = link.session.load(
            statements::LOAD,
            |item: Item<Row>| {
                each(item);
                Ok(())
            },
            rows::row,
        );
        self.settle(loaded)
    }

    fn begin(&mut self, purpose: Purpose, wish: &Wish) -> Result<Option<Begun>, Fault> {
        let begun = self.link()?.begin(purpose, wish);
        self.open = true;
        let begun = self.settle(begun);
        match &begun {
            Err(Fault::Busy(_) | Fault::NoSpace(_)) => self.rollback(),
            // Statements prepared for a table that somebody has changed are of no use any more.
            Err(_) => self.link = None,
            Ok(_) => {}
        }
        begun.map(Some)
    }

    fn news(&mut self, after: i64, each: &mut dyn FnMut(StoredRow)) -> Result<(), Fault> {
        let link = self.within()?;
        let told = link
            .session
            .run(rows::each(&link.session.client, &link.news, [after], |found| {
                each(rows::stored_row(found)?);
                Ok(())
            }));
        self.settle(told)
    }

    fn leases(&mut self) -> Result<Vec<LeaseRow>, Fault> {
        let link = self.within()?;
        let mut leases = Vec::new();
        let read = link
            .session
            .run(rows::each(&link.session.client, &link.leases, NONE, |found| {
                leases.push(rows::lease(found)?);
                Ok(())
            }));
        self.settle(read.map(|()| leases))
    }

    fn value(&self, id: i64) -> Result<Option<Bytes>, Fault> {
        let link = self.within()?;
        let ask = async {
            let asked = link.session.client.query_opt(&link.values, &[&[id].as_slice()]).await;
            asked.map_err(|error| fault(&error))
        };
        match link.session.run(ask)? {
            Some(found) => Ok(Some(bytes(&found, 1)?.unwrap_or_default())),
            None => Ok(None),
        }
    }

    fn commit(&mut self, changes: &Changes<'_>) -> Result<(), Fault> {
        let committed = self.within()?.commit(changes, &self.name, self.sequence.as_deref());
        self.open = false;
        self.settle(committed)
    }

    fn rollback(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let undone = self.within().and_then(|link| {
            let undo = async {
                link.session
                    .client
                    .batch_execute("ROLLBACK")
                    .await
                    .map_err(|error| fault(&error))
            };
            link.session.run(undo)
        });
        // A server that does not hear this undoes the group when it misses the connection.
        if undone.is_err() {
            self.link = None;
        }
    }

    fn defragment(&mut self) -> Result<(), Fault> {
        let link = self.link()?;
        let vacuum = async {
            link.session
                .client
                .batch_execute(statements::VACUUM)
                .await
                .map_err(|error| fault(&error))
        };
        let done = link.session.run(vacuum);
        self.settle(done)
    }
}

/// Rows as one array for each column.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<i64>,
    names: Vec<String>,
    raw_names: Vec<Option<&'a [u8]>>,
    created: Vec<i32>,
    deleted: Vec<i32>,
    create_revisions: Vec<i64>,
    prev_rows: Vec<i64>,
    leases: Vec<i64>,
    revisions: Vec<Option<i64>>,
    subs: Vec<Option<i64>>,
    versions: Vec<i64>,
    values: Vec<Option<&'a [u8]>>,
    old_values: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    fn new(rows: &[NewRow<'a>]) -> Self {
        let mut columns = Self::default();
        for row in rows {
            let (name, raw_name) = names::encode_text(row.key, |_| true);
            columns.ids.push(row.id);
            columns.names.push(name.into_owned());
            columns.raw_names.push(raw_name);
            columns.created.push(row.created.into());
            columns.deleted.push(row.deleted.into());
            columns.create_revisions.push(row.create_revision);
            columns.prev_rows.push(row.prev_row);
            columns.leases.push(row.lease);
            columns.revisions.push((row.revision != row.id).then_some(row.revision));
            columns.subs.push((row.sub != 0).then_some(row.sub));
            columns.versions.push(row.version);
            columns.values.push(row.value);
            columns.old_values.push(row.old_value);
        }
        columns
    }

    fn params(&self) -> [&(dyn ToSql + Sync); 13] {
        [
            &self.ids,
            &self.names,
            &self.raw_names,
            &self.created,
            &self.deleted,
            &self.create_revisions,
            &self.prev_rows,
            &self.leases,
            &self.revisions,
            &self.subs,
            &self.versions,
            &self.values,
            &self.old_values,
        ]
    }
}
