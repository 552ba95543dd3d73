//! Service account tokens (kubernetes `pkg/serviceaccount`): signature, issuer, audience, time, and that everything the
//! token is bound to still exists.

use super::jwt::{VerifyingKey, unverified_claims, verify};
use super::user::User;
use super::{CREDENTIAL_ID, Getter};
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::rbac::quoted;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// How far clocks may differ (go-jose `jwt.DefaultLeeway`).
const LEEWAY_SECONDS: f64 = 60.0;
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const NODE_UID: &str = "authentication.kubernetes.io/node-uid";

/// Checks service account tokens.
pub struct TokenAuthenticator {
    /// The keys of `--service-account-key-file`.
    pub keys: Vec<VerifyingKey>,
    /// Accepted issuers (`--service-account-issuer`).
    pub issuers: Vec<String>,
    /// The audiences of this server (`--api-audiences`).
    pub audiences: Vec<String>,
    /// Reads what a token is bound to.
    pub objects: Getter,
}

/// An accepted token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The service account.
    pub user: User,
    /// Those of the wanted audiences that the token is for.
    pub audiences: Vec<String>,
}

impl TokenAuthenticator {
    /// Whether a token claims to come from one of the issuers; others are none of our business.
    pub fn is_ours(&self, token: &str) -> bool {
        let claims = unverified_claims(token);
        let issuer = claims.as_ref().ok().and_then(|claims| meta::str_at(claims, &["iss"]));
        issuer.is_some_and(|issuer| self.issuers.iter().any(|known| known == issuer))
    }

    /// The service account of a token that is for one of `audiences`, or for this server when that is empty.
    ///
    /// # Errors
    /// Says why the token is refused.
    pub async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Accepted, String> {
        let issuer = unverified_claims(token)?;
        let issuer = meta::str_at(&issuer, &["iss"]).unwrap_or_default().to_owned();
        if !self.issuers.contains(&issuer) {
            return Err(format!(
                "the token's issuer {issuer:?} is not one of --service-account-issuer"
            ));
        }
        let claims = verify(token, &self.keys)?;
        let wanted = if audiences.is_empty() {
            &self.audiences
        } else {
            audiences
        };
        let held = held_audiences(&claims);
        let common: Vec<String> = wanted
            .iter()
            .filter(|audience| held.contains(audience))
            .cloned()
            .collect();
        if common.is_empty() {
            return Err(format!(
                "token audiences {} is invalid for the target audiences {}",
                quoted(&held),
                quoted(wanted)
            ));
        }
        check_time(&claims, now())?;
        let user = self.user(&claims).await?;
        Ok(Accepted {
            user,
            audiences: common,
        })
    }

    async fn user(&self, claims: &Value) -> Result<User, String> {
        let at = |path: &[&str]| meta::str_at(claims, path).unwrap_or_default();
        let private = |path: &[&str]| at(&[&["kubernetes.io"], path].concat());
        let namespace = private(&["namespace"]);
        let (name, uid) = (
            private(&["serviceaccount", "name"]),
            private(&["serviceaccount", "uid"]),
        );
        let subject = format!("system:serviceaccount:{namespace}:{name}");
        if namespace.is_empty() || name.is_empty() || at(&["sub"]) != subject {
            return Err("the token does not name a service account".to_owned());
        }
        self.bound("serviceaccounts", namespace, name, uid).await?;
        let mut extra = BTreeMap::new();
        let jti = at(&["jti"]);
        if !jti.is_empty() {
            extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={jti}")]);
        }
        let secret = private(&["secret", "name"]);
        if !secret.is_empty() {
            self.bound("secrets", namespace, secret, private(&["secret", "uid"]))
                .await?;
        }
        let (pod, pod_uid) = (private(&["pod", "name"]), private(&["pod", "uid"]));
        let (node, node_uid) = (private(&["node", "name"]), private(&["node", "uid"]));
        if !pod.is_empty() {
            self.bound("pods", namespace, pod, pod_uid).await?;
            extra.insert(POD_NAME.to_owned(), vec![pod.to_owned()]);
            extra.insert(POD_UID.to_owned(), vec![pod_uid.to_owned()]);
        } else if !node.is_empty() {
            self.bound("nodes", "", node, node_uid).await?;
        }
        for (key, value) in [(NODE_NAME, node), (NODE_UID, node_uid)] {
            if !value.is_empty() {
                extra.insert(key.to_owned(), vec![value.to_owned()]);
            }
        }
        Ok(User {
            extra,
            ..User::service_account(namespace, name, uid)
        })
    }

    /// What a token is bound to must be there, be the same object, and not be deleted for longer than clocks may differ.
    async fn bound(&self, resource: &str, namespace: &str, name: &str, uid: &str) -> Result<(), String> {
        let what = || format!("the token is bound to {resource} {namespace}/{name}");
        let found = (self.objects)(GroupResource::new("", resource), namespace.to_owned(), name.to_owned()).await;
        let object = match found {
            Ok(Some(object)) => object,
            Ok(None) => return Err(format!("{}, which does not exist", what())),
            Err(status) => return Err(format!("{}, which cannot be read: {status}", what())),
        };
        if meta::uid(&object) != uid {
            return Err(format!("{} with another UID", what()));
        }
        let deleted = meta::str_at(&object, &["metadata", "deletionTimestamp"]).and_then(machinery::time::parse);
        if deleted.is_some_and(|at| (at.as_second() as f64) < now() - LEEWAY_SECONDS) {
            return Err(format!("{}, which has been deleted", what()));
        }
        Ok(())
    }
}

