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
use std::collections::BTreeMap;
use std::sync::Arc;

const HEALTH_CHECK: &[&str] = &["spec", "healthCheckNodePort"];
const NODE_PORT: &[&str] = &["nodePort"];

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

    /// Gives a Service its cluster IPs. An update reserves only what comes with another type or with a second family
    /// (`updateClusterIPs`): other changes are left to the checks.
    async fn reserve_addresses(
        &self,
        new: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
        changes: &mut Changes,
    ) -> Result<(), Status> {
        let had = old.map(cluster_ips).unwrap_or_default();
        let count = |service: &Value| strings(service, "ipFamilies").len();
        match old.filter(|old| has_cluster_ip(old)) {
            None if has_cluster_ip(new) => self.reserve_missing(new, 0, dry_run, changes).await,
            None => Ok(()),
            Some(_) if had.first().is_some_and(|ip| ip == "None") => Ok(()),
            Some(_) if !has_cluster_ip(new) => {
                changes.old_addresses = had;
                Ok(())
            }
            Some(old) if families::still_prefers(new, old) => Ok(()),
            Some(old) if count(old) == 1 && count(new) == 2 => self.reserve_missing(new, 1, dry_run, changes).await,
            Some(old) if count(old) == 2 && count(new) == 1 => {
                changes.old_addresses.extend(had.into_iter().nth(1));
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }

    /// Reserves the addresses of a Service from the one at a position on.
    async fn reserve_missing(
        &self,
        new: &mut Value,
        from: usize,
        dry_run: bool,
        changes: &mut Changes,
    ) -> Result<(), Status> {
        let wanted = cluster_ips(new);
        if wanted.first().is_some_and(|first| first == "None") {
            return Ok(());
        }
        let mut taken: Vec<String> = wanted.iter().take(from).cloned().collect();
        for (i, family) in strings(new, "ipFamilies").iter().enumerate().skip(from) {
            let wish = wanted.get(i).filter(|ip| !ip.is_empty());
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
        if let Some(first) = taken.first() {
            meta::set(new, &["spec", "clusterIP"], first.clone());
        }
        meta::set(new, &["spec", "clusterIPs"], taken);
        Ok(())
    }

    async fn reserve_ports(
        &self,
        new: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
        changes: &mut Changes,
    ) -> Result<(), Status> {
        let mut held: Vec<i64> = Vec::new();
        if has_node_ports(new) {
            held = match old {
                None => self.first_node_ports(new, dry_run, changes).await?,
                Some(old) => self.next_node_ports(new, old, dry_run, changes).await?,
            };
            if let Some(Value::Array(list)) = new.pointer_mut("/spec/ports") {
                for (port, number) in list.iter_mut().zip(&held).filter(|(_, number)| **number != 0) {
                    meta::set(port, &["nodePort"], *number);
                }
            }
        }
        let checked = old.filter(|old| wants_health_check_port(old));
        if wants_health_check_port(new) {
            let port = match checked {
                Some(old) => number_at(old, HEALTH_CHECK),
                None => {
                    self.reserve_health_check(number_at(new, HEALTH_CHECK), dry_run, changes)
                        .await?
                }
            };
            if checked.is_none() {
                meta::set(new, HEALTH_CHECK, port);
            }
            held.push(port);
        }
        let had = old.map(node_ports).unwrap_or_default();
        changes.old_ports = had
            .into_iter()
            .filter(|port| !held.contains(&i64::from(*port)))
            .collect();
        Ok(())
    }

    /// The node ports of a new Service: one for all ports of a number (`initNodePorts`).
    async fn first_node_ports(&self, new: &Value, dry_run: bool, changes: &mut Changes) -> Result<Vec<i64>, Status> {
        let ports = meta::list_at(new, &["spec", "ports"]);
        let mut of_number: BTreeMap<i64, i64> = BTreeMap::new();
        let mut given = Vec::with_capacity(ports.len());
        for (i, port) in ports.iter().enumerate() {
            let (number, asked) = (number_at(port, &["port"]), number_at(port, NODE_PORT));
            if asked == 0 && !gets_node_ports(new) {
                given.push(0);
                continue;
            }
            let chosen = match of_number.get(&number) {
                Some(known) if asked == 0 || asked == *known => *known,
                Some(_) => self.reserve_node_port(new, i, asked, dry_run, changes).await?,
                None => {
                    let same = ports.iter().filter(|other| number_at(other, &["port"]) == number);
                    let requested = same.map(|other| number_at(other, NODE_PORT)).find(|asked| *asked != 0);
                    let requested = requested.unwrap_or_default();
                    let chosen = self.reserve_node_port(new, i, requested, dry_run, changes).await?;
                    of_number.insert(number, chosen);
                    chosen
                }
            };
            given.push(chosen);
        }
        Ok(given)
    }

    /// The node ports of a Service that had some or none (`updateNodePorts`).
    async fn next_node_ports(
        &self,
        new: &Value,
        old: &Value,
        dry_run: bool,
        changes: &mut Changes,
    ) -> Result<Vec<i64>, Status> {
        let had: Vec<i64> = meta::list_at(old, &["spec", "ports"])
            .iter()
            .map(|port| number_at(port, NODE_PORT))
            .collect();
        let (mut reserved, mut seen, mut given) = (Vec::new(), Vec::new(), Vec::new());
        for (i, port) in meta::list_at(new, &["spec", "ports"]).iter().enumerate() {
            let asked = number_at(port, NODE_PORT);
            if asked == 0 && !gets_node_ports(new) {
                given.push(0);
                continue;
            }
            let mut chosen = asked;
            if asked == 0 || !(had.contains(&asked) || reserved.contains(&asked)) {
                chosen = self.reserve_node_port(new, i, asked, dry_run, changes).await?;
                reserved.push(chosen);
            }
            let protocol = meta::str_at(port, &["protocol"]).unwrap_or_default();
            if seen.contains(&(protocol, chosen)) {
                let why = format!("duplicate nodePort: {{{protocol} {chosen}}}");
                return Err(Status::failure(500, "", why));
            }
            seen.push((protocol, chosen));
            given.push(chosen);
        }
        Ok(given)
    }

    /// Reserves the node port of the port at a position: the one that is asked for, or any for 0.
    async fn reserve_node_port(
        &self,
        service: &Value,
        index: usize,
        asked: i64,
        dry_run: bool,
        changes: &mut Changes,
    ) -> Result<i64, Status> {
        self.reserve_port(asked, dry_run, changes)
            .await
            .map_err(|failure| match failure {
                Failure::Refused(why) => {
                    let path = Path::new("spec").child("ports").index(index).child("nodePort");
                    invalid(service, &[Error::invalid(&path, asked, why)])
                }
                Failure::Store(status) => *status,
            })
    }

    async fn reserve_health_check(&self, asked: i64, dry_run: bool, changes: &mut Changes) -> Result<i64, Status> {
        self.reserve_port(asked, dry_run, changes)
            .await
            .map_err(|failure| match failure {
                Failure::Refused(why) => Status::internal(format!(
                    "failed to allocate requested HealthCheck NodePort {asked}: {why}"
                )),
                Failure::Store(status) => *status,
            })
    }

    /// A dry run takes any number that is no port for free, as it does with ports outside of the range.
    async fn reserve_port(&self, asked: i64, dry_run: bool, changes: &mut Changes) -> Result<i64, Failure> {
        let wish = match u16::try_from(asked) {
            Ok(0) => None,
            Ok(port) => Some(port),
            Err(_) if dry_run => return Ok(asked),
            Err(_) => return Err(Failure::Refused(self.0.ports.outside())),
        };
        let port = self.0.ports.reserve(wish, &changes.new_ports, dry_run).await?;
        changes.new_ports.push(port);
        Ok(i64::from(port))
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
    kind(service) != "ExternalName"
}

fn has_node_ports(service: &Value) -> bool {
    matches!(kind(service), "NodePort" | "LoadBalancer")
}

/// Whether ports that ask for no node port get one (`shouldAllocateNodePorts`).
fn gets_node_ports(service: &Value) -> bool {
    match kind(service) {
        "LoadBalancer" => meta::bool_at(service, &["spec", "allocateLoadBalancerNodePorts"]) != Some(false),
        kind => kind == "NodePort",
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

/// A number; 0 where there is none.
fn number_at(value: &Value, path: &[&str]) -> i64 {
    meta::i64_at(value, path).unwrap_or_default()
}

fn port_at(value: &Value, path: &[&str]) -> Option<u16> {
    meta::i64_at(value, path)
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0)
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
