//! What works in a Service but should not be written any more (`pkg/api/service/warnings.go`).

use super::validate::is_headless;
use crate::resources::shared::addresses;
use machinery::field::Path;
use machinery::meta;
use serde_json::Value;

/// The warnings about a Service.
pub(super) fn of(new: &Value) -> Vec<String> {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    let text = |field: &str| meta::str_at(new, &["spec", field]).unwrap_or_default();
    let path = Path::new("spec");
    let list = |field: &'static str| {
        let texts = meta::list_at(new, &["spec", field])
            .iter()
            .filter_map(Value::as_str)
            .enumerate();
        texts.map(move |(i, text)| (text, Path::new("spec").child(field).index(i)))
    };
    let mut warnings = Vec::new();
    if meta::at(new, &["metadata", "annotations", HINTS]).is_some() {
        warnings.push(format!(
            "annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    let external_name = text("type") == "ExternalName";
    if !external_name && !matches!(text("clusterIP"), "" | "None") {
        warnings.extend(list("clusterIPs").flat_map(|(ip, path)| addresses::ip_warnings(ip, &path)));
    }
    let external_ips = !meta::list_at(new, &["spec", "externalIPs"]).is_empty();
    if is_headless(new) {
        for (ignored, what) in [
            (!text("loadBalancerIP").is_empty(), "loadBalancerIP"),
            (external_ips, "externalIPs"),
            (text("sessionAffinity") != "None", "SessionAffinity"),
        ] {
            if ignored {
                warnings.push(format!("spec.{what} is ignored for headless services"));
            }
        }
    }
    warnings.extend(list("externalIPs").flat_map(|(ip, path)| addresses::ip_warnings(ip, &path)));
    if external_ips && !is_headless(new) && !external_name {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    if !text("loadBalancerIP").is_empty() {
        warnings.extend(addresses::ip_warnings(
            text("loadBalancerIP"),
            &path.child("loadBalancerIP"),
        ));
    }
    warnings.extend(list("loadBalancerSourceRanges").flat_map(|(range, path)| addresses::cidr_warnings(range, &path)));
    if external_name && external_ips {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !external_name && !text("externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if text("trafficDistribution") == "PreferClose" {
        let name = "spec.trafficDistribution";
        warnings.push(format!("{name}: \"PreferClose\" is deprecated; use \"PreferSameZone\""));
    }
    warnings
}
