//! From a name to what it stands for, as CoreDNS' `plugin/kubernetes/{parse,kubernetes,reverse,ns}.go`.

use crate::records::{Endpoint, Index, Kind, Port};
use hickory_proto::rr::Name;
use std::net::IpAddr;

/// Which pod names resolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pods {
    Disabled,
    /// Any address in the form of a pod name.
    Insecure,
    /// Addresses of pods of that namespace.
    Verified,
}

/// The options of the plugin.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) zones: Vec<Name>,
    /// The first zone that is not a reverse one: reverse lookups name it.
    pub(super) primary: Name,
    pub(super) pods: Pods,
    pub(super) ttl: u32,
    /// Only these; all when empty.
    pub(super) namespaces: Vec<String>,
    pub(super) endpoint_pod_names: bool,
    pub(super) endpoints: bool,
    pub(super) ignore_empty_service: bool,
    pub(super) own_addresses: Vec<IpAddr>,
}

/// The name does not exist (NXDOMAIN), in contrast to one that has nothing of the type asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoSuchName;

/// One thing a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) target: Target,
    /// Nothing: there is no port to put into an SRV record.
    pub(super) port: Option<u16>,
    /// The name of the address itself, which SRV and NS records point to.
    pub(super) owner: Option<Name>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Address(IpAddr),
    Name(Name),
}

/// What the labels before the zone ask for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// The zone, `svc`, `pod`: names that exist without records.
    Nothing,
    /// `NAMESPACE.svc` or `NAMESPACE.pod`.
    Namespace(String),
    Service {
        namespace: String,
        service: String,
        endpoint: String,
        port: String,
        protocol: String,
    },
    Pod {
        namespace: String,
        pod: String,
    },
}

impl Asked {
    /// `_PORT._PROTOCOL.SERVICE.NAMESPACE.svc`, `ENDPOINT.SERVICE.NAMESPACE.svc` or `POD.NAMESPACE.pod`.
    fn parse(name: &Name, zone: &Name) -> Result<Self, NoSuchName> {
        let count = usize::from(name.num_labels().saturating_sub(zone.num_labels()));
        let mut labels: Vec<String> = name
            .iter()
            .take(count)
            .map(|label| String::from_utf8_lossy(label).to_lowercase())
            .collect();
        let Some(kind) = labels.pop() else {
            return Ok(Asked::Nothing);
        };
        if kind != "svc" && kind != "pod" {
            return Err(NoSuchName);
        }
        let Some(namespace) = labels.pop() else {
            return Ok(Asked::Nothing);
        };
        let Some(service) = labels.pop() else {
            return Ok(Asked::Namespace(namespace));
        };
        if kind == "pod" {
            return if labels.len() <= 2 {
                Ok(Asked::Pod {
                    namespace,
                    pod: service,
                })
            } else {
                Err(NoSuchName)
            };
        }
        let plain = |label: &str| label.strip_prefix('_').unwrap_or(label).to_owned();
        let (endpoint, port, protocol) = match labels.as_slice() {
            [] => Default::default(),
            [endpoint] => (endpoint.clone(), String::new(), String::new()),
            [port, protocol] => (String::new(), plain(port), plain(protocol)),
            _ => return Err(NoSuchName),
        };
        Ok(Asked::Service {
            namespace,
            service,
            endpoint,
            port,
            protocol,
        })
    }
}

impl Settings {
    /// What `name` of `zone` stands for. `owners` asks for the names of the addresses too.
    pub(super) fn lookup(
        &self,
        index: &Index,
        name: &Name,
        zone: &Name,
        owners: bool,
    ) -> Result<Vec<Found>, NoSuchName> {
        if self.is_name_server(name, zone) {
            return Ok(self.name_servers(index, zone));
        }
        match Asked::parse(name, zone)? {
            Asked::Nothing => Ok(Vec::new()),
            Asked::Namespace(namespace) => self.exposed(index, &namespace).map(|()| Vec::new()),
            Asked::Pod { namespace, pod } => {
                self.exposed(index, &namespace)?;
                self.pod(index, &namespace, &pod)
            }
            Asked::Service {
                namespace,
                service,
                endpoint,
                port,
                protocol,
            } => {
                self.exposed(index, &namespace)?;
                let query = ServiceQuery {
                    namespace,
                    service,
                    endpoint,
                    port,
                    protocol,
                };
                self.service(index, &query, owners.then_some(zone))
            }
        }
    }