fn held_audiences(claims: &Value) -> Vec<&String> {
    match claims.get("aud") {
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|item| {
                if let Value::String(text) = item {
                    Some(text)
                } else {
                    None
                }
            })
            .collect(),
        Some(Value::String(one)) => vec![one],
        _ => Vec::new(),
    }
}

fn check_time(claims: &Value, now: f64) -> Result<(), String> {
    let number = |field: &str| claims.get(field).and_then(Value::as_f64);
    match number("exp") {
        None => Err("the token has no expiry".to_owned()),
        Some(expires) if expires + LEEWAY_SECONDS < now => Err("service account token has expired".to_owned()),
        _ if number("nbf")
            .or(number("iat"))
            .is_some_and(|start| start - LEEWAY_SECONDS > now) =>
        {
            Err("the token is not valid yet".to_owned())
        }
        _ => Ok(()),
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::super::jwt::SigningKey;
    use super::*;
    use futures::FutureExt;
    use serde_json::json;
    use std::sync::Arc;

    fn objects(list: Vec<(&'static str, Value)>) -> Getter {
        Arc::new(move |resource, namespace, name| {
            let found = list.iter().find(|(plural, object)| {
                *plural == resource.resource && meta::name(object) == name && meta::namespace(object) == namespace
            });
            let found = found.map(|(_, object)| object.clone());
            async move { Ok(found) }.boxed()
        })
    }

    fn object(namespace: &str, name: &str) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}")}})
    }

    fn claims() -> Value {
        json!({"iss": "me", "aud": ["api", "vault"], "exp": now() + 100.0, "nbf": now(), "jti": "j",
            "sub": "system:serviceaccount:ns:sa", "kubernetes.io": {"namespace": "ns",
            "serviceaccount": {"name": "sa", "uid": "uid-sa"}, "pod": {"name": "p", "uid": "uid-p"},
            "node": {"name": "n", "uid": "uid-n"}}})
    }

    async fn outcome(change: impl FnOnce(&mut Value), existing: Vec<(&'static str, Value)>, wanted: &[&str]) -> String {
        let key = SigningKey::from_pem(rcgen::KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
        let tokens = TokenAuthenticator {
            keys: vec![key.public().clone()],
            issuers: vec!["me".to_owned()],
            audiences: vec!["api".to_owned()],
            objects: objects(existing),
        };
        let mut claims = claims();
        change(&mut claims);
        let wanted: Vec<String> = wanted.iter().map(|audience| (*audience).to_owned()).collect();
        match tokens.authenticate(&key.sign(&claims).unwrap(), &wanted).await {
            Ok(accepted) => format!(
                "{} {:?} {:?}",
                accepted.user.name, accepted.audiences, accepted.user.extra
            ),
            Err(why) => why,
        }
    }

    #[tokio::test]
    async fn tokens_are_good_while_everything_they_name_exists() {
        let all = || vec![("serviceaccounts", object("ns", "sa")), ("pods", object("ns", "p"))];
        let accepted = outcome(|_| {}, all(), &[]).await;
        assert!(
            accepted.starts_with("system:serviceaccount:ns:sa [\"api\"] "),
            "{accepted}"
        );
        for (key, value) in [
            (CREDENTIAL_ID, "JTI=j"),
            (POD_NAME, "p"),
            (POD_UID, "uid-p"),
            (NODE_NAME, "n"),
        ] {
            assert!(accepted.contains(&format!("{key:?}: [{value:?}]")), "{accepted}");
        }
        assert!(outcome(|_| {}, all(), &["vault", "x"]).await.contains("[\"vault\"]"));
        let why = outcome(|_| {}, all(), &["x"]).await;
        assert_eq!(
            why,
            r#"token audiences ["api" "vault"] is invalid for the target audiences ["x"]"#
        );
        assert!(
            outcome(|_| {}, vec![("serviceaccounts", object("ns", "sa"))], &[])
                .await
                .contains("pods ns/p")
        );
        assert!(
            outcome(|_| {}, vec![], &[])
                .await
                .contains("serviceaccounts ns/sa, which does not exist")
        );
        for (change, expected) in [
            (json!({"exp": 1}), "service account token has expired"),
            (json!({"exp": null}), "no expiry"),
            (json!({"nbf": 1e12}), "not valid yet"),
            (json!({"iss": "you"}), "issuer \"you\""),
            (
                json!({"sub": "system:serviceaccount:ns:other"}),
                "does not name a service account",
            ),
            (json!({"kubernetes.io": null}), "does not name a service account"),
        ] {
            let merge = |claims: &mut Value| {
                for (field, value) in change.as_object().unwrap() {
                    claims[field] = value.clone();
                }
            };
            let why = outcome(merge, all(), &[]).await;
            assert!(why.contains(expected), "{why}");
        }
        let mut replaced = all();
        replaced[1].1["metadata"]["uid"] = "another".into();
        assert!(outcome(|_| {}, replaced, &[]).await.contains("another UID"));
        let mut deleted = all();
        deleted[1].1["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:00Z".into();
        assert!(outcome(|_| {}, deleted, &[]).await.contains("has been deleted"));
    }
}
