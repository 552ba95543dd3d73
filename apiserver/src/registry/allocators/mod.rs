//! What Services reserve: cluster IPs, as IPAddress objects, and node ports, as a bitmap in the store
//! (kubernetes `pkg/registry/core/service/{storage/alloc.go,ipallocator,portallocator}`).

mod addresses;
mod families;
mod ports;
pub mod repair;

pub use addresses::{Addresses, Network};
pub use ports::Ports;

use super::store::{Reservation, SideEffects};
use futures::future::BoxFuture;
use machinery::field::{Error, Path};
use machinery::gvk::GroupKind;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::sync::Arc;

/// Why something could not be reserved.
#[derive(Debug)]
pub(super) enum Failure {
    /// The value that was asked for cannot be had; the text says why.
    Refused(String),
    /// There is nothing left, or the store fails.
    Store(Box<Status>),
}

/// Reserves what Services need.
#[derive(Clone)]
pub struct ServiceAllocator(Arc<Shared>);

struct Shared {
    addresses: Addresses,
    ports: Ports,
}

/// What a write has reserved anew, and what it gives up if it succeeds.
#[derive(Default)]
struct Changes {
    new_addresses: Vec<String>,
    old_addresses: Vec<String>,
    new_ports: Vec<u16>,
    old_ports: Vec<u16>,
}

impl ServiceAllocator {
    /// An allocator over these addresses and ports.
    pub fn new(addresses: Addresses, ports: Ports) -> Self {
        ServiceAllocator(Arc::new(Shared { addresses, ports }))
    }

    /// The cluster IPs.
    pub fn addresses(&self) -> &Addresses {
        &self.0.addresses
    }

    /// The node ports.
    pub fn ports(&self) -> &Ports {
        &self.0.ports
    }

    async fn reserve(
        &self,
        new: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
        changes: &mut Changes,
    ) -> Result<(), Status> {
        self.reserve_addresses(new, old, dry_run, changes).await?;
        self.reserve_ports(new, old, dry_run, changes).await
    }

    async fn reserve_addresses(
        &self,
        new: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
        changes: &mut Changes,
    ) -> Result<(), Status> {
        let (wanted, had) = (cluster_ips(new), old.map(cluster_ips).unwrap_or_default());
        let needs = has_cluster_ip(new) && wanted.first().is_none_or(|first| first != "None");
        let mut taken: Vec<String> = Vec::new();
        if needs {
            let families: Vec<String> = strings(new, "ipFamilies");
            for (i, family) in families.iter().enumerate() {
                let wish = wanted.get(i).filter(|ip| !ip.is_empty());
                if let Some(kept) = wish.filter(|ip| had.contains(ip)) {
                    taken.push(kept.clone());
                    continue;
                }
                let parent = (meta::namespace(new), meta::name(new));
                let reserved = self
                    .0
                    .addresses
                    .reserve(family, wish.map(String::as_str), parent, dry_run)
                    .await;
                let ip = reserved.map_err(|failure| refused_address(new, &wanted, wish, failure))?;
                if !dry_run {
                    changes.new_addresses.push(ip.clone());
                }
                taken.push(ip);
            }
            meta::set(new, &["spec", "clusterIPs"], taken.clone());
            if let Some(first) = taken.first() {
                meta::set(new, &["spec", "clusterIP"], first.clone());
            }
        }
        changes.old_addresses = had
            .into_iter()
            .filter(|ip| ip != "None" && !taken.contains(ip))
            .collect();
        Ok(())
    }

    async fn reserve_ports(
        &self,
        new: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
        changes: &mut Changes,
    ) -> Result<(), Status> {
        let had = old.map(node_ports).unwrap_or_default();
        let mut held: Vec<u16> = Vec::new();
        if wants_node_ports(new) {
            self.reserve_node_ports(new, &had, &mut held, dry_run, changes).await?;
        }
        if wants_health_check_port(new) {
            let path = Path::new("spec").child("healthCheckNodePort");
            let wish = self.wish(new, new, &["spec", "healthCheckNodePort"], &path)?;
            let port = match wish.filter(|port| had.contains(port)) {
                Some(kept) => kept,
                None => self.reserve_port(new, wish, &path, dry_run, changes).await?,
            };
            meta::set(new, &["spec", "healthCheckNodePort"], port);
            held.push(port);
        }
        changes.old_ports = had.into_iter().filter(|port| !held.contains(port)).collect();
        Ok(())
    }

    /// Gives every port a node port. Ports of different protocols may share a number.
    async fn reserve_node_ports(
        &self,
        new: &mut Value,
        had: &[u16],
        held: &mut Vec<u16>,
        dry_run: bool,
        changes: &mut Changes,
    ) -> Result<(), Status> {
        let ports = meta::list_at(new, &["spec", "ports"]).to_vec();
        let protocol = |port: &Value| meta::str_at(port, &["protocol"]).unwrap_or("TCP").to_owned();
        let mut given: Vec<(u16, String)> = Vec::new();
        for (i, port) in ports.iter().enumerate() {
            let path = Path::new("spec").child("ports").index(i).child("nodePort");
            let wish = self.wish(new, port, &["nodePort"], &path)?;
            let shared =
                |number: u16| given.iter().any(|(n, _)| *n == number) && !given.contains(&(number, protocol(port)));
            let sibling = || {
                let same = |other: &&Value| other.get("port") == port.get("port") && protocol(other) != protocol(port);
                ports[..i]
                    .iter()
                    .zip(&given)
                    .find(|(other, _)| same(other))
                    .map(|(_, (number, _))| *number)
            };
            let number = match wish {
                Some(number) if shared(number) => number,
                Some(number) if had.contains(&number) && !given.iter().any(|(n, _)| *n == number) => number,
                Some(_) => self.reserve_port(new, wish, &path, dry_run, changes).await?,
                None => match sibling().filter(|number| shared(*number)) {
                    Some(number) => number,
                    None => self.reserve_port(new, None, &path, dry_run, changes).await?,
                },
            };
            given.push((number, protocol(port)));
        }
        if let Some(Value::Array(list)) = new.pointer_mut("/spec/ports") {
            for (port, (number, _)) in list.iter_mut().zip(&given) {
                meta::set(port, &["nodePort"], *number);
            }
        }
        held.extend(given.into_iter().map(|(number, _)| number));
        Ok(())
    }

