//! A connection for threads that may block.

use std::{fmt, sync::Arc, time::Duration};

use mysql_async::{Conn, Error, Row, prelude::Queryable};
use tokio::runtime::{Builder, Runtime};

use super::{
    fault::{ends_connection, fault, is_deadlock},
    settings::Settings,
    sql,
};
use crate::backend::Fault;

/// How long an answer may take; longer than the server waits for locks.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a statement came to.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The transaction was undone to let another one go on.
    Deadlock(Fault),
    /// Anything else.
    Fault(Fault),
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Deadlock(fault) | Trouble::Fault(fault) => fault,
        }
    }
}

/// A connection, made when it is needed, with what it takes to wait for it.
pub(super) struct Link {
    runtime: Option<Runtime>,
    settings: Arc<Settings>,
    connection: Option<Conn>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("connected", &self.connection.is_some())
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(settings: Arc<Settings>) -> Result<Self, Fault> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Fault::Other(format!("no event loop for the database: {error}")))?;
        Ok(Self {
            runtime: Some(runtime),
            settings,
            connection: None,
        })
    }

    /// Makes the database if it is not there.
    pub(super) fn create_database(&mut self) -> Result<(), Fault> {
        let settings = Arc::clone(&self.settings);
        self.runtime()?.block_on(settings.create_database())
    }

    fn runtime(&self) -> Result<&Runtime, Fault> {
        self.runtime.as_ref().ok_or_else(|| Fault::Lost("closed".into()))
    }

    /// Says statements that may be said twice; connects again if the server has given up the connection meanwhile.
    /// Returns the rows of each.
    pub(super) fn ask(&mut self, statements: &str) -> Result<Vec<Vec<Row>>, Fault> {
        if self.connection.is_some() {
            match self.tell(statements) {
                Err(Trouble::Fault(Fault::Lost(_)) | Trouble::Deadlock(_)) => {}
                done => return Ok(done?),
            }
        }
        self.connect()?;
        Ok(self.tell(statements)?)
    }

    /// Says statements on the connection there is. Returns the rows of each.
    pub(super) fn tell(&mut self, statements: &str) -> Result<Vec<Vec<Row>>, Trouble> {
        self.run(Some(PATIENCE), async |connection| {
            let mut results = connection.query_iter(statements).await?;
            let mut sets = Vec::new();
            while !results.is_empty() {
                sets.push(results.collect().await?);
            }
            Ok(sets)
        })
    }

    /// Says a statement that may take long, and calls `each` with the rows as they arrive.
    pub(super) fn stream(
        &mut self,
        statement: &str,
        each: &mut dyn FnMut(Row) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut stopped = Ok(());
        self.run(None, async |connection| {
            let mut rows = connection.query_iter(statement).await?;
            while let Some(row) = rows.next().await? {
                if stopped.is_ok() {
                    stopped = each(row);
                }
            }
            Ok(())
        })?;
        stopped
    }

    fn connect(&mut self) -> Result<(), Fault> {
        self.connection = None;
        let settings = Arc::clone(&self.settings);
        self.connection = Some(self.runtime()?.block_on(settings.connect())?);
        Ok(())
    }

    fn run<T>(
        &mut self,
        patience: Option<Duration>,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, Error>,
    ) -> Result<T, Trouble> {
        let lost = |text: &str| Trouble::Fault(Fault::Lost(text.into()));
        let Some(mut connection) = self.connection.take() else {
            return Err(lost("it was closed"));
        };
        let runtime = self.runtime().map_err(Trouble::Fault)?;
        let done = runtime.block_on(async {
            match patience {
                Some(patience) => tokio::time::timeout(patience, work(&mut connection)).await,
                None => Ok(work(&mut connection).await),
            }
        });
        let _within = runtime.enter();
        match done {
            Ok(Ok(value)) => {
                self.connection = Some(connection);
                Ok(value)
            }
            Ok(Err(error)) => {
                if !ends_connection(&error) {
                    self.connection = Some(connection);
                }
                Err(match is_deadlock(&error) {
                    true => Trouble::Deadlock(fault(&error)),
                    false => Trouble::Fault(fault(&error)),
                })
            }
            Err(_) => Err(lost("the server did not answer in time")),
        }
    }

    /// Undoes the transaction. Without a connection the server does that by itself.
    pub(super) fn rollback(&mut self) {
        if self.connection.is_some() && self.tell(sql::ROLLBACK).is_err() {
            self.connection = None;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if let Some(connection) = self.connection.take() {
            // Saying goodbye saves the server a line in its log, but not where waiting is not allowed.
            if tokio::runtime::Handle::try_current().is_err() {
                let goodbye = async { tokio::time::timeout(Duration::from_secs(1), connection.disconnect()).await };
                let _ = runtime.block_on(goodbye);
            } else {
                let _within = runtime.enter();
                drop(connection);
            }
        }
        runtime.shutdown_background();
    }
}
