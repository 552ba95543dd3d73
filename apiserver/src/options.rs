//! The flags: kube-apiserver's names and meanings. Every error names the flag.

mod aggregation;

pub use aggregation::Aggregation;

use crate::filters::deadline::parse_duration;
use crate::registry::allocators::Network;
use chassis::{CommonOptions, Defaults, usage};
use clap::ArgAction;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The API server of a virtual cluster.
#[derive(Clone, Debug, clap::Parser)]
#[command(about, long_about = None)]
pub struct Options {
    /// The stores: http://, https:// or unix:// URLs of etcd v3 servers
    #[arg(
        long,
        value_name = "URL,...",
        value_delimiter = ',',
        required = true,
        help_heading = "Storage"
    )]
    pub etcd_servers: Vec<String>,

    /// What all keys in the store start with
    #[arg(long, value_name = "PATH", default_value = "/registry", help_heading = "Storage")]
    pub etcd_prefix: String,

    /// Authorities that sign the certificates of the stores
    #[arg(long, value_name = "FILE", help_heading = "Storage")]
    pub etcd_cafile: Option<PathBuf>,

    /// Client certificate for the stores
    #[arg(long, value_name = "FILE", help_heading = "Storage")]
    pub etcd_certfile: Option<PathBuf>,

    /// Key of the client certificate for the stores
    #[arg(long, value_name = "FILE", help_heading = "Storage")]
    pub etcd_keyfile: Option<PathBuf>,

    /// How often to compact the store's history; 0 for never
    #[arg(long, value_name = "DURATION", default_value = "5m0s", value_parser = duration, help_heading = "Storage")]
    pub etcd_compaction_interval: Duration,

    /// How often caches are compared with the store, and read again when they differ; 0 for never
    #[arg(long, value_name = "DURATION", default_value = "5m0s", value_parser = duration, help_heading = "Storage")]
    pub watch_cache_check_interval: Duration,

    /// How long events are kept; 0 for ever
    #[arg(long, value_name = "DURATION", default_value = "1h0m0s", value_parser = duration, help_heading = "Storage")]
    pub event_ttl: Duration,

    /// The address to listen on
    #[arg(long, value_name = "IP", default_value = "0.0.0.0", help_heading = "Serving")]
    pub bind_address: IpAddr,

    /// The port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 6443, help_heading = "Serving")]
    pub secure_port: u16,

    /// The address under which clients reach this server; it becomes the endpoint of the Service kubernetes
    #[arg(long, value_name = "IP", help_heading = "Serving")]
    pub advertise_address: Option<IpAddr>,

    /// Where the serving certificate is kept when --tls-cert-file is not given
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/run/kubernetes",
        help_heading = "Serving"
    )]
    pub cert_dir: PathBuf,

    /// Serving certificate, followed by those of intermediate authorities
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_private_key_file",
        help_heading = "Serving"
    )]
    pub tls_cert_file: Option<PathBuf>,

    /// Key of the serving certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert_file", help_heading = "Serving")]
    pub tls_private_key_file: Option<PathBuf>,

    /// How long a request may take that is no watch, log or tunnel
    #[arg(long, value_name = "DURATION", default_value = "1m0s", value_parser = duration, help_heading = "Serving")]
    pub request_timeout: Duration,

    /// How many reading requests may run at once; 0 for no limit
    #[arg(long, value_name = "NUMBER", default_value_t = 400, help_heading = "Serving")]
    pub max_requests_inflight: usize,

    /// How many writing requests may run at once; 0 for no limit
    #[arg(long, value_name = "NUMBER", default_value_t = 200, help_heading = "Serving")]
    pub max_mutating_requests_inflight: usize,

    /// Authorities of client certificates: the common name is the user, the organizations are the groups
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub client_ca_file: Option<PathBuf>,

    /// Let requests without credentials through as the user system:anonymous
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", action = ArgAction::Set, help_heading = "Authentication")]
    pub anonymous_auth: bool,

    /// Keys that service account tokens are checked with; may be given several times [default: the signing key]
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub service_account_key_file: Vec<PathBuf>,

    /// Key that service account tokens are signed with
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub service_account_signing_key_file: Option<PathBuf>,

    /// Issuer of service account tokens; the first one signs, all are accepted
    #[arg(long, value_name = "URL", help_heading = "Authentication")]
    pub service_account_issuer: Vec<String>,

    /// Where the keys of service account tokens are published [default: on this server, /openid/v1/jwks]
    #[arg(long, value_name = "URL", help_heading = "Authentication")]
    pub service_account_jwks_uri: Option<String>,

    /// Audiences of this server [default: the issuers]
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        help_heading = "Authentication"
    )]
    pub api_audiences: Vec<String>,

    /// Who decides: Node and RBAC are known and always on
    #[arg(
        long,
        value_name = "MODE,...",
        value_delimiter = ',',
        default_value = "Node,RBAC",
        help_heading = "Authentication"
    )]
    pub authorization_mode: Vec<String>,

    /// Admission plugins to turn on besides those that are on by default
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', help_heading = "Admission")]
    pub enable_admission_plugins: Vec<String>,

    /// Admission plugins to turn off
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', help_heading = "Admission")]
    pub disable_admission_plugins: Vec<String>,

    /// What admission plugins are told: an AdmissionConfiguration of apiserver.config.k8s.io/v1, for MutatingAdmissionWebhook
    /// and ValidatingAdmissionWebhook; the manifests that it names are read once
    #[arg(long, value_name = "FILE", help_heading = "Admission")]
    pub admission_control_config_file: Option<PathBuf>,

    /// Directory with YAML files that list requests to refuse, as in experimental.denyProxyRequests of vcluster.yaml
    #[arg(long, value_name = "DIR", help_heading = "Admission")]
    pub denied_requests_dir: Option<PathBuf>,

    /// Let privileged containers pass validation
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", action = ArgAction::Set, help_heading = "Admission")]
    pub allow_privileged: bool,

    /// Networks from which Services get addresses: one, or one per address family
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',', default_value = "10.0.0.0/24", value_parser = network,
        help_heading = "Services")]
    pub service_cluster_ip_range: Vec<Network>,

    /// Ports from which Services get node ports
    #[arg(long, value_name = "FROM-TO", default_value = "30000-32767", value_parser = port_range,
        help_heading = "Services")]
    pub service_node_port_range: PortRange,

    /// How long to wait before looking again at node ports that are reserved for no Service
    #[arg(long, value_name = "DURATION", default_value = "3m0s", value_parser = duration, help_heading = "Services")]
    pub service_allocation_repair_interval: Duration,

    /// Client certificate for kubelets
    #[arg(
        long,
        value_name = "FILE",
        requires = "kubelet_client_key",
        help_heading = "Kubelets"
    )]
    pub kubelet_client_certificate: Option<PathBuf>,

    /// Key of the client certificate for kubelets
    #[arg(
        long,
        value_name = "FILE",
        requires = "kubelet_client_certificate",
        help_heading = "Kubelets"
    )]
    pub kubelet_client_key: Option<PathBuf>,

    /// Authorities that sign the kubelets' certificates; without it any kubelet is trusted
    #[arg(long, value_name = "FILE", help_heading = "Kubelets")]
    pub kubelet_certificate_authority: Option<PathBuf>,

    /// Which of a node's addresses to use, best first
    #[arg(
        long,
        value_name = "TYPE,...",
        value_delimiter = ',',
        help_heading = "Kubelets",
        default_value = "Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP"
    )]
    pub kubelet_preferred_address_types: Vec<String>,

    /// Ports of this machine's loopback addresses behind which kubelets are, as in the Pod of a virtual cluster: requests
    /// are passed on to the kubelet of a node there, where nothing else may be reached
    #[arg(long, value_name = "PORT,...", value_delimiter = ',', help_heading = "Kubelets")]
    pub loopback_kubelet_ports: Vec<u16>,

    #[command(flatten)]
    pub aggregation: Aggregation,

    #[command(flatten)]
    pub common: CommonOptions,
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl chassis::Options for Options {
    const DEFAULTS: Defaults = Defaults {
        grpc_bind_address: Some("127.0.0.1:0"),
        ..Defaults::NONE
    };

    fn common(&self) -> &CommonOptions {
        &self.common
    }
}

