//! Service-account tokens: requested from the virtual API, bound to the virtual pod, carried by a Secret that the host pod
//! owns. They never appear in an annotation or a log.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::pair;
use crate::engine::plan::{Step, TokenRequest, TokenSecret};
use crate::json::{self, items_mut};
use crate::kinds::{Kind, Side};
use crate::names::{Reference, keys};
use crate::object::ObjectKey;
use crate::world::World;

/// Annotation of a token Secret with the virtual pod's name.
const POD_NAME: &str = "vcluster.loft.sh/name";
/// Annotation of a token Secret with the time at which its tokens are to be replaced.
pub const REFRESH_AT: &str = "vcluster.loft.sh/token-refresh-at";
/// Mode that a kubelet gives token files of pods without an fsGroup.
const FILE_MODE: u32 = 0o644;

/// What a pod's tokens need.
pub(super) struct TokenPlan {
    pub(super) step: Option<Step>,
    pub(super) again_after: Option<Duration>,
}

/// Calls `visit` with every token source of a pod spec and the key under which its token is kept.
fn for_each_source(spec: &mut Value, visit: &mut dyn FnMut(&str, &mut Value)) {
    for volume in items_mut(spec, "volumes") {
        let name = json::text(volume, &["name"]).to_owned();
        let Some(projected) = volume.get_mut("projected") else {
            continue;
        };
        for (index, source) in items_mut(projected, "sources").enumerate() {
            if source.get("serviceAccountToken").is_some() {
                visit(&format!("{name}.{index}"), source);
            }
        }
    }
}

fn secret_name(world: &World, item: &Reference) -> String {
    world
        .names
        .host_name(&format!("{}-sa-token", item.key.name), &item.key.namespace)
}

/// Replaces every token source by the Secret that carries the token.
pub(super) fn translate(world: &World, item: &Reference, spec: &mut Value) {
    let secret = secret_name(world, item);
    for_each_source(spec, &mut |key, source| {
        let path = json::text(source, &["serviceAccountToken", "path"]).to_owned();
        *source = json!({"secret": {
            "name": secret,
            "optional": false,
            "items": [{"key": key, "path": path, "mode": FILE_MODE}],
        }});
    });
}

/// Writes that go with the creation of a host copy: what is left of an earlier pod goes `before` it, the tokens follow at once.
#[derive(Default)]
pub(super) struct Creation {
    pub(super) before: Option<Step>,
    pub(super) after: Option<Step>,
}

/// The tokens of a pod whose host copy is about to be created. Its kubelet looks for the Secret as soon as it knows of the pod,
/// and when there is none, it complains and waits longer each time before it looks again: no other pod may come in between.
pub(super) fn with_copy(world: &World, item: &Reference, pod: &Value, copy: &ObjectKey) -> Creation {
    let tokens = requests(world, pod);
    if tokens.is_empty() {
        return Creation::default();
    }
    let earlier = existing(world, item, &copy.namespace);
    Creation {
        before: earlier.and_then(|secret| delete_earlier(item, &secret)),
        after: Some(request(world, item, pod, copy, tokens, false)),
    }
}

/// The tokens of a pod whose host copy exists; `None` when it uses none.
pub(super) fn plan(world: &World, item: &Reference, pod: &Value, host: &Value) -> Option<TokenPlan> {
    let tokens = requests(world, pod);
    if tokens.is_empty() {
        return None;
    }
    let copy = pair::key_of(host);
    let actual = existing(world, item, &copy.namespace);
    let now = (world.clock)();
    if let Some(secret) = &actual {
        let owner = json::items(secret, &["metadata", "ownerReferences"]).first();
        if owner.map(|owner| &owner["uid"]) != Some(&host["metadata"]["uid"]) {
            return Some(TokenPlan {
                step: delete_earlier(item, secret),
                again_after: Some(Duration::from_secs(1)),
            });
        }
        let left = remaining(secret, now);
        if !left.is_zero() {
            return Some(TokenPlan {
                step: None,
                again_after: Some(left),
            });
        }
    }
    Some(TokenPlan {
        step: Some(request(world, item, pod, &copy, tokens, actual.is_some())),
        again_after: None,
    })
}

