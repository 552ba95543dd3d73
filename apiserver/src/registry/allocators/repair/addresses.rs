//! The rules for cluster IPs: a Service has an IPAddress for each of its addresses, which refers to it, and every
//! IPAddress that the allocator has made is one of those (kubernetes `ipallocator/controller/repairip.go`).

use super::Finding;
use crate::registry::allocators::addresses::{has_labels_of_allocator, is_own};
use crate::registry::allocators::cluster_ips;
use machinery::{meta, time};
use serde_json::Value;
use std::time::Duration;

/// An address younger than this may belong to a Service that is about to be written: as long as a request may take.
const GRACE_SECONDS: i64 = 60;
/// An address that was reserved for a Service which is there may be given up by the request that has reserved it.
const REVERT_SECONDS: i64 = 5;

const OF_SERVICE: &str = "ClusterIPAllocation";
const OF_ADDRESS: &str = "IPAddressAllocation";

/// What is to be done about an address of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing.
    None,
    /// Its IPAddress is made.
    Create,
    /// Its IPAddress is removed and made again.
    Recreate,
}

/// What is to be done about an IPAddress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Wait(Duration),
    Free(Finding),
}

/// A Service has something that is no address.
pub(super) fn not_valid() -> Finding {
    Finding {
        reason: "ClusterIPNotValid",
        action: "ClusterIPValidation",
        // What cannot be read as an address is nil for upstream, which says so.
        note: "Cluster IP <nil> is not a valid IP; please recreate Service".to_owned(),
    }
}

/// A Service has an address of no network.
pub(super) fn out_of_range(family: &str, address: &str) -> Finding {
    Finding {
        reason: "ClusterIPOutOfRange",
        action: OF_SERVICE,
        note: format!(
            "Cluster IP [{family}]: {address} is not within any configured Service CIDR; please recreate service"
        ),
    }
}

/// Namespace and name of what an IPAddress refers to.
pub(super) fn parent(object: &Value) -> (&str, &str) {
    let text = |field| meta::str_at(object, &["spec", "parentRef", field]).unwrap_or_default();
    (text("namespace"), text("name"))
}

/// The Service that an IPAddress refers to, when it is another one.
pub(super) fn other_parent<'a>(object: &'a Value, service: &Value) -> Option<(&'a str, &'a str)> {
    let own = (meta::namespace(service), meta::name(service));
    Some(parent(object)).filter(|parent| refers_to_service(object) && *parent != own)
}

/// The address of a Service whose IPAddress is `object`; `referenced` is the other Service that this one refers to.
pub(super) fn of_service(
    service: &Value,
    family: &str,
    address: &str,
    object: Option<&Value>,
    referenced: Option<&Value>,
) -> (Remedy, Option<Finding>) {
    let finding = |reason, note| {
        Some(Finding {
            reason,
            action: OF_SERVICE,
            note,
        })
    };
    let Some(object) = object else {
        let note = format!("Cluster IP [{family}]: {address} is not allocated; repairing");
        return (Remedy::Create, finding("ClusterIPNotAllocated", note));
    };
    let is_other = other_parent(object, service).is_some();
    if !refers_to_service(object) || is_other && referenced.is_none() {
        let (namespace, name) = (meta::namespace(service), meta::name(service));
        let note = format!(
            "the ClusterIP [{family}]: {address} for Service {namespace}/{name} has a wrong reference; repairing"
        );
        return (Remedy::Recreate, finding("ClusterIPNotAllocated", note));
    }
    let shared = referenced.is_some_and(|other| is_other && cluster_ips(other).iter().any(|ip| ip == address));
    let remedy = if has_labels_of_allocator(object) {
        Remedy::None
    } else {
        Remedy::Recreate
    };
    let note = format!("Cluster IP [{family}]:{address} was assigned to multiple services; please recreate service");
    (remedy, finding("ClusterIPAlreadyAllocated", note).filter(|_| shared))
}

/// An IPAddress that refers to `service`, when there is such a one.
pub(super) fn of_address(object: &Value, service: Option<&Value>, now: i64) -> Verdict {
    if !is_own(object) {
        return Verdict::Keep;
    }
    let (address, (namespace, name)) = (meta::name(object), parent(object));
    let free = |reason, note| {
        Verdict::Free(Finding {
            reason,
            action: OF_ADDRESS,
            note,
        })
    };
    if !refers_to_service(object) {
        let part = |field| meta::str_at(object, &["spec", "parentRef", field]).unwrap_or_default();
        let note = format!(
            "IPAddress {address} appears to have been modified, not referencing a Service &ParentReference{{Group:{},Resource:{},Namespace:{namespace},Name:{name},}}: cleaning up",
            part("group"),
            part("resource")
        );
        return free("IPAddressNotAllocated", note);
    }
    let created = created(object);
    let age = created.map_or(i64::MAX, |created| now.saturating_sub(created));
    let rest = |grace: i64| Verdict::Wait(Duration::from_secs(u64::try_from(grace - age).unwrap_or_default()));
    let Some(service) = service else {
        if age <= GRACE_SECONDS {
            return rest(GRACE_SECONDS + 1);
        }
        let note = format!("IPAddress: {address} for Service {namespace}/{name} appears to have leaked: cleaning up");
        return free("IPAddressNotAllocated", note);
    };
    if cluster_ips(service).iter().any(|ip| ip == address) {
        return Verdict::Keep;
    }
    // A Service that gets addresses when its type changes has not been written yet.
    let has_none = meta::str_at(service, &["spec", "type"]) == Some("ExternalName");
    if has_none && age < GRACE_SECONDS {
        return rest(GRACE_SECONDS);
    }
    if created > self::created(service) && age < REVERT_SECONDS {
        return rest(REVERT_SECONDS);
    }
    let note = format!("IPAddress: {address} for Service {namespace}/{name} has a wrong reference; cleaning up");
    free("IPAddressWrongReference", note)
}

