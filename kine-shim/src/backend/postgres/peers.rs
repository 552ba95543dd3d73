//! The connection that listens to peers.

use std::{
    pin::Pin,
    sync::atomic::{AtomicI64, Ordering},
};

use futures::{Stream, StreamExt, future::BoxFuture, stream::poll_fn};
use tokio_postgres::{AsyncMessage, Client, Error};

use super::{connect::Connector, errors::fault, statements};
use crate::{
    backend::{Fault, driver::Peers},
    store::peers::Backoff,
};

type Messages = Pin<Box<dyn Stream<Item = Result<AsyncMessage, Error>> + Send>>;

/// Listens to peers.
pub(super) struct Listener {
    connector: Connector,
    name: String,
    link: Option<(Client, Messages)>,
}

impl Listener {
    pub(super) fn new(connector: Connector, name: String) -> Self {
        Self {
            connector,
            name,
            link: None,
        }
    }

    /// Whether this is news: what a peer says of an epoch that is not known yet.
    fn is_news(&self, text: &str, known: i64) -> bool {
        match text.split_once(' ') {
            Some((name, epoch)) => name != self.name && epoch.parse().map_or(true, |epoch: i64| epoch > known),
            None => true,
        }
    }
}

/// Connects, and returns once nothing that peers say is missed any more.
async fn listen(connector: &Connector) -> Result<(Client, Messages), Fault> {
    let (client, mut connection) = connector.connect().await?;
    let mut messages: Messages = Box::pin(poll_fn(move |cx| connection.poll_message(cx)));
    {
        let mut listening = std::pin::pin!(client.batch_execute(statements::LISTEN));
        loop {
            tokio::select! {
                done = &mut listening => {
                    done.map_err(|error| fault(&error))?;
                    break;
                }
                message = messages.next() => match message {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(fault(&error)),
                    None => return Err(Fault::Lost("the server closed the connection".into())),
                }
            }
        }
    }
    Ok((client, messages))
}

impl Peers for Listener {
    fn changed<'a>(&'a mut self, known: &'a AtomicI64) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut backoff = Backoff::default();
            loop {
                let Some((_, messages)) = &mut self.link else {
                    match listen(&self.connector).await {
                        Ok(link) => self.link = Some(link),
                        Err(error) => {
                            tracing::debug!(%error, "not listening to other stores on the database, trying again");
                            tokio::time::sleep(backoff.next()).await;
                            continue;
                        }
                    }
                    // What was said while nobody listened is missed.
                    return;
                };
                match messages.next().await {
                    Some(Ok(AsyncMessage::Notification(news))) => {
                        if self.is_news(news.payload(), known.load(Ordering::Acquire)) {
                            return;
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => self.link = None,
                }
            }
        })
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("name", &self.name).finish()
    }
}
