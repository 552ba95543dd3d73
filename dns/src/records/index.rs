//! Namespaces with their services and pods, trimmed to what a name server answers with.

use proto::vcluster::dns::v1 as wire;
use std::collections::HashMap;
use std::net::IpAddr;

/// All records. Names are lower case, as Kubernetes' are.
#[derive(Debug, Default)]
pub(crate) struct Index {
    namespaces: HashMap<Box<str>, Namespace>,
    /// Seconds since the epoch of the latest change: the serial of SOA records.
    serial: u32,
}

#[derive(Debug, Default)]
struct Namespace {
    /// There is a record of the namespace itself, not only of something in it.
    exists: bool,
    services: HashMap<Box<str>, Service>,
    pods: HashMap<Box<str>, Box<[IpAddr]>>,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) kind: Kind,
    pub(crate) ports: Box<[Port]>,
    pub(crate) subsets: Box<[Subset]>,
}

/// What a service's name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    ClusterIps(Box<[IpAddr]>),
    Headless,
    External(Box<str>),
}

/// A named port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: Box<str>,
    /// Lower case.
    pub(crate) protocol: Box<str>,
    /// Nothing when there are no ports at all: addresses resolve, SRV records do not exist.
    pub(crate) number: Option<u16>,
}

/// Ready endpoints that share ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subset {
    pub(crate) endpoints: Box<[Endpoint]>,
    pub(crate) ports: Box<[Port]>,
}

/// An address behind a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) ip: IpAddr,
    /// Empty when the pod has none.
    pub(crate) hostname: Box<str>,
    /// Empty when there is no pod.
    pub(crate) pod_name: Box<str>,
}

impl Index {
    /// Adds a record or puts it in place of the earlier one. Addresses that are none are left out.
    pub(crate) fn apply(&mut self, event: wire::watch_response::Event, now: u32) {
        use wire::watch_response::Event;
        self.serial = now;
        match event {
            Event::Namespace(record) => self.namespace(&record.name).exists = true,
            Event::Service(record) => {
                let name = record.name.to_lowercase().into_boxed_str();
                self.namespace(&record.namespace)
                    .services
                    .insert(name, Service::from(record));
            }
            Event::Pod(record) => {
                let ips = addresses(&record.ips);
                self.namespace(&record.namespace)
                    .pods
                    .insert(record.name.to_lowercase().into(), ips);
            }
            Event::Removed(removed) => self.remove(&removed),
            Event::Synced(_) => {}
        }
    }

    fn namespace(&mut self, name: &str) -> &mut Namespace {
        self.namespaces.entry(name.to_lowercase().into()).or_default()
    }

    fn remove(&mut self, removed: &wire::Removed) {
        let name = removed.name.to_lowercase();
        let holder = match removed.kind() {
            wire::RecordKind::Namespace => name.clone(),
            _ => removed.namespace.to_lowercase(),
        };
        let Some(namespace) = self.namespaces.get_mut(&*holder) else {
            return;
        };
        match removed.kind() {
            wire::RecordKind::Namespace => namespace.exists = false,
            wire::RecordKind::Service => drop(namespace.services.remove(&*name)),
            wire::RecordKind::Pod => drop(namespace.pods.remove(&*name)),
            wire::RecordKind::Unspecified => {}
        }
        if !namespace.exists && namespace.services.is_empty() && namespace.pods.is_empty() {
            self.namespaces.remove(&*holder);
        }
    }

    /// Whether there is a namespace of this name.
    pub(crate) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains_key(name)
    }

    /// The service of this name.
    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.namespaces.get(namespace)?.services.get(name)
    }

    /// Every service with its namespace and name.
    pub(crate) fn services(&self) -> impl Iterator<Item = (&str, &str, &Service)> {
        self.namespaces.iter().flat_map(|(namespace, content)| {
            content
                .services
                .iter()
                .map(|(name, service)| (&**namespace, &**name, service))
        })
    }

    /// Whether a pod of the namespace has this address.
    pub(crate) fn has_pod(&self, namespace: &str, ip: IpAddr) -> bool {
        self.namespaces
            .get(namespace)
            .is_some_and(|content| content.pods.values().any(|ips| ips.contains(&ip)))
    }

    /// Seconds since the epoch of the latest change.
    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        let content = self
            .namespaces
            .values()
            .map(|content| content.services.len() + content.pods.len());
        self.namespaces.len() + content.sum::<usize>()
    }

    /// Gives back memory after many removals or a snapshot.
    pub(super) fn shrink(&mut self) {
        self.namespaces.shrink_to_fit();
        for content in self.namespaces.values_mut() {
            content.services.shrink_to_fit();
            content.pods.shrink_to_fit();
        }
    }
}