    fn wish(&self, service: &Value, owner: &Value, field: &[&str], path: &Path) -> Result<Option<u16>, Status> {
        let outside = |port: i64| invalid(service, &[Error::invalid(path, port, self.0.ports.outside())]);
        wished(owner, field).map_err(outside)
    }

    async fn reserve_port(
        &self,
        service: &Value,
        wish: Option<u16>,
        path: &Path,
        dry_run: bool,
        changes: &mut Changes,
    ) -> Result<u16, Status> {
        let port = self
            .0
            .ports
            .reserve(wish, &changes.new_ports, dry_run)
            .await
            .map_err(|failure| match failure {
                Failure::Refused(why) => invalid(service, &[Error::invalid(path, wish.unwrap_or_default(), why)]),
                Failure::Store(status) => *status,
            })?;
        changes.new_ports.push(port);
        Ok(port)
    }

    async fn free(&self, addresses: &[String], ports: &[u16]) {
        for address in addresses {
            self.0.addresses.free(address).await;
        }
        self.0.ports.free(ports).await;
    }
}

impl SideEffects for ServiceAllocator {
    fn begin<'a>(
        &'a self,
        new: &'a mut Value,
        old: Option<&'a Value>,
        dry_run: bool,
    ) -> BoxFuture<'a, Result<Reservation, Status>> {
        Box::pin(async move {
            families::complete(new, old, &self.0.addresses)?;
            let mut changes = Changes::default();
            if let Err(status) = self.reserve(new, old, dry_run, &mut changes).await {
                if !dry_run {
                    self.free(&changes.new_addresses, &changes.new_ports).await;
                }
                return Err(status);
            }
            let allocator = self.clone();
            let finish: Reservation = Box::new(move |written| {
                Box::pin(async move {
                    match (dry_run, written) {
                        (true, _) => {}
                        (false, true) => allocator.free(&changes.old_addresses, &changes.old_ports).await,
                        (false, false) => allocator.free(&changes.new_addresses, &changes.new_ports).await,
                    }
                })
            });
            Ok(finish)
        })
    }

    fn removed<'a>(&'a self, obj: &'a Value) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let addresses: Vec<String> = cluster_ips(obj).into_iter().filter(|ip| ip != "None").collect();
            self.free(&addresses, &node_ports(obj)).await;
        })
    }
}

fn kind(service: &Value) -> &str {
    meta::str_at(service, &["spec", "type"]).unwrap_or_default()
}

fn has_cluster_ip(service: &Value) -> bool {
    matches!(kind(service), "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn wants_node_ports(service: &Value) -> bool {
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => meta::bool_at(service, &["spec", "allocateLoadBalancerNodePorts"]) != Some(false),
        _ => false,
    }
}

fn wants_health_check_port(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && meta::str_at(service, &["spec", "externalTrafficPolicy"]) == Some("Local")
}

fn strings(service: &Value, field: &str) -> Vec<String> {
    let list = meta::list_at(service, &["spec", field]);
    list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The cluster IPs of a Service; older clients know only the single one.
pub(super) fn cluster_ips(service: &Value) -> Vec<String> {
    let many = strings(service, "clusterIPs");
    if !many.is_empty() {
        return many;
    }
    let one = meta::str_at(service, &["spec", "clusterIP"]).filter(|ip| !ip.is_empty());
    one.map(str::to_owned).into_iter().collect()
}

/// The node ports of a Service, that of its health check included, each once.
pub(super) fn node_ports(service: &Value) -> Vec<u16> {
    let of_ports = meta::list_at(service, &["spec", "ports"])
        .iter()
        .filter_map(|port| port_at(port, &["nodePort"]));
    let mut ports: Vec<u16> = of_ports
        .chain(port_at(service, &["spec", "healthCheckNodePort"]))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn port_at(value: &Value, path: &[&str]) -> Option<u16> {
    meta::i64_at(value, path)
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0)
}

/// The port that is asked for at a field; an error is no port at all, and so outside of every range.
fn wished(owner: &Value, field: &[&str]) -> Result<Option<u16>, i64> {
    let asked = meta::i64_at(owner, field).filter(|port| *port != 0);
    asked.map(|port| u16::try_from(port).map_err(|_| port)).transpose()
}

fn invalid(service: &Value, errors: &[Error]) -> Status {
    let kind = GroupKind {
        group: String::new(),
        kind: "Service".to_owned(),
    };
    Status::invalid(&kind, meta::name(service), errors)
}

fn refused_address(service: &Value, wanted: &[String], wish: Option<&String>, failure: Failure) -> Status {
    match failure {
        Failure::Store(status) => *status,
        Failure::Refused(why) => {
            let path = Path::new("spec").child("clusterIPs");
            let detail = match wish {
                Some(ip) => format!("failed to allocate IP {ip}: {why}"),
                None => format!("failed to allocate a serviceIP: {why}"),
            };
            invalid(service, &[Error::invalid(&path, Value::from(wanted.to_vec()), detail)])
        }
    }
}

#[cfg(test)]
mod tests;
