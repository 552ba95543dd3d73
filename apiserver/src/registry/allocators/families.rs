//! Which IP families a Service has (kubernetes `pkg/registry/core/service/storage/alloc.go`, `initIPFamilyFields`).

use super::{Addresses, cluster_ips, has_cluster_ip, invalid};
use machinery::field::{Error, Path};
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;

/// Fills in families, policy and the pair of `clusterIP` and `clusterIPs`.
///
/// # Errors
/// 422 for a family that the cluster does not have.
pub(super) fn complete(service: &mut Value, addresses: &Addresses) -> Result<(), Status> {
    if !has_cluster_ip(service) {
        return Ok(());
    }
    let ips = cluster_ips(service);
    if let Some(first) = ips.first() {
        meta::set_default(service, &["spec", "clusterIP"], first.clone());
        if meta::list_at(service, &["spec", "clusterIPs"]).is_empty() {
            meta::set(service, &["spec", "clusterIPs"], ips.clone());
        }
    }
    let policy = meta::str_at(service, &["spec", "ipFamilyPolicy"])
        .unwrap_or_default()
        .to_owned();
    let policy = if policy.is_empty() {
        "SingleStack".to_owned()
    } else {
        policy
    };
    meta::set(service, &["spec", "ipFamilyPolicy"], policy.clone());
    let families: Vec<String> = meta::list_at(service, &["spec", "ipFamilies"])
        .iter()
        .filter_map(|f| f.as_str().map(str::to_owned))
        .collect();
    let known = addresses.families();
    let path = Path::new("spec").child("ipFamilies");
    for (i, family) in families.iter().enumerate() {
        let valid = matches!(family.as_str(), "IPv4" | "IPv6");
        if valid && !known.contains(&family.as_str()) {
            let why = "not configured on this cluster";
            return Err(invalid(service, &Error::invalid(&path.index(i), family.clone(), why)));
        }
    }
    if policy == "RequireDualStack" && known.len() < 2 {
        let path = Path::new("spec").child("ipFamilyPolicy");
        let why = "this cluster is not configured for dual-stack services";
        return Err(invalid(service, &Error::invalid(&path, policy, why)));
    }
    let mut wanted = families;
    if wanted.is_empty() {
        // The families of addresses that were asked for, else the cluster's first.
        wanted = ips.iter().filter_map(|ip| family_of(ip).map(str::to_owned)).collect();
    }
    if wanted.is_empty() {
        wanted.extend(known.first().map(|f| (*f).to_owned()));
    }
    if policy != "SingleStack" && wanted.len() < 2 {
        wanted.extend(
            known
                .iter()
                .find(|f| !wanted.iter().any(|w| w == *f))
                .map(|f| (*f).to_owned()),
        );
    }
    meta::set(service, &["spec", "ipFamilies"], wanted);
    Ok(())
}

/// The family of an address.
pub(super) fn family_of(ip: &str) -> Option<&'static str> {
    let address: std::net::IpAddr = ip.parse().ok()?;
    Some(if address.is_ipv4() { "IPv4" } else { "IPv6" })
}
