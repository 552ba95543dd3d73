//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;
use chassis::usage;
use clap::{Args, Parser, Subcommand};
use machinery::names::{dns1123_label, dns1123_subdomain};

/// Virtual Kubernetes clusters: each a control plane of its own in one namespace of a host cluster.
#[derive(Debug, Parser)]
#[command(name = "vcluster", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try it on this machine: a host cluster with simulated nodes, and virtual clusters on it
    #[command(subcommand)]
    Playground(Playground),

    /// Manage the certificates and kubeconfigs of a control plane
    #[command(subcommand)]
    Certs(Certs),

    /// Print what a virtual cluster needs in its host besides the control plane: service accounts, rights, limits and
    /// network policies
    ///
    /// The rights are exactly those that the vcluster.yaml makes necessary. Apply them in the host before the control plane
    /// starts, and again when the file has changed.
    #[command(after_help = MANIFESTS_EXAMPLES)]
    Manifests(Manifests),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Certs {
    /// Make the certificates, keys and kubeconfigs that a control plane needs
    ///
    /// Makes what is missing, renews certificates that expire within 90 days or lack a name, and leaves everything else as it
    /// is. Run it before the control plane starts; in a Pod, as an init container.
    #[command(after_help = CERTS_EXAMPLES)]
    Create(CreateCerts),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Playground {
    /// Start a playground in the background and say how to reach its clusters
    ///
    /// Everything listens on 127.0.0.1 and keeps its files in one directory. The nodes of the host are simulated: pods
    /// become Running, have addresses, logs, exec and port-forward, but no image is pulled and no program runs.
    #[command(after_help = UP_EXAMPLES)]
    Up(Up),
    /// Show what runs and how to reach it
    Status(Status),
    /// Stop all processes of a playground and remove its files, also after a crash
    Down(Directory),
}

const UP_EXAMPLES: &str = "Examples:
  vcluster playground up                    one virtual cluster, vc-1, in the host namespace vcluster-vc-1
  vcluster playground up --clusters 3       vc-1, vc-2 and vc-3
  vcluster playground up --clusters 3 --nested
                                            vc-3 in vc-2 in vc-1 in the host
  vcluster playground up -f vcluster.yaml   configured as the file says
  vcluster playground up --dir ./play       keep the files in ./play";

const CERTS_EXAMPLES: &str = "Example:
  vcluster certs create --dir /data/pki --name team-a --namespace team-a --san team-a.example.com";

const MANIFESTS_EXAMPLES: &str = "Example:
  vcluster manifests --name team-a --namespace team-a -f vcluster.yaml | kubectl apply -f -";

#[derive(Debug, Args)]
pub(crate) struct Manifests {
    /// Name of the virtual cluster
    #[arg(long, value_name = "NAME", value_parser = dns_label)]
    pub(crate) name: String,

    /// Namespace of the host in which the control plane runs
    #[arg(long, value_name = "NAMESPACE", value_parser = dns_label)]
    pub(crate) namespace: String,

    /// The vcluster.yaml [default: the defaults of every key]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) values: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateCerts {
    /// Where the files are; made if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Name of the virtual cluster
    #[arg(long, value_name = "NAME", value_parser = dns_label)]
    pub(crate) name: String,

    /// Namespace of the host in which the control plane runs
    #[arg(long, value_name = "NAMESPACE", value_parser = dns_label)]
    pub(crate) namespace: String,

    /// Service of the host that leads to the API server [default: the name of the virtual cluster]
    #[arg(long, value_name = "NAME", value_parser = dns_label)]
    pub(crate) service: Option<String>,

    /// Look the Service up in DNS and let the certificate cover its addresses, which is how Pods reach the API server
    #[arg(long)]
    pub(crate) resolve_service: bool,

    /// Make the credentials of a scheduler, too
    #[arg(long)]
    pub(crate) scheduler: bool,

    /// One more DNS name or IP address of the API server; can be repeated
    #[arg(long = "san", value_name = "NAME", value_delimiter = ',', value_parser = host_name)]
    pub(crate) names: Vec<String>,

    /// URL in the kubeconfigs
    #[arg(long, value_name = "URL", default_value = "https://127.0.0.1:8443", value_parser = https_url)]
    pub(crate) server: String,

    /// DNS domain of the virtual cluster
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local", value_parser = domain)]
    pub(crate) cluster_domain: String,
}

#[derive(Debug, Args)]
pub(crate) struct Directory {
    /// Where the playground keeps its files [default: $XDG_STATE_HOME/vcluster/playground, else
    /// ~/.local/state/vcluster/playground]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Number of virtual clusters; they are called vc-1, vc-2, ...
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=50))]
    pub(crate) clusters: u8,

    /// Name of a virtual cluster, instead of a number of them; can be repeated
    #[arg(long = "name", value_name = "NAME", value_parser = dns_label, conflicts_with = "clusters")]
    pub(crate) names: Vec<String>,

    /// The one namespace that all virtual clusters live in [default: one for each, vcluster-NAME]
    #[arg(long, value_name = "NAMESPACE", value_parser = dns_label)]
    pub(crate) namespace: Option<String>,

    /// Put each virtual cluster into the one before it: vc-1 into the host, vc-2 into vc-1, vc-3 into vc-2
    #[arg(long)]
    pub(crate) nested: bool,

    /// Kubeconfig of a cluster to put the virtual clusters into, instead of the embedded host with its simulated nodes: the
    /// control planes run on this machine all the same, pods do not reach them; `down` removes everything from that cluster
    #[arg(long, value_name = "FILE", conflicts_with = "nodes")]
    pub(crate) host_kubeconfig: Option<PathBuf>,

    /// Number of simulated nodes, node-1, node-2, ..., each for up to 110 pods
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) nodes: u8,

    /// The vcluster.yaml of every virtual cluster [default: the defaults of every key]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) values: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) directory: Directory,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print everything as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) directory: Directory,
}

