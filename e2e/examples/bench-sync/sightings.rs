//! What a watch of all pods of a cluster has shown, and when.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::{Buf, BytesMut};
use e2e::standalone::Connection;
use http_body_util::BodyExt;
use serde::Deserialize;
use tokio::sync::{Notify, mpsc};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// When something was first seen of a pod.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) added: Option<Instant>,
    pub(crate) running: Option<Instant>,
    pub(crate) gone: Option<Instant>,
}

/// What a node needs to know about a pod of the host.
#[derive(Debug)]
pub(crate) enum News {
    /// It is there.
    Added(String, String),
    /// It is to end.
    Ending(String, String),
}

/// One cluster's pods, by `namespace/name`.
#[derive(Clone, Default)]
pub(crate) struct Sightings {
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    changed: Arc<Notify>,
}

#[derive(Deserialize)]
struct Event {
    r#type: String,
    object: Pod,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Pod {
    metadata: Metadata,
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    namespace: String,
    name: String,
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    phase: String,
}

impl Sightings {
    /// Watches all pods of a cluster from now on.
    pub(crate) async fn watch(mut connection: Connection, news: Option<mpsc::UnboundedSender<News>>) -> Result<Self> {
        let path = "/api/v1/pods?watch=true&resourceVersion=0";
        let mut body = connection.watch(path, "application/json").await?;
        let sightings = Self::default();
        let own = sightings.clone();
        tokio::spawn(async move {
            let _open = connection;
            let mut buffer = BytesMut::new();
            // The watch ends with its server.
            while let Some(Ok(frame)) = body.frame().await {
                let now = Instant::now();
                if let Ok(data) = frame.into_data() {
                    buffer.extend_from_slice(&data);
                }
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line = buffer.split_to(end);
                    buffer.advance(1);
                    if let Ok(event) = serde_json::from_slice(&line) {
                        own.take(event, now, news.as_ref());
                    }
                }
                own.changed.notify_waiters();
            }
        });
        Ok(sightings)
    }

    fn take(&self, event: Event, now: Instant, news: Option<&mpsc::UnboundedSender<News>>) {
        let Metadata {
            namespace,
            name,
            deletion_timestamp,
        } = event.object.metadata;
        let mut seen = self.seen();
        let pod = seen.entry(format!("{namespace}/{name}")).or_default();
        let first = pod.added.is_none();
        pod.added.get_or_insert(now);
        if event.object.status.phase == "Running" {
            pod.running.get_or_insert(now);
        }
        if event.r#type == "DELETED" {
            pod.gone.get_or_insert(now);
            return;
        }
        let told = match deletion_timestamp {
            Some(_) => News::Ending(namespace, name),
            None if first => News::Added(namespace, name),
            None => return,
        };
        if let Some(news) = news {
            // The node lives as long as the process.
            let _ = news.send(told);
        }
    }

    /// What was seen of one pod.
    pub(crate) fn of(&self, key: &str) -> Seen {
        self.seen().get(key).copied().unwrap_or_default()
    }

    /// Waits until something is true of all these pods.
    pub(crate) async fn until(&self, keys: &[String], what: &str, is: impl Fn(&Seen) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut from = 0;
        while from < keys.len() {
            let changed = self.changed.notified();
            while keys.get(from).is_some_and(|key| is(&self.of(key))) {
                from += 1;
            }
            if from == keys.len() {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{} is not {what} in time", keys[from]);
            }
            // A notification may come between the look and the wait; the next look makes up for it.
            let _ = tokio::time::timeout(left.min(Duration::from_millis(100)), changed).await;
        }
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From one moment to a later one, for each of them.
pub(crate) fn spans(pairs: impl Iterator<Item = (Option<Instant>, Option<Instant>)>) -> Result<Vec<Duration>> {
    pairs
        .map(|(from, to)| {
            let (from, to) = from.zip(to).context("something was not seen")?;
            Ok(to.saturating_duration_since(from))
        })
        .collect()
}
