//! An API server in memory: objects, watches, patches, graceful deletion, and faults on demand.

mod addresses;
mod rules;
mod watching;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;

use self::addresses::{NOT_IN_RANGE, allocate, check_addresses, cluster_ip, is_in_range};
pub(crate) use self::rules::Release;
use self::rules::{is_same, refusal};
use self::watching::Watching;
pub(crate) use self::watching::next;
use crate::json;
use crate::kinds::Kind;

type Answer = UnsyncBoxBody<Bytes, Infallible>;
pub(crate) type Key = (Kind, String, String);

/// Decides which requests fail, and with which status; 0 breaks the connection, [`NO_ANSWER`] lets the client wait.
pub(crate) type Faults = Box<dyn FnMut(&Method, &str) -> Option<u16> + Send>;
/// A request that is never answered.
pub(crate) const NO_ANSWER: u16 = 1;
/// Decides what is refused by a policy of the cluster, and with which words.
pub(crate) type Admission = Box<dyn Fn(&Value) -> Option<String> + Send>;
/// How often watches that show nothing say so.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// One API server.
#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    version: Arc<watch::Sender<u64>>,
    availability: Arc<watch::Sender<Availability>>,
}

/// What a client meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Availability {
    /// Answers.
    #[default]
    Up,
    /// Nothing at all, for as long as it takes.
    Paused,
    /// Nobody listens, and watches are closed.
    Down,
}

/// What watches do to events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disorder {
    /// Decides.
    pub(crate) seed: u64,
    /// Whether events are also lost.
    pub(crate) loses: bool,
}

#[derive(Default)]
struct State {
    /// Of all objects that ever were.
    uids: u64,
    admission: Option<Admission>,
    disorder: Option<Disorder>,
    /// Watches that are open show nothing more, not even bookmarks.
    mute_before: u64,
    /// Watches are numbered.
    watches: u64,
    /// What came before is forgotten.
    compacted: u64,
    objects: BTreeMap<Key, Value>,
    history: Vec<(u64, Key, &'static str, Value)>,
    requests: Vec<String>,
    faults: Option<Faults>,
    /// What the cluster IPs of this server begin with; empty for any.
    network: &'static str,
    /// Its version, when it is not that of the syncer.
    release: Option<Release>,
}

impl State {
    fn new_uid(&mut self) -> Value {
        self.uids += 1;
        json!(format!("uid-{}", self.uids))
    }

    /// Takes away what this server does not know.
    fn forget(&self, kind: Kind, object: &mut Value) {
        if let Some(release) = self.release {
            (release.drop_unknown)(release.minor, kind, object);
        }
    }
}

/// What a path names.
struct Target {
    kind: Kind,
    namespace: String,
    name: String,
    subresource: String,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self {
            state: Arc::default(),
            version: Arc::new(watch::Sender::new(1)),
            availability: Arc::default(),
        }
    }

    /// Pauses, kills or starts it.
    pub(crate) fn set_availability(&self, availability: Availability) {
        self.availability.send_replace(availability);
    }

    /// Has a policy look at what is created.
    pub(crate) fn set_admission(&self, admission: Option<Admission>) {
        self.state().admission = admission;
    }

    /// Lets watches show events in another order, several times, or never; or as they should again.
    pub(crate) fn set_disorder(&self, disorder: Option<Disorder>) {
        self.state().disorder = disorder;
    }

    /// Lets the watches that are open show nothing any more.
    pub(crate) fn mute(&self) {
        let mut state = self.state();
        state.mute_before = state.watches;
    }

    /// Forgets history: whoever comes with an old version has to list.
    pub(crate) fn compact(&self) {
        self.state().compacted = *self.version.borrow();
    }

    /// What is stored, for [`Fake::put_back`].
    pub(crate) fn snapshot(&self) -> (u64, BTreeMap<Key, Value>) {
        let state = self.state();
        (*self.version.borrow(), state.objects.clone())
    }

    /// Puts the store back to what it was. Watches stay open, and show what happens from now on if it is newer than what
    /// they have shown.
    pub(crate) fn put_back(&self, (version, objects): (u64, BTreeMap<Key, Value>)) {
        let mut state = self.state();
        state.objects = objects;
        state.history.retain(|(at, ..)| *at <= version);
        self.version.send_replace(version);
    }

