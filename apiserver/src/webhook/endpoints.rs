//! The endpoints of a Service (k8s.io/apiserver `pkg/util/proxy/proxy.go`, `ResolveEndpoint`).

use machinery::meta;
use serde_json::Value;

/// The label that names the Service of an EndpointSlice.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";

fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    meta::str_at(value, path).unwrap_or_default()
}

/// The type of a Service.
pub(crate) fn kind(service: &Value) -> &str {
    text(service, &["spec", "type"])
}

/// The name of the Service's port of a number.
pub(crate) fn port_name(service: &Value, port: u16) -> Option<&str> {
    let ports = meta::list_at(service, &["spec", "ports"]);
    let found = ports.iter().find(|candidate| candidate["port"] == port)?;
    Some(text(found, &["name"]))
}

fn named_port(service: &Value, port: u16) -> Result<&str, String> {
    port_name(service, port)
        .ok_or_else(|| format!("no service port {port} found for service {:?}", meta::name(service)))
}

fn unsupported(kind: &str) -> String {
    format!("unsupported service type {kind:?}")
}

/// A ready endpoint of a Service, chosen by a random number among those of its first address family, then all others.
pub(super) fn endpoint(service: &Value, slices: &[Value], port: u16, random: usize) -> Result<(String, u16), String> {
    if !matches!(kind(service), "ClusterIP" | "LoadBalancer" | "NodePort") {
        return Err(unsupported(kind(service)));
    }
    let port = named_port(service, port)?;
    let family = meta::list_at(service, &["spec", "ipFamilies"])
        .first()
        .and_then(Value::as_str);
    let start = random % slices.len().max(1);
    let turned = || slices.iter().cycle().skip(start).take(slices.len());
    let first = |slice: &&Value| family == Some(text(slice, &["addressType"]));
    let ordered = turned().filter(first).chain(turned().filter(|slice| !first(slice)));
    let found = ordered.into_iter().find_map(|slice| {
        let number = meta::list_at(slice, &["ports"])
            .iter()
            .find(|candidate| candidate["port"].is_number() && meta::str_at(candidate, &["name"]) == Some(port))
            .and_then(|candidate| u16::try_from(meta::i64_at(candidate, &["port"])?).ok())?;
        let endpoints = meta::list_at(slice, &["endpoints"]);
        let start = random % endpoints.len().max(1);
        let ready = |endpoint: &&Value| meta::bool_at(endpoint, &["conditions", "ready"]) != Some(false);
        let endpoint = endpoints.iter().cycle().skip(start).take(endpoints.len()).find(ready)?;
        let address = meta::list_at(endpoint, &["addresses"]).first()?.as_str()?;
        Some((address.to_owned(), number))
    });
    found.ok_or_else(|| format!("no endpoints available for service {:?}", meta::name(service)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(kind: &str) -> Value {
        json!({"metadata": {"name": "s"}, "spec": {
            "type": kind, "ipFamilies": ["IPv6"],
            "ports": [{"name": "https", "port": 443}],
        }})
    }

    #[test]
    fn endpoints_are_ready_and_of_the_first_family_where_there_is_one() {
        let slice = |family: &str, port: &str, endpoints: Value| json!({"addressType": family, "endpoints": endpoints, "ports": [{"name": port, "port": 8443}]});
        let one = |address: &str, ready: bool| json!({"addresses": [address], "conditions": {"ready": ready}});
        let slices = [
            slice("IPv4", "https", json!([one("10.0.0.1", true)])),
            slice("IPv6", "other", json!([one("fd00::9", true)])),
            slice("IPv6", "https", json!([one("fd00::1", false), one("fd00::2", true)])),
        ];
        for random in 0..9 {
            let found = endpoint(&service("ClusterIP"), &slices, 443, random);
            assert_eq!(found, Ok(("fd00::2".to_owned(), 8443)), "{random}");
            let found = endpoint(&service("ClusterIP"), &slices[..2], 443, random);
            assert_eq!(found, Ok(("10.0.0.1".to_owned(), 8443)), "{random}");
        }
        assert_eq!(
            endpoint(&service("ClusterIP"), &[], 443, 3).unwrap_err(),
            r#"no endpoints available for service "s""#
        );
        assert!(endpoint(&service("ExternalName"), &slices, 443, 0).is_err());
    }
}
