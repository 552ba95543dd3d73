//! Cluster IPs. Every one in use is an IPAddress object of its name, so that several API servers cannot give out the
//! same twice (kubernetes `pkg/registry/core/service/ipallocator`).

use super::Failure;
use super::families::family_of;
use crate::registry::codec;
use crate::storage::interface::{Error, ListOptions, Preconditions, Revision, Scope, Storage};
use machinery::status::Status;
use machinery::{meta, time};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The label that says who made an IPAddress, and its value for the allocator.
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";

/// A network that addresses are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first address.
    pub address: IpAddr,
    /// How many leading bits all addresses share.
    pub prefix: u8,
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Network {
    /// Reads the usual form, such as `10.96.0.0/16`.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
        (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some(Network { address, prefix })
    }

    fn family(&self) -> &'static str {
        if self.address.is_ipv4() { "IPv4" } else { "IPv6" }
    }

    fn base(&self) -> u128 {
        match self.address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        }
    }

    /// The last offset that can be given out: the first is the network, the last of IPv4 the broadcast address.
    fn last(&self) -> u128 {
        let bits = if self.address.is_ipv4() { 32 } else { 128 } - u32::from(self.prefix);
        let size = 1u128.checked_shl(bits).unwrap_or(u128::MAX);
        size.saturating_sub(if self.address.is_ipv4() { 2 } else { 1 })
    }

    /// The address at an offset.
    pub fn at(&self, offset: u128) -> IpAddr {
        let value = self.base().saturating_add(offset);
        match self.address {
            // The sum stays within the network, which is one of IPv4.
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(value).unwrap_or(u32::MAX))),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(value)),
        }
    }

    /// How far an address is from the first one.
    fn offset(&self, address: IpAddr) -> Option<u128> {
        let value = match (self.address, address) {
            (IpAddr::V4(_), IpAddr::V4(address)) => u128::from(u32::from(address)),
            (IpAddr::V6(_), IpAddr::V6(address)) => u128::from(address),
            _ => return None,
        };
        value.checked_sub(self.base())
    }

    /// Whether an address lies in the network and can be given out.
    fn contains(&self, address: IpAddr) -> bool {
        self.offset(address)
            .is_some_and(|offset| (1..=self.last()).contains(&offset))
    }

    /// The address, or why it cannot be given out.
    fn give_out(&self, address: IpAddr) -> Result<IpAddr, String> {
        if self.contains(address) {
            return Ok(address);
        }
        Err(format!(
            "the provided IP ({address}) is not in the valid range. The range of valid IPs is {self}"
        ))
    }

    /// Whether an address lies in the network, also one that cannot be given out.
    fn covers(&self, address: IpAddr) -> bool {
        // IPv4 has one address behind the last: that for broadcasts.
        let end = self.last().saturating_add(u128::from(self.address.is_ipv4()));
        self.offset(address).is_some_and(|offset| offset <= end)
    }

    /// The lower part is left to those who ask for an address (upstream `calculateRangeOffset`).
    fn dynamic_start(&self) -> u128 {
        let max = self.last();
        if max <= 16 { 1 } else { (max / 16).clamp(16, 256) }
    }
}

/// The cluster IPs of all networks.
pub struct Addresses {
    networks: Vec<Network>,
    /// The IPAddress objects.
    objects: Arc<dyn Storage>,
    /// The ServiceCIDR objects: more networks.
    cidrs: Arc<dyn Storage>,
}

impl Addresses {
    /// Gives out addresses of `networks`, at most one per family, the preferred first, and of those that ServiceCIDRs
    /// add; what is taken is recorded in `objects`.
    pub fn new(networks: Vec<Network>, objects: Arc<dyn Storage>, cidrs: Arc<dyn Storage>) -> Self {
        Addresses {
            networks,
            objects,
            cidrs,
        }
    }

    /// The networks that are there without any ServiceCIDR, as text.
    pub fn networks(&self) -> Vec<String> {
        self.networks.iter().map(ToString::to_string).collect()
    }

