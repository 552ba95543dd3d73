//! Carries out one step. What the API server answers goes into the caches at once.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use tracing::debug;

use super::Engine;
use super::plan::{Step, TokenSecret};
use crate::clusters::{Api, ApiError, Change, Patch};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Reference, keys};
use crate::object::{Object, ObjectKey};
use crate::resources::{REFRESH_AT, RESIZE, counterparts, pair, token_owner, trim, without_node_ports};

/// Requested lifetime of service-account tokens, in seconds: ten years, which the API server may shorten.
const TOKEN_LIFETIME: i64 = 315_360_000;
/// When a refusal that needs somebody's help is tried again.
const REFUSED: Duration = Duration::from_secs(15);
/// When a write that met another one is tried again.
const CONFLICT: Duration = Duration::from_millis(200);

/// What API servers say about an address that is none of theirs (`pkg/registry/core/service/ipallocator`).
const OUT_OF_RANGE: [&str; 2] = ["not in the valid range", "does not match the current range"];

/// How a step ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Done, and the caches show it.
    Done,
    /// Done, and the watch will show it.
    Echo,
    /// Not done.
    Failed(Failure),
}

/// Why a step was not done.
#[derive(Debug)]
pub(super) struct Failure {
    /// For the log.
    pub(super) cause: String,
    /// For the owner of the virtual object; `None` when it repairs itself.
    pub(super) note: Option<String>,
    /// Not to be tried again before that; later each time.
    pub(super) again_after: Duration,
    /// Whether it is expected to pass by itself.
    pub(super) passing: Passing,
}

/// Whether a failure is expected to pass by itself: then the owner is told only when that takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passing {
    /// Somebody has to do something.
    No,
    /// Somebody has what this needs, and is expected to give it up.
    Contended,
    /// The server is away or busy, for this as for everything else.
    Unavailable,
}

impl Failure {
    fn silent(cause: impl Into<String>, after: Duration) -> Outcome {
        Outcome::Failed(Self {
            cause: cause.into(),
            note: None,
            again_after: after,
            passing: Passing::No,
        })
    }
}

impl Engine {
    pub(super) async fn execute(&self, item: &Reference, step: Step) -> Outcome {
        match step {
            Step::Create { side, kind, object } => self.create(item, side, kind, &object).await,
            Step::Upsert { kind, object } => self.upsert(kind, &object).await,
            Step::Patch {
                side,
                kind,
                key,
                subresource,
                patch,
                body,
            } => {
                let api = self.api(side);
                let target = (kind, key.namespace.as_str(), key.name.as_str());
                let mut answer = api.patch(target, subresource, patch, &body).await;
                if let Err(error) = &answer
                    && let Some(other) = self.with_other_ports(item, (side, kind), &body, error)
                {
                    answer = api.patch(target, subresource, patch, &other).await;
                }
                match answer {
                    Ok(answer) => self.take_over(side, kind, answer),
                    // Hosts before Kubernetes 1.33 do not know it; the pod is there all the same.
                    Err(error) if subresource == RESIZE && error.code() == 404 => {
                        failure("Error syncing: the host does not resize pods in place", &error)
                    }
                    Err(error) => self.failed_write(side, kind, &key, "Error syncing", error).await,
                }
            }
            Step::Delete {
                side,
                kind,
                key,
                uid,
                grace,
            } => {
                let api = self.api(side);
                match api.delete((kind, &key.namespace, &key.name), &uid, grace).await {
                    Ok(answer) => self.take_over_deletion(side, kind, &key, &uid, answer),
                    // Gone, or another object by now.
                    Err(error) if error.code() == 404 => self.vanished(side, kind, &key, &uid),
                    Err(error) => self.failed_write(side, kind, &key, "Error syncing", error).await,
                }
            }
            Step::Bind { key, uid, node } => self.bind(&key, &uid, &node).await,
            Step::TryAddresses { namespace, spec } => self.try_addresses(&namespace, spec).await,
            Step::Tokens(tokens) => self.tokens(tokens).await,
        }
    }

    /// The client of one side.
    pub fn api(&self, side: Side) -> &Api {
        match side {
            Side::Virtual => &self.virtual_api,
            Side::Host => &self.host_api,
        }
    }

    async fn create(&self, item: &Reference, side: Side, kind: Kind, object: &Value) -> Outcome {
        let (key, api) = (pair::key_of(object), self.api(side));
        let mut answer = api.create(kind, &key.namespace, object).await;
        if let Err(error) = &answer
            && let Some(other) = self.with_other_ports(item, (side, kind), object, error)
        {
            answer = api.create(kind, &key.namespace, &other).await;
        }
        let error = match answer {
            Ok(answer) => return self.take_over(side, kind, answer),
            Err(error) => error,
        };
        if error.reason() == "AlreadyExists" {
            return self.already_exists(item, side, kind, &key).await;
        }
        let prefix = match side {
            Side::Host => "Error syncing to host cluster",
            Side::Virtual => "Error syncing to virtual cluster",
        };
        failure(prefix, &error)
    }

