//! What a virtual cluster needs in the host before its syncer starts: a namespace, a Service and a service account.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, Service, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client, Error};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Creates what is missing.
///
/// # Errors
/// The host refuses; says which object.
pub(super) async fn virtual_cluster(host: &Client, name: &str, namespace: &str, kubelet: u16) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(host.clone());
    ensure(&namespaces, json!({"metadata": {"name": namespace}})).await?;
    let labels = json!({"app": "vcluster", "release": name, "vcluster.loft.sh/service": "true"});
    // The processes run on this machine, not in a pod: the Service selects nothing, its address is what pods are told.
    let service = json!({
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"ports": [
            {"name": "https", "port": 443, "targetPort": 8443, "protocol": "TCP"},
            {"name": "kubelet", "port": 10250, "targetPort": kubelet, "protocol": "TCP"},
        ]},
    });
    ensure(&Api::<Service>::namespaced(host.clone(), namespace), service).await?;
    let account = json!({"metadata": {"name": format!("vc-workload-{name}"), "namespace": namespace}});
    ensure(&Api::<ServiceAccount>::namespaced(host.clone(), namespace), account).await
}

async fn ensure<K>(api: &Api<K>, object: serde_json::Value) -> Result<()>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_string();
    let object: K = serde_json::from_value(object).context("an object of the host is malformed")?;
    match api.create(&PostParams::default(), &object).await {
        Err(Error::Api(status)) if status.code == 409 => Ok(()),
        created => created
            .map(|_| ())
            .with_context(|| format!("cannot create {} {name} in the host", K::kind(&()))),
    }
}
