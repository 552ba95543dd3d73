//! Watches: a stream of events, each a line of JSON (k8s.io/apiserver `pkg/endpoints/handlers/watch.go`).

use super::scope::Scope;
use super::websocket;
use crate::endpoints::negotiation::{self, Format, Shape};
use crate::endpoints::options::ReadOptions;
use crate::endpoints::respond;
use crate::endpoints::table::{self, Style};
use crate::registry::codec;
use crate::registry::frames::Form;
use crate::registry::resource::Resource;
use crate::registry::store::Store;
use crate::registry::store::errors::{self, Attempt};
use crate::server::request::{Body, BodyError};
use crate::storage::interface::Event;
use bytes::{BufMut, Bytes, BytesMut};
use chassis::Tasks;
use futures::StreamExt;
use http::{Response, StatusCode};
use http_body::Frame as HttpFrame;
use http_body_util::{BodyExt, StreamBody};
use hyper::upgrade::OnUpgrade;
use machinery::object::Stored;
use machinery::schema::decode::encoded_form;
use machinery::status::Status;
use machinery::wire;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A watch without a timeout lasts between this and twice as long (upstream `--min-request-timeout`).
const MIN_TIMEOUT_SECONDS: u64 = 1800;

/// Follows changes until the client, the timeout or the server ends it.
///
/// # Errors
/// 410 for a revision that is gone, 406 when the client takes no stream.
pub async fn watch(scope: &Scope, options: &ReadOptions, tasks: &Tasks) -> Result<Response<Body>, Status> {
    let negotiated = negotiation::negotiate_stream(&scope.parts.headers, &scope.query, scope.allows())?;
    let deadline = Instant::now() + timeout(options);
    let asked = options.watch(&scope.route.namespace, deadline)?;
    let style = match &negotiated.shape {
        Shape::Table(version) => Some(scope.table_style(version)?.include),
        _ => None,
    };
    let events = scope.store().watch(asked).await?;
    let (protobuf, media_type) = match negotiated.format {
        Format::Protobuf => (true, "application/vnd.kubernetes.protobuf;stream=watch"),
        Format::Json | Format::Yaml => (false, Format::Json.media_type()),
    };
    let mut encoder = Encoder {
        protobuf,
        store: scope.store().clone(),
        shape: negotiated.shape,
        include: style.unwrap_or(table::Include::Metadata),
        headings: true,
    };
    let draining = scope.cx.draining.clone();
    let until = async move {
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => {}
            () = draining.cancelled() => {}
        }
    };
    let lines = events
        .flat_map(move |event| {
            let (line, last) = encoder.line(event);
            let end = last.then_some(None);
            futures::stream::iter(std::iter::once(Some(line)).chain(end))
        })
        .take_while(|line| std::future::ready(line.is_some()))
        .filter_map(std::future::ready)
        .take_until(until);
    let upgrade = scope.parts.extensions.get::<OnUpgrade>().cloned();
    if let Some(upgrade) = upgrade.filter(|_| websocket::is_wanted(&scope.parts.headers)) {
        return Ok(match websocket::accept(&scope.parts.headers) {
            Ok(response) => {
                // A message has its own length.
                let messages = lines.map(move |line| {
                    if protobuf {
                        line.slice(LENGTH_BYTES.min(line.len())..)
                    } else {
                        line
                    }
                });
                tasks.spawn_finite("websocket", websocket::send(upgrade, messages, !protobuf));
                response
            }
            Err(refused) => *refused,
        });
    }
    let lines = lines.map(|line| Ok::<_, BodyError>(HttpFrame::data(line)));
    Ok(respond::body(
        StatusCode::OK,
        media_type,
        StreamBody::new(lines).boxed_unsync(),
    ))
}

fn timeout(options: &ReadOptions) -> Duration {
    match options
        .timeout_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0)
    {
        Some(seconds) => Duration::from_secs(seconds),
        None => {
            // Spread over time, so that all clients do not come back at once.
            let random = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
            Duration::from_secs(MIN_TIMEOUT_SECONDS + MIN_TIMEOUT_SECONDS * random / 255)
        }
    }
}

/// What stands before an event in protobuf: its length.
const LENGTH_BYTES: usize = 4;

