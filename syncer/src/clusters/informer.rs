//! Keeps a cache current: list, then watch, for ever.
//!
//! ```text
//! Listing --all pages read--> Watching(version) --closed, error--> Watching(version) --410 Gone--> Listing
//! ```
//! An API server that is away, paused or restarted only delays this; what changed meanwhile arrives as changes.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use serde_json::Value;
use tracing::{debug, info, warn};

use super::api::{Api, ApiError};
use super::cache::{Cache, Change};
use crate::json;
use crate::kinds::Kind;
use crate::object::{Object, ObjectKey};

/// Objects per page of the first list: bounds the memory of one answer.
const PAGE: usize = 500;
/// How long one watch lasts; the server ends it.
const WATCH_SECONDS: u64 = 290;
/// A watch that the server should have ended but did not is broken.
const WATCH_DEADLINE: Duration = Duration::from_secs(WATCH_SECONDS + 20);
/// Delays between attempts.
const RETRY: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(5);
/// Longest document of a watch, in bytes: more than the largest object an API server stores.
const LONGEST_LINE: usize = 16 << 20;

/// Which objects of a kind are watched.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only this namespace, or all of them when empty.
    pub namespace: String,
    /// Label selector, or empty.
    pub labels: String,
    /// Field selector, or empty.
    pub fields: String,
}

impl Selection {
    /// Whether an object of this namespace and name may be among the selected ones.
    fn covers(&self, key: &ObjectKey) -> bool {
        let name = self.fields.strip_prefix("metadata.name=");
        (self.namespace.is_empty() || self.namespace == key.namespace) && name.is_none_or(|name| name == key.name)
    }

    fn query(&self) -> String {
        let mut query = url_query(&[("labelSelector", &self.labels), ("fieldSelector", &self.fields)]);
        if !query.is_empty() {
            query.push('&');
        }
        query
    }
}

