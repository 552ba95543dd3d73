//! The command line.

use chassis::CommonOptions;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

/// The name server of a virtual cluster: Services and Pods from the syncer's record stream, everything else as the
/// Corefile says.
#[derive(Debug, Clone, clap::Parser)]
pub struct Options {
    /// The configuration, in CoreDNS' language
    #[arg(long, value_name = "COREFILE", default_value = "Corefile")]
    pub conf: PathBuf,

    /// Listen on this port, whatever ports the Corefile names; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub dns_port: Option<u16>,

    /// Listen on this address, in server blocks without `bind`
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V6(Ipv6Addr::UNSPECIFIED))]
    pub bind_address: IpAddr,

    /// The vcluster.yaml: networking.resolveDNS and networking.advanced.{clusterDomain,fallbackHostCluster} and
    /// policies.networkPolicy.{enabled,fallbackDns} of it count
    /// wherever the Corefile has the plugin `kubernetes`
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// DNS domain of the host cluster [default: that of the search list in /etc/resolv.conf, or cluster.local]
    #[arg(long, value_name = "DOMAIN")]
    pub host_cluster_domain: Option<String>,

    /// Where the syncer serves vcluster.dns.v1.Records: http://HOST:PORT or unix:///path. The plugin `kubernetes` needs it
    #[arg(long, value_name = "URL")]
    pub records_endpoint: Option<String>,

    /// The flags every service has.
    #[command(flatten)]
    pub common: CommonOptions,
}

impl chassis::Options for Options {
    fn common(&self) -> &CommonOptions {
        &self.common
    }
}