impl Service {
    /// All endpoints with the ports of their subset.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (&Endpoint, &[Port])> {
        self.subsets
            .iter()
            .flat_map(|subset| subset.endpoints.iter().map(|endpoint| (endpoint, &*subset.ports)))
    }
}

impl From<wire::Service> for Service {
    fn from(record: wire::Service) -> Self {
        let kind = match record.r#type() {
            wire::ServiceType::ExternalName => Kind::External(record.external_name.clone().into()),
            _ if record.headless => Kind::Headless,
            _ => Kind::ClusterIps(addresses(&record.cluster_ips)),
        };
        let counts = |address: &wire::EndpointAddress| address.ready || record.publish_not_ready;
        let subset = |subset: &wire::EndpointSubset| Subset {
            endpoints: subset
                .addresses
                .iter()
                .filter(|address| counts(address))
                .filter_map(endpoint)
                .collect(),
            ports: ports(&subset.ports),
        };
        Service {
            kind,
            ports: ports(&record.ports),
            subsets: record
                .endpoints
                .iter()
                .map(subset)
                .filter(|subset| !subset.endpoints.is_empty())
                .collect(),
        }
    }
}

fn addresses(texts: &[String]) -> Box<[IpAddr]> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn endpoint(address: &wire::EndpointAddress) -> Option<Endpoint> {
    Some(Endpoint {
        ip: address.ip.parse().ok()?,
        hostname: address.hostname.to_lowercase().into(),
        pod_name: address.pod_name.to_lowercase().into(),
    })
}

/// No ports are one port without a number (CoreDNS uses -1), so that the addresses still resolve.
fn ports(ports: &[wire::ServicePort]) -> Box<[Port]> {
    if ports.is_empty() {
        return Box::new([Port {
            name: "".into(),
            protocol: "".into(),
            number: None,
        }]);
    }
    let port = |port: &wire::ServicePort| Port {
        name: port.name.to_lowercase().into(),
        protocol: if port.protocol.is_empty() {
            "tcp".into()
        } else {
            port.protocol.to_lowercase().into()
        },
        number: u16::try_from(port.port).ok(),
    };
    ports.iter().map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::watch_response::Event;

    fn removed(kind: wire::RecordKind, namespace: &str, name: &str) -> Event {
        Event::Removed(wire::Removed {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        })
    }

    #[test]
    fn a_namespace_is_known_while_anything_of_it_is() {
        let mut index = Index::default();
        index.apply(Event::Namespace(wire::Namespace { name: "a".into() }), 1);
        let service = wire::Service {
            namespace: "a".into(),
            name: "s".into(),
            ..Default::default()
        };
        index.apply(Event::Service(service), 2);
        assert_eq!((index.len(), index.serial()), (2, 2));
        index.apply(removed(wire::RecordKind::Namespace, "", "a"), 3);
        assert!(index.has_namespace("a"), "its service is still there");
        index.apply(removed(wire::RecordKind::Service, "a", "s"), 4);
        assert!(!index.has_namespace("a"));
        assert_eq!(index.len(), 0);
        index.apply(removed(wire::RecordKind::Pod, "none", "p"), 5);
        assert_eq!(index.serial(), 5);
    }

    #[test]
    fn only_ready_endpoints_count_unless_the_service_publishes_all() {
        let address = |ip: &str, ready| wire::EndpointAddress {
            ip: ip.into(),
            ready,
            ..Default::default()
        };
        let record = wire::Service {
            headless: true,
            endpoints: vec![wire::EndpointSubset {
                addresses: vec![
                    address("10.0.0.1", true),
                    address("10.0.0.2", false),
                    address("nonsense", true),
                ],
                ports: Vec::new(),
            }],
            ..Default::default()
        };
        let ips = |record: &wire::Service| {
            Service::from(record.clone())
                .endpoints()
                .map(|(endpoint, _)| endpoint.ip.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(ips(&record), ["10.0.0.1"]);
        assert_eq!(
            ips(&wire::Service {
                publish_not_ready: true,
                ..record
            }),
            ["10.0.0.1", "10.0.0.2"]
        );
    }
}