    /// A client of this server.
    pub(crate) fn client(&self) -> kube::Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { fake.handle(request).await }
        });
        kube::Client::new(service, "default")
    }

    /// Lets requests fail, or no longer.
    pub(crate) fn set_faults(&self, faults: Option<Faults>) {
        self.state().faults = faults;
    }

    /// Lets Services have addresses that begin with this only.
    pub(crate) fn set_network(&self, prefix: &'static str) {
        self.state().network = prefix;
    }

    /// Makes it a server of another version.
    pub(crate) fn set_release(&self, release: Release) {
        self.state().release = Some(release);
    }

    /// The writes so far, as `METHOD path`.
    pub(crate) fn take_writes(&self) -> Vec<String> {
        let mut requests = std::mem::take(&mut self.state().requests);
        requests.retain(|request| !request.starts_with("GET"));
        requests
    }

    /// All requests so far.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    pub(crate) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        self.state()
            .objects
            .get(&(kind, namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    pub(crate) fn list(&self, kind: Kind) -> Vec<Value> {
        self.state()
            .objects
            .iter()
            .filter(|((of, ..), _)| *of == kind)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Stores an object as somebody else would.
    pub(crate) fn put(&self, kind: Kind, mut object: Value) -> Value {
        let key = key_of(kind, &object);
        let mut state = self.state();
        if object["metadata"].get("uid").is_none() {
            object["metadata"]["uid"] = state.new_uid();
        }
        let event = if state.objects.contains_key(&key) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        if kind == Kind::Service {
            allocate(&state, &mut object);
        }
        self.store(&mut state, key, event, object)
    }

    /// Changes an object as somebody else would, if it exists.
    pub(crate) fn change(&self, kind: Kind, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        if let Some(mut object) = self.get(kind, namespace, name) {
            change(&mut object);
            self.put(kind, object);
        }
    }

    /// Removes an object as somebody else would.
    pub(crate) fn remove(&self, kind: Kind, namespace: &str, name: &str) {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let mut state = self.state();
        if let Some(object) = state.objects.get(&key).cloned() {
            self.store(&mut state, key, "DELETED", object);
        }
    }

    /// Asks for deletion as a user would.
    pub(crate) fn delete(&self, kind: Kind, namespace: &str, name: &str, grace: i64) {
        let target = Target {
            kind,
            namespace: namespace.into(),
            name: name.into(),
            subresource: String::new(),
        };
        let mut state = self.state();
        self.graceful(&mut state, &target, Some(grace));
    }

    fn store(&self, state: &mut State, key: Key, event: &'static str, mut object: Value) -> Value {
        let version = *self.version.borrow() + 1;
        state.forget(key.0, &mut object);
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        if event == "DELETED" {
            state.objects.remove(&key);
        } else {
            state.objects.insert(key.clone(), object.clone());
        }
        state.history.push((version, key, event, object.clone()));
        self.version.send_replace(version);
        object
    }

    async fn handle(&self, request: Request<Body>) -> Result<Response<Answer>, std::io::Error> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await.map_err(std::io::Error::other)?;
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        self.available().await?;
        let (answer, fault) = self.answer(&parts.method, &path, &query, &bytes);
        match fault {
            Some(0) => Err(std::io::Error::other("connection reset")),
            Some(NO_ANSWER) => std::future::pending().await,
            _ => Ok(answer),
        }
    }

    /// Waits until it is up; an error when nobody listens.
    async fn available(&self) -> Result<(), std::io::Error> {
        let mut availability = self.availability.subscribe();
        let now = availability.wait_for(|now| *now != Availability::Paused).await;
        match now.map(|now| *now) {
            Ok(Availability::Up) => Ok(()),
            _ => Err(std::io::Error::other("connection refused")),
        }
    }

    /// The answer, and how it goes wrong.
    fn answer(&self, method: &Method, path: &str, query: &str, bytes: &[u8]) -> (Response<Answer>, Option<u16>) {
        let mut state = self.state();
        state.requests.push(format!("{method} {path}"));
        let fault = state.faults.as_mut().and_then(|faults| faults(method, path));
        match fault {
            // Half of what fails has happened all the same.
            Some(0 | NO_ANSWER) if bytes.len().is_multiple_of(2) => return (ok(Value::Null), fault),
            Some(code) if code > NO_ANSWER => return (status(code, "Injected", "injected fault"), fault),
            _ => {}
        }
        if path == "/version" {
            let minor = state.release.map_or(36, |release| release.minor);
            return (ok(json!({"major": "1", "minor": format!("{minor}+")})), fault);
        }
        if let Some(known) = discovery(path) {
            return (ok(known), fault);
        }
        let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let Some(target) = target(path) else {
            return (status(404, "NotFound", path), fault);
        };
        let answer = match *method {
            Method::GET if query.contains("watch=true") => self.watch(&mut state, target, query),
            Method::GET if target.name.is_empty() => list(&state, *self.version.borrow(), &target, query),
            Method::GET => state
                .objects
                .get(&target.key())
                .map_or_else(|| status(404, "NotFound", path), |object| ok(object.clone())),
            Method::POST if query.contains("dryRun=All") => {
                if is_in_range(&state, cluster_ip(&body)) {
                    ok(body)
                } else {
                    status(422, "Invalid", NOT_IN_RANGE)
                }
            }
            Method::POST => self.create(&mut state, &target, body),
            Method::PATCH => self.patch(&mut state, &target, &body),
            Method::DELETE => {
                let uid = json::text(&body, &["preconditions", "uid"]);
                match state.objects.get(&target.key()) {
                    None => status(404, "NotFound", path),
                    Some(object) if object["metadata"]["uid"] != uid => status(409, "Conflict", "the UID differs"),
                    Some(_) => ok(self.graceful(&mut state, &target, json::integer(&body, &["gracePeriodSeconds"]))),
                }
            }
            _ => status(405, "MethodNotAllowed", path),
        };
        (answer, fault)
    }

    fn create(&self, state: &mut State, target: &Target, mut body: Value) -> Response<Answer> {
        match target.subresource.as_str() {
            "binding" => {
                let Some(mut pod) = state.objects.get(&target.key()).cloned() else {
                    return status(404, "NotFound", "no such pod");
                };
                let uid = &body["metadata"]["uid"];
                if !uid.is_null() && *uid != pod["metadata"]["uid"] {
                    return status(409, "Conflict", "the UID differs");
                }
                if !json::text(&pod, &["spec", "nodeName"]).is_empty() {
                    return status(409, "Conflict", "the pod is already assigned");
                }
                pod["spec"]["nodeName"] = body["target"]["name"].clone();
                pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "True"}]);
                self.store(state, target.key(), "MODIFIED", pod);
                ok(json!({"kind": "Status", "status": "Success"}))
            }
            "token" => ok(json!({"status": {"token": "secret-token", "expirationTimestamp": "2040-01-01T00:00:00Z"}})),
            _ => {
                let key = key_of(target.kind, &body);
                if let Some(why) = state.admission.as_ref().and_then(|admission| admission(&body)) {
                    return status(403, "Forbidden", &why);
                }
                if state.objects.contains_key(&key) {
                    return status(409, "AlreadyExists", "it already exists");
                }
                body["metadata"]["uid"] = state.new_uid();
                if target.kind == Kind::Service {
                    allocate(state, &mut body);
                }
                ok(self.store(state, key, "ADDED", body))
            }
        }
    }

    fn patch(&self, state: &mut State, target: &Target, body: &Value) -> Response<Answer> {
        let Some(mut object) = state.objects.get(&target.key()).cloned() else {
            return status(404, "NotFound", "no such object");
        };
        let uid = &body["metadata"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return status(409, "Conflict", "the UID differs");
        }
        let version = &body["metadata"]["resourceVersion"];
        if !version.is_null() && *version != object["metadata"]["resourceVersion"] {
            return status(409, "Conflict", "the object has been modified");
        }
        let old = object.clone();
        json::merge(&mut object, body);
        if target.kind == Kind::Service
            && let Err(why) = check_addresses(state, &mut object, &old)
        {
            return status(422, "Invalid", why);
        }
        state.forget(target.kind, &mut object);
        if let Some(why) = refusal(target.kind, &old, &object) {
            return status(422, "Invalid", why);
        }
        if is_same(&old, &object) {
            return ok(old);
        }
        ok(self.store(state, target.key(), "MODIFIED", object))
    }

    /// Pods get their time, everything else goes at once.
    fn graceful(&self, state: &mut State, target: &Target, grace: Option<i64>) -> Value {
        let Some(mut object) = state.objects.get(&target.key()).cloned() else {
            return Value::Null;
        };
        let grace = grace.unwrap_or(30);
        if target.kind == Kind::Pod && grace > 0 {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
            return self.store(state, target.key(), "MODIFIED", object);
        }
        self.store(state, target.key(), "DELETED", object)
    }

    fn watch(&self, state: &mut State, target: Target, query: &str) -> Response<Answer> {
        let from = parameter(query, "resourceVersion").parse().unwrap_or_default();
        if from < state.compacted {
            return status(410, "Expired", "too old resource version");
        }
        state.watches += 1;
        let watching = Watching {
            fake: self.clone(),
            number: state.watches,
            seed: state.disorder.map_or(1, |disorder| disorder.seed) ^ state.watches,
            target,
            selector: Selector::of(query),
            changes: self.version.subscribe(),
            availability: self.availability.subscribe(),
            shown: from,
            pending: VecDeque::new(),
        };
        let stream = futures::stream::unfold(watching, async move |mut watching| {
            let line = watching.next().await?;
            let frame = Frame::data(Bytes::from(format!("{line}\n")));
            Some((Ok::<_, Infallible>(frame), watching))
        });
        Response::new(StreamBody::new(stream).boxed_unsync())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    fn key(&self) -> Key {
        (self.kind, self.namespace.clone(), self.name.clone())
    }
}

