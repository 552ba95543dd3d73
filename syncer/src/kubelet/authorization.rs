//! Asks the virtual API server who a token belongs to and what somebody may do (kubernetes `pkg/kubelet/server/auth.go`).
//! Good answers are remembered for a moment.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Request, header};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::debug;

use super::access::Caller;
use crate::json;
use crate::names::hex_digest;

/// How long a good answer holds.
const REMEMBERED: Duration = Duration::from_secs(5);
/// How many answers are remembered at most.
const MOST: usize = 1024;

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// Reach a kubelet: one of these subresources of the node, or of all nodes when it is not known which, is enough.
    Node {
        verb: &'static str,
        node: String,
        subresources: &'static [&'static str],
    },
    /// Do something with objects.
    Object(ObjectAction),
    /// Look at what there is.
    Discovery { path: String },
}

/// A verb and the objects that it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObjectAction {
    pub(super) verb: &'static str,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Action {
    /// The `spec` of the reviews, of which one has to allow it.
    fn attributes(&self) -> Vec<Value> {
        match self {
            Action::Node {
                verb,
                node,
                subresources,
            } => {
                let review = |subresource: &&str| {
                    let attributes = json!({
                        "verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": node,
                    });
                    json!({"resourceAttributes": attributes})
                };
                subresources.iter().map(review).collect()
            }
            Action::Object(object) => {
                let attributes = json!({
                    "verb": object.verb, "group": object.group, "version": object.version, "resource": object.resource,
                    "subresource": object.subresource, "namespace": object.namespace, "name": object.name,
                });
                vec![json!({"resourceAttributes": attributes})]
            }
            Action::Discovery { path } => vec![json!({"nonResourceAttributes": {"path": path, "verb": "get"}})],
        }
    }

    /// The kubelet's words for a refusal.
    fn refusal(&self, caller: &Caller) -> String {
        let user = &caller.user;
        match self {
            Action::Node { verb, subresources, .. } => format!(
                "Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{}])",
                subresources.join(" ")
            ),
            Action::Object(ObjectAction { verb, resource, .. }) => {
                format!("Forbidden (user={user}, verb={verb}, resource={resource})")
            }
            Action::Discovery { path } => format!("Forbidden (user={user}, verb=get, path={path})"),
        }
    }
}

/// Why somebody is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// It is not known who that is.
    Unknown,
    /// It is not allowed, in one sentence.
    Forbidden(String),
    /// The virtual API server did not say.
    Unanswered,
}

/// Asks, and remembers.
pub(super) struct Authority {
    client: Client,
    tokens: Memory<String, Caller>,
    permissions: Memory<(Caller, Action), ()>,
}

impl Authority {
    /// Asks through a client of the virtual API server.
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            tokens: Memory::default(),
            permissions: Memory::default(),
        }
    }

    /// The caller that the bearer token of a request belongs to.
    pub(super) async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Denied> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err(Denied::Unknown);
        };
        let key = hex_digest(token.as_bytes());
        if let Some(caller) = self.tokens.get(&key) {
            return Ok(caller);
        }
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
        });
        let status = self.ask("/apis/authentication.k8s.io/v1/tokenreviews", &review).await?;
        if json::flag(&status, &["authenticated"]) != Some(true) {
            return Err(Denied::Unknown);
        }
        let user = &status["user"];
        let texts = |value: &Value| -> Vec<String> {
            let items = value.as_array().map(Vec::as_slice).unwrap_or_default().iter();
            items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let caller = Caller {
            user: json::text(user, &["username"]).to_owned(),
            uid: json::text(user, &["uid"]).to_owned(),
            groups: texts(&user["groups"]),
            extra: user["extra"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, values)| (key.clone(), texts(values)))
                .collect(),
            ..Caller::default()
        };
        if caller.user.is_empty() {
            return Err(Denied::Unknown);
        }
        self.tokens.put(key, caller.clone());
        Ok(caller)
    }

    /// Whether a caller may do something. The API server may do everything: it has asked itself.
    pub(super) async fn authorize(&self, caller: &Caller, action: Action) -> Result<(), Denied> {
        if caller.is_api_server() {
            return Ok(());
        }
        let key = (caller.clone(), action);
        if self.permissions.get(&key).is_some() {
            return Ok(());
        }
        for mut spec in key.1.attributes() {
            spec["user"] = json!(caller.user);
            spec["uid"] = json!(caller.uid);
            spec["groups"] = json!(caller.groups);
            spec["extra"] = json!(caller.extra);
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec,
            });
            let status = self
                .ask("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review)
                .await?;
            if json::flag(&status, &["allowed"]) == Some(true) {
                self.permissions.put(key, ());
                return Ok(());
            }
        }
        Err(Denied::Forbidden(key.1.refusal(caller)))
    }

    /// Sends a review and returns its status.
    async fn ask(&self, path: &str, review: &Value) -> Result<Value, Denied> {
        let unanswered = |error: &dyn std::fmt::Display| {
            debug!(path, %error, "the virtual API server did not review");
            Denied::Unanswered
        };
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Body::from(review.to_string().into_bytes()))
            .map_err(|error| unanswered(&error))?;
        let response = self.client.send(request).await.map_err(|error| unanswered(&error))?;
        let code = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| unanswered(&error))?;
        if !code.is_success() {
            return Err(unanswered(&code));
        }
        let mut answer: Value = serde_json::from_slice(&body.to_bytes()).map_err(|error| unanswered(&error))?;
        Ok(answer.get_mut("status").map(Value::take).unwrap_or_default())
    }
}

