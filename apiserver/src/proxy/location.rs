//! Which address a request for an object means.

use super::{Target, Wanted};
use crate::kubelet::{Kubelet, Security};
use machinery::field::go_quote;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::net::IpAddr;

const NOT_ALLOWED: &str = "address not allowed";

/// What a path calls an object (apimachinery `pkg/util/net/port_split.go`).
#[derive(Debug, PartialEq, Eq)]
struct Name<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

impl<'a> Name<'a> {
    fn parse(id: &'a str) -> Option<Self> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        let good = !name.is_empty() && matches!(scheme, "" | "http" | "https");
        good.then_some(Name { scheme, name, port })
    }

    fn security(&self) -> Security {
        if self.scheme == "https" {
            Security::Encrypted
        } else {
            Security::None
        }
    }

    /// The port, or the usual one of the scheme.
    fn port_or(&self, port: &str) -> Result<u16, Status> {
        match port {
            "" if self.scheme == "https" => Ok(443),
            "" => Ok(80),
            text => text.parse().map_err(|_| {
                let why = format!("dial tcp: lookup tcp/{text}: unknown port");
                Status::service_unavailable(format!("error trying to reach service: {why}"))
            }),
        }
    }
}

/// Finds the address.
///
/// # Errors
/// 404 for an object that is not there, 400 for an address that nobody may be led to, 503 when nothing listens.
pub(super) async fn find(kubelet: &Kubelet, wanted: &Wanted<'_>) -> Result<Target, Status> {
    let Wanted {
        resource,
        namespace,
        id,
        ..
    } = *wanted;
    let singular = resource.trim_end_matches('s');
    let invalid = || Status::bad_request(format!("invalid {singular} request {}", go_quote(id)));
    let name = Name::parse(id).ok_or_else(invalid)?;
    match resource {
        "pods" => of_pod(&kubelet.object(resource, namespace, name.name).await?, &name),
        "nodes" => of_node(kubelet, &name).await,
        _ => {
            let port = match name.port.parse::<i64>() {
                Ok(number) => port_name(
                    &kubelet.object(resource, namespace, name.name).await?,
                    number,
                    name.name,
                )?,
                Err(_) => name.port.to_owned(),
            };
            // Endpoints that are not there are reported as the Service's own absence.
            let endpoints = match kubelet.object("endpoints", namespace, name.name).await {
                Err(status) if status.code == 404 => {
                    return Err(Status::not_found(&GroupResource::new("", resource), name.name));
                }
                found => found?,
            };
            let random = usize::from(uuid::Uuid::new_v4().as_bytes()[0]);
            of_endpoints(&endpoints, &port, random)
                .map(|(host, port)| Target {
                    security: name.security(),
                    host,
                    port,
                })
                .ok_or_else(|| {
                    let about = if meta::list_at(&endpoints, &["subsets"]).is_empty() {
                        name.name
                    } else {
                        id
                    };
                    Status::service_unavailable(format!("no endpoints available for service {}", go_quote(about)))
                })
        }
    }
}

fn of_pod(pod: &Value, name: &Name<'_>) -> Result<Target, Status> {
    let address = meta::list_at(pod, &["status", "podIPs"])
        .first()
        .and_then(|ip| meta::str_at(ip, &["ip"]))
        .or_else(|| meta::str_at(pod, &["status", "podIP"]))
        .unwrap_or_default();
    if !reachable(address) {
        return Err(Status::bad_request(NOT_ALLOWED));
    }
    let first = || {
        let containers = meta::list_at(pod, &["spec", "containers"]);
        let port = containers
            .iter()
            .find_map(|container| meta::list_at(container, &["ports"]).first());
        port.and_then(|port| meta::i64_at(port, &["containerPort"]))
            .map(|port| port.to_string())
    };
    let port = match name.port {
        "" => first().unwrap_or_default(),
        port => port.to_owned(),
    };
    Ok(Target {
        security: name.security(),
        host: address.to_owned(),
        port: name.port_or(&port)?,
    })
}

async fn of_node(kubelet: &Kubelet, name: &Name<'_>) -> Result<Target, Status> {
    let (host, own) = kubelet.address_of(name.name, "nodes").await?;
    let addresses: Vec<IpAddr> = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => match tokio::net::lookup_host((host.as_str(), own)).await {
            Ok(found) => found.map(|address| address.ip()).collect(),
            Err(error) => return Err(Status::bad_request(error.to_string())),
        },
    };
    let is_kubelet = name.port.is_empty() || name.port == own.to_string();
    let beside = is_kubelet && kubelet.loopback_ports.contains(&own);
    if !may_lead_to(&addresses, beside) {
        return Err(Status::bad_request(NOT_ALLOWED));
    }
    if is_kubelet {
        return Ok(Target {
            security: Security::Kubelet,
            host,
            port: own,
        });
    }
    Ok(Target {
        security: name.security(),
        host,
        port: name.port_or(name.port)?,
    })
}

/// The name of a Service's port.
fn port_name(service: &Value, number: i64, name: &str) -> Result<String, Status> {
    let ports = meta::list_at(service, &["spec", "ports"]);
    let port = ports.iter().find(|port| meta::i64_at(port, &["port"]) == Some(number));
    let port = port.ok_or_else(|| {
        Status::service_unavailable(format!("no service port {number} found for service {}", go_quote(name)))
    })?;
    Ok(meta::str_at(port, &["name"]).unwrap_or_default().to_owned())
}

