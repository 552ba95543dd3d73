//! The command line.

mod file;
mod settings;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;

use chassis::{CommonOptions, Defaults};
use clap::{ArgAction, Parser};

pub(crate) use file::custom_resources;

/// Syncs objects between a virtual cluster and its host, and plays the kubelet of every virtual node.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Kubeconfig of the virtual cluster [default: experimental.virtualClusterKubeConfig.kubeConfig of --config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Kubeconfig of the host cluster [default: the service account of this pod]
    #[arg(long, value_name = "FILE")]
    pub host_kubeconfig: Option<PathBuf>,

    /// Name of the virtual cluster
    #[arg(long, value_name = "NAME")]
    pub name: String,

    /// Namespace of the host in which the objects of the virtual cluster live
    #[arg(long, value_name = "NAMESPACE")]
    pub target_namespace: String,

    /// The control plane's Service in that namespace, which owns the synced objects; empty when there is none [default: the
    /// name of the virtual cluster]
    #[arg(long, value_name = "NAME")]
    pub service_name: Option<String>,

    /// The control plane's StatefulSet in that namespace, which owns the Service; empty when there is none [default: the name of
    /// the virtual cluster]
    #[arg(long, value_name = "NAME")]
    pub stateful_set: Option<String>,

    /// Kubeconfig of the virtual cluster to publish as Secret vc-NAME of that namespace, for those who use it
    #[arg(long, value_name = "FILE")]
    pub export_kubeconfig: Option<PathBuf>,

    /// Where the name mappings are kept: the store of the virtual API server, as http://HOST:PORT or unix:///path
    #[arg(long, value_name = "URL")]
    pub etcd_servers: String,

    /// Run only while holding a lease in the virtual cluster, so that several syncers can stand by
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true")]
    pub leader_elect: bool,

    /// How often what is known of both clusters is compared with what is there, in seconds: finds what a watch has not shown;
    /// 0 turns it off
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub compare_interval: u32,

    /// The vcluster.yaml; what other flags say goes before it [default: the defaults of every key]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The Helm program, which releases the charts of experimental.deploy.vcluster.helm
    #[arg(long, value_name = "FILE", default_value = "/binaries/helm")]
    pub helm_binary: PathBuf,

    /// DNS domain of the virtual cluster [default: networking.advanced.clusterDomain of --config]
    #[arg(long, value_name = "DOMAIN", help_heading = "Pods")]
    pub cluster_domain: Option<String>,

    /// Address of the virtual cluster's DNS server [default: the cluster IP of kube-system/kube-dns]
    #[arg(long, value_name = "IP", help_heading = "Pods")]
    pub cluster_dns: Option<IpAddr>,

    /// Keep the Service kube-system/kube-dns, which leads to the DNS server of the control plane
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = "Pods")]
    pub dns_service: bool,

    /// Service account of synced pods on the host; empty leaves it to the host [default: vc-workload-NAME]
    #[arg(long, value_name = "NAME", help_heading = "Pods")]
    pub workload_service_account: Option<String>,

    /// Image of the init container that writes the fully qualified name of pods with a subdomain into their hosts file;
    /// empty turns it off [default: sync.toHost.pods.rewriteHosts of --config]
    #[arg(long, value_name = "IMAGE", help_heading = "Pods")]
    pub rewrite_hosts_image: Option<String>,

    /// Labels that a node of the host must have to run pods of the virtual cluster and to be shown in it
    /// [default: sync.fromHost.nodes.selector.labels of --config]
    #[arg(long, value_name = "KEY=VALUE,...", value_delimiter = ',', help_heading = "Nodes")]
    pub node_selector: Vec<String>,

    /// Tolerations that every pod gets on the host, as *, KEY, KEY=VALUE or KEY[=VALUE]:EFFECT; what they tolerate is not
    /// shown on nodes [default: sync.toHost.pods.enforceTolerations of --config]
    #[arg(long, value_name = "TOLERATION,...", value_delimiter = ',', help_heading = "Nodes")]
    pub tolerations: Vec<String>,

    /// The node of the host that this process runs on, which a cluster autoscaler is asked to keep
    #[arg(
        long,
        value_name = "NAME",
        env = "NODE_NAME",
        default_value = "",
        hide_env_values = true,
        help_heading = "Nodes"
    )]
    pub node_name: String,

    /// Address to serve the kubelet API on
    #[arg(long, value_name = "IP", default_value = "0.0.0.0", help_heading = "Kubelet")]
    pub kubelet_address: IpAddr,

    /// Port to serve the kubelet API on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 10250, help_heading = "Kubelet")]
    pub kubelet_port: u16,

    /// Address under which the virtual API server reaches the kubelet API [default: --kubelet-address, or 127.0.0.1 when
    /// that is every address]
    #[arg(long, value_name = "IP", help_heading = "Kubelet")]
    pub kubelet_advertise_address: Option<IpAddr>,

    /// Certificate of the kubelet API [default: a self-signed one]
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_private_key_file",
        help_heading = "Kubelet"
    )]
    pub tls_cert_file: Option<PathBuf>,

    /// Key of that certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert_file", help_heading = "Kubelet")]
    pub tls_private_key_file: Option<PathBuf>,

    /// Authority that signs the certificate of the kubelet API, which then names the addresses of all nodes
    /// [default: experimental.virtualClusterKubeConfig.serverCACert of --config]
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_signing_key_file",
        conflicts_with = "tls_cert_file",
        help_heading = "Kubelet"
    )]
    pub tls_signing_cert_file: Option<PathBuf>,

    /// Key of that authority
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_signing_cert_file",
        help_heading = "Kubelet"
    )]
    pub tls_signing_key_file: Option<PathBuf>,

    /// Authorities of the client certificates that may use the kubelet API; without it only /healthz is answered
    /// [default: experimental.virtualClusterKubeConfig.clientCACert of --config]
    #[arg(long, value_name = "FILE", help_heading = "Kubelet")]
    pub client_ca_file: Option<PathBuf>,

    /// Authorities of proxies that say in headers who asks, as the API server does for metrics.k8s.io
    /// [default: experimental.virtualClusterKubeConfig.requestHeaderCACert of --config]
    #[arg(long, value_name = "FILE", help_heading = "Kubelet")]
    pub requestheader_client_ca_file: Option<PathBuf>,

    /// Common names of the certificates of such proxies [default: any]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', help_heading = "Kubelet")]
    pub requestheader_allowed_names: Vec<String>,

    #[command(flatten)]
    pub common: CommonOptions,
}

impl chassis::Options for Options {
    const DEFAULTS: Defaults = Defaults {
        admin_bind_address: Some("127.0.0.1:8082"),
        grpc_bind_address: Some("127.0.0.1:9092"),
        ..Defaults::NONE
    };

    fn common(&self) -> &CommonOptions {
        &self.common
    }
}
