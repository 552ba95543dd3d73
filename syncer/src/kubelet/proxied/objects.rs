//! Requests for objects: who may see which, what is changed on their way, and what of the answers.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use kube::client::Body as HostBody;
use serde_json::{Value, json};

use super::answer::{Refusal, events_for_controllers, read, streamed};
use super::ownership;
use super::place::{Place, Verb};
use super::target::{Outgoing, Target};
use super::{Proxied, denied, unavailable};
use crate::json;
use crate::kinds::Kind;
use crate::kubelet::Body;
use crate::kubelet::access::Caller;
use crate::kubelet::authorization::{Action, Authority};
use crate::kubelet::route;
use crate::names::keys::PROXY_OWNER;
use crate::settings;

const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";
/// The clusters that have passed a request on: a circle of them would never end.
const VIA: HeaderName = HeaderName::from_static("x-vcluster-proxied-by");
/// Who collects garbage and empties namespaces here, by the names that they have with and without accounts of their own.
const CONTROLLERS: [&str; 3] = [
    "system:kube-controller-manager",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
];
/// The longest default of a field manager (k8s.io/apiserver `managerOrUserAgent`).
const LONGEST_MANAGER: usize = 128;

/// One request on its way.
struct Passage<'a> {
    version: &'a settings::Proxied,
    target: &'a Target,
    place: Place,
    verb: Verb,
    parameters: Vec<(String, String)>,
    headers: http::HeaderMap,
    body: Bytes,
    /// Only what was made through this cluster is there.
    owned_only: bool,
    /// The client is a controller of this cluster.
    by_controller: bool,
}

