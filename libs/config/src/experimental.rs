//! Settings that may change.

use serde::Deserialize;

use crate::deploy::Deploy;
use crate::monitors::NodeMonitor;
use crate::proxied::Proxy;
use crate::requests::DenyRule;

/// Settings that may change.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Experimental {
    /// How objects are synced.
    pub sync_settings: SyncSettings,
    /// What is deployed with the virtual cluster.
    pub deploy: Deploy,
    /// Where the credentials of the virtual cluster are.
    pub virtual_cluster_kube_config: VirtualKubeConfig,
    /// Requests to the API server that are refused.
    pub deny_proxy_requests: Vec<DenyRule>,
    /// What other virtual clusters answer for.
    pub proxy: Proxy,
    /// What the host measures at the nodes.
    pub node_monitors: Vec<NodeMonitor>,
}

/// Files with credentials of the virtual cluster; empty leaves them to flags.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualKubeConfig {
    /// The kubeconfig of its administrator.
    pub kube_config: String,
    /// The authority of its servers.
    #[serde(rename = "serverCACert")]
    pub server_ca_cert: String,
    /// The key of that authority.
    #[serde(rename = "serverCAKey")]
    pub server_ca_key: String,
    /// The authority of its clients.
    #[serde(rename = "clientCACert")]
    pub client_ca_cert: String,
    /// The authority of proxies that say who asks.
    #[serde(rename = "requestHeaderCACert")]
    pub request_header_ca_cert: String,
}

/// How objects are synced.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncSettings {
    /// The control plane's Service owns the host objects.
    pub set_owner: bool,
    /// Another address at which metrics are served; empty or "0" for none.
    pub host_metrics_bind_address: String,
    /// One more.
    pub virtual_metrics_bind_address: String,
}