/// The kinds of the group and version that a path names.
fn discovery(path: &str) -> Option<Value> {
    let group = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["", "api", "v1"] => "",
        ["", "apis", group, "v1"] => *group,
        _ => return None,
    };
    let kinds = Kind::ALL.into_iter().filter(|kind| kind.group() == group);
    let resources =
        kinds.map(|kind| json!({"name": kind.plural(), "kind": kind.name(), "namespaced": kind.is_namespaced()}));
    Some(json!({"resources": resources.collect::<Vec<_>>()}))
}

fn target(path: &str) -> Option<Target> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let rest = match parts.as_slice() {
        ["api", "v1", rest @ ..] => rest,
        ["apis", _, "v1", rest @ ..] => rest,
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let plural = rest.first()?;
    Some(Target {
        kind: Kind::ALL.into_iter().find(|kind| kind.plural() == *plural)?,
        namespace: namespace.to_owned(),
        name: (*rest.get(1).unwrap_or(&"")).to_owned(),
        subresource: (*rest.get(2).unwrap_or(&"")).to_owned(),
    })
}

fn key_of(kind: Kind, object: &Value) -> Key {
    let text = |field| json::text(object, &["metadata", field]).to_owned();
    (kind, text("namespace"), text("name"))
}

fn parameter(query: &str, name: &str) -> String {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs
        .into_iter()
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .unwrap_or_default();
    value.replace("%2F", "/").replace("%3D", "=")
}