    /// The families, the preferred first.
    pub fn families(&self) -> Vec<&'static str> {
        self.networks.iter().map(Network::family).collect()
    }

    /// The first address of the first network: that of the `kubernetes` Service.
    pub fn first(&self) -> Option<IpAddr> {
        self.networks.first().map(|network| network.at(1))
    }

    /// Reserves the address that is wished for, or any of a family, for a Service.
    pub(super) async fn reserve(
        &self,
        family: &str,
        wish: Option<&str>,
        parent: (&str, &str),
        dry_run: bool,
    ) -> Result<String, Failure> {
        let own = self.networks.iter().find(|network| network.family() == family);
        let own = own.ok_or_else(|| Failure::Refused(format!("no {family} addresses are configured")))?;
        if dry_run {
            // Others may take any address before it is asked for in earnest, so none is looked for.
            let chosen = match wish.map(str::parse) {
                None => Ok(own.address),
                Some(Ok(address)) => own.give_out(address),
                Some(Err(_)) => Err(NOWHERE.to_owned()),
            };
            return chosen.map(|address| address.to_string()).map_err(Failure::Refused);
        }
        let networks = self.networks_of(*own).await?;
        if let Some(text) = wish {
            let address = choose(text, &networks).map_err(Failure::Refused)?;
            return match self.take(&address.to_string(), parent).await? {
                true => Ok(address.to_string()),
                false => Err(Failure::Refused("provided IP is already allocated".to_owned())),
            };
        }
        let used = self.used().await?;
        let free = networks
            .iter()
            .flat_map(candidates)
            .filter(|address| !used.contains(address));
        for address in free {
            if self.take(&address, parent).await? {
                return Ok(address);
            }
        }
        Err(Failure::Refused("range is full".to_owned()))
    }

    /// A network and those of its family that ServiceCIDRs add.
    async fn networks_of(&self, own: Network) -> Result<Vec<Network>, Failure> {
        let mut networks = vec![own];
        for cidr in list(&self.cidrs).await?.iter().filter(|cidr| is_usable(cidr)) {
            let texts = meta::list_at(cidr, &["spec", "cidrs"]).iter();
            for network in texts.filter_map(|text| Network::parse(text.as_str()?)) {
                if network.family() == own.family() && !networks.contains(&network) {
                    networks.push(network);
                }
            }
        }
        Ok(networks)
    }

    /// Whether an address is one of any network.
    pub(super) async fn contains(&self, address: &str) -> Result<bool, Failure> {
        let family = family_of(address);
        let own = self.networks.iter().find(|network| Some(network.family()) == family);
        let (Some(own), Ok(address)) = (own, address.parse()) else {
            return Ok(false);
        };
        let networks = self.networks_of(*own).await?;
        Ok(networks.iter().any(|network| network.contains(address)))
    }

    async fn used(&self) -> Result<HashSet<String>, Failure> {
        let objects = list(&self.objects).await?;
        Ok(objects.iter().map(|object| meta::name(object).to_owned()).collect())
    }

    /// Makes the object of an address; `false` when there is one.
    pub(super) async fn take(&self, address: &str, parent: (&str, &str)) -> Result<bool, Failure> {
        let object = codec::to_bytes(&ip_address(address, parent));
        match self.objects.create("", address, object).await {
            Ok(_) => Ok(true),
            Err(Error::Exists { .. }) => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Gives an address back. What cannot be freed now is freed by the next repair.
    pub(super) async fn free(&self, address: &str) {
        let removed = self
            .objects
            .delete("", address, &Preconditions::default(), &mut |_| Ok(()))
            .await;
        if let Err(error) = removed
            && !matches!(error, Error::NotFound { .. })
        {
            tracing::warn!(address, %error, "cannot free a cluster IP");
        }
    }
}

const NOWHERE: &str = "the provided network does not match the current range";

/// The address of a text, if one of the networks gives it out.
fn choose(text: &str, networks: &[Network]) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| NOWHERE.to_owned())?;
    let network = networks.iter().find(|network| network.covers(address));
    network.ok_or(NOWHERE)?.give_out(address)
}

async fn list(storage: &Arc<dyn Storage>) -> Result<Vec<Value>, Failure> {
    let options = ListOptions {
        scope: Scope::default(),
        revision: Revision::Latest,
        limit: 0,
        continue_token: String::new(),
    };
    let listed = storage.list(options).await.map_err(unavailable)?;
    let parse = |stored| codec::parse(stored).map_err(|status| Failure::Store(Box::new(status)));
    listed.items.iter().map(parse).collect()
}

/// Whether addresses of a ServiceCIDR are given out. One that nobody has looked at is ready.
fn is_usable(cidr: &Value) -> bool {
    let conditions = meta::list_at(cidr, &["status", "conditions"]);
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
    !meta::is_deleting(cidr) && ready.is_none_or(|condition| condition["status"] == "True")
}

/// Whether the allocator made an object; people may make others.
pub(super) fn is_own(object: &Value) -> bool {
    meta::str_at(object, &["metadata", "labels", MANAGED_BY]) == Some(ALLOCATOR)
}

/// Whether an object has the labels that the allocator gives.
pub(super) fn has_labels_of_allocator(object: &Value) -> bool {
    let family = meta::str_at(object, &["metadata", "labels", FAMILY]);
    is_own(object) && family.is_some() && family == family_of(meta::name(object))
}