impl Proxied {
    /// Answers a request for objects.
    pub(super) async fn objects(
        &self,
        authority: &Authority,
        caller: &Caller,
        version: &settings::Proxied,
        place: Place,
        request: Request<Bytes>,
    ) -> Result<Response<Body>, Refusal> {
        let parameters = route::parameters(request.uri().query().unwrap_or_default());
        let Some(verb) = Verb::of(request.method(), &place, &parameters) else {
            return Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            ));
        };
        let action = Action::Object(place.action(version, verb, &parameters));
        authority.authorize(caller, action).await.map_err(denied)?;
        let (parts, body) = request.into_parts();
        let by_controller = CONTROLLERS.contains(&caller.user.as_str());
        let sweeps = matches!(verb, Verb::List | Verb::Watch | Verb::Delete | Verb::DeleteCollection);
        let passage = Passage {
            target: self.target(version)?,
            version,
            place,
            verb,
            parameters,
            headers: self.headers(&parts.headers)?,
            body,
            // A namespace that ends here ends nothing that others have made.
            owned_only: version.owned_only || (by_controller && sweeps),
            by_controller,
        };
        match verb {
            Verb::List | Verb::Watch | Verb::DeleteCollection => self.many(passage, &parts.method).await,
            Verb::Get => self.get(passage).await,
            Verb::Create => self.create(passage).await,
            Verb::Update | Verb::Patch => self.change(passage, &parts.method).await,
            Verb::Delete => self.delete(passage).await,
        }
    }

    /// The headers of the request that the other cluster gets: none that say who asks.
    fn headers(&self, headers: &http::HeaderMap) -> Result<http::HeaderMap, Refusal> {
        let mut passed_on = http::HeaderMap::new();
        for name in [header::ACCEPT, header::CONTENT_TYPE, header::USER_AGENT] {
            if let Some(value) = headers.get(&name) {
                passed_on.insert(name, value.clone());
            }
        }
        let via: Vec<&str> = headers
            .get_all(VIA)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        if via
            .iter()
            .any(|clusters| clusters.split(',').any(|cluster| cluster == self.owner))
        {
            return Err(Refusal::new(
                StatusCode::LOOP_DETECTED,
                "InternalError",
                "the virtual clusters that are said to answer for this lead to each other in a circle: \
                 experimental.proxy.customResources has to name one that answers itself",
            ));
        }
        let via = [via.as_slice(), &[&self.owner]].concat().join(",");
        if let Ok(via) = HeaderValue::from_str(&via) {
            passed_on.insert(VIA, via);
        }
        Ok(passed_on)
    }

    async fn many(&self, mut passage: Passage<'_>, method: &Method) -> Result<Response<Body>, Refusal> {
        if passage.owned_only {
            passage.select(&self.owner);
        }
        if !passage.by_controller {
            return passage.send(method).await.map(streamed);
        }
        passage.ask_for_json();
        if passage.verb == Verb::Watch {
            return passage.send(method).await.map(events_for_controllers);
        }
        passage.ask(method).await.map(for_controllers)
    }

    async fn get(&self, mut passage: Passage<'_>) -> Result<Response<Body>, Refusal> {
        if !passage.owned_only && !passage.by_controller {
            return passage.send(&Method::GET).await.map(streamed);
        }
        passage.ask_for_json();
        // Of a table, the objects are needed to know whose they are.
        for (name, value) in &mut passage.parameters {
            if name == "includeObject" && value == "None" {
                "Metadata".clone_into(value);
            }
        }
        let has_labels = matches!(passage.place.subresource.as_str(), "" | "status");
        if passage.owned_only && !has_labels {
            self.current(&passage).await?.shown()?;
            return passage.send(&Method::GET).await.map(streamed);
        }
        let answer = passage.ask(&Method::GET).await?;
        if !answer.status().is_success() {
            return Ok(read(answer));
        }
        let found: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let object = found.pointer("/rows/0/object").unwrap_or(&found);
        if passage.owned_only && !ownership::is_owned(object, &self.owner) {
            return Err(Refusal::not_found(passage.version, &passage.place));
        }
        Ok(if passage.by_controller {
            for_controllers(answer)
        } else {
            read(answer)
        })
    }

    async fn create(&self, mut passage: Passage<'_>) -> Result<Response<Body>, Refusal> {
        if !passage.place.name.is_empty() {
            if passage.owned_only {
                self.current(&passage).await?.shown()?;
            }
            return passage.send(&Method::POST).await.map(streamed);
        }
        self.has_namespace(&passage.place.namespace).await?;
        let mut object = passage.parsed()?;
        self.keeps_owners(&passage, &object, &Value::Null)?;
        ownership::mark(&mut object, &self.owner);
        passage.replace(&object, JSON);
        passage.name_manager();
        self.make(&passage, &Method::POST).await
    }

    /// Updates and patches. What is not there can be made by an apply only.
    async fn change(&self, mut passage: Passage<'_>, method: &Method) -> Result<Response<Body>, Refusal> {
        let form = passage.content_type();
        let applies = form == APPLY_PATCH && passage.place.subresource.is_empty();
        let known = self.current(&passage).await?;
        let current = match &known {
            Known::Nothing(_) if applies => None,
            known => Some(known.shown()?),
        };
        let mut body = passage.parsed()?;
        let nothing = Value::Null;
        self.keeps_owners(&passage, &body, current.unwrap_or(&nothing))?;
        let uid = current.map_or("", |object| json::text(object, &["metadata", "uid"]));
        let marks = !matches!(known, Known::Others(_)) && passage.place.subresource.is_empty();
        let form = match form.as_str() {
            JSON_PATCH => {
                ownership::mark_json(&mut body, uid, marks.then_some(self.owner.as_str()));
                JSON_PATCH
            }
            MERGE_PATCH => {
                if marks {
                    ownership::mark_merge(&mut body, current.unwrap_or(&nothing), &self.owner);
                }
                ownership::pin(&mut body, uid);
                MERGE_PATCH
            }
            APPLY_PATCH => {
                if marks {
                    ownership::mark(&mut body, &self.owner);
                }
                ownership::pin(&mut body, uid);
                APPLY_PATCH
            }
            other if passage.verb == Verb::Patch => {
                let message = format!(
                    "the body of the request was in an unknown format - accepted media types include: {JSON_PATCH}, \
                     {MERGE_PATCH}, {APPLY_PATCH}; it is {other:?}"
                );
                return Err(Refusal::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "UnsupportedMediaType",
                    &message,
                ));
            }
            _ => {
                if marks {
                    ownership::mark(&mut body, &self.owner);
                }
                ownership::pin(&mut body, uid);
                JSON
            }
        };
        if current.is_none() {
            self.has_namespace(&passage.place.namespace).await?;
        }
        passage.replace(&body, form);
        if !applies {
            passage.name_manager();
        }
        self.make(&passage, method).await
    }

    async fn delete(&self, mut passage: Passage<'_>) -> Result<Response<Body>, Refusal> {
        if passage.owned_only {
            let known = self.current(&passage).await?;
            let current = known.shown()?;
            let body = if passage.body.is_empty() {
                None
            } else {
                Some(passage.parsed()?)
            };
            let uid = json::text(current, &["metadata", "uid"]);
            let options = ownership::delete_options(body, &passage.parameters, uid);
            passage.replace(&options, JSON);
        }
        passage.send(&Method::DELETE).await.map(streamed)
    }

    /// Sends what may make an object. The other cluster gets its namespace if it has none of the name.
    async fn make(&self, passage: &Passage<'_>, method: &Method) -> Result<Response<Body>, Refusal> {
        let namespace = &passage.place.namespace;
        let answer = passage.ask(method).await?;
        if answer.status() != StatusCode::NOT_FOUND || namespace.is_empty() {
            return Ok(read(answer));
        }
        let status: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        if status["details"]["kind"] != "namespaces" {
            return Ok(read(answer));
        }
        if passage.parameters.iter().any(|(name, _)| name == "dryRun") {
            let message = format!(
                "the virtual cluster {:?} has no namespace {namespace:?} yet, and a dry run does not make it",
                passage.target.name()
            );
            return Err(Refusal::new(StatusCode::NOT_FOUND, "NotFound", &message));
        }
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {PROXY_OWNER: self.owner}},
        });
        let json = HeaderValue::from_static(JSON);
        let outgoing = Outgoing {
            method: Method::POST,
            path: Kind::Namespace.path(""),
            headers: [header::ACCEPT, header::CONTENT_TYPE]
                .map(|name| (name, json.clone()))
                .into_iter()
                .collect(),
            body: Bytes::from(object.to_string()),
        };
        let made = passage.target.ask(&outgoing).await;
        let made = made.map_err(|why| unavailable(passage.version, passage.target, &why))?;
        match made.status() {
            StatusCode::CONFLICT => {}
            status if status.is_success() => {}
            _ => return Ok(read(made)),
        }
        passage.ask(method).await.map(read)
    }

    /// Whether a namespace of this cluster can get objects, as the admission plugin NamespaceLifecycle decides it.
    async fn has_namespace(&self, name: &str) -> Result<(), Refusal> {
        if name.is_empty() {
            return Ok(());
        }
        let failed = || {
            let message = format!("it cannot be told whether there is a namespace {name:?}");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &message)
        };
        let path = format!("{}/{name}", Kind::Namespace.path(""));
        let request = Request::get(path).header(header::ACCEPT, JSON).body(HostBody::empty());
        let answer = self
            .virtual_
            .send(request.map_err(|_| failed())?)
            .await
            .map_err(|_| failed())?;
        let status = answer.status();
        if status == StatusCode::NOT_FOUND {
            return Err(Refusal::no_namespace(name));
        }
        if !status.is_success() {
            return Err(failed());
        }
        let body = answer.into_body().collect().await.map_err(|_| failed())?;
        let namespace: Value = serde_json::from_slice(&body.to_bytes()).map_err(|_| failed())?;
        if json::text(&namespace, &["status", "phase"]) == "Terminating" {
            let message = format!("unable to create new content in namespace {name} because it is being terminated");
            return Err(Refusal::new(StatusCode::FORBIDDEN, "Forbidden", &message));
        }
        Ok(())
    }

    /// The object that a request is about, as the other cluster has it.
    async fn current(&self, passage: &Passage<'_>) -> Result<Known, Refusal> {
        let mut outgoing = Outgoing::get(&passage.place.object().path(passage.version), METADATA);
        if let Some(via) = passage.headers.get(VIA) {
            outgoing.headers.insert(VIA, via.clone());
        }
        let answer = passage.target.ask(&outgoing).await;
        let answer = answer.map_err(|why| unavailable(passage.version, passage.target, &why))?;
        let found: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let not_found = || Refusal::not_found(passage.version, &passage.place);
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(Known::Nothing(not_found())),
            status if status.is_success() && ownership::is_owned(&found, &self.owner) => Ok(Known::Ours(found)),
            status if status.is_success() && passage.owned_only => Ok(Known::Nothing(not_found())),
            status if status.is_success() => Ok(Known::Others(found)),
            _ => Err(Refusal(found)),
        }
    }

    /// Refuses owners that the other cluster does not have: its garbage collector would delete the object at once.
    fn keeps_owners(&self, passage: &Passage<'_>, body: &Value, current: &Value) -> Result<(), Refusal> {
        let shared = |group: &str| {
            let mut versions = self.versions.iter();
            versions.any(|version| version.group == group && version.target == passage.version.target)
        };
        let Some(lost) = ownership::lost(&ownership::references(body), current, shared) else {
            return Ok(());
        };
        let message = format!(
            "metadata.ownerReferences: {lost} is an object of this cluster, but objects of {} live in the virtual cluster {:?}, \
             whose garbage collector would not find it: leave the reference out",
            passage.version.group,
            passage.target.name()
        );
        Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", &message))
    }
}