    /// What to write in the place of a Service that the host refuses for its node ports.
    fn with_other_ports(
        &self,
        item: &Reference,
        target: (Side, Kind),
        body: &Value,
        error: &ApiError,
    ) -> Option<Value> {
        let Reference { kind, key } = item;
        let virtual_ = self.world.virtual_side.get(*kind, &key.namespace, &key.name);
        let virtual_ = virtual_.map(|object| object.value());
        without_node_ports(&self.world, target, virtual_.as_ref(), (body, &error.to_string()))
    }

    /// The only read: a name is in use, and the cache does not know by whom.
    async fn already_exists(&self, item: &Reference, side: Side, kind: Kind, key: &ObjectKey) -> Outcome {
        let existing = match self.api(side).get(kind, &key.namespace, &key.name).await {
            Ok(existing) => existing,
            Err(error) => return Failure::silent(error.to_string(), CONFLICT),
        };
        // Not every object that is ours is the copy of another one: nodes have Services, for example.
        let found = Change::new(None, Some(Arc::new(Object::new(existing.clone()))));
        let names = &self.world.names;
        let marker = json::text(&existing, &["metadata", "labels", keys::MARKER]);
        let is_watched = marker == names.vcluster() || marker == names.cluster_marker();
        if side == Side::Virtual || is_watched || counterparts(&self.world, kind, &found).contains(item) {
            // Our own write whose answer was lost, or the watch is behind. Whose it is, the next plan finds out.
            self.take_over(side, kind, existing);
            return Failure::silent(format!("{kind} {key} exists already"), CONFLICT);
        }
        let text = pair::taken_text(item, key);
        Outcome::Failed(Failure {
            cause: text.clone(),
            note: Some(text),
            again_after: REFUSED,
            passing: Passing::No,
        })
    }

    /// Events are best effort: whatever is wrong with one must not keep the others from coming.
    async fn upsert(&self, kind: Kind, object: &Value) -> Outcome {
        let key = pair::key_of(object);
        let error = match self.virtual_api.create(kind, &key.namespace, object).await {
            Ok(_) => return Outcome::Done,
            Err(error) if error.reason() == "AlreadyExists" => {
                let mut change = object.clone();
                json::remove(&mut change, &["metadata", "involvedObject"]);
                let target = (kind, key.namespace.as_str(), key.name.as_str());
                match self.virtual_api.patch(target, "", Patch::Merge, &change).await {
                    Ok(_) => return Outcome::Done,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        debug!(%key, %error, "an event of the host is not shown");
        Outcome::Done
    }

    async fn bind(&self, key: &ObjectKey, uid: &str, node: &str) -> Outcome {
        let path = format!("{}/{}/binding", Kind::Pod.path(&key.namespace), key.name);
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"namespace": key.namespace, "name": key.name, "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        match self.virtual_api.create_sub(&path, Kind::Pod, &binding).await {
            Ok(_) => Outcome::Echo,
            Err(error) => {
                self.failed_write(Side::Virtual, Kind::Pod, key, "Error syncing", error)
                    .await
            }
        }
    }

    /// Whatever else is said against the Service that is tried, the real one was let in already.
    async fn try_addresses(&self, namespace: &str, mut spec: Value) -> Outcome {
        spec["type"] = json!("ClusterIP");
        spec["ports"] = json!([{"port": 1}]);
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": namespace, "generateName": "address-"},
            "spec": spec,
        });
        let path = format!("{}?dryRun=All", Kind::Service.path(namespace));
        match self.virtual_api.create_sub(&path, Kind::Service, &service).await {
            Err(error) if OUT_OF_RANGE.iter().any(|text| error.to_string().contains(text)) => {
                failure("Error syncing: cannot take over the host's address", &error)
            }
            _ => Outcome::Done,
        }
    }

    async fn tokens(&self, tokens: TokenSecret) -> Outcome {
        let key = pair::key_of(&tokens.secret);
        let copy = self
            .world
            .host
            .get(Kind::Pod, &tokens.copy.namespace, &tokens.copy.name);
        let Some(copy) = copy else {
            // Gone again, which is what comes next.
            return Outcome::Done;
        };
        let (data, refresh_at) = match self.request_tokens(&tokens).await {
            Ok(requested) => requested,
            Err(error) => {
                return failure(
                    "Error syncing to host cluster: cannot get a service-account token",
                    &error,
                );
            }
        };
        let mut secret = tokens.secret;
        secret["data"] = Value::Object(data);
        secret["metadata"]["ownerReferences"] = token_owner(&tokens.copy, copy.uid());
        secret["metadata"]["annotations"][REFRESH_AT] = json!(refresh_at.to_string());
        let answer = if tokens.exists {
            let target = (Kind::Secret, key.namespace.as_str(), key.name.as_str());
            let change =
                json!({"metadata": {"annotations": secret["metadata"]["annotations"]}, "data": secret["data"]});
            self.host_api.patch(target, "", Patch::Merge, &change).await
        } else {
            self.host_api.create(Kind::Secret, &key.namespace, &secret).await
        };
        match answer {
            Ok(answer) => self.take_over(Side::Host, Kind::Secret, answer),
            Err(error) if error.reason() == "AlreadyExists" => {
                match self.host_api.get(Kind::Secret, &key.namespace, &key.name).await {
                    Ok(existing) => {
                        self.take_over(Side::Host, Kind::Secret, existing);
                        Failure::silent(format!("Secret {key} exists already"), CONFLICT)
                    }
                    Err(error) => Failure::silent(error.to_string(), CONFLICT),
                }
            }
            Err(error) => failure("Error syncing to host cluster", &error),
        }
    }