fn unavailable(error: Error) -> Failure {
    Failure::Store(Box::new(Status::internal(error)))
}

/// Every address of a network once: from a random place in the upper part on, then the lower part.
fn candidates(network: &Network) -> impl Iterator<Item = String> + '_ {
    let (start, last) = (network.dynamic_start(), network.last());
    let size = last - start + 1;
    let random = u128::from_be_bytes(*uuid::Uuid::new_v4().as_bytes()) % size;
    let upper = (0..size).map(move |i| start + (random + i) % size);
    upper.chain(1..start).map(|offset| network.at(offset).to_string())
}

/// The object of an address that a Service has.
fn ip_address(address: &str, (namespace, name): (&str, &str)) -> Value {
    let now = time::now();
    let owned = json!({
        "f:metadata": {"f:labels": {
            ".": {},
            "f:ipaddress.kubernetes.io/ip-family": {},
            "f:ipaddress.kubernetes.io/managed-by": {},
        }},
        "f:spec": {"f:parentRef": {".": {}, "f:name": {}, "f:namespace": {}, "f:resource": {}}},
    });
    json!({
        "kind": "IPAddress",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {
            "name": address,
            "uid": uuid::Uuid::new_v4().to_string(),
            "creationTimestamp": now,
            "labels": {
                FAMILY: family_of(address).unwrap_or_default(),
                MANAGED_BY: ALLOCATOR,
            },
            "managedFields": [{
                "manager": "kube-apiserver",
                "operation": "Update",
                "apiVersion": "networking.k8s.io/v1",
                "time": now,
                "fieldsType": "FieldsV1",
                "fieldsV1": owned,
            }],
        },
        "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, prefix: u8) -> Network {
        Network {
            address: address.parse().unwrap(),
            prefix,
        }
    }

    #[test]
    fn candidates_are_all_addresses_once_and_none_of_the_edges() {
        let small = network("10.0.0.0", 28);
        let mut all: Vec<IpAddr> = candidates(&small).map(|a| a.parse().unwrap()).collect();
        all.sort();
        let expected: Vec<IpAddr> = (1..15).map(|i| format!("10.0.0.{i}").parse().unwrap()).collect();
        assert_eq!(all, expected);
        let first = candidates(&network("10.96.0.0", 16)).next().unwrap();
        assert!(
            first.parse::<Ipv4Addr>().unwrap() >= Ipv4Addr::new(10, 96, 1, 0),
            "{first}"
        );
    }

    #[test]
    fn cidrs_are_ready_until_somebody_says_otherwise() {
        let ready = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        assert!(is_usable(&json!({})) && is_usable(&ready("True")) && !is_usable(&ready("False")));
        assert!(!is_usable(&json!({"metadata": {"deletionTimestamp": "t"}})));
        assert_eq!(Network::parse("10.96.0.0/16"), Some(network("10.96.0.0", 16)));
        assert_eq!(Network::parse("10.96.0.0/33"), None);
    }

    #[test]
    fn networks_know_their_addresses() {
        let v4 = network("10.96.0.0", 16);
        for (address, inside) in [
            ("10.96.0.1", true),
            ("10.96.255.254", true),
            ("10.96.0.0", false),
            ("10.96.255.255", false),
            ("10.97.0.1", false),
            ("fd00::1", false),
        ] {
            assert_eq!(v4.contains(address.parse().unwrap()), inside, "{address}");
        }
        let v6 = network("fd00::", 108);
        assert!(v6.contains("fd00::f:ffff".parse().unwrap()) && !v6.contains("fd00::10:0".parse().unwrap()));
        assert_eq!(v6.at(1).to_string(), "fd00::1");
        assert!(network("::", 0).last() > 1 << 100);
    }

    #[test]
    fn addresses_are_of_some_network_and_not_at_its_edge() {
        let networks = [network("10.96.0.0", 16), network("10.200.0.0", 24)];
        let edge = |address: &str, network: &str| {
            format!("the provided IP ({address}) is not in the valid range. The range of valid IPs is {network}")
        };
        for (text, expected) in [
            ("10.200.0.1", Ok(())),
            ("10.97.0.1", Err(NOWHERE.to_owned())),
            ("x", Err(NOWHERE.to_owned())),
            ("10.96.0.0", Err(edge("10.96.0.0", "10.96.0.0/16"))),
            ("10.200.0.255", Err(edge("10.200.0.255", "10.200.0.0/24"))),
        ] {
            assert_eq!(choose(text, &networks).map(drop), expected, "{text}");
        }
    }
}
