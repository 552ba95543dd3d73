//! The settings of `networking` that this version acts on.

use serde::Deserialize;

use crate::mappings::ServiceMapping;
use crate::resolve::Resolution;

/// Names on the network.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Networking {
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