    /// Requests every token; returns them as Secret data, and when they are to be replaced.
    async fn request_tokens(&self, tokens: &TokenSecret) -> Result<(Map<String, Value>, Timestamp), ApiError> {
        let now = (self.world.clock)();
        let mut lifetime = SignedDuration::from_secs(TOKEN_LIFETIME);
        let mut data = Map::new();
        let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", tokens.pod.namespace);
        for token in &tokens.tokens {
            let request = json!({
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "metadata": {"namespace": tokens.pod.namespace},
                "spec": {
                    "audiences": token.audiences,
                    "expirationSeconds": TOKEN_LIFETIME,
                    "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": tokens.pod.name, "uid": tokens.uid},
                },
            });
            let path = format!("{accounts}/{}/token", tokens.account);
            let answer = self.virtual_api.create_sub(&path, Kind::Secret, &request).await?;
            let expires = json::text(&answer, &["status", "expirationTimestamp"]).parse::<Timestamp>();
            lifetime = lifetime.min(expires.map_or(lifetime, |at| at.duration_since(now)));
            let value = STANDARD.encode(json::text(&answer, &["status", "token"]));
            data.insert(token.data_key.clone(), json!(value));
        }
        // As a kubelet does: when a fifth of the lifetime is left.
        let refresh_at = now.checked_add(lifetime / 5 * 4).unwrap_or(now);
        Ok((data, refresh_at))
    }

    fn take_over(&self, side: Side, kind: Kind, mut answer: Value) -> Outcome {
        trim(side, kind)(&mut answer);
        if answer
            .get("metadata")
            .is_some_and(|metadata| metadata.get("uid").is_some())
            && let Some(change) = self.world.side(side).of(kind).take(answer)
        {
            self.observe(side, kind, &change);
        }
        Outcome::Done
    }

    /// The answer to a deletion is the object while it ends, and the object or a Status when it is gone.
    fn take_over_deletion(&self, side: Side, kind: Kind, key: &ObjectKey, uid: &str, answer: Value) -> Outcome {
        let ends = pair::is_deleting(&answer)
            && (!json::items(&answer, &["metadata", "finalizers"]).is_empty()
                || json::integer(&answer, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or_default() > 0);
        if ends {
            self.take_over(side, kind, answer)
        } else {
            self.vanished(side, kind, key, uid)
        }
    }

    fn vanished(&self, side: Side, kind: Kind, key: &ObjectKey, uid: &str) -> Outcome {
        if let Some(change) = self.world.side(side).of(kind).remove(key, uid) {
            self.observe(side, kind, &change);
        }
        Outcome::Done
    }

    /// A write to an object that is not as the cache says.
    async fn failed_write(&self, side: Side, kind: Kind, key: &ObjectKey, prefix: &str, error: ApiError) -> Outcome {
        match error.code() {
            // The watch may be behind; the look is rare, and makes sure that nobody waits for it in vain.
            404 | 409 => match self.api(side).get(kind, &key.namespace, &key.name).await {
                Ok(current) => {
                    self.replace(side, kind, key, current);
                    Failure::silent(error.to_string(), CONFLICT)
                }
                Err(gone) if gone.code() == 404 => {
                    self.vanished(side, kind, key, "");
                    Failure::silent(error.to_string(), CONFLICT)
                }
                Err(_) => failure(prefix, &error),
            },
            _ => failure(prefix, &error),
        }
    }

    /// Takes over what was read, also when it is another object of the same name.
    fn replace(&self, side: Side, kind: Kind, key: &ObjectKey, current: Value) {
        let known = self.world.side(side).get(kind, &key.namespace, &key.name);
        let uid = json::text(&current, &["metadata", "uid"]);
        if let Some(known) = known.filter(|known| known.uid() != uid)
            && let Some(change) = self.world.side(side).of(kind).remove(key, known.uid())
        {
            self.observe(side, kind, &change);
        }
        self.take_over(side, kind, current);
    }
}

fn failure(prefix: &str, error: &ApiError) -> Outcome {
    let text = format!("{prefix}: {error}");
    // What the allocators of API servers say about an address or a node port that another Service holds.
    let contended = text.contains("is already allocated");
    let (again_after, passing) = match error.code() {
        // The server is away or busy.
        0 | 429 | 503 | 504 => (error.retry_after().unwrap_or_default(), Passing::Unavailable),
        400..=499 if contended => (Duration::ZERO, Passing::Contended),
        400..=499 => (REFUSED, Passing::No),
        _ => (error.retry_after().unwrap_or_default(), Passing::No),
    };
    Outcome::Failed(Failure {
        note: Some(text.clone()),
        cause: text,
        again_after,
        passing,
    })
}