/// An address, chosen by a random number, and a port of this name. Only addresses of pods are taken.
fn of_endpoints(endpoints: &Value, port: &str, random: usize) -> Option<(String, u16)> {
    let subsets = meta::list_at(endpoints, &["subsets"]);
    (0..subsets.len()).find_map(|i| {
        let subset = &subsets[(random + i) % subsets.len()];
        let ports = meta::list_at(subset, &["ports"]);
        let port = ports
            .iter()
            .find(|p| meta::str_at(p, &["name"]).unwrap_or_default() == port)?;
        let port = u16::try_from(meta::i64_at(port, &["port"])?).ok()?;
        let addresses = meta::list_at(subset, &["addresses"]);
        let good = |address: &&Value| {
            meta::str_at(address, &["targetRef", "kind"]) == Some("Pod")
                && meta::str_at(address, &["ip"]).is_some_and(reachable)
        };
        let turned = addresses.iter().cycle().skip(random).take(addresses.len());
        let address = turned.into_iter().find(good)?;
        Some((meta::str_at(address, &["ip"])?.to_owned(), port))
    })
}

/// Whether a text is an address that Go calls global unicast.
fn reachable(address: &str) -> bool {
    address
        .parse()
        .is_ok_and(|address: IpAddr| proxyable(address) && !address.is_unspecified())
}

/// Whether requests for a node may be led to its addresses; to loopback ones only where its kubelet is said to be.
fn may_lead_to(addresses: &[IpAddr], beside: bool) -> bool {
    let all = |fits: fn(IpAddr) -> bool| addresses.iter().copied().all(fits);
    !addresses.is_empty() && (all(proxyable) || (beside && all(|address| address.is_loopback())))
}

/// Whether requests may be led to an address (kubernetes `pkg/proxy/util`).
fn proxyable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn loopback_addresses_are_led_to_only_where_a_kubelet_is_said_to_be() {
        let addresses = |list: &[&str]| -> Vec<IpAddr> { list.iter().map(|text| text.parse().unwrap()).collect() };
        for (list, by_itself, beside) in [
            (vec!["10.0.0.1"], true, true),
            (vec!["127.0.0.1"], false, true),
            (vec!["::1", "127.0.0.1"], false, true),
            (vec!["127.0.0.1", "10.0.0.1"], false, false),
            (vec!["169.254.169.254"], false, false),
            (vec![], false, false),
        ] {
            let list = addresses(&list);
            assert_eq!(
                (may_lead_to(&list, false), may_lead_to(&list, true)),
                (by_itself, beside),
                "{list:?}"
            );
        }
    }

    #[test]
    fn names_have_three_parts_at_most() {
        let name = |scheme, name, port| Some(Name { scheme, name, port });
        for (id, expected) in [
            ("a", name("", "a", "")),
            ("a:80", name("", "a", "80")),
            ("https:a:web", name("https", "a", "web")),
            ("https:a:", name("https", "a", "")),
            ("ftp:a:1", None),
            (":1", None),
            ("", None),
            ("a:b:c:d", None),
        ] {
            assert_eq!(Name::parse(id), expected, "{id}");
        }
    }

    #[test]
    fn pods_are_reached_at_their_first_port() {
        let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 8080}]}]},
            "status": {"podIP": "10.0.0.7"}});
        let target = |id| of_pod(&pod, &Name::parse(id).unwrap()).map(|target| (target.authority(), target.security));
        assert_eq!(target("p").unwrap(), ("10.0.0.7:8080".to_owned(), Security::None));
        assert_eq!(
            target("https:p:1").unwrap(),
            ("10.0.0.7:1".to_owned(), Security::Encrypted)
        );
        assert_eq!(target("p:web").unwrap_err().code, 503);
        for address in ["", "127.0.0.1", "169.254.1.1", "::1", "0.0.0.0", "x"] {
            let pod = json!({"status": {"podIP": address}});
            let refused = of_pod(&pod, &Name::parse("p").unwrap()).unwrap_err();
            assert_eq!(
                (refused.code, refused.message.as_str()),
                (400, NOT_ALLOWED),
                "{address}"
            );
        }
    }

    #[test]
    fn services_are_reached_at_one_of_their_pods() {
        let service = json!({"spec": {"ports": [{"port": 80, "name": "web"}]}});
        assert_eq!(port_name(&service, 80, "s").unwrap(), "web");
        assert_eq!(
            port_name(&service, 81, "s").unwrap_err().message,
            "no service port 81 found for service \"s\""
        );
        let pod = |ip: &str| json!({"ip": ip, "targetRef": {"kind": "Pod", "name": "p"}});
        let endpoints = json!({"subsets": [
            {"ports": [{"name": "other", "port": 1}], "addresses": [pod("10.0.0.1")]},
            {"ports": [{"name": "web", "port": 8080}], "addresses": [{"ip": "10.0.0.9"}, pod("127.0.0.1"), pod("10.0.0.2")]},
        ]});
        for random in 0..7 {
            assert_eq!(
                of_endpoints(&endpoints, "web", random),
                Some(("10.0.0.2".to_owned(), 8080))
            );
        }
        assert_eq!(of_endpoints(&endpoints, "", 0), None);
        assert_eq!(of_endpoints(&json!({}), "web", 3), None);
    }
}
