//! Issuing service account tokens: `POST serviceaccounts/{name}/token` (kubernetes
//! `pkg/registry/core/serviceaccount/storage/token.go` and `pkg/serviceaccount/claims.go`).

use super::Getter;
use super::jwt::SigningKey;
use jiff::{SignedDuration, Timestamp};
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::{GroupKind, GroupResource, GroupVersion};
use machinery::meta;
use machinery::status::Status;
use serde_json::{Value, json};

const DEFAULT_SECONDS: i64 = 3600;
const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;
/// The expiry that the ServiceAccount admission plugin asks for in projected volumes. Such tokens live for a year, so that
/// old clients that never read them again go on working, and say after which time that is the case.
const PROJECTED_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// Issues tokens for service accounts.
pub struct TokenIssuer {
    /// The key of `--service-account-signing-key-file`.
    pub key: SigningKey,
    /// The first of `--service-account-issuer`.
    pub issuer: String,
    /// The audiences of this server, which are the default.
    pub audiences: Vec<String>,
    /// Reads service accounts and what tokens are bound to.
    pub objects: Getter,
}

impl TokenIssuer {
    /// Completes and checks a decoded TokenRequest for a service account at a time. `metadata` becomes that of the account:
    /// name, namespace and UID.
    ///
    /// # Errors
    /// The Status for the client.
    pub async fn prepare(
        &self,
        namespace: &str,
        name: &str,
        request: &mut Value,
        now: Timestamp,
    ) -> Result<(), Status> {
        let kind = GroupKind {
            group: "authentication.k8s.io".to_owned(),
            kind: "TokenRequest".to_owned(),
        };
        let named = meta::name(request);
        if !named.is_empty() && named != name {
            let path = Path::new("metadata").child("name");
            let error = Error::invalid(&path, named, "must match the service account name if specified");
            return Err(Status::invalid(&kind, name, &[error]));
        }
        let accounts = GroupResource::new("", "serviceaccounts");
        let account = self.read(&accounts, namespace, name).await?;
        let (sent, uid) = (meta::uid(request), meta::uid(&account));
        if !sent.is_empty() && sent != uid {
            let why =
                format!("the UID in the token request ({sent}) does not match the UID of the service account ({uid})");
            let resource = GroupResource::new(kind.group, kind.kind);
            return Err(Status::conflict(&resource, name, why));
        }
        if meta::list_at(request, &["spec", "audiences"]).is_empty() {
            meta::set(request, &["spec", "audiences"], self.audiences.clone());
        }
        if meta::at(request, &["spec", "boundObjectRef"]).is_none() {
            meta::set(request, &["spec", "boundObjectRef"], Value::Null);
        }
        for (field, text) in [("name", name), ("namespace", namespace), ("uid", uid)] {
            meta::set(request, &["metadata", field], text);
        }
        meta::set(
            request,
            &["metadata", "creationTimestamp"],
            machinery::time::format(now),
        );
        meta::set(request, &["status"], json!({"token": "", "expirationTimestamp": null}));
        let seconds = meta::i64_at(request, &["spec", "expirationSeconds"]).unwrap_or_default();
        let errors = validate(seconds);
        if !errors.is_empty() {
            return Err(Status::invalid(&kind, "", &errors));
        }
        Ok(())
    }

