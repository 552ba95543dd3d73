//! The cluster IPs of Services, as API servers give and check them.

use serde_json::{Value, json};

use super::State;
use crate::json;
use crate::kinds::Kind;

pub(super) fn cluster_ip(service: &Value) -> &str {
    json::text(service, &["spec", "clusterIP"])
}

pub(super) fn is_external(service: &Value) -> bool {
    json::text(service, &["spec", "type"]) == "ExternalName"
}

pub(super) const NOT_IN_RANGE: &str = "spec.clusterIPs: the provided IP is not in the valid range";

pub(super) fn is_in_range(state: &State, address: &str) -> bool {
    address == "None" || address.starts_with(state.network)
}

pub(super) fn is_held(state: &State, address: &str, except: &Value) -> bool {
    state.objects.iter().any(|((kind, ..), other)| {
        *kind == Kind::Service && cluster_ip(other) == address && other["metadata"]["uid"] != except["metadata"]["uid"]
    })
}

/// Gives a Service the lowest free address, so that two servers soon use the same ones for different Services.
pub(super) fn allocate(state: &State, service: &mut Value) {
    if !is_external(service) && service["spec"].get("clusterIP").is_none() {
        let free = (2..=250)
            .map(|number| {
                format!(
                    "{}.{number}",
                    if state.network.is_empty() {
                        "10.0.0"
                    } else {
                        state.network
                    }
                )
            })
            .find(|ip| !is_held(state, ip, service));
        service["spec"]["clusterIP"] = json!(free);
    }
}

/// What API servers check and change when a Service is updated.
pub(super) fn check_addresses(state: &State, new: &mut Value, old: &Value) -> Result<(), &'static str> {
    if is_external(new) {
        if !is_external(old) && cluster_ip(new) == cluster_ip(old) {
            json::remove(&mut new["spec"], &["clusterIP"]);
        }
        return if cluster_ip(new).is_empty() {
            Ok(())
        } else {
            Err("spec.clusterIPs: may not be set when `type` is 'ExternalName'")
        };
    }
    if !is_external(old) && cluster_ip(new).is_empty() {
        new["spec"]["clusterIP"] = old["spec"]["clusterIP"].clone();
    }
    allocate(state, new);
    if !is_external(old) && cluster_ip(new) != cluster_ip(old) {
        return Err("spec.clusterIPs[0]: may not change once set");
    }
    if !is_in_range(state, cluster_ip(new)) {
        return Err(NOT_IN_RANGE);
    }
    if cluster_ip(new) != "None" && is_held(state, cluster_ip(new), new) {
        return Err("spec.clusterIPs: provided IP is already allocated");
    }
    Ok(())
}