/// Answers and when they end.
struct Memory<K, V>(Mutex<BTreeMap<K, (Instant, V)>>);

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord, V: Clone> Memory<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (end, value) = answers.get(key)?;
        (Instant::now() < *end).then(|| value.clone())
    }

    fn put(&self, key: K, value: V) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if answers.len() >= MOST {
            answers.retain(|_, (end, _)| now < *end);
        }
        if answers.len() < MOST {
            answers.insert(key, (now + REMEMBERED, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use http::{HeaderValue, Response};

    use super::*;

    /// A virtual API server that knows one token, and one permission of its owner.
    fn authority() -> (Authority, Arc<Mutex<Vec<Value>>>) {
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let seen = asked.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let seen = seen.clone();
            async move {
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                let review: Value = serde_json::from_slice(&body).expect("JSON");
                let status = if review["kind"] == "TokenReview" {
                    let known = review["spec"]["token"] == "good";
                    json!({"authenticated": known, "user": {
                        "username": "system:serviceaccount:kube-system:metrics", "groups": ["g"], "extra": {"k": ["v"]},
                    }})
                } else {
                    let attributes = &review["spec"]["resourceAttributes"];
                    let allowed = attributes["subresource"] == "proxy"
                        && attributes["name"] == "n-1"
                        && review["spec"]["extra"]["k"][0] == "v";
                    json!({"allowed": allowed})
                };
                seen.lock().expect("unpoisoned").push(review);
                let answer = json!({"status": status}).to_string();
                Ok::<_, Infallible>(Response::new(http_body_util::Full::new(bytes::Bytes::from(answer))))
            }
        });
        (Authority::new(Client::new(service, "default")), asked)
    }

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))])
    }

    fn reach(node: &str, subresources: &'static [&'static str]) -> Action {
        Action::Node {
            verb: "get",
            node: node.into(),
            subresources,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_and_permissions_are_asked_for_and_remembered_for_a_moment() {
        let (authority, asked) = authority();
        let count = || std::mem::take(&mut *asked.lock().expect("unpoisoned")).len();
        let caller = authority.authenticate(&headers("Bearer good")).await.expect("known");
        assert_eq!(caller.user, "system:serviceaccount:kube-system:metrics");
        authority.authenticate(&headers("Bearer good")).await.expect("known");
        assert_eq!(count(), 1);
        for unknown in ["Bearer bad", "Basic good", "Bearer "] {
            assert_eq!(
                authority.authenticate(&headers(unknown)).await,
                Err(Denied::Unknown),
                "{unknown}"
            );
        }
        assert_eq!(authority.authenticate(&HeaderMap::new()).await, Err(Denied::Unknown));
        count();

        for _ in 0..2 {
            authority
                .authorize(&caller, reach("n-1", &["pods", "proxy"]))
                .await
                .expect("allowed");
        }
        assert_eq!(count(), 2, "one of the two subresources is enough, and is remembered");
        for _ in 0..2 {
            let denied = authority.authorize(&caller, reach("n-2", &["stats"])).await;
            assert_eq!(
                denied,
                Err(Denied::Forbidden(
                    "Forbidden (user=system:serviceaccount:kube-system:metrics, verb=get, resource=nodes, \
                     subresource(s)=[stats])"
                        .into()
                ))
            );
        }
        assert_eq!(count(), 2, "a refusal is not remembered");
        tokio::time::sleep(REMEMBERED).await;
        authority
            .authorize(&caller, reach("n-1", &["proxy"]))
            .await
            .expect("allowed");
        authority.authenticate(&headers("Bearer good")).await.expect("known");
        assert_eq!(count(), 2);
    }
}
