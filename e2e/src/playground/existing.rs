//! A host that somebody else runs: how virtual clusters get into it, and out of it again without a trace.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, Error};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::bootstrap::{apis, documents, ensure};

/// How long the login of a virtual cluster is good for, in seconds: longer than any playground is needed.
const LIFETIME: u32 = 24 * 3_600;
/// How long everything of a virtual cluster may take to go.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The label of namespaces that were made for a playground, and may go with it.
pub(super) const OWN: (&str, &str) = ("app.kubernetes.io/managed-by", "vcluster-playground");

/// The kubeconfig with which a virtual cluster comes to the host of `kubeconfig`: that of the service account which it would have
/// in a Pod.
///
/// # Errors
/// The host refuses, or the kubeconfig cannot be read.
pub(super) async fn login(host: &Client, kubeconfig: &Path, name: &str, namespace: &str) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(host.clone(), namespace);
    let account = format!("vc-{name}");
    let manifest =
        json!({"metadata": {"name": account, "namespace": namespace}, "automountServiceAccountToken": false});
    ensure(&accounts, manifest).await?;
    let wanted = serde_json::from_value(json!({"spec": {"audiences": [], "expirationSeconds": LIFETIME}}))?;
    let parameters = PostParams::default();
    let answer = accounts.create_token_request(&account, &parameters, &wanted);
    let answer = answer
        .await
        .with_context(|| format!("no token for {namespace}/{account}"))?;
    let token = answer.status.context("the host gives no token")?.token;
    let text = std::fs::read_to_string(kubeconfig).with_context(|| format!("cannot read {}", kubeconfig.display()))?;
    let cluster = cluster(&text).with_context(|| format!("{} names no cluster", kubeconfig.display()))?;
    Ok(json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "host",
        "clusters": [{"name": "host", "cluster": cluster}],
        "users": [{"name": account, "user": {"token": token}}],
        "contexts": [{"name": "host", "context": {"cluster": "host", "user": account}}],
    })
    .to_string())
}

/// The cluster of the current context.
fn cluster(kubeconfig: &str) -> Option<Value> {
    let config: Value = serde_yaml::from_str(kubeconfig).ok()?;
    let named = |list: &str, name: &Value| {
        let mut entries = config[list].as_array()?.iter();
        entries.find(|entry| entry["name"] == *name).cloned()
    };
    let context = named("contexts", &config["current-context"])?;
    let cluster = named("clusters", &context["context"]["cluster"])?;
    Some(cluster["cluster"].clone()).filter(Value::is_object)
}

/// The network from which the host's Services get their addresses; `None` when it does not say.
pub(super) async fn service_network(host: &Client) -> Option<String> {
    let networks: Api<ServiceCIDR> = Api::all(host.clone());
    let network = networks.get_opt("kubernetes").await.ok()??;
    network.spec?.cidrs?.into_iter().next()
}

/// Removes what a virtual cluster has in its host: the namespace, if it was made for it, and with that everything that the syncer
/// keeps outside, as long as it runs; then its rights.
///
/// # Errors
/// The host refuses, or something stays.
pub(super) async fn leave(host: &Client, namespace: &str, rights: &str) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(host.clone());
    let found = namespaces
        .get_opt(namespace)
        .await
        .context("the host does not answer")?;
    let labels = found.and_then(|found| found.metadata.labels).unwrap_or_default();
    if labels.get(OWN.0).map(String::as_str) == Some(OWN.1) {
        gone(namespaces.delete(namespace, &DeleteParams::default()).await.map(drop))?;
        let deadline = Instant::now() + PATIENCE;
        while namespaces
            .get_opt(namespace)
            .await
            .context("the host does not answer")?
            .is_some()
        {
            if Instant::now() >= deadline {
                bail!("namespace {namespace} of the host does not end");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    for manifest in documents(rights)? {
        let (api, object) = apis(host, manifest)?;
        let name = object.metadata.name.unwrap_or_default();
        gone(api.delete(&name, &DeleteParams::default()).await.map(drop))?;
    }
    Ok(())
}

/// What is gone already need not be deleted.
fn gone(deleted: Result<(), Error>) -> Result<()> {
    match deleted {
        Err(Error::Api(status)) if status.code == 404 => Ok(()),
        done => done.context("the host refuses a deletion"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_context_says_which_cluster_it_is() {
        let config = "
current-context: b
clusters: [{name: x, cluster: {server: 'https://x'}}, {name: y, cluster: {server: 'https://y'}}]
contexts: [{name: a, context: {cluster: x}}, {name: b, context: {cluster: y}}]
";
        assert_eq!(cluster(config), Some(json!({"server": "https://y"})));
        assert_eq!(cluster(&config.replace("current-context: b", "")), None);
        assert_eq!(cluster("["), None);
    }
}
