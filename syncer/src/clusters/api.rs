//! Requests to one API server: plain JSON in and out, every request counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use machinery::tree;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::flow::Flow;
use super::listing::Listing;
use crate::json;
use crate::kinds::{Kind, Side};

/// No request that is not a watch takes longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Only the metadata of each object of a list.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=1,application/json";
/// Name under which written fields are recorded.
const FIELD_MANAGER: &str = "vcluster-syncer";

/// What is counted per request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    cluster: &'static str,
    verb: &'static str,
    resource: &'static str,
    code: u16,
}

/// A cluster, as a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ClusterLabel {
    cluster: &'static str,
}

impl From<Side> for ClusterLabel {
    fn from(side: Side) -> Self {
        Self { cluster: side.as_str() }
    }
}

/// What was repaired: the watch of which kind in which cluster, and what was wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RepairLabels {
    /// Which cluster.
    pub cluster: &'static str,
    /// Plural name of the kind.
    pub resource: &'static str,
    /// `lost`, `silent` or `rewound`.
    pub reason: &'static str,
}

/// What is measured of the way to both API servers; clones share the numbers.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    /// Requests by cluster, verb, resource and status code; code 0 means that no answer came.
    pub requests: Family<RequestLabels, Counter>,
    /// Answers with which a server pushed back.
    pub pushbacks: Family<ClusterLabel, Counter>,
    /// How many objects may be worked on at the same time.
    pub limits: Family<ClusterLabel, Gauge>,
    /// Watches that were rebuilt.
    pub repairs: Family<RepairLabels, Counter>,
    /// Changes that a watch had not shown.
    pub lost: Family<ClusterLabel, Counter>,
}

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server refused; the text is its own.
    #[error("{message}")]
    Refused {
        /// HTTP status code.
        code: u16,
        /// The `reason` of the Status.
        reason: String,
        /// The `message` of the Status.
        message: String,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// No (complete) answer came.
    #[error("the {side} API server did not answer: {cause}")]
    Unreachable {
        /// Which cluster.
        side: &'static str,
        /// What happened.
        cause: String,
    },
}

impl ApiError {
    /// The HTTP status code, 0 when no answer came.
    pub fn code(&self) -> u16 {
        match self {
            ApiError::Refused { code, .. } => *code,
            ApiError::Unreachable { .. } => 0,
        }
    }

    /// The Status reason, empty when no answer came.
    pub fn reason(&self) -> &str {
        match self {
            ApiError::Refused { reason, .. } => reason,
            ApiError::Unreachable { .. } => "",
        }
    }

    /// The delay that the server asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ApiError::Refused { retry_after, .. } => *retry_after,
            ApiError::Unreachable { .. } => None,
        }
    }
}

/// The kinds of patch that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, which merges lists by key.
    Strategic,
}

impl Patch {
    /// Whether an object is another one after this patch of it.
    pub fn changes(self, object: &Value, body: &Value) -> bool {
        match (object, body) {
            (_, Value::Object(fields)) => fields.iter().any(|(name, change)| match (object.get(name), change) {
                (None, Value::Null) => false,
                (None, _) | (Some(_), Value::Null) => true,
                (Some(current), change) => self.changes(current, change),
            }),
            (Value::Array(items), Value::Array(changes)) if self == Patch::Strategic => {
                let of_key = |key: &str| changes.iter().all(|change| change.get(key).is_some());
                match ["name", "type"].into_iter().find(|key| of_key(key)) {
                    Some(key) => changes.iter().any(|change| self.changes_item(items, key, change)),
                    None => object != body,
                }
            }
            _ => object != body,
        }
    }

    /// The same for one item of a list that is merged by a key.
    fn changes_item(self, items: &[Value], key: &str, change: &Value) -> bool {
        let current = items.iter().find(|item| item[key] == change[key]);
        match (change.get("$patch"), current) {
            (Some(_), current) => current.is_some(),
            (None, None) => true,
            (None, Some(current)) => self.changes(current, change),
        }
    }

    /// The media type of such a patch.
    pub fn content_type(self) -> &'static str {
        match self {
            Patch::Merge => "application/merge-patch+json",
            Patch::Strategic => "application/strategic-merge-patch+json",
        }
    }
}

/// A client of one API server.
#[derive(Clone)]
pub struct Api {
    side: Side,
    client: Client,
    meters: Meters,
    flow: Arc<Flow>,
}

