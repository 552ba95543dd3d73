//! Other processes on the same database. The server tells nobody that something was committed, so it is asked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use mysql_async::{Conn, prelude::Queryable};

use super::{settings::Settings, sql};
use crate::backend::driver;

/// How often the server is asked: what a peer commits is seen at most that much later by those who watch. Who reads asks
/// anyway.
const INTERVAL: Duration = Duration::from_millis(25);
/// How long to wait after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// Asks for the newest epoch.
pub(super) struct Peers {
    settings: Arc<Settings>,
    connection: Option<Conn>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

impl Peers {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            connection: None,
        }
    }

    /// The newest epoch, `None` when the server cannot be asked now.
    async fn epoch(&mut self) -> Option<i64> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.settings.connect().await.ok()?,
        };
        let epoch = connection.query_first(sql::EPOCH).await.ok()?;
        self.connection = Some(connection);
        epoch
    }
}

impl driver::Peers for Peers {
    fn changed<'a>(&'a mut self, known: &'a AtomicI64) -> BoxFuture<'a, ()> {
        async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                match self.epoch().await {
                    Some(epoch) if epoch == known.load(Ordering::Acquire) => {}
                    Some(_) => return,
                    None => tokio::time::sleep(RETRY).await,
                }
            }
        }
        .boxed()
    }
}
