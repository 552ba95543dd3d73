//! Keeps a cache current: list, then watch, for ever.
//!
//! ```text
//! Listing --all pages read--> Watching(version) --closed, error, silent--> Watching(version)
//! Watching(version) --410 Gone, twice silent, history put back, something not shown--> Listing
//! ```
//! An API server that is away, paused or restarted only delays this; what changed meanwhile arrives as changes.

mod compare;

use std::time::Duration;

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use machinery::tree;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::api::{Api, ApiError, RepairLabels};
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

/// How long a watch may show neither an event nor a bookmark. API servers send a bookmark every minute
/// (k8s.io/apiserver `cacher.defaultBookmarkFrequency`).
const SILENCE: Duration = Duration::from_secs(150);

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
    /// How often what is known is compared with what is there; never when zero.
    pub compare_every: Duration,
}

enum Ended {
    /// The watch may continue where it was.
    Resume,
    /// Nothing came for too long.
    Silent,
    /// The server no longer knows that version.
    Expired,
    /// The server does not yet know that version: its store was put back to an earlier state.
    Rewound,
    /// The watch has not shown everything.
    Lost,
}

impl Ended {
    /// Why the watch had to be repaired, if it had to be.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Ended::Resume | Ended::Expired => None,
            Ended::Silent => Some("silent"),
            Ended::Rewound => Some("rewound"),
            Ended::Lost => Some("lost"),
        }
    }
}

/// What a watch in progress knows about itself.
struct Progress {
    version: String,
    /// This server sends bookmarks, so silence means that something is wrong.
    bookmarks: bool,
    /// Something came since the last watch that ended in silence.
    alive: bool,
    delay: Duration,
}

impl Informer {
    /// Runs for ever. `changes` is called for every change that is news, `synced` once the first list is taken over.
    pub async fn run(&self, cache: &Cache, synced: impl Fn(), changes: impl Fn(Change)) {
        let lost = Notify::new();
        tokio::join!(
            self.follow(cache, synced, changes, &lost),
            compare::run(self, cache, &lost)
        );
    }

    async fn follow(&self, cache: &Cache, synced: impl Fn(), changes: impl Fn(Change), lost: &Notify) {
        let mut first = true;
        let mut listed = false;
        let mut progress = Progress {
            version: String::new(),
            bookmarks: false,
            alive: true,
            delay: *RETRY.start(),
        };
        loop {
            if !listed {
                match self.list(cache, &changes).await {
                    Ok(version) => progress.version = version,
                    Err(error) => {
                        self.wait(&error, &mut progress.delay).await;
                        continue;
                    }
                }
                listed = true;
            }
            if std::mem::take(&mut first) {
                synced();
                info!(
                    cluster = self.api.side().as_str(),
                    resource = self.kind.plural(),
                    "watching"
                );
            }
            let ended = match self.watch(cache, &changes, &mut progress, lost).await {
                Ok(ended) => ended,
                Err(error) => {
                    self.wait(&error, &mut progress.delay).await;
                    continue;
                }
            };
            if let Some(reason) = ended.reason() {
                self.repaired(reason);
            }
            listed = match ended {
                Ended::Resume => true,
                // Another watch may do; when that is silent, too, only a list tells what is there.
                Ended::Silent => std::mem::take(&mut progress.alive),
                Ended::Expired | Ended::Rewound | Ended::Lost => false,
            };
        }
    }

    fn repaired(&self, reason: &'static str) {
        let (cluster, resource) = (self.api.side().as_str(), self.kind.plural());
        warn!(cluster, resource, reason, "the watch is rebuilt");
        let labels = RepairLabels {
            cluster,
            resource,
            reason,
        };
        self.api.meters().repairs.get_or_create(&labels).inc();
    }

    async fn wait(&self, error: &ApiError, delay: &mut Duration) {
        self.complain(error, *delay);
        tokio::time::sleep((*delay).max(error.retry_after().unwrap_or_default())).await;
        *delay = (*delay * 2).min(*RETRY.end());
    }

    fn complain(&self, error: &ApiError, delay: Duration) {
        let (cluster, resource) = (self.api.side().as_str(), self.kind.plural());
        match error {
            ApiError::Refused { .. } => warn!(cluster, resource, %error, ?delay, "cannot watch"),
            ApiError::Unreachable { .. } => debug!(cluster, resource, %error, ?delay, "cannot watch"),
        }
    }

    async fn list(&self, cache: &Cache, changes: &impl Fn(Change)) -> Result<String, ApiError> {
        let seen = cache.newest();
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
                let versions = (version.parse().unwrap_or_default(), seen);
                for change in cache.replace(objects, versions, covers) {
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
        progress: &mut Progress,
        lost: &Notify,
    ) -> Result<Ended, ApiError> {
        let parameters = [
            ("resourceVersion", progress.version.as_str()),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", &WATCH_SECONDS.to_string()),
        ];
        let query = format!("{}{}", self.selection.query(), url_query(&parameters));
        let mut body = match self.api.watch(self.kind, &self.selection.namespace, &query).await {
            Ok(body) => body,
            Err(error) if error.code() == 410 => return Ok(Ended::Expired),
            Err(error) => return Err(error),
        };
        let mut buffer = BytesMut::new();
        let end = Instant::now() + WATCH_DEADLINE;
        loop {
            let silent = if progress.bookmarks {
                end.min(Instant::now() + SILENCE)
            } else {
                end
            };
            let frame = tokio::select! {
                frame = tokio::time::timeout_at(silent, body.frame()) => frame,
                () = lost.notified() => return Ok(Ended::Lost),
            };
            let data = match frame {
                Err(_) => return Ok(Ended::Silent),
                Ok(None | Some(Err(_))) => break,
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            };
            (progress.delay, progress.alive) = (*RETRY.start(), true);
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end);
                buffer.advance(1);
                if let Some(ended) = self.event(cache, changes, progress, &line) {
                    return Ok(ended);
                }
            }
            if buffer.len() > LONGEST_LINE {
                return Ok(Ended::Expired);
            }
        }
        // A watch that ends at once, again and again, must not become a busy loop.
        tokio::time::sleep(*RETRY.start()).await;
        Ok(Ended::Resume)
    }

    /// Takes over one event; returns how the watch ends when it does.
    fn event(&self, cache: &Cache, changes: &impl Fn(Change), progress: &mut Progress, line: &[u8]) -> Option<Ended> {
        let Ok(mut event) = tree::parse(line) else {
            return Some(Ended::Expired);
        };
        let mut object = event.get_mut("object").map(Value::take).unwrap_or_default();
        let version = json::text(&object, &["metadata", "resourceVersion"]).to_owned();
        let change = match json::text(&event, &["type"]) {
            "ADDED" | "MODIFIED" => {
                (self.trim)(&mut object);
                cache.take(object)
            }
            "DELETED" => {
                let metadata = &object["metadata"];
                let key = ObjectKey::new(json::text(metadata, &["namespace"]), json::text(metadata, &["name"]));
                cache.remove(&key, json::text(metadata, &["uid"]))
            }
            "BOOKMARK" => {
                progress.bookmarks = true;
                let number = |text: &str| text.parse::<u64>().unwrap_or_default();
                if number(&version) < number(&progress.version) {
                    return Some(Ended::Rewound);
                }
                None
            }
            _ => {
                let code = json::integer(&object, &["code"]).unwrap_or_default();
                debug!(resource = self.kind.plural(), code, "the watch ended with an error");
                return Some(Ended::Expired);
            }
        };
        if let Some(change) = change {
            changes(change);
        }
        if !version.is_empty() {
            progress.version = version;
        }
        None
    }
}
