//! Requests of owners and hosts, which go straight to an API server that may be dead, frozen or without its store.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::standalone::{Connection, Dialer};
use serde_json::Value;

/// How long an answer is waited for; what was asked may be done after that all the same.
const PATIENCE: Duration = Duration::from_secs(3);

/// What became of a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It was done.
    Done(Value),
    /// The server has refused it, with this status code; nothing was done.
    Refused(u16),
    /// Nobody knows.
    Unknown,
}

/// A client that outlives its connections.
pub(crate) struct Client {
    dialer: Dialer,
    connection: Option<Connection>,
}

impl Client {
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self {
            dialer,
            connection: None,
        }
    }

    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: &Value) -> Outcome {
        match tokio::time::timeout(PATIENCE, self.send(method, path, body)).await {
            Ok(Ok((status, answer))) if status < 300 => Outcome::Done(answer),
            // The server could not reach its store, or not in time.
            Ok(Ok((500.., _))) => Outcome::Unknown,
            Ok(Ok((status, _))) => Outcome::Refused(status),
            Ok(Err(_)) | Err(_) => {
                self.connection = None;
                Outcome::Unknown
            }
        }
    }

    /// An object, unless it does not exist or nobody knows.
    pub(crate) async fn get(&mut self, path: &str) -> Option<Value> {
        match self.ask("GET", path, &Value::Null).await {
            Outcome::Done(object) => Some(object),
            _ => None,
        }
    }

    /// The objects of a list.
    ///
    /// # Errors
    /// The server does not answer.
    pub(crate) async fn list(&mut self, path: &str) -> Result<Vec<Value>> {
        let list = self
            .get(path)
            .await
            .with_context(|| format!("no answer to GET {path}"))?;
        let items = list["items"].as_array().cloned();
        items.with_context(|| format!("GET {path} is no list"))
    }

    /// Creates what nobody else makes.
    ///
    /// # Errors
    /// It is not created.
    pub(crate) async fn create(&mut self, path: &str, object: &Value) -> Result<()> {
        let outcome = self.ask("POST", path, object).await;
        ensure!(matches!(outcome, Outcome::Done(_)), "POST {path}: {outcome:?}");
        Ok(())
    }

    async fn send(&mut self, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let connection = match &mut self.connection {
            Some(connection) if connection.is_open() => connection,
            connection => connection.insert(self.dialer.connect().await?),
        };
        let answer = connection.send(method, path, body).await?;
        Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or_default()))
    }
}