impl Options {
    /// Checks what single flags cannot know.
    ///
    /// # Errors
    /// One sentence naming the flags.
    pub fn validate(&self) -> anyhow::Result<()> {
        let modes = self
            .authorization_mode
            .iter()
            .find(|mode| !matches!(mode.as_str(), "Node" | "RBAC"));
        if let Some(mode) = modes {
            return Err(usage(format!(
                "--authorization-mode: {mode:?} is not known; it takes Node and RBAC"
            )));
        }
        if self.service_account_signing_key_file.is_some() && self.service_account_issuer.is_empty() {
            return Err(usage(
                "--service-account-signing-key-file needs --service-account-issuer, such as https://kubernetes.default.svc.cluster.local",
            ));
        }
        if self
            .service_account_jwks_uri
            .as_deref()
            .is_some_and(|uri| !uri.starts_with("https://"))
        {
            return Err(usage(
                "--service-account-jwks-uri must be a URL that begins with https://",
            ));
        }
        if self.service_account_issuer.iter().any(String::is_empty) {
            return Err(usage("--service-account-issuer must not be empty"));
        }
        let [first, rest @ ..] = self.service_cluster_ip_range.as_slice() else {
            return Err(usage("--service-cluster-ip-range must name a network"));
        };
        let dual = match rest {
            [] => true,
            [second] => first.address.is_ipv4() != second.address.is_ipv4(),
            _ => false,
        };
        if !dual {
            return Err(usage(
                "--service-cluster-ip-range takes one network, or one of IPv4 and one of IPv6",
            ));
        }
        for (flag, duration) in [
            ("--request-timeout", self.request_timeout),
            (
                "--service-allocation-repair-interval",
                self.service_allocation_repair_interval,
            ),
        ] {
            if duration.is_zero() {
                return Err(usage(format!("{flag} must be longer than 0")));
            }
        }
        if !self.etcd_prefix.starts_with('/') || self.etcd_prefix.trim_matches('/').is_empty() {
            return Err(usage(format!(
                "--etcd-prefix {:?} must be a path such as /registry",
                self.etcd_prefix
            )));
        }
        Ok(())
    }