    fn exposed(&self, index: &Index, namespace: &str) -> Result<(), NoSuchName> {
        let selected = self.namespaces.is_empty() || self.namespaces.iter().any(|name| name == namespace);
        if selected && index.has_namespace(namespace) {
            Ok(())
        } else {
            Err(NoSuchName)
        }
    }

    fn pod(&self, index: &Index, namespace: &str, pod: &str) -> Result<Vec<Found>, NoSuchName> {
        let dashes = pod.matches('-').count();
        let text = pod.replace('-', if dashes == 3 && !pod.contains("--") { "." } else { ":" });
        let ip: IpAddr = text.parse().map_err(|_| NoSuchName)?;
        let resolves = match self.pods {
            Pods::Disabled => false,
            Pods::Insecure => true,
            Pods::Verified => index.has_pod(namespace, ip),
        };
        if resolves {
            Ok(vec![Found {
                target: Target::Address(ip),
                port: None,
                owner: None,
            }])
        } else {
            Err(NoSuchName)
        }
    }

    fn service(
        &self,
        index: &Index,
        query: &ServiceQuery,
        owner_zone: Option<&Name>,
    ) -> Result<Vec<Found>, NoSuchName> {
        let service = index.service(&query.namespace, &query.service).ok_or(NoSuchName)?;
        let wants_service = query.endpoint.is_empty();
        let mut found = Vec::new();
        let mut matched = false;
        match &service.kind {
            // An external name has neither endpoints nor ports.
            Kind::External(target) if wants_service && query.port.is_empty() && query.protocol.is_empty() => {
                found.push(external(target).ok_or(NoSuchName)?);
                matched = true;
            }
            Kind::External(_) => {}
            Kind::ClusterIps(_)
                if wants_service && self.ignore_empty_service && service.endpoints().next().is_none() => {}
            Kind::ClusterIps(ips) if wants_service => {
                let owner = owner_zone.and_then(|zone| query.owner(None, zone));
                for port in service.ports.iter().filter(|port| query.fits(port)) {
                    matched = true;
                    found.extend(ips.iter().map(|ip| Found {
                        target: Target::Address(*ip),
                        port: port.number,
                        owner: owner.clone(),
                    }));
                }
            }
            // Headless, or one endpoint of any service.
            _ if self.endpoints => {
                for (endpoint, ports) in service.endpoints() {
                    let hostname = self.hostname(endpoint);
                    if !wants_service && query.endpoint != hostname {
                        continue;
                    }
                    let owner = owner_zone.and_then(|zone| query.owner(Some(&hostname), zone));
                    for port in ports.iter().filter(|port| query.fits(port)) {
                        matched = true;
                        found.push(Found {
                            target: Target::Address(endpoint.ip),
                            port: port.number,
                            owner: owner.clone(),
                        });
                    }
                }
            }
            _ => {}
        }
        if matched { Ok(found) } else { Err(NoSuchName) }
    }

    /// The label of an endpoint: its hostname, its pod's name if wanted, or its address with dashes.
    fn hostname(&self, endpoint: &Endpoint) -> String {
        if !endpoint.hostname.is_empty() {
            return endpoint.hostname.to_string();
        }
        if self.endpoint_pod_names && !endpoint.pod_name.is_empty() {
            return endpoint.pod_name.to_string();
        }
        let dashed = endpoint.ip.to_string().replace(['.', ':'], "-");
        // A label must not end in a dash.
        if dashed.ends_with('-') { dashed + "0" } else { dashed }
    }

