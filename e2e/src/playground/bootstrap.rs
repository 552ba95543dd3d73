//! What a virtual cluster needs in its host before its syncer starts: a namespace, a Service, service accounts and rights.

use super::existing::OWN;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, Service, ServiceAccount};
use kube::api::{DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Api, Client, Error};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A virtual cluster as its host sees it.
pub(super) struct Tenant<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// The namespace that it lives in.
    pub(super) namespace: &'a str,
    /// Where its syncer serves the kubelet API.
    pub(super) kubelet: u16,
    /// Manifests of the rights that its syncer needs.
    pub(super) rights: Result<String>,
}

impl Tenant<'_> {
    /// Creates what is missing.
    ///
    /// # Errors
    /// The host refuses; says which object.
    pub(super) async fn prepare(self, host: &Client) -> Result<()> {
        let Tenant { name, namespace, .. } = self;
        let namespaces: Api<Namespace> = Api::all(host.clone());
        let (label, playground) = OWN;
        ensure(
            &namespaces,
            json!({"metadata": {"name": namespace, "labels": {label: playground}}}),
        )
        .await?;
        let labels = json!({"app": "vcluster", "release": name, "vcluster.loft.sh/service": "true"});
        // The processes run on this machine, not in a pod: the Service selects nothing, its address is what pods are told.
        let service = json!({
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"ports": [
                {"name": "https", "port": 443, "targetPort": 8443, "protocol": "TCP"},
                {"name": "kubelet", "port": 10250, "targetPort": self.kubelet, "protocol": "TCP"},
            ]},
        });
        ensure(&Api::<Service>::namespaced(host.clone(), namespace), service).await?;
        let account = json!({"metadata": {"name": format!("vc-workload-{name}"), "namespace": namespace}});
        ensure(&Api::<ServiceAccount>::namespaced(host.clone(), namespace), account).await?;
        for manifest in documents(&self.rights?)? {
            // Rights to objects of other namespaces lie there.
            if let Some(place) = manifest["metadata"]["namespace"].as_str() {
                ensure(&namespaces, json!({"metadata": {"name": place}})).await?;
            }
            apply(host, manifest).await?;
        }
        Ok(())
    }
}

/// The objects of a file with several documents.
pub(super) fn documents(text: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_str(text);
    let read = documents.map(|document| serde::Deserialize::deserialize(document).context("a manifest is malformed"));
    let mut read = read.collect::<Result<Vec<Value>>>()?;
    read.retain(|document| !document.is_null());
    Ok(read)
}

/// Creates an object unless it is there.
pub(super) async fn ensure<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let object: K = serde_json::from_value(object).context("an object of the host is malformed")?;
    create(api, &object, &K::kind(&())).await
}

async fn apply(host: &Client, manifest: Value) -> Result<()> {
    let (api, object) = apis(host, manifest)?;
    let kind = object.types.clone().unwrap_or_default().kind;
    create(&api, &object, &kind).await
}

/// An object of a manifest, and where it is dealt with.
pub(super) fn apis(host: &Client, manifest: Value) -> Result<(Api<DynamicObject>, DynamicObject)> {
    let object: DynamicObject = serde_json::from_value(manifest).context("a manifest is malformed")?;
    let types = object.types.clone().unwrap_or_default();
    let kind = GroupVersionKind::try_from(&types).context("a manifest has no kind")?;
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = match object.metadata.namespace.as_deref() {
        Some(namespace) => Api::namespaced_with(host.clone(), namespace, &resource),
        None => Api::all_with(host.clone(), &resource),
    };
    Ok((api, object))
}

async fn create<K>(api: &Api<K>, object: &K, kind: &str) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let name = object.meta().name.as_deref().unwrap_or_default();
    match api.create(&PostParams::default(), object).await {
        Err(Error::Api(status)) if status.code == 409 => Ok(()),
        created => created
            .map(drop)
            .with_context(|| format!("cannot create {kind} {name} in the host")),
    }
}