    /// Answers a request that was prepared with its status filled in.
    ///
    /// # Errors
    /// The Status for the client.
    pub async fn issue(&self, namespace: &str, name: &str, mut request: Value) -> Result<Value, Status> {
        let seconds = meta::i64_at(&request, &["spec", "expirationSeconds"]).unwrap_or_default();
        let account = meta::uid(&request).to_owned();
        let audiences = meta::list_at(&request, &["spec", "audiences"]).to_vec();
        let mut private = json!({"namespace": namespace,
            "serviceaccount": {"name": name, "uid": account}});
        let bound_to_pod = match meta::at(&request, &["spec", "boundObjectRef"]).filter(|r| !r.is_null()) {
            Some(reference) => self.bind(namespace, name, reference, &mut private).await?,
            None => false,
        };
        let now = Timestamp::now();
        let start = now.as_second();
        let for_this_server = audiences
            .iter()
            .any(|a| a.as_str().is_some_and(|a| self.audiences.iter().any(|b| a == b)));
        let lifetime = if bound_to_pod && seconds == PROJECTED_SECONDS && for_this_server {
            private["warnafter"] = (start + seconds).into();
            EXTENDED_SECONDS
        } else {
            seconds
        };
        let claims = json!({"aud": audiences, "exp": start + lifetime, "iat": start, "nbf": start, "iss": self.issuer,
            "jti": uuid::Uuid::new_v4().to_string(), "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "kubernetes.io": private});
        let token = self.key.sign(&claims).map_err(Status::internal)?;
        let expires = now
            .checked_add(SignedDuration::from_secs(seconds))
            .map_err(Status::internal)?;
        let status = json!({"token": token, "expirationTimestamp": machinery::time::format(expires)});
        meta::set(&mut request, &["status"], status);
        Ok(request)
    }

    /// Adds the object that a token is bound to, and tells whether it is a pod.
    async fn bind(
        &self,
        namespace: &str,
        account: &str,
        reference: &Value,
        private: &mut Value,
    ) -> Result<bool, Status> {
        let text = |field: &str| meta::str_at(reference, &[field]).unwrap_or_default();
        let (kind, name, uid) = (text("kind"), text("name"), text("uid"));
        let version = GroupVersion::parse(text("apiVersion")).unwrap_or_default();
        let (plural, namespace) = match (version.to_string().as_str(), kind) {
            ("v1", "Pod") => ("pods", namespace),
            ("v1", "Secret") => ("secrets", namespace),
            ("v1", "Node") => ("nodes", ""),
            _ => {
                return Err(Status::bad_request(format!(
                    "cannot bind token to object of type {}",
                    version.kind(kind)
                )));
            }
        };
        let object = self.read(&GroupResource::new("", plural), namespace, name).await?;
        if plural == "pods" {
            let running_as = meta::str_at(&object, &["spec", "serviceAccountName"]).unwrap_or_default();
            if running_as != account {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
                )));
            }
            let node = meta::str_at(&object, &["spec", "nodeName"]).unwrap_or_default();
            if !node.is_empty() {
                private["node"] = json!({"name": node});
                // A pod may be on a node that is not registered; upstream leaves the UID out then.
                let nodes = GroupResource::new("", "nodes");
                if let Some(node) = (self.objects)(nodes, String::new(), node.to_owned()).await? {
                    private["node"]["uid"] = meta::uid(&node).into();
                }
            }
        }
        if !uid.is_empty() && uid != meta::uid(&object) {
            let why = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have \
                 been deleted and then recreated"
            );
            return Err(Status::conflict(&GroupResource::new("", kind), name, why));
        }
        private[kind.to_ascii_lowercase()] = json!({"name": name, "uid": meta::uid(&object)});
        Ok(plural == "pods")
    }

    async fn read(&self, resource: &GroupResource, namespace: &str, name: &str) -> Result<Value, Status> {
        let found = (self.objects)(resource.clone(), namespace.to_owned(), name.to_owned()).await?;
        found.ok_or_else(|| Status::not_found(resource, name))
    }
}

/// Sets what a request leaves open (kubernetes `SetDefaults_TokenRequestSpec`).
pub fn set_defaults(request: &mut Value) {
    meta::set_default(request, &["spec", "expirationSeconds"], DEFAULT_SECONDS);
}

