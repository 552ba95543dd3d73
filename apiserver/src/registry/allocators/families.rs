//! Which IP families a Service has (kubernetes `pkg/registry/core/service/storage/alloc.go`, `initIPFamilyFields`).

use super::{Addresses, cluster_ips, has_cluster_ip, invalid, strings};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;

const SINGLE_STACK: &str = "SingleStack";
const PREFER_DUAL_STACK: &str = "PreferDualStack";
const REQUIRE_DUAL_STACK: &str = "RequireDualStack";

/// Fills in families, policy and the pair of `clusterIP` and `clusterIPs`.
///
/// # Errors
/// 422 for families, addresses and a policy that do not go together, or that the cluster does not have.
pub(super) fn complete(service: &mut Value, old: Option<&Value>, addresses: &Addresses) -> Result<(), Status> {
    if has_cluster_ip(service) {
        let known = addresses.families();
        fill_in(service, old, &known).map_err(|errors| invalid(service, &errors))?;
    }
    Ok(())
}

fn fill_in(service: &mut Value, old: Option<&Value>, known: &[&str]) -> Result<(), ErrorList> {
    let mut ips = cluster_ips(service);
    if let Some(first) = ips.first() {
        meta::set_default(service, &["spec", "clusterIP"], first.clone());
    }
    if old.is_some_and(|old| still_prefers(service, old)) {
        return Ok(());
    }
    let mut families = strings(service, "ipFamilies");
    let policy = policy(service, old);
    let policy_path = Path::new("spec").child("ipFamilyPolicy");
    let wrong_policy = |why: &str| Error::invalid(&policy_path, policy.clone(), why);
    let mut errors = ErrorList::new();
    if let Some(old) = old {
        let (old_ips, old_families) = (cluster_ips(old), strings(old, "ipFamilies"));
        if policy == SINGLE_STACK {
            // Who asks for one stack and leaves the rest as it was gives up the second.
            if ips == old_ips {
                ips.truncate(1);
            }
            if families == old_families {
                families.truncate(1);
            }
        } else {
            if !ips.is_empty() && ips.len() < old_ips.len() {
                errors.push(wrong_policy(
                    "must be 'SingleStack' to release the secondary cluster IP",
                ));
            }
            if !families.is_empty() && families.len() < old_families.len() {
                errors.push(wrong_policy("must be 'SingleStack' to release the secondary IP family"));
            }
        }
    }
    if policy == SINGLE_STACK {
        let needed = "must be 'RequireDualStack' or 'PreferDualStack' when multiple";
        if ips.len() == 2 {
            errors.push(wrong_policy(&format!("{needed} cluster IPs are specified")));
        }
        if families.len() == 2 {
            errors.push(wrong_policy(&format!("{needed} IP families are specified")));
        }
    }
    // The families of addresses that were asked for.
    for (i, ip) in ips.iter().enumerate().take_while(|(_, ip)| *ip != "None") {
        let Some(family) = family_of(ip).filter(|_| i >= families.len()) else {
            continue;
        };
        if known.contains(&family) {
            families.push(family.to_owned());
        } else {
            let path = Path::new("spec").child("clusterIPs").index(i);
            errors.push(Error::invalid(
                &path,
                ips.clone(),
                format!("{family} is not configured on this cluster"),
            ));
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    // Where an address is only a name for endpoints of the user's, both families may be had in any cluster.
    let anywhere = is_headless_without_selector(service);
    if !anywhere {
        if policy == REQUIRE_DUAL_STACK && known.len() < 2 {
            errors.push(wrong_policy("this cluster is not configured for dual-stack services"));
        }
        let path = Path::new("spec").child("ipFamilies");
        for (i, family) in families.iter().enumerate() {
            if matches!(family.as_str(), "IPv4" | "IPv6") && !known.contains(&family.as_str()) {
                let why = "not configured on this cluster";
                errors.push(Error::invalid(&path.index(i), family.clone(), why));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
    }
    if families.is_empty() {
        families.extend(known.first().map(|family| (*family).to_owned()));
    }
    if policy != SINGLE_STACK && families.len() == 1 && (anywhere || known.len() == 2) {
        let second = if families[0] == "IPv4" { "IPv6" } else { "IPv4" };
        families.push(second.to_owned());
    }
    if !ips.is_empty() {
        meta::set(service, &["spec", "clusterIPs"], ips);
    }
    meta::set(service, &["spec", "ipFamilyPolicy"], policy);
    meta::set(service, &["spec", "ipFamilies"], families);
    Ok(())
}

/// What the user wants, else what was wanted before, else one family; both for headless Services without selector.
fn policy(service: &Value, old: Option<&Value>) -> String {
    let given = |service: &Value| {
        let policy = meta::str_at(service, &["spec", "ipFamilyPolicy"])?;
        Some(policy.to_owned()).filter(|policy| !policy.is_empty())
    };
    given(service).or_else(|| given(old?)).unwrap_or_else(|| {
        let default = if is_headless_without_selector(service) {
            REQUIRE_DUAL_STACK
        } else {
            SINGLE_STACK
        };
        default.to_owned()
    })
}

fn is_headless_without_selector(service: &Value) -> bool {
    let selector = meta::map_at(service, &["spec", "selector"]);
    let first = cluster_ips(service).into_iter().next();
    first.as_deref() == Some("None") && selector.is_none_or(|selector| selector.is_empty())
}

/// Services that only prefer two families are left as they are when the cluster has changed meanwhile
/// (`isMatchingPreferDualStackClusterIPFields`).
pub(super) fn still_prefers(service: &Value, old: &Value) -> bool {
    let of = |field: &str| [service, old].map(|service| meta::str_at(service, &["spec", field]).unwrap_or_default());
    let [kind, old_kind] = of("type");
    let [policy, old_policy] = of("ipFamilyPolicy");
    kind == old_kind
        && policy == PREFER_DUAL_STACK
        && ["", PREFER_DUAL_STACK].contains(&old_policy)
        && cluster_ips(service) == cluster_ips(old)
        && strings(service, "ipFamilies") == strings(old, "ipFamilies")
}

/// The family of an address.
pub(super) fn family_of(ip: &str) -> Option<&'static str> {
    let address: std::net::IpAddr = ip.parse().ok()?;
    Some(if address.is_ipv4() { "IPv4" } else { "IPv6" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(spec: Value, old: Option<Value>, known: &[&str]) -> Result<(Value, Value), String> {
        let mut service = json!({"spec": spec});
        let old = old.map(|spec| json!({"spec": spec}));
        fill_in(&mut service, old.as_ref(), known).map_err(|errors| machinery::field::aggregate(&errors))?;
        Ok((
            service["spec"]["ipFamilyPolicy"].clone(),
            service["spec"]["ipFamilies"].clone(),
        ))
    }

    #[test]
    fn new_services_have_the_families_they_need() {
        let (four, both) = (&["IPv4"][..], &["IPv6", "IPv4"][..]);
        for (spec, known, policy, families) in [
            (json!({}), four, "SingleStack", json!(["IPv4"])),
            (json!({}), both, "SingleStack", json!(["IPv6"])),
            (
                json!({"clusterIPs": ["10.0.0.1"]}),
                both,
                "SingleStack",
                json!(["IPv4"]),
            ),
            (
                json!({"ipFamilyPolicy": "PreferDualStack"}),
                four,
                "PreferDualStack",
                json!(["IPv4"]),
            ),
            (
                json!({"ipFamilyPolicy": "PreferDualStack"}),
                both,
                "PreferDualStack",
                json!(["IPv6", "IPv4"]),
            ),
            (
                json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4"]}),
                both,
                "RequireDualStack",
                json!(["IPv4", "IPv6"]),
            ),
            (
                json!({"clusterIP": "None"}),
                four,
                "RequireDualStack",
                json!(["IPv4", "IPv6"]),
            ),
            (
                json!({"clusterIP": "None", "selector": {"a": "b"}}),
                four,
                "SingleStack",
                json!(["IPv4"]),
            ),
            (
                json!({"clusterIP": "None", "ipFamilyPolicy": "SingleStack"}),
                four,
                "SingleStack",
                json!(["IPv4"]),
            ),
        ] {
            let found = filled(spec.clone(), None, known);
            assert_eq!(found, Ok((json!(policy), families)), "{spec} {known:?}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (spec, expected) in [
            (
                json!({"ipFamilyPolicy": "RequireDualStack"}),
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
            ),
            (
                json!({"ipFamilies": ["IPv6"]}),
                "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster",
            ),
            (
                json!({"ipFamilies": ["IPv4", "IPv6"]}),
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
            ),
            (
                json!({"clusterIPs": ["fd00::1"]}),
                "spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured on this cluster",
            ),
        ] {
            assert_eq!(filled(spec, None, &["IPv4"]), Err(expected.to_owned()));
        }
    }

    #[test]
    fn the_second_family_comes_and_goes_with_the_policy() {
        let known = &["IPv4", "IPv6"];
        let dual = json!({"type": "ClusterIP", "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"],
            "clusterIPs": ["10.0.0.1", "fd00::1"]});
        let with = |base: &Value, field: &str, value: Value| {
            let mut spec = base.clone();
            spec[field] = value;
            spec
        };
        let single = with(&dual, "ipFamilyPolicy", json!("SingleStack"));
        assert_eq!(
            filled(single, Some(dual.clone()), known),
            Ok((json!("SingleStack"), json!(["IPv4"])))
        );
        let fewer = with(&dual, "clusterIPs", json!(["10.0.0.1"]));
        let refused = filled(fewer, Some(dual.clone()), known).unwrap_err();
        assert!(
            refused.ends_with("must be 'SingleStack' to release the secondary cluster IP"),
            "{refused}"
        );
        let one = json!({"type": "ClusterIP", "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4"],
            "clusterIPs": ["10.0.0.1"]});
        assert_eq!(
            filled(one.clone(), Some(one), known),
            Ok((json!("PreferDualStack"), json!(["IPv4"])))
        );
    }
}