#[derive(Clone, Default)]
struct Selector {
    label: Option<(String, String)>,
    name: String,
}

impl Selector {
    fn of(query: &str) -> Self {
        let pair = |text: String| {
            text.split_once('=')
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
        };
        Self {
            label: pair(parameter(query, "labelSelector")),
            name: pair(parameter(query, "fieldSelector"))
                .map(|(_, name)| name)
                .unwrap_or_default(),
        }
    }

    fn matches(&self, object: &Value) -> bool {
        self.label
            .as_ref()
            .is_none_or(|(key, value)| json::text(object, &["metadata", "labels", key]) == value)
            && (self.name.is_empty() || json::text(object, &["metadata", "name"]) == self.name)
    }
}

fn list(state: &State, version: u64, target: &Target, query: &str) -> Response<Answer> {
    let selector = Selector::of(query);
    let items: Vec<&Value> = state
        .objects
        .iter()
        .filter(|((kind, namespace, _), _)| {
            *kind == target.kind && (target.namespace.is_empty() || *namespace == target.namespace)
        })
        .map(|(_, object)| object)
        .filter(|object| selector.matches(object))
        .collect();
    ok(json!({"metadata": {"resourceVersion": version.to_string()}, "items": items}))
}

fn ok(value: Value) -> Response<Answer> {
    Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync())
}

fn status(code: u16, reason: &str, message: &str) -> Response<Answer> {
    let mut response = ok(json!({"kind": "Status", "code": code, "reason": reason, "message": message}));
    if code == 429 {
        response
            .headers_mut()
            .insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("1"));
    }
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
