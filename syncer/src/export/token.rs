//! A service account of the virtual cluster that logs in with a token (vCluster `pkg/util/serviceaccount`).

use config::ServiceAccountLogin;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::names::safe_concat;

/// Requested lifetime, in seconds: ten years, which the API server may shorten.
const LIFETIME: i64 = 315_360_000;
const DEFAULT_NAMESPACE: &str = "kube-system";
/// Which servers the token is for.
const AUDIENCES: [&str; 3] = [
    "https://kubernetes.default.svc.cluster.local",
    "https://kubernetes.default.svc",
    "https://kubernetes.default",
];

/// Why there is no token yet.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Nobody made the service account, and it is not to be made.
    #[error(
        "the service account {namespace}/{name} does not exist in the virtual cluster; create it, or set serviceAccount.clusterRole"
    )]
    Missing {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The virtual cluster's API server refused or did not answer.
    #[error("the service account {namespace}/{name} gets no token: {cause}")]
    Refused {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What the server says.
        cause: String,
    },
}

/// Who logs in.
pub(super) struct Login<'a> {
    namespace: &'a str,
    name: &'a str,
    cluster_role: &'a str,
}

/// A token, and when to replace it.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) refresh_at: Timestamp,
}

impl<'a> Login<'a> {
    /// The service account, if one is to log in.
    pub(super) fn of(login: &'a ServiceAccountLogin) -> Option<Self> {
        (!login.name.is_empty()).then(|| Self {
            namespace: if login.namespace.is_empty() {
                DEFAULT_NAMESPACE
            } else {
                &login.namespace
            },
            name: &login.name,
            cluster_role: &login.cluster_role,
        })
    }

    /// A new token. An account that is to have a ClusterRole is made if it is missing.
    pub(super) async fn token(&self, client: &Client) -> Result<Token, TokenError> {
        let refused = |error: kube::Error| TokenError::Refused {
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
            cause: error.to_string(),
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), self.namespace);
        if accounts.get_opt(self.name).await.map_err(refused)?.is_none() {
            if self.cluster_role.is_empty() {
                return Err(TokenError::Missing {
                    namespace: self.namespace.to_owned(),
                    name: self.name.to_owned(),
                });
            }
            let account = json!({"metadata": {"name": self.name, "namespace": self.namespace}});
            create(&accounts, account).await.map_err(refused)?;
        }
        if !self.cluster_role.is_empty() {
            self.bind(client).await.map_err(refused)?;
        }
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(AUDIENCES.map(str::to_owned).to_vec()),
                expiration_seconds: Some(LIFETIME),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let parameters = PostParams::default();
        let answer = accounts.create_token_request(self.name, &parameters, &request);
        let status = answer.await.map_err(refused)?.status.unwrap_or_default();
        let now = Timestamp::now();
        let expires = status.expiration_timestamp.map_or(now, |at| at.0);
        let lifetime = expires.duration_since(now);
        // As a kubelet does: when a fifth of the lifetime is left.
        let refresh_at = now
            .checked_add(lifetime / 5 * 4)
            .unwrap_or(now + SignedDuration::from_hours(1));
        Ok(Token {
            text: status.token.unwrap_or_default(),
            refresh_at,
        })
    }

    /// Gives the account its ClusterRole, and takes away one that it had before.
    async fn bind(&self, client: &Client) -> Result<(), kube::Error> {
        let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
        let name = safe_concat(&["vcluster", "sa", self.name, self.namespace]);
        match bindings.get_opt(&name).await? {
            Some(binding) if binding.role_ref.name == self.cluster_role => return Ok(()),
            // What a binding binds to cannot be changed.
            Some(_) => drop(bindings.delete(&name, &DeleteParams::default()).await?),
            None => {}
        }
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": self.cluster_role},
            "subjects": [{"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}],
        });
        create(&bindings, binding).await
    }
}

/// Creates an object; that it is there already is as good.
async fn create<K>(api: &Api<K>, object: serde_json::Value) -> Result<(), kube::Error>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let object: K = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        created => created.map(drop),
    }
}