/// Encodes query parameters; empty ones are left out.
fn url_query(parameters: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        text.bytes().fold(String::new(), |mut encoded, byte| {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
                _ => encoded.push_str(&format!("%{byte:02X}")),
            }
            encoded
        })
    };
    let set = parameters.iter().filter(|(_, value)| !value.is_empty());
    set.map(|(key, value)| format!("{key}={}", encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// One kind of one cluster.
pub struct Informer {
    /// Where to ask.
    pub api: Api,
    /// What to ask for.
    pub kind: Kind,
    /// Which of them.
    pub selection: Selection,
    /// Drops what nobody reads before it is kept.
    pub trim: fn(&mut Value),
}

enum Ended {
    /// The watch may continue where it was.
    Resume,
    /// The server no longer knows that version.
    Expired,
}

impl Informer {
    /// Runs for ever. `changes` is called for every change that is news, `synced` once the first list is taken over.
    pub async fn run(&self, cache: &Cache, synced: impl Fn(), changes: impl Fn(Change)) {
        let mut first = true;
        let mut delay = *RETRY.start();
        let mut version = None;
        loop {
            let from = match version.take() {
                Some(version) => Ok(version),
                None => self.list(cache, &changes).await,
            };
            let outcome = match from {
                Ok(from) => {
                    if std::mem::take(&mut first) {
                        synced();
                        info!(
                            cluster = self.api.side().as_str(),
                            resource = self.kind.plural(),
                            "watching"
                        );
                    }
                    self.watch(cache, &changes, from, &mut delay).await
                }
                Err(error) => Err((error, None)),
            };
            match outcome {
                Ok((Ended::Resume, at)) => version = Some(at),
                Ok((Ended::Expired, _)) => {}
                Err((error, at)) => {
                    version = at;
                    self.complain(&error, delay);
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(*RETRY.end());
                }
            }
        }
    }

    fn complain(&self, error: &ApiError, delay: Duration) {
        let (cluster, resource) = (self.api.side().as_str(), self.kind.plural());
        match error {
            ApiError::Refused { .. } => warn!(cluster, resource, %error, ?delay, "cannot watch"),
            ApiError::Unreachable { .. } => debug!(cluster, resource, %error, ?delay, "cannot watch"),
        }
    }

    async fn list(&self, cache: &Cache, changes: &impl Fn(Change)) -> Result<String, ApiError> {
        let mut objects = Vec::new();
        let mut token = String::new();
        loop {
            let page = url_query(&[("limit", &PAGE.to_string()), ("continue", &token)]);
            let query = format!("{}{page}", self.selection.query());
            let mut answer = self.api.list(self.kind, &self.selection.namespace, &query).await?;
            for mut item in answer
                .get_mut("items")
                .and_then(Value::as_array_mut)
                .map(std::mem::take)
                .unwrap_or_default()
            {
                (self.trim)(&mut item);
                objects.push(Object::new(item));
            }
            token = json::text(&answer, &["metadata", "continue"]).to_owned();
            if token.is_empty() {
                let version = json::text(&answer, &["metadata", "resourceVersion"]).to_owned();
                let covers = |key: &ObjectKey| self.selection.covers(key);
                for change in cache.replace(objects, version.parse().unwrap_or_default(), covers) {
                    changes(change);
                }
                return Ok(version);
            }
        }
    }

    async fn watch(
        &self,
        cache: &Cache,
        changes: &impl Fn(Change),
        mut version: String,
        delay: &mut Duration,
    ) -> Result<(Ended, String), (ApiError, Option<String>)> {
        let parameters = [
            ("resourceVersion", version.as_str()),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", &WATCH_SECONDS.to_string()),
        ];
        let query = format!("{}{}", self.selection.query(), url_query(&parameters));
        let mut body = match self.api.watch(self.kind, &self.selection.namespace, &query).await {
            Ok(body) => body,
            Err(error) if error.code() == 410 => return Ok((Ended::Expired, version)),
            Err(error) => return Err((error, Some(version))),
        };
        let mut buffer = BytesMut::new();
        let deadline = tokio::time::Instant::now() + WATCH_DEADLINE;
        while let Ok(Some(frame)) = tokio::time::timeout_at(deadline, body.frame()).await {
            let Ok(frame) = frame else { break };
            let Ok(data) = frame.into_data() else { continue };
            *delay = *RETRY.start();
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end);
                buffer.advance(1);
                match self.event(cache, changes, &line) {
                    Ok(Some(newer)) => version = newer,
                    Ok(None) => {}
                    Err(code) => {
                        debug!(resource = self.kind.plural(), code, "the watch ended with an error");
                        return Ok((Ended::Expired, version));
                    }
                }
            }
            if buffer.len() > LONGEST_LINE {
                return Ok((Ended::Expired, version));
            }
        }
        // A watch that ends at once, again and again, must not become a busy loop.
        tokio::time::sleep(*RETRY.start()).await;
        Ok((Ended::Resume, version))
    }

    /// Takes over one event; `Err` is the code of an ERROR event.
    fn event(&self, cache: &Cache, changes: &impl Fn(Change), line: &[u8]) -> Result<Option<String>, i64> {
        let Ok(mut event) = serde_json::from_slice::<Value>(line) else {
            return Err(0);
        };
        let mut object = event.get_mut("object").map(Value::take).unwrap_or_default();
        let version = json::text(&object, &["metadata", "resourceVersion"]).to_owned();
        let change = match json::text(&event, &["type"]) {
            "ADDED" | "MODIFIED" => {
                (self.trim)(&mut object);
                cache.apply(Object::new(object))
            }
            "DELETED" => {
                let metadata = &object["metadata"];
                let key = ObjectKey::new(json::text(metadata, &["namespace"]), json::text(metadata, &["name"]));
                cache.remove(&key, json::text(metadata, &["uid"]))
            }
            "BOOKMARK" => None,
            _ => return Err(json::integer(&object, &["code"]).unwrap_or_default()),
        };
        if let Some(change) = change {
            changes(change);
        }
        Ok((!version.is_empty()).then_some(version))
    }
}