    /// The names of the service whose cluster IP this is, or else of the endpoints with a hostname at this address.
    pub(super) fn reverse(&self, index: &Index, ip: IpAddr) -> Vec<Name> {
        let visible = || {
            index
                .services()
                .filter(|(namespace, ..)| self.exposed(index, namespace).is_ok())
        };
        for (namespace, name, service) in visible() {
            if matches!(&service.kind, Kind::ClusterIps(ips) if ips.contains(&ip)) {
                return self.primary_name(&[name, namespace]).into_iter().collect();
            }
        }
        let mut names = Vec::new();
        for (namespace, name, service) in visible() {
            for (endpoint, _) in service.endpoints() {
                if endpoint.ip == ip && !endpoint.hostname.is_empty() {
                    names.extend(self.primary_name(&[&endpoint.hostname, name, namespace]));
                }
            }
        }
        names.sort();
        names.dedup();
        names
    }

    fn primary_name(&self, labels: &[&str]) -> Option<Name> {
        in_zone(labels, &self.primary)
    }

    fn is_name_server(&self, name: &Name, zone: &Name) -> bool {
        let labels: Vec<&[u8]> = name.iter().take(2).collect();
        name.num_labels() == zone.num_labels() + 2
            && labels.len() == 2
            && labels[0].eq_ignore_ascii_case(b"ns")
            && labels[1].eq_ignore_ascii_case(b"dns")
    }

    /// The services in front of this name server, or `ns.dns.ZONE` with its own addresses when there are none.
    pub(super) fn name_servers(&self, index: &Index, zone: &Name) -> Vec<Found> {
        let mut servers = Vec::new();
        for (namespace, service, record) in index.services() {
            let query = ServiceQuery {
                namespace: namespace.into(),
                service: service.into(),
                ..Default::default()
            };
            for (endpoint, _) in record
                .endpoints()
                .filter(|(one, _)| self.own_addresses.contains(&one.ip))
            {
                let found = |ip: IpAddr, owner| Found {
                    target: Target::Address(ip),
                    port: None,
                    owner,
                };
                match &record.kind {
                    Kind::ClusterIps(ips) => {
                        servers.extend(ips.iter().map(|ip| found(*ip, query.owner(None, zone))));
                    }
                    _ => servers.push(found(endpoint.ip, query.owner(Some(&self.hostname(endpoint)), zone))),
                }
            }
        }
        servers.sort_by(|a, b| a.owner.cmp(&b.owner));
        servers.dedup();
        if servers.is_empty() {
            let own = |ip: &IpAddr| Found {
                target: Target::Address(*ip),
                port: None,
                owner: in_zone_exactly(&["ns", "dns"], zone),
            };
            servers.extend(self.own_addresses.iter().map(own));
        }
        servers
    }
}

#[derive(Debug, Default)]
struct ServiceQuery {
    namespace: String,
    service: String,
    endpoint: String,
    port: String,
    protocol: String,
}

impl ServiceQuery {
    fn fits(&self, port: &Port) -> bool {
        (self.port.is_empty() || *self.port == *port.name)
            && (self.protocol.is_empty() || *self.protocol == *port.protocol)
    }

    fn owner(&self, endpoint: Option<&str>, zone: &Name) -> Option<Name> {
        match endpoint {
            Some(endpoint) => in_zone(&[endpoint, &self.service, &self.namespace], zone),
            None => in_zone(&[&self.service, &self.namespace], zone),
        }
    }
}

/// An external name that is an address is none.
fn external(target: &str) -> Option<Found> {
    if target.parse::<IpAddr>().is_ok() {
        return None;
    }
    let mut name = Name::from_ascii(target).ok()?;
    name.set_fqdn(true);
    Some(Found {
        target: Target::Name(name),
        port: None,
        owner: None,
    })
}

/// `LABELS.svc.ZONE`.
fn in_zone(labels: &[&str], zone: &Name) -> Option<Name> {
    let all: Vec<&str> = labels.iter().copied().chain(["svc"]).collect();
    in_zone_exactly(&all, zone)
}

fn in_zone_exactly(labels: &[&str], zone: &Name) -> Option<Name> {
    Name::from_labels(labels.iter().map(|label| label.as_bytes()))
        .ok()?
        .append_domain(zone)
        .ok()
}