/// Turns events into lines.
struct Encoder {
    store: Arc<Store>,
    shape: Shape,
    include: table::Include,
    /// Whether events are sent as protobuf.
    protobuf: bool,
    /// Whether the next table needs its headings.
    headings: bool,
}

impl Encoder {
    /// The line of an event, and whether it is the last.
    fn line(&mut self, event: Event) -> (Bytes, bool) {
        let result = match event {
            Event::Added(stored) => self.change("ADDED", &stored),
            Event::Modified(stored) => self.change("MODIFIED", &stored),
            Event::Deleted(stored) => self.change("DELETED", &stored),
            Event::Bookmark {
                revision,
                initial_events_end,
            } => self
                .shaped(bookmark(&self.store.resource, revision, initial_events_end))
                .map(|object| self.frame("BOOKMARK", object)),
            Event::Error(error) => {
                let resource = self.store.resource.group_resource();
                Err(errors::status(error, Attempt::Watch, &resource, ""))
            }
        };
        match result {
            // An event is no list: upstream ends such a watch when the first one comes.
            Ok(_) if matches!(self.shape, Shape::MetadataList(_)) => (Bytes::new(), true),
            Ok(frame) => (frame, false),
            Err(status) => (
                self.frame("ERROR", serde_json::to_vec(&status).unwrap_or_default().into()),
                true,
            ),
        }
    }

    /// The frame of a change, which watchers that want it in the same form share. Tables are their own: they tell ages.
    fn change(&mut self, event: &'static str, stored: &Stored) -> Result<Bytes, Status> {
        let metadata = match &self.shape {
            Shape::Plain => None,
            Shape::Metadata(version) => Some(version.clone()),
            _ => {
                let object = self.object(stored)?;
                return Ok(self.frame(event, object));
            }
        };
        let form = Form {
            event,
            resource: Arc::as_ptr(&self.store).addr(),
            protobuf: self.protobuf,
            metadata,
        };
        let store = self.store.clone();
        store.frames.get(form, stored, || {
            let object = self.object(stored)?;
            Ok(self.frame(event, object))
        })
    }

    /// An event around an object that is given as JSON.
    fn frame(&self, name: &str, object: Bytes) -> Bytes {
        if !self.protobuf {
            return frame(name, &object);
        }
        let encoded = serde_json::from_slice(&object)
            .map_err(Status::internal)
            .and_then(|o| respond::protobuf(&o));
        wire::watch_frame(name, &encoded.unwrap_or_default()).into()
    }

    fn object(&mut self, stored: &Stored) -> Result<Bytes, Status> {
        let resource = &self.store.resource;
        if matches!(self.shape, Shape::Plain | Shape::MetadataList(_)) {
            return codec::served(resource, stored);
        }
        let object = codec::decode(resource, stored)?;
        self.shaped(object)
    }

    fn shaped(&mut self, object: Value) -> Result<Bytes, Status> {
        let shaped = match &self.shape {
            Shape::Plain | Shape::Discovery(_) | Shape::MetadataList(_) => object,
            Shape::Metadata(version) => table::partial(&object, version, self.store.resource.internal_annotations),
            Shape::Table(version) => {
                let headings = std::mem::take(&mut self.headings);
                let now = jiff::Timestamp::now().as_second();
                let style = Style {
                    version,
                    include: self.include,
                    headings,
                    hidden: self.store.resource.internal_annotations,
                    now,
                };
                let metadata = json!({"resourceVersion": object.pointer("/metadata/resourceVersion")});
                table::table(&*self.store.resource.columns, [Ok(object)], metadata, style)?
            }
        };
        Ok(codec::to_bytes(&shaped))
    }
}

/// An object of the kind that holds nothing but a resourceVersion.
fn bookmark(resource: &Resource, revision: u64, initial_events_end: bool) -> Value {
    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    if initial_events_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let mut object = json!({ "metadata": metadata });
    codec::set_kind(&mut object, &resource.gvk);
    if resource.custom.is_some() {
        return object;
    }
    match resource.ty().map(|ty| encoded_form(&object, ty)) {
        Ok(Ok(encoded)) => encoded,
        _ => object,
    }
}

fn frame(name: &str, object: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(object.len() + 40);
    line.put_slice(b"{\"type\":\"");
    line.put_slice(name.as_bytes());
    line.put_slice(b"\",\"object\":");
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}
