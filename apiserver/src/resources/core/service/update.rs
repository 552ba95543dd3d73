//! What an update of a Service may change (`ValidateServiceUpdate`).

use super::validate::validate_balancer;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;

/// Checks what changes: addresses and their families stay, except on the way from or to an `ExternalName`
/// (`validateUpgradeDowngradeClusterIPs`, `validateUpgradeDowngradeIPFamilies`). A second one may come, and go again when
/// the policy says so.
pub(super) fn validate(new: &Value, old: &Value) -> ErrorList {
    let external = |obj: &Value| meta::str_at(obj, &["spec", "type"]) == Some("ExternalName");
    let headless = |obj: &Value| {
        meta::list_at(obj, &["spec", "clusterIPs"])
            .first()
            .is_some_and(|ip| ip == "None")
    };
    let mut errors = ErrorList::new();
    if !(external(new) || external(old) || (headless(new) && headless(old))) {
        errors.extend(validate_fixed_list(new, old, "clusterIPs", "clusterIP"));
        if headless(new) == headless(old) {
            errors.extend(validate_fixed_list(new, old, "ipFamilies", "ipFamily"));
        }
    }
    errors.extend(validate_fixed_balancer(new, old));
    errors
}

/// What an update of a load balancer keeps (`validateLoadBalancerClassField`,
/// `validateServiceExternalTrafficFieldsUpdate`).
fn validate_fixed_balancer(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("spec");
    let text = |obj: &Value, field: &str| meta::str_at(obj, &["spec", field]).map(str::to_owned);
    let balances = |obj: &Value| text(obj, "type").as_deref() == Some("LoadBalancer");
    let mut errors = ErrorList::new();
    let (was, is) = (text(old, "loadBalancerClass"), text(new, "loadBalancerClass"));
    if balances(new) && balances(old) && was != is {
        let detail = "may not change once set";
        errors.push(Error::invalid(&path.child("loadBalancerClass"), is, detail));
    }
    errors.extend(
        validate_balancer(new, &path)
            .into_iter()
            .filter(|e| e.field.ends_with("Class")),
    );
    let checked = |obj: &Value| balances(obj) && text(obj, "externalTrafficPolicy").as_deref() == Some("Local");
    let port = |obj: &Value| meta::i64_at(obj, &["spec", "healthCheckNodePort"]).unwrap_or_default();
    if checked(new) && checked(old) && port(new) != port(old) {
        errors.push(Error::forbidden(
            &path.child("healthCheckNodePort"),
            "field is immutable",
        ));
    }
    errors
}

fn validate_fixed_list(new: &Value, old: &Value, field: &str, one: &str) -> ErrorList {
    const CHANGED: &str = "may not change once set";
    let path = Path::new("spec").child(field);
    let before = meta::list_at(old, &["spec", field]);
    let now = meta::list_at(new, &["spec", field]);
    let invalid = |index: usize, detail: &str| Error::invalid(&path.index(index), Value::from(now.to_vec()), detail);
    let mut errors = ErrorList::new();
    if before.len() == now.len() {
        // Upstream names the first family whichever differs.
        let index = |i: usize| if field == "clusterIPs" { i } else { 0 };
        let differing = before.iter().zip(now).enumerate().filter(|(_, (was, is))| was != is);
        errors.extend(differing.map(|(i, _)| invalid(index(i), CHANGED)));
        return errors;
    }
    if now.is_empty() {
        errors.push(invalid(0, &format!("primary {one} can not be unset")));
    } else if before.first().is_some_and(|was| *was != now[0]) {
        errors.push(invalid(0, CHANGED));
    }
    let policy = meta::str_at(new, &["spec", "ipFamilyPolicy"]);
    if before.len() > now.len() && now.len() == 1 && policy != Some("SingleStack") {
        let detail = format!("must be set to 'SingleStack' when releasing the secondary {one}");
        let path = Path::new("spec").child("ipFamilyPolicy");
        errors.push(Error::invalid(&path, policy.map_or(Value::Null, Value::from), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cluster_ips_stay() {
        let of = |ip: &str| json!({"spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip]}});
        assert!(validate(&of("10.0.0.1"), &of("10.0.0.1")).is_empty());
        assert_eq!(
            validate(&of("10.0.0.2"), &of("10.0.0.1"))[0].to_string(),
            r#"spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set"#
        );
    }

    #[test]
    fn a_second_address_comes_and_goes_with_the_policy() {
        let of = |ips: &[&str], families: &[&str], policy: &str| json!({"spec": {"type": "ClusterIP", "clusterIPs": ips, "ipFamilies": families, "ipFamilyPolicy": policy}});
        let single = of(&["10.0.0.1"], &["IPv4"], "SingleStack");
        let dual = of(&["10.0.0.1", "fd00::1"], &["IPv4", "IPv6"], "PreferDualStack");
        let texts = |new: &Value, old: &Value| validate(new, old).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&dual, &single), [""; 0]);
        assert_eq!(texts(&single, &dual), [""; 0]);
        assert_eq!(
            texts(&of(&["10.0.0.1"], &["IPv4"], "PreferDualStack"), &dual),
            [
                r#"spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be set to 'SingleStack' when releasing the secondary clusterIP"#,
                r#"spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be set to 'SingleStack' when releasing the secondary ipFamily"#,
            ]
        );
        assert_eq!(
            texts(
                &of(&["10.0.0.1", "fd00::2"], &["IPv4", "IPv6"], "PreferDualStack"),
                &dual
            ),
            [r#"spec.clusterIPs[1]: Invalid value: ["10.0.0.1","fd00::2"]: may not change once set"#]
        );
        assert_eq!(
            texts(&of(&[], &["IPv4", "IPv6"], "PreferDualStack"), &dual),
            ["spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset"]
        );
        let external = json!({"spec": {"type": "ExternalName", "externalName": "example.org"}});
        assert_eq!(texts(&external, &dual), [""; 0]);
        assert_eq!(texts(&of(&["10.0.0.9"], &["IPv4"], "SingleStack"), &external), [""; 0]);
    }
}
