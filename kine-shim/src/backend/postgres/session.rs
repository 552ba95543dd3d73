//! A connection with the little runtime that drives it, so that it can be used from any thread that may block.

use std::{future::Future, time::Duration};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Row, Statement};

use super::{connect::Connector, errors::fault, rows, statements};
use crate::backend::{Fault, Item, Numbers};

/// A connection.
pub(super) struct Session {
    runtime: Own,
    pub(super) client: Client,
}

/// A runtime that may be dropped anywhere.
struct Own(Option<Runtime>);

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// How long a server may take to answer a new connection.
const PATIENCE: Duration = Duration::from_secs(10);

impl Session {
    /// Connects and sets the connection up.
    pub(super) fn open(connector: &Connector) -> Result<Self, Fault> {
        let runtime = runtime()?;
        let connect = async {
            let (client, connection) = connector.connect().await?;
            // It ends with the runtime; what breaks it is told to whoever uses the client.
            tokio::spawn(async {
                let _ = connection.await;
            });
            client
                .batch_execute(statements::SETTINGS)
                .await
                .map_err(|error| fault(&error))?;
            Ok::<_, Fault>(client)
        };
        let client = runtime.block_on(async {
            let late = |_| Fault::Lost("the server does not answer".into());
            tokio::time::timeout(PATIENCE, connect).await.map_err(late)?
        })?;
        Ok(Self {
            runtime: Own(Some(runtime)),
            client,
        })
    }

    /// Connects to a database that may have to be created first.
    pub(super) fn open_or_create(connector: &Connector) -> Result<Self, Fault> {
        let runtime = runtime()?;
        runtime.block_on(connector.connect_or_create())?;
        Self::open(connector)
    }

    /// Calls `each` with everything in the database as it is at one moment; rows are what `read` makes of what `statement`
    /// finds.
    pub(super) fn load<R>(
        &self,
        statement: &str,
        mut each: impl FnMut(Item<R>) -> Result<(), Fault>,
        read: fn(&Row) -> Result<R, Fault>,
    ) -> Result<(), Fault> {
        let [all, counters, compacted_row, leases] = self.prepare([
            statement,
            statements::COUNTERS,
            statements::COMPACTED_ROW,
            statements::LEASES,
        ])?;
        let client = &self.client;
        let loaded = self.run(async {
            let begun = futures::try_join!(
                client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
                client.query(&counters, &[]),
                client.query_one(&compacted_row, &[]),
            );
            let ((), counters, compacted_row) = begun.map_err(|error| fault(&error))?;
            each(Item::Numbers(Numbers {
                kine_compact_row: rows::column(&compacted_row, 0)?,
                ..rows::numbers(&counters)?
            }))?;
            rows::each(client, &all, rows::NONE, |found| each(Item::Row(read(found)?))).await?;
            rows::each(client, &leases, rows::NONE, |found| {
                each(Item::Lease(rows::lease(found)?))
            })
            .await
        });
        let ended = self.run(async { client.batch_execute("ROLLBACK").await.map_err(|error| fault(&error)) });
        loaded.and(ended)
    }

    /// Drives `work` on this connection.
    pub(super) fn run<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match &self.runtime.0 {
            Some(runtime) => runtime.block_on(work),
            None => Err(Fault::Lost("the connection is closed".into())),
        }
    }

    /// Prepares statements, all in one go.
    pub(super) fn prepare<const N: usize>(&self, texts: [&str; N]) -> Result<[Statement; N], Fault> {
        let prepared = futures::future::try_join_all(texts.map(|text| self.client.prepare(text)));
        let prepared = self.run(async { prepared.await.map_err(|error| fault(&error)) })?;
        prepared
            .try_into()
            .map_err(|_| Fault::Other("a statement was not prepared".into()))
    }

    /// Whether the connection has broken.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

fn runtime() -> Result<Runtime, Fault> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::Lost(format!("cannot start a runtime: {error}")))
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("closed", &self.is_closed()).finish()
    }
}