fn created(object: &Value) -> Option<i64> {
    let text = meta::str_at(object, &["metadata", "creationTimestamp"])?;
    time::parse(text).map(|time| time.as_second())
}

fn refers_to_service(object: &Value) -> bool {
    let part = |field| meta::str_at(object, &["spec", "parentRef", field]).unwrap_or_default();
    part("group").is_empty() && part("resource") == "services"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ADDRESS: &str = "10.96.0.9";

    fn service(name: &str, address: &str) -> Value {
        json!({"metadata": {"namespace": "n", "name": name, "creationTimestamp": "1970-01-01T00:00:10Z"},
            "spec": {"type": "ClusterIP", "clusterIPs": [address]}})
    }

    fn object(resource: &str, name: &str, labels: Value) -> Value {
        json!({"metadata": {"name": ADDRESS, "labels": labels, "creationTimestamp": "1970-01-01T00:01:40Z"},
            "spec": {"parentRef": {"resource": resource, "namespace": "n", "name": name}}})
    }

    fn own(name: &str) -> Value {
        let labels = json!({"ipaddress.kubernetes.io/ip-family": "IPv4",
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
        object("services", name, labels)
    }

    #[test]
    fn services_get_what_is_theirs() {
        let one = service("a", ADDRESS);
        let judge = |object: Option<Value>, referenced: Option<Value>| {
            let (remedy, finding) = of_service(&one, "IPv4", ADDRESS, object.as_ref(), referenced.as_ref());
            (remedy, finding.map(|finding| finding.reason))
        };
        let (lost, shared) = (Some("ClusterIPNotAllocated"), Some("ClusterIPAlreadyAllocated"));
        assert_eq!(judge(Some(own("a")), None), (Remedy::None, None));
        assert_eq!(judge(None, None), (Remedy::Create, lost));
        assert_eq!(
            judge(Some(object("gateways", "a", json!({}))), None),
            (Remedy::Recreate, lost)
        );
        assert_eq!(judge(Some(own("b")), None), (Remedy::Recreate, lost), "b is not there");
        assert_eq!(
            judge(Some(own("b")), Some(service("b", ADDRESS))),
            (Remedy::None, shared)
        );
        assert_eq!(
            judge(Some(own("b")), Some(service("b", "10.96.0.1"))),
            (Remedy::None, None),
            "the rule for addresses frees it first"
        );
        assert_eq!(
            judge(Some(object("services", "a", json!({}))), None),
            (Remedy::Recreate, None),
            "labels are missing"
        );
    }

    #[test]
    fn addresses_of_nobody_are_freed_in_time() {
        let judge = |object: Value, service: Option<Value>, now: i64| match of_address(&object, service.as_ref(), now) {
            Verdict::Keep => "keep".to_owned(),
            Verdict::Wait(time) => time.as_secs().to_string(),
            Verdict::Free(finding) => finding.reason.to_owned(),
        };
        let external =
            json!({"metadata": {"creationTimestamp": "1970-01-01T00:00:10Z"}, "spec": {"type": "ExternalName"}});
        for (object, service, now, expected) in [
            (own("a"), Some(service("a", ADDRESS)), 1000, "keep"),
            (own("a"), None, 110, "51"),
            (own("a"), None, 161, "IPAddressNotAllocated"),
            (own("a"), Some(external.clone()), 110, "50"),
            (own("a"), Some(external), 1000, "IPAddressWrongReference"),
            (own("a"), Some(service("a", "10.96.0.1")), 102, "3"),
            (
                own("a"),
                Some(service("a", "10.96.0.1")),
                105,
                "IPAddressWrongReference",
            ),
            (object("services", "a", json!({})), None, 1000, "keep"),
        ] {
            assert_eq!(judge(object.clone(), service, now), expected, "{object} at {now}");
        }
        let mut modified = own("a");
        modified["spec"]["parentRef"]["resource"] = "gateways".into();
        assert_eq!(judge(modified, None, 101), "IPAddressNotAllocated");
    }
}
