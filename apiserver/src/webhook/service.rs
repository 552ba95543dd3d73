//! Where a Service leads (k8s.io/apiserver `pkg/util/proxy`, `ResolveCluster`).

use super::ServiceReference;
use machinery::field::go_quote;
use machinery::meta;
use serde_json::Value;

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
