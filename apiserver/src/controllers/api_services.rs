//! APIServices: whether what they announce can be reached (kube-aggregator
//! `pkg/controllers/status/{local,remote}`).

use super::conditions::Condition;
use super::{Controller, Feed, Kind, Seen};
use crate::bootstrap::writer::Writer;
use crate::endpoints::api::Api;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const KIND: Kind = ("apiregistration.k8s.io", "apiservices");
const SERVICES: Kind = ("", "services");
const SLICES: Kind = ("discovery.k8s.io", "endpointslices");
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const AVAILABLE: &str = "Available";

/// Namespace and name of a Service.
type Place = (String, String);

/// The Services behind the APIServices that have one. Services and their endpoints are followed only once there are any.
#[derive(Default)]
pub(super) struct ApiServices {
    behind: BTreeMap<String, Place>,
    follows_services: bool,
}

impl Controller for ApiServices {
    const NAME: &'static str = "apiservice-status";
    const FOLLOWS: &'static [Kind] = &[KIND];

    async fn see(&mut self, api: &Api, feed: &mut Feed, seen: Seen) -> Result<(), Status> {
        if seen.kind != KIND {
            return self.service_changed(api, &seen).await;
        }
        let name = seen.object.index.name.to_string();
        self.behind.remove(&name);
        if seen.gone {
            return Ok(());
        }
        let object = seen.decode(api)?;
        if let Some(place) = place(&object) {
            self.behind.insert(name, place);
            if !self.follows_services {
                self.follows_services = true;
                feed.follow(api, SERVICES).await?;
                feed.follow(api, SLICES).await?;
            }
        }
        judge(api, &object).await
    }
}

impl ApiServices {
    async fn service_changed(&self, api: &Api, seen: &Seen) -> Result<(), Status> {
        let index = &seen.object.index;
        let service = if seen.kind == SLICES {
            index.label(SERVICE_NAME).unwrap_or_default()
        } else {
            &index.name
        };
        let concerned = self
            .behind
            .iter()
            .filter(|(_, place)| *place.0 == *index.namespace && place.1 == service);
        let concerned: BTreeSet<&String> = concerned.map(|(name, _)| name).collect();
        for name in concerned {
            if let Some(object) = Writer::new(api, KIND.0, KIND.1)?.get("", name).await? {
                judge(api, &object).await?;
            }
        }
        Ok(())
    }
}

fn place(object: &Value) -> Option<Place> {
    let service = meta::at(object, &["spec", "service"]).filter(|service| service.is_object())?;
    let text = |field: &str| meta::str_at(service, &[field]).unwrap_or_default().to_owned();
    Some((text("namespace"), text("name")))
}

async fn judge(api: &Api, object: &Value) -> Result<(), Status> {
    let condition = match place(object) {
        None => Condition::new(AVAILABLE, "True", "Local", "Local APIServices are always available"),
        Some((namespace, name)) => {
            let lookup = api.catalog.lookup();
            let service = lookup
                .find(&GroupResource::new("", SERVICES.1), &namespace, &name)
                .await?;
            let slices = lookup.list(&GroupResource::new(SLICES.0, SLICES.1), &namespace).await?;
            let ours = |slice: &&Value| meta::str_at(slice, &["metadata", "labels", SERVICE_NAME]) == Some(&name);
            let slices: Vec<&Value> = slices.iter().filter(ours).collect();
            remote(object, service.as_ref(), &slices)
        }
    };
    if condition.is_in(object) {
        return Ok(());
    }
    let put = |current: &mut Value| condition.put(current, &machinery::time::now());
    let writer = Writer::new(api, KIND.0, KIND.1)?;
    match writer.change_in("status", "", meta::name(object), &put).await {
        Err(status) if status.reason != "NotFound" => Err(status),
        _ => Ok(()),
    }
}

/// What can be known about a Service that is to answer for a group and version.
fn remote(object: &Value, service: Option<&Value>, slices: &[&Value]) -> Condition {
    let (namespace, name) = place(object).unwrap_or_default();
    let port = meta::i64_at(object, &["spec", "service", "port"]).unwrap_or_default();
    let unavailable = |reason, message: String| Condition::new(AVAILABLE, "False", reason, message);
    let Some(service) = service else {
        return unavailable(
            "ServiceNotFound",
            format!("service/{name} in \"{namespace}\" is not present"),
        );
    };
    if meta::str_at(service, &["spec", "type"]) == Some("ClusterIP") {
        let ports = meta::list_at(service, &["spec", "ports"]);
        let Some(found) = ports.iter().find(|candidate| candidate["port"] == port) else {
            return unavailable(
                "ServicePortError",
                format!("service/{name} in \"{namespace}\" is not listening on port {port}"),
            );
        };
        if slices.is_empty() {
            return unavailable(
                "EndpointsNotFound",
                format!("cannot find endpointslices for service/{name} in \"{namespace}\""),
            );
        }
        let port_name = meta::str_at(found, &["name"]).unwrap_or_default();
        if !slices.iter().any(|slice| has_endpoint(slice, port_name)) {
            return unavailable(
                "MissingEndpoints",
                format!(
                    "endpointslices for service/{name} in \"{namespace}\" have no addresses with port name \"{port_name}\""
                ),
            );
        }
    }
    unavailable(
        "FailedDiscoveryCheck",
        "this server forwards no requests to other API servers".to_owned(),
    )
}

fn has_endpoint(slice: &Value, port_name: &str) -> bool {
    let ready = |endpoint: &Value| meta::bool_at(endpoint, &["conditions", "ready"]) != Some(false);
    let port = |port: &Value| meta::str_at(port, &["name"]) == Some(port_name) && port["port"].is_number();
    meta::list_at(slice, &["endpoints"]).iter().any(ready) && meta::list_at(slice, &["ports"]).iter().any(port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_named() {
        let object = json!({"spec": {"service": {"namespace": "n", "name": "s", "port": 443}}});
        let service = |port: u16| json!({"spec": {"type": "ClusterIP", "ports": [{"name": "p", "port": port}]}});
        let slice = |ready: bool, port: &str| {
            json!({
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
                "ports": [{"name": port, "port": 8443}],
            })
        };
        let (ready, unready, other) = (slice(true, "p"), slice(false, "p"), slice(true, "q"));
        for (service, slices, expected) in [
            (None, vec![], "ServiceNotFound"),
            (Some(service(80)), vec![&ready], "ServicePortError"),
            (Some(service(443)), vec![], "EndpointsNotFound"),
            (Some(service(443)), vec![&unready, &other], "MissingEndpoints"),
            (Some(service(443)), vec![&unready, &ready], "FailedDiscoveryCheck"),
            (
                Some(json!({"spec": {"type": "ExternalName"}})),
                vec![],
                "FailedDiscoveryCheck",
            ),
        ] {
            assert_eq!(remote(&object, service.as_ref(), &slices).reason, expected);
        }
        let missing = remote(&object, None, &[]);
        assert_eq!(missing.message, r#"service/s in "n" is not present"#);
    }
}