impl Directory {
    /// Whether no directory was asked for.
    pub(crate) fn is_default(&self) -> bool {
        self.dir.is_none()
    }

    /// The directory asked for, or the default one.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        if let Some(dir) = &self.dir {
            return Ok(dir.clone());
        }
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let state = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
        let state = state.ok_or_else(|| usage("neither XDG_STATE_HOME nor HOME is set: say where with --dir"))?;
        Ok(state.join("vcluster").join("playground"))
    }
}

fn dns_label(text: &str) -> Result<String, String> {
    sound(text, dns1123_label(text))
}

fn domain(text: &str) -> Result<String, String> {
    sound(text, dns1123_subdomain(text))
}

/// An IP address, or a DNS name, which may begin with a wildcard.
fn host_name(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() || dns1123_subdomain(text.strip_prefix("*.").unwrap_or(text)).is_empty() {
        return Ok(text.to_owned());
    }
    Err("neither an IP address nor a DNS name".to_owned())
}

fn https_url(text: &str) -> Result<String, String> {
    match text.strip_prefix("https://") {
        Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => Ok(text.to_owned()),
        _ => Err("expected a URL such as https://127.0.0.1:8443".to_owned()),
    }
}

fn sound(text: &str, problems: Vec<String>) -> Result<String, String> {
    if problems.is_empty() {
        return Ok(text.to_owned());
    }
    Err(problems.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
        let parse = |arguments: &[&str]| Options::try_parse_from([&["vcluster", "playground"], arguments].concat());
        assert!(parse(&["up", "--clusters", "3", "--nodes=5"]).is_ok());
        for wrong in [
            &["up", "--clusters", "x"][..],
            &["up", "--nodes", "0"],
            &["sideways"],
            &[],
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
        assert_eq!(parse(&["up", "--version"]).unwrap_err().exit_code(), 0);
    }

    #[test]
    fn mistakes_in_names_say_which_flag_and_why() {
        let parse = |more: &[&str]| {
            let required = [
                "vcluster",
                "certs",
                "create",
                "--dir=d",
                "--name=vc",
                "--namespace=team-a",
            ];
            Options::try_parse_from(required.iter().chain(more))
        };
        for right in [
            "--san=10.0.0.1,fd00::1",
            "--san=*.example.com",
            "--server=https://api.example.com",
            "--service=front",
        ] {
            assert!(parse(&[right]).is_ok(), "{right}");
        }
        for (flag, value, why) in [
            ("--san", "$(POD_IP)", "neither an IP address nor a DNS name"),
            ("--san", "a_b", "neither an IP address nor a DNS name"),
            ("--service", "Front", "lower case"),
            ("--server", "http://127.0.0.1", "https://"),
            ("--cluster-domain", "cluster..local", "lower case"),
        ] {
            let error = parse(&[&format!("{flag}={value}")]).unwrap_err().to_string();
            assert!(error.contains(flag) && error.contains(why), "{error}");
        }
    }
}
