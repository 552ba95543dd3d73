//! The settings of `networking` that this version acts on.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::mappings::ServiceMapping;
use crate::model::Config;
use crate::resolve::Resolution;

/// Names on the network.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Networking {
    #[serde(rename = "serviceCIDR")]
    service_cidr: String,
    /// Services of one cluster that the other one has, too.
    pub replicate_services: ReplicateServices,
    /// Names that the virtual cluster's name server resolves to something else.
    #[serde(rename = "resolveDNS")]
    pub resolve_dns: Vec<Resolution>,
    /// Settings with good defaults.
    pub advanced: AdvancedNetworking,
}

/// Services of one cluster that the other one has, too.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicateServices {
    /// Services of the virtual cluster.
    pub to_host: Vec<Replica>,
    /// Services of the host.
    pub from_host: Vec<Replica>,
}

/// A Service and its replica, each by name or by namespace and name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// The Service.
    pub from: String,
    /// Its replica in the other cluster.
    pub to: String,
}

impl ReplicateServices {
    /// The Services of the virtual cluster with their replicas in its namespace of the host.
    pub fn to_host(&self) -> Vec<ServiceMapping> {
        // The reader of the file refuses other forms.
        let pairs = self.to_host.iter();
        pairs
            .filter_map(|pair| ServiceMapping::to_host(&pair.from, &pair.to).ok())
            .collect()
    }

    /// The Services of the host with their replicas in the virtual cluster.
    pub fn from_host(&self) -> Vec<ServiceMapping> {
        let pairs = self.from_host.iter();
        pairs
            .filter_map(|pair| ServiceMapping::from_host(&pair.from, &pair.to).ok())
            .collect()
    }
}

/// Network settings with good defaults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdvancedNetworking {
    /// The DNS domain of the virtual cluster.
    pub cluster_domain: String,
    /// What the virtual cluster's DNS domain does not have is looked up in the host's.
    pub fallback_host_cluster: bool,
    /// How the kubelets of virtual nodes are reached.
    pub proxy_kubelets: ProxyKubelets,
}

/// How the kubelets of virtual nodes are reached.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyKubelets {
    /// Under a host name of the node.
    pub by_hostname: bool,
    /// Under an address of the node, which is that of a Service of the host.
    #[serde(rename = "byIP")]
    pub by_ip: bool,
}

impl Config {
    /// Where the host's Services get their addresses, as one network or one of each family with a comma between them; `None`
    /// leaves it to be found out.
    pub fn service_network(&self) -> Option<&str> {
        // Both say the same if both say something.
        [&self.service_cidr, &self.networking.service_cidr]
            .into_iter()
            .map(String::as_str)
            .find(|network| !network.is_empty())
    }
}

/// The former key and the present one.
pub(crate) fn check_together(document: &Value) -> Result<(), String> {
    let (former, present) = (&document["serviceCIDR"], &document["networking"]["serviceCIDR"]);
    match former == present || former == "" || present == "" {
        true => Ok(()),
        false => {
            Err("serviceCIDR and networking.serviceCIDR are different: set networking.serviceCIDR only".to_owned())
        }
    }
}

/// What an API server takes for its Services.
pub(crate) fn check_networks(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let wrong = |part: &str| format!("{part:?} is not a network such as 10.96.0.0/12");
    let parts: Vec<&str> = text.split(',').collect();
    let mut families = Vec::new();
    for part in &parts {
        let (address, bits) = part.split_once('/').ok_or_else(|| wrong(part))?;
        let address: IpAddr = address.parse().map_err(|_| wrong(part))?;
        let bits: u32 = bits.parse().map_err(|_| wrong(part))?;
        let (value, length) = match address {
            IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        if bits > length || value.checked_shl(bits).unwrap_or_default() != 0 {
            return Err(format!(
                "{}: no bit may be set after those that make the network",
                wrong(part)
            ));
        }
        families.push(address.is_ipv4());
    }
    match families.as_slice() {
        [_] | [true, false] | [false, true] => Ok(()),
        _ => Err(format!("{text:?} may be one network, or one of IPv4 and one of IPv6")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_those_of_an_api_server() {
        for good in [
            "",
            "10.96.0.0/12",
            "fd00::/108",
            "10.96.0.0/16,fd00::/112",
            "0.0.0.0/0",
            "10.0.0.1/32",
        ] {
            assert_eq!(check_networks(good), Ok(()), "{good}");
        }
        for bad in [
            "10.96.0.0",
            "10.96.0.1/12",
            "10.96.0.0/33",
            "10.96.0.0/16,10.97.0.0/16",
            "a/1",
            "fd00::1/64",
            "10.96.0.0/12,",
        ] {
            assert!(check_networks(bad).is_err(), "{bad}");
        }
        let network = |text: &str| Config::parse("f", text).map(|config| config.service_network().map(str::to_owned));
        assert_eq!(network(""), Ok(None));
        assert_eq!(network("serviceCIDR: 10.0.0.0/8"), Ok(Some("10.0.0.0/8".to_owned())));
        assert_eq!(
            network("networking: {serviceCIDR: 10.0.0.0/8}"),
            Ok(Some("10.0.0.0/8".to_owned()))
        );
        let error = network("serviceCIDR: 10.0.0.0/8\nnetworking: {serviceCIDR: 10.0.0.0/9}").unwrap_err();
        assert!(
            error
                .message
                .starts_with("serviceCIDR and networking.serviceCIDR are different"),
            "{error}"
        );
        let error = network("networking:\n  serviceCIDR: all").unwrap_err();
        assert_eq!(
            error.to_string(),
            "f:2: networking.serviceCIDR: \"all\" is not a network such as 10.96.0.0/12"
        );
    }
}