/// What is known of an object.
enum Known {
    /// It was made through this cluster.
    Ours(Value),
    /// It was not, and is shown all the same.
    Others(Value),
    /// There is none that is shown; what to say about it.
    Nothing(Refusal),
}

impl Known {
    /// The object, if one is shown.
    fn shown(&self) -> Result<&Value, Refusal> {
        match self {
            Known::Ours(object) | Known::Others(object) => Ok(object),
            Known::Nothing(Refusal(status)) => Err(Refusal(status.clone())),
        }
    }
}

/// An answer with what controllers of this cluster see of its objects.
fn for_controllers(answer: Response<Bytes>) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    let body = match serde_json::from_slice::<Value>(&body) {
        Ok(mut found) if parts.status.is_success() => {
            ownership::for_controllers(&mut found);
            Bytes::from(found.to_string())
        }
        _ => body,
    };
    read(Response::from_parts(parts, body))
}

impl Passage<'_> {
    fn outgoing(&self, method: &Method) -> Outgoing {
        let mut path = self.place.path(self.version);
        if !self.parameters.is_empty() {
            path += &format!("?{}", route::query(&self.parameters));
        }
        Outgoing {
            method: method.clone(),
            path,
            headers: self.headers.clone(),
            body: self.body.clone(),
        }
    }

    async fn send(&self, method: &Method) -> Result<Response<HostBody>, Refusal> {
        let answer = self.target.send(&self.outgoing(method)).await;
        answer.map_err(|why| unavailable(self.version, self.target, &why))
    }

    async fn ask(&self, method: &Method) -> Result<Response<Bytes>, Refusal> {
        let answer = self.target.ask(&self.outgoing(method)).await;
        answer.map_err(|why| unavailable(self.version, self.target, &why))
    }

    /// Selects what was made through this cluster.
    fn select(&mut self, owner: &str) {
        match self.parameters.iter_mut().find(|(name, _)| name == "labelSelector") {
            Some((_, selector)) => *selector = ownership::selector(selector, owner),
            None => {
                let selector = ownership::selector("", owner);
                self.parameters.push(("labelSelector".to_owned(), selector));
            }
        }
    }

    /// The media type of the body, without its parameters.
    fn content_type(&self) -> String {
        let value = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = value.unwrap_or(JSON).split(';').next().unwrap_or_default();
        media_type.trim().to_ascii_lowercase()
    }

    fn parsed(&self) -> Result<Value, Refusal> {
        let form = self.content_type();
        if form.ends_with("json") || form.is_empty() {
            let parsed = serde_json::from_slice(&self.body);
            return parsed.map_err(|error| Refusal::bad_request(&format!("the body is no JSON: {error}")));
        }
        if form.ends_with("yaml") {
            let parsed = serde_yaml::from_slice(&self.body);
            return parsed.map_err(|error| Refusal::bad_request(&format!("the body is no YAML: {error}")));
        }
        Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml",
        ))
    }

    fn replace(&mut self, body: &Value, form: &'static str) {
        self.body = Bytes::from(body.to_string());
        self.headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(form));
    }

    /// Has the other API server answer in JSON, in one of the forms that the client takes.
    fn ask_for_json(&mut self) {
        let accept = self.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let forms = accept.unwrap_or_default().split(',').map(str::trim);
        let forms: Vec<&str> = forms
            .filter(|form| {
                form.split(';')
                    .next()
                    .is_some_and(|media_type| media_type.trim() == JSON)
            })
            .collect();
        let forms = if forms.is_empty() {
            JSON.to_owned()
        } else {
            forms.join(",")
        };
        if let Ok(forms) = HeaderValue::from_str(&forms) {
            self.headers.insert(header::ACCEPT, forms);
        }
    }

    /// Says who manages the fields that change: the other API server would take this process for it.
    fn name_manager(&mut self) {
        if self.parameters.iter().any(|(name, _)| name == "fieldManager") {
            return;
        }
        let agent = self
            .headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok());
        let first = agent.unwrap_or_default().split('/').next().unwrap_or_default();
        let manager: String = first
            .chars()
            .filter(|c| !c.is_control())
            .take(LONGEST_MANAGER)
            .collect();
        if !manager.is_empty() {
            self.parameters.push(("fieldManager".to_owned(), manager));
        }
    }
}