impl Api {
    /// A client that counts its requests.
    pub fn new(side: Side, client: Client, meters: Meters) -> Self {
        let flow = Arc::<Flow>::default();
        meters.limits.get_or_create(&side.into()).set(gauge(flow.limit()));
        Self {
            side,
            client,
            meters,
            flow,
        }
    }

    /// What is counted.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// How much may be asked at a time.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The connection itself, for requests that are not about objects.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Which cluster this is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Reads one object.
    pub async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, ApiError> {
        self.request(
            "get",
            kind,
            Method::GET,
            &format!("{}/{name}", kind.path(namespace)),
            None,
        )
        .await
    }

    /// Creates an object and returns what was stored.
    pub async fn create(&self, kind: Kind, namespace: &str, object: &Value) -> Result<Value, ApiError> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}", kind.path(namespace));
        self.request("create", kind, Method::POST, &path, Some(("application/json", object)))
            .await
    }

    /// Creates a subresource such as `binding` or `token`.
    pub async fn create_sub(&self, path: &str, kind: Kind, object: &Value) -> Result<Value, ApiError> {
        self.request("create", kind, Method::POST, path, Some(("application/json", object)))
            .await
    }

    /// Changes an object, or a subresource of it when that is not empty, and returns what is stored now.
    pub async fn patch(
        &self,
        (kind, namespace, name): (Kind, &str, &str),
        subresource: &str,
        patch: Patch,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let slash = if subresource.is_empty() { "" } else { "/" };
        let path = format!(
            "{}/{name}{slash}{subresource}?fieldManager={FIELD_MANAGER}",
            kind.path(namespace)
        );
        self.request("patch", kind, Method::PATCH, &path, Some((patch.content_type(), body)))
            .await
    }

    /// Deletes the object with this uid; the answer is the object when it is still there, else a Status.
    pub async fn delete(
        &self,
        (kind, namespace, name): (Kind, &str, &str),
        uid: &str,
        grace_seconds: Option<i64>,
    ) -> Result<Value, ApiError> {
        let mut options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        });
        if let Some(seconds) = grace_seconds {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        let path = format!("{}/{name}", kind.path(namespace));
        self.request(
            "delete",
            kind,
            Method::DELETE,
            &path,
            Some(("application/json", &options)),
        )
        .await
    }

    /// Asks about an object of any kind, or about the kinds that there are, by path.
    pub async fn any(
        &self,
        verb: &'static str,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Value, ApiError> {
        self.request_path((verb, "other"), method, path, body).await
    }

    /// Reads one page of a list.
    pub async fn list(&self, kind: Kind, namespace: &str, query: &str) -> Result<Value, ApiError> {
        self.request(
            "list",
            kind,
            Method::GET,
            &format!("{}?{query}", kind.path(namespace)),
            None,
        )
        .await
    }

    /// Reads a whole list, of each object only the metadata, which `each` gets as it arrives; returns what the list says
    /// about itself.
    pub async fn list_metadata<I: DeserializeOwned, L: DeserializeOwned>(
        &self,
        kind: Kind,
        namespace: &str,
        query: &str,
        mut each: impl FnMut(I),
    ) -> Result<L, ApiError> {
        let path = format!("{}?{query}", kind.path(namespace));
        let request = Request::get(path).header(header::ACCEPT, METADATA_ONLY);
        let exchange = async {
            let mut body = self.send("list", kind.plural(), request, Vec::new()).await?.into_body();
            let mut listing = Listing::default();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| self.unreachable(&error.to_string()))?;
                if let Ok(data) = frame.into_data() {
                    listing
                        .feed(&data, &mut each)
                        .map_err(|error| self.unreachable(&error.to_string()))?;
                }
            }
            listing.finish().map_err(|error| self.unreachable(&error.to_string()))
        };
        tokio::time::timeout(REQUEST_TIMEOUT, exchange)
            .await
            .map_err(|_| self.unreachable("timed out"))?
    }

    /// The minor version of the server, if it has one.
    pub async fn minor(&self) -> Result<Option<u32>, ApiError> {
        let request = Request::get("/version").header(header::ACCEPT, "application/json");
        let answer = self.exchange("get", "version", request, Vec::new()).await?;
        // Some providers add a plus sign.
        let digits = json::text(&answer, &["minor"]).trim_end_matches(|c: char| !c.is_ascii_digit());
        Ok(digits.parse().ok())
    }

    /// Opens a watch; the body is a stream of JSON documents, one per line.
    pub async fn watch(&self, kind: Kind, namespace: &str, query: &str) -> Result<Body, ApiError> {
        let path = format!("{}?watch=true&{query}", kind.path(namespace));
        let request = Request::get(path).header(header::ACCEPT, "application/json");
        let send = self.send("watch", kind.plural(), request, Vec::new());
        let response = tokio::time::timeout(REQUEST_TIMEOUT, send)
            .await
            .map_err(|_| self.unreachable("timed out"))??;
        Ok(response.into_body())
    }

    async fn request(
        &self,
        verb: &'static str,
        kind: Kind,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Value, ApiError> {
        self.request_path((verb, kind.plural()), method, path, body).await
    }

    async fn request_path(
        &self,
        (verb, resource): (&'static str, &'static str),
        method: Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Value, ApiError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, "application/json");
        let mut payload = Vec::new();
        if let Some((content_type, value)) = body {
            request = request.header(header::CONTENT_TYPE, content_type);
            payload = tree::write(value);
        }
        self.exchange(verb, resource, request, payload).await
    }

    async fn exchange(
        &self,
        verb: &'static str,
        resource: &'static str,
        request: http::request::Builder,
        payload: Vec<u8>,
    ) -> Result<Value, ApiError> {
        let exchange = async {
            let response = self.send(verb, resource, request, payload).await?;
            let bytes = response
                .into_body()
                .collect()
                .await
                .map_err(|error| self.unreachable(&error.to_string()))?;
            tree::parse(&bytes.to_bytes())
                .map_err(|error| self.unreachable(&format!("its answer is not JSON: {error}")))
        };
        tokio::time::timeout(REQUEST_TIMEOUT, exchange)
            .await
            .map_err(|_| self.unreachable("timed out"))?
    }

    async fn send(
        &self,
        verb: &'static str,
        resource: &'static str,
        request: http::request::Builder,
        payload: Vec<u8>,
    ) -> Result<http::Response<Body>, ApiError> {
        let request = request
            .body(Body::from(payload))
            .map_err(|error| self.unreachable(&error.to_string()))?;
        let count = |code| {
            let labels = RequestLabels {
                cluster: self.side.as_str(),
                verb,
                resource,
                code,
            };
            self.meters.requests.get_or_create(&labels).inc();
        };
        let sent = Instant::now();
        let response = match self.client.send(request).await {
            Ok(response) => response,
            Err(error) => {
                count(0);
                return Err(self.unreachable(&describe(&error)));
            }
        };
        count(response.status().as_u16());
        self.heed(&response, sent);
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await)
    }

    /// Lets an answer decide how much is asked from now on.
    fn heed(&self, response: &http::Response<Body>, sent: Instant) {
        let code = response.status().as_u16();
        let pushed_back = self.flow.answered(code, retry_after(response), sent, Instant::now());
        if pushed_back {
            self.meters.pushbacks.get_or_create(&self.side.into()).inc();
        }
        let limit = gauge(self.flow.limit());
        self.meters.limits.get_or_create(&self.side.into()).set(limit);
    }

    fn unreachable(&self, cause: &str) -> ApiError {
        ApiError::Unreachable {
            side: self.side.as_str(),
            cause: cause.to_owned(),
        }
    }
}

fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn retry_after(response: &http::Response<Body>) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    value.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// The whole chain of causes: the outermost one alone rarely says more than "connect error".
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

async fn refusal(response: http::Response<Body>) -> ApiError {
    let status = response.status();
    let retry_after = retry_after(&response);
    let bytes = response
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let body: Value = tree::parse(&bytes).unwrap_or_default();
    ApiError::Refused {
        code: status.as_u16(),
        reason: json::text(&body, &["reason"]).to_owned(),
        message: message(status, &body, &bytes),
        retry_after,
    }
}

fn message(status: StatusCode, body: &Value, bytes: &Bytes) -> String {
    match json::text(body, &["message"]) {
        "" if bytes.is_empty() => status.to_string(),
        "" => format!(
            "{status}: {}",
            String::from_utf8_lossy(bytes).chars().take(200).collect::<String>()
        ),
        message => message.to_owned(),
    }
}