    /// The audiences of this server.
    pub fn audiences(&self) -> Vec<String> {
        if self.api_audiences.is_empty() {
            self.service_account_issuer.clone()
        } else {
            self.api_audiences.clone()
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|_| "expected a duration such as 30s, 5m0s or 1h".to_owned())
}

fn network(text: &str) -> Result<Network, String> {
    let wrong = || "expected a network such as 10.96.0.0/16".to_owned();
    let (address, prefix) = text.trim().split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    if prefix > bits {
        return Err(wrong());
    }
    let host_bits = u32::from(bits - prefix);
    let value = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    let base = value
        .checked_shr(host_bits)
        .unwrap_or(0)
        .checked_shl(host_bits)
        .unwrap_or(0);
    if base != value {
        return Err(format!(
            "{text} is an address inside a network, not a network: its last {host_bits} bits must be 0"
        ));
    }
    Ok(Network { address, prefix })
}

fn port_range(text: &str) -> Result<PortRange, String> {
    let wrong = || "expected a range of ports such as 30000-32767".to_owned();
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let port = |text: &str| {
        text.trim()
            .parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(wrong)
    };
    let range = PortRange {
        first: port(first)?,
        last: port(last)?,
    };
    if range.first > range.last {
        Err(wrong())
    } else {
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn parse(flags: &[&str]) -> Result<Options, String> {
        let arguments = ["apiserver", "--etcd-servers=http://127.0.0.1:2379"]
            .iter()
            .chain(flags);
        let options = Options::try_parse_from(arguments).map_err(|error| error.to_string())?;
        options.validate().map_err(|error| error.to_string())?;
        Ok(options)
    }

    #[test]
    fn flags_are_kube_apiservers() {
        let options = parse(&[
            "--etcd-servers=unix:///run/a.sock,http://b:1",
            "--service-cluster-ip-range=10.96.0.0/16,fd00::/108",
            "--allow-privileged=true",
            "--anonymous-auth=false",
            "--service-account-issuer=https://a",
            "--service-account-issuer=https://b",
            "--request-timeout=30s",
            "--secure-port=0",
        ])
        .unwrap();
        assert_eq!(options.etcd_servers.len(), 3);
        assert_eq!(options.service_cluster_ip_range[1].to_string(), "fd00::/108");
        assert!(options.allow_privileged && !options.anonymous_auth);
        assert_eq!(options.audiences(), ["https://a", "https://b"]);
        assert_eq!(options.request_timeout, Duration::from_secs(30));
        assert_eq!(
            options.service_node_port_range,
            PortRange {
                first: 30000,
                last: 32767
            }
        );
        assert!(parse(&["--allow-privileged"]).unwrap().allow_privileged);
    }

    #[test]
    fn mistakes_name_the_flag() {
        for flag in [
            "--etcd-prefix=registry",
            "--etcd-compaction-interval=often",
            "--secure-port=70000",
            "--bind-address=here",
            "--tls-cert-file=/a",
            "--kubelet-client-key=/a",
            "--request-timeout=0",
            "--service-allocation-repair-interval=0",
            "--watch-cache-check-interval=sometimes",
            "--authorization-mode=AlwaysAllow",
            "--service-account-signing-key-file=/a",
            "--service-account-issuer=",
            "--service-cluster-ip-range=10.96.0.1/16",
            "--service-cluster-ip-range=10.96.0.0",
            "--service-cluster-ip-range=10.96.0.0/16,10.97.0.0/16",
            "--service-node-port-range=5-4",
            "--anonymous-auth=maybe",
        ] {
            let name = flag.split('=').next().unwrap();
            let error = parse(&[flag]).unwrap_err();
            assert!(error.contains(name), "{flag}: {error}");
        }
        let error = Options::try_parse_from(["apiserver"]).unwrap_err().to_string();
        assert!(error.contains("--etcd-servers"), "{error}");
    }
}