/// The Secret in the place where a pod's tokens are.
fn existing(world: &World, item: &Reference, host_namespace: &str) -> Option<Value> {
    let secret = world.host.get(Kind::Secret, host_namespace, &secret_name(world, item));
    secret.map(|secret| secret.value())
}

/// Removes the Secret of an earlier pod of this name, which the host would only do some time after that pod has gone.
fn delete_earlier(item: &Reference, secret: &Value) -> Option<Step> {
    let ours = is_token_secret(secret) && pod_of_token_secret(secret).as_ref() == Some(item);
    let name = json::text(secret, &["metadata", "name"]);
    let earlier = Reference::new(Kind::Secret, &item.key.namespace, name);
    ours.then(|| pair::delete_step(Side::Host, &earlier, secret, None))
}

fn request(
    world: &World,
    item: &Reference,
    pod: &Value,
    copy: &ObjectKey,
    tokens: Vec<TokenRequest>,
    exists: bool,
) -> Step {
    let account = match json::text(pod, &["spec", "serviceAccountName"]) {
        "" => "default",
        account => account,
    };
    Step::Tokens(TokenSecret {
        pod: item.key.clone(),
        uid: json::text(pod, &["metadata", "uid"]).to_owned(),
        account: account.to_owned(),
        tokens,
        copy: copy.clone(),
        secret: secret(world, item, copy),
        exists,
    })
}

fn requests(world: &World, pod: &Value) -> Vec<TokenRequest> {
    let domain = &world.settings.cluster_domain;
    let mut tokens = Vec::new();
    let mut spec = json!({"volumes": pod["spec"]["volumes"]});
    for_each_source(&mut spec, &mut |key, source| {
        let audience = json::text(source, &["serviceAccountToken", "audience"]);
        let audiences = if audience.is_empty() {
            vec![
                format!("https://kubernetes.default.svc.{domain}"),
                "https://kubernetes.default.svc".to_owned(),
                "https://kubernetes.default".to_owned(),
            ]
        } else {
            vec![audience.to_owned()]
        };
        tokens.push(TokenRequest {
            data_key: key.to_owned(),
            audiences,
        });
    });
    tokens
}

/// How long the tokens of a Secret are good for.
fn remaining(secret: &Value, now: Timestamp) -> Duration {
    let refresh_at = json::text(secret, &["metadata", "annotations", REFRESH_AT]).parse::<Timestamp>();
    let left = refresh_at.map(|at| at.duration_since(now)).unwrap_or_default();
    Duration::try_from(left).unwrap_or_default()
}

fn secret(world: &World, item: &Reference, copy: &ObjectKey) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": secret_name(world, item),
            "namespace": copy.namespace,
            "labels": {keys::MARKER: world.names.vcluster(), keys::NAMESPACE: item.key.namespace},
            "annotations": {keys::SKIP_BACKSYNC: "true", POD_NAME: item.key.name},
        },
    })
}

/// The owner of a token Secret: the copy of the pod, with which it goes.
pub(crate) fn owner(copy: &ObjectKey, uid: &str) -> Value {
    json!([{"apiVersion": "v1", "kind": "Pod", "name": copy.name, "uid": uid}])
}

/// Whether a host Secret carries the tokens of a pod.
pub fn is_token_secret(secret: &Value) -> bool {
    json::text(secret, &["metadata", "annotations", keys::SKIP_BACKSYNC]) == "true"
        && !json::text(secret, &["metadata", "annotations", POD_NAME]).is_empty()
}

/// The virtual pod whose tokens a Secret carries.
pub(crate) fn pod_of_token_secret(secret: &Value) -> Option<Reference> {
    let namespace = json::text(secret, &["metadata", "labels", keys::NAMESPACE]);
    let name = json::text(secret, &["metadata", "annotations", POD_NAME]);
    (!name.is_empty()).then(|| Reference::new(Kind::Pod, namespace, name))
}
