//! `exportKubeConfig`: the Secrets of the host with a kubeconfig of the virtual cluster.

use serde::Deserialize;
use serde_json::Value;

/// What the Secrets are, and what is in them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportKubeConfig {
    context: String,
    server: String,
    insecure: bool,
    service_account: ServiceAccountLogin,
    secret: SecretName,
    additional_secrets: Vec<KubeConfigSecret>,
}

/// One more Secret, in the older form.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct SecretName {
    name: String,
    namespace: String,
}

/// A Secret with a kubeconfig.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KubeConfigSecret {
    /// Its name; empty is `vc-` and the name of the virtual cluster.
    pub name: String,
    /// Its namespace; empty is the one of the virtual cluster.
    pub namespace: String,
    /// What the context, the cluster and the user are called; empty leaves it.
    pub context: String,
    /// The URL of the API server; empty leaves it.
    pub server: String,
    /// The API server's certificate is not checked.
    pub insecure: bool,
    /// Who logs in; without a name the administrator.
    pub service_account: ServiceAccountLogin,
}

/// A service account of the virtual cluster that logs in with a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServiceAccountLogin {
    /// Its name; empty for none.
    pub name: String,
    /// Its namespace; empty is `kube-system`.
    pub namespace: String,
    /// The ClusterRole that it gets, and for which it is made if it is missing; empty for none.
    pub cluster_role: String,
}

impl ExportKubeConfig {
    /// Every Secret, the first one being that which there always is.
    pub fn secrets(&self) -> Vec<KubeConfigSecret> {
        let first = KubeConfigSecret {
            context: self.context.clone(),
            server: self.server.clone(),
            insecure: self.insecure,
            service_account: self.service_account.clone(),
            ..KubeConfigSecret::default()
        };
        let SecretName { name, namespace } = self.secret.clone();
        let older = (!name.is_empty() || !namespace.is_empty()).then(|| KubeConfigSecret {
            name,
            namespace,
            ..first.clone()
        });
        let more = older.into_iter().chain(self.additional_secrets.iter().cloned());
        std::iter::once(first).chain(more).collect()
    }
}

/// Checks the list of more Secrets; the problem is a clause that follows its path.
pub(crate) fn check_secrets(value: &Value) -> Result<(), String> {
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        let secret: KubeConfigSecret =
            serde_json::from_value(item.clone()).map_err(|error| format!("[{index}]: {error}"))?;
        if secret.name.is_empty() && secret.namespace.is_empty() {
            return Err(format!("[{index}] must have a name or a namespace"));
        }
        check_server(&secret.server).map_err(|problem| format!("[{index}].server: {problem}"))?;
    }
    Ok(())
}

/// Checks the URL of an API server.
pub(crate) fn check_server(server: &str) -> Result<(), String> {
    let rest = server.strip_prefix("https://").or(server.strip_prefix("http://"));
    match rest {
        _ if server.is_empty() => Ok(()),
        Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => Ok(()),
        _ => Err(format!("{server:?} is not a URL that begins with https:// or http://")),
    }
}