fn validate(seconds: i64) -> ErrorList {
    let path = Path::new("spec").child("expirationSeconds");
    let why = match seconds {
        ..MIN_SECONDS => "may not specify a duration less than 10 minutes",
        MIN_SECONDS..=MAX_SECONDS => return ErrorList::new(),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    vec![Error::invalid(&path, seconds, why)]
}

#[cfg(test)]
mod tests {
    use super::super::jwt::verify;
    use super::*;
    use futures::FutureExt;
    use std::sync::Arc;

    fn issuer() -> TokenIssuer {
        let key = SigningKey::from_pem(rcgen::KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
        let objects: Getter = Arc::new(|resource, _, name| {
            let object = match (resource.resource.as_str(), name.as_str()) {
                ("serviceaccounts", "sa") => json!({"metadata": {"uid": "uid-sa"}}),
                ("pods", "p") => json!({"metadata": {"uid": "uid-p"},
                    "spec": {"serviceAccountName": "sa", "nodeName": "n"}}),
                ("pods", "q") => json!({"metadata": {"uid": "uid-q"}, "spec": {"serviceAccountName": "other"}}),
                ("nodes", "n") => json!({"metadata": {"uid": "uid-n"}}),
                _ => return async { Ok(None) }.boxed(),
            };
            async move { Ok(Some(object)) }.boxed()
        });
        TokenIssuer {
            key,
            issuer: "me".to_owned(),
            audiences: vec!["api".to_owned()],
            objects,
        }
    }

    async fn answer(issuer: &TokenIssuer, name: &str, mut request: Value) -> Result<Value, Status> {
        set_defaults(&mut request);
        let now = Timestamp::UNIX_EPOCH;
        issuer.prepare("ns", name, &mut request, now).await?;
        issuer.issue("ns", name, request).await
    }

    fn pod_bound(name: &str, seconds: i64) -> Value {
        let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": name});
        json!({"spec": {"boundObjectRef": reference, "expirationSeconds": seconds}})
    }

    #[tokio::test]
    async fn a_plain_token_lives_an_hour_and_is_for_this_server() {
        let issuer = issuer();
        let issued = answer(&issuer, "sa", json!({"spec": {}})).await.unwrap();
        assert_eq!(
            issued["spec"],
            json!({"audiences": ["api"], "boundObjectRef": null, "expirationSeconds": 3600})
        );
        assert_eq!(
            issued["metadata"],
            json!({"name": "sa", "namespace": "ns", "uid": "uid-sa", "creationTimestamp": "1970-01-01T00:00:00Z"})
        );
        let token = issued["status"]["token"].as_str().unwrap();
        let claims = verify(token, &[issuer.key.public().clone()]).unwrap();
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
        assert_eq!(
            claims["kubernetes.io"],
            json!({"namespace": "ns", "serviceaccount": {"name": "sa", "uid": "uid-sa"}})
        );
    }

    #[tokio::test]
    async fn projected_tokens_name_pod_and_node_and_live_long() {
        let issuer = issuer();
        let issued = answer(&issuer, "sa", pod_bound("p", 3607)).await.unwrap();
        let token = issued["status"]["token"].as_str().unwrap();
        let claims = verify(token, &[issuer.key.public().clone()]).unwrap();
        let private = &claims["kubernetes.io"];
        assert_eq!(private["pod"], json!({"name": "p", "uid": "uid-p"}));
        assert_eq!(private["node"], json!({"name": "n", "uid": "uid-n"}));
        let start = claims["iat"].as_i64().unwrap();
        assert_eq!(private["warnafter"].as_i64().unwrap() - start, 3607);
        assert_eq!(claims["exp"].as_i64().unwrap() - start, 365 * 24 * 3600);
    }

    #[tokio::test]
    async fn bad_requests_are_refused_in_upstreams_words() {
        let issuer = issuer();
        let refused = async |name: &str, request: Value| answer(&issuer, name, request).await.unwrap_err().message;
        assert_eq!(
            refused("nobody", json!({})).await,
            "serviceaccounts \"nobody\" not found"
        );
        assert_eq!(
            refused("sa", pod_bound("p", 10)).await,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 10: may not \
             specify a duration less than 10 minutes"
        );
        assert!(
            refused("sa", pod_bound("p", i64::MAX))
                .await
                .ends_with("larger than 2^32 seconds")
        );
        assert_eq!(refused("sa", pod_bound("z", 600)).await, "pods \"z\" not found");
        assert!(
            refused("sa", pod_bound("q", 600))
                .await
                .contains("to pod running with different serviceaccount name.")
        );
        let mut wrong = pod_bound("p", 600);
        wrong["spec"]["boundObjectRef"]["uid"] = "other".into();
        assert!(
            refused("sa", wrong)
                .await
                .starts_with("Operation cannot be fulfilled on Pod \"p\": the UID in the")
        );
        let stranger = json!({"metadata": {"uid": "other"}});
        assert_eq!(
            refused("sa", stranger).await,
            "Operation cannot be fulfilled on TokenRequest.authentication.k8s.io \"sa\": the UID in the token request \
             (other) does not match the UID of the service account (uid-sa)"
        );
        let named = json!({"metadata": {"name": "other"}});
        assert!(
            refused("sa", named)
                .await
                .ends_with("must match the service account name if specified")
        );
        let mut service = pod_bound("p", 600);
        service["spec"]["boundObjectRef"]["kind"] = "Service".into();
        assert_eq!(
            refused("sa", service).await,
            "cannot bind token to object of type /v1, Kind=Service"
        );
    }
}
