//! Where Services lead: those of webhooks and those behind APIServices (kube-apiserver `buildServiceResolver`,
//! k8s.io/apiserver `pkg/util/proxy`).

use super::endpoints;
use super::{Objects, ServiceReference};
use futures::future::BoxFuture;
use machinery::field::go_quote;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

/// Namespace, name and port of the Service that means this server.
const OWN: (&str, &str, u16) = ("default", "kubernetes", 443);

/// Reads the EndpointSlices of a namespace.
pub type Slices = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Vec<Value>, Status>> + Send + Sync>;

/// Finds out where Services lead.
#[derive(Clone)]
pub struct Services {
    /// Reads Services.
    pub objects: Objects,
    /// Reads their endpoints.
    pub slices: Slices,
    /// Whether requests go to the endpoints of a Service rather than to its cluster IP (`--enable-aggregator-routing`).
    pub to_endpoints: bool,
    /// Where this server is reached from its own machine, which is what the Service `kubernetes` means here.
    pub own_address: SocketAddr,
}

impl Services {
    /// Host and port at which a Service answers.
    ///
    /// # Errors
    /// Why there is none, in upstream's words.
    pub async fn address(&self, reference: &ServiceReference) -> Result<(String, u16), String> {
        if (reference.namespace.as_str(), reference.name.as_str(), reference.port) == OWN {
            return Ok((self.own_address.ip().to_string(), self.own_address.port()));
        }
        let (service, slices) = self.find(reference, self.to_endpoints).await?;
        match service {
            Some(service) if self.to_endpoints => {
                let random = usize::from(uuid::Uuid::new_v4().as_bytes()[0]);
                endpoints::endpoint(&service, &slices, reference.port, random)
            }
            service => address(reference, service.as_ref()),
        }
    }

    /// A Service and, when they are wanted, its endpoints.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn find(
        &self,
        reference: &ServiceReference,
        with_endpoints: bool,
    ) -> Result<(Option<Value>, Vec<Value>), String> {
        let (namespace, name) = (reference.namespace.clone(), reference.name.clone());
        let found = (self.objects)(GroupResource::new("", "services"), namespace.clone(), name).await;
        let service = found.map_err(|status| status.message)?;
        if !with_endpoints || service.is_none() {
            return Ok((service, Vec::new()));
        }
        let mut listed = (self.slices)(namespace).await.map_err(|status| status.message)?;
        listed.retain(|slice| {
            let label = ["metadata", "labels", endpoints::SERVICE_NAME];
            meta::str_at(slice, &label) == Some(&reference.name)
        });
        Ok((service, listed))
    }
}

/// Host and port at which a Service answers; `service` is `None` when there is no such object.
///
/// # Errors
/// Why nothing can be reached through it.
pub(crate) fn address(reference: &ServiceReference, service: Option<&Value>) -> Result<(String, u16), String> {
    let name = go_quote(&reference.name);
    let service = service.ok_or_else(|| format!("service {name} not found"))?;
    let spec = |field: &str| meta::str_at(service, &["spec", field]).unwrap_or_default();
    let host = match spec("type") {
        "ExternalName" => return Ok((spec("externalName").to_owned(), reference.port)),
        "ClusterIP" if spec("clusterIP") == "None" => {
            return Err("cannot route to service with ClusterIP \"None\"".to_owned());
        }
        "ClusterIP" | "LoadBalancer" | "NodePort" => spec("clusterIP").to_owned(),
        other => return Err(format!("unsupported service type {}", go_quote(other))),
    };
    let mut ports = meta::list_at(service, &["spec", "ports"]).iter();
    if !ports.any(|port| meta::i64_at(port, &["port"]) == Some(i64::from(reference.port))) {
        return Err(format!("no service port {} found for service {name}", reference.port));
    }
    Ok((host, reference.port))
}
