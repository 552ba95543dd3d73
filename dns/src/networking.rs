//! What vcluster.yaml says about names: the domain, and the rules of `networking.resolveDNS`.

use crate::corefile::Sources;
use crate::options::Options;
use anyhow::Result;
use config::{Config, Resolution, Source, Target};
use hickory_proto::rr::Name;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// The domain of a host that does not say which it has.
const DEFAULT_DOMAIN: &str = "cluster.local";

/// The settings of vcluster.yaml.
#[derive(Debug, Default)]
pub(crate) struct Networking {
    /// The domain of the virtual cluster, if there is a file that may say so.
    pub(crate) domain: Option<Name>,
    /// What the domain does not have is looked up in the host's.
    pub(crate) fallback_host_cluster: bool,
    /// The name server that is asked when those of the machine do not answer; none when it is empty.
    pub(crate) fallback_dns: String,
    pub(crate) rules: Arc<Rules>,
}

impl Networking {
    /// Reads the file of `--config`.
    ///
    /// # Errors
    /// It cannot be read or used.
    pub(crate) fn read(options: &Options, sources: &dyn Sources) -> Result<Self> {
        let Some(file) = &options.config else {
            return Ok(Self::default());
        };
        let text = sources
            .read(file)
            .map_err(|error| chassis::usage(format!("--config: cannot read {}: {error}", file.display())))?;
        let config = Config::parse(&file.display().to_string(), &text)
            .map_err(|error| chassis::usage(format!("--config: {error}")))?;
        let host = options.host_cluster_domain.clone().unwrap_or_else(|| {
            let file = sources.read(Path::new("/etc/resolv.conf")).unwrap_or_default();
            cluster_domain(&file).unwrap_or_else(|| DEFAULT_DOMAIN.to_owned())
        });
        let networking = config.networking;
        let own = networking.advanced.cluster_domain;
        Ok(Self {
            domain: fully_qualified(&own),
            // Network policies may keep the others out of reach.
            fallback_dns: match config.policies.network_policy {
                policy if policy.enabled && !networking.advanced.fallback_host_cluster => policy.fallback_dns,
                _ => String::new(),
            },
            fallback_host_cluster: networking.advanced.fallback_host_cluster,
            rules: Arc::new(Rules::new(&networking.resolve_dns, &own, &host)),
        })
    }
}

/// The domain of the cluster in which a resolv.conf is a pod's: its search list names `NAMESPACE.svc.DOMAIN`.
fn cluster_domain(resolv_conf: &str) -> Option<String> {
    let mut lists = resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("search "));
    // The last one counts (resolv.conf(5)).
    let list = lists.next_back()?;
    list.split_whitespace().find_map(|domain| {
        let (_, domain) = domain.trim_end_matches('.').split_once(".svc.")?;
        Some(domain.to_owned())
    })
}

fn fully_qualified(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    Address(IpAddr),
    /// A name that the virtual cluster resolves.
    Name(Name),
    /// A name that the host resolves.
    HostName(Name),
}

/// Where a rule leads; the text of a wildcard takes the place of `*`.
#[derive(Debug, Clone)]
enum To {
    Address(IpAddr),
    Name(String),
    HostName(String),
}

/// A rule with a wildcard: any text between these two.
#[derive(Debug)]
struct Wildcard {
    before: String,
    after: String,
    to: To,
}

/// The rules of `networking.resolveDNS`, the most exact ones first.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    exact: HashMap<String, To>,
    wildcards: Vec<Wildcard>,
}

impl Rules {
    /// The rules of a virtual cluster with the domain `own` on a host with the domain `host`.
    pub(crate) fn new(resolutions: &[Resolution], own: &str, host: &str) -> Self {
        let mut rules = Self::default();
        // Services have this domain, too, whatever the other one is.
        let mut domains = vec![own, DEFAULT_DOMAIN];
        domains.dedup();
        let on_host = |namespace: &str, name: &str| To::HostName(format!("{name}.{namespace}.svc.{host}"));
        for resolution in resolutions {
            let to = match &resolution.target {
                Target::Ip(ip) => To::Address(*ip),
                Target::Hostname(name) => To::Name(name.clone()),
                Target::HostService { namespace, name } => on_host(namespace, name),
                Target::HostNamespace(namespace) => on_host(namespace, "*"),
            };
            match &resolution.source {
                Source::Hostname(pattern) => rules.add(pattern, to),
                Source::Service { namespace, name } => {
                    for domain in &domains {
                        let service = format!("{name}.{namespace}.svc.{domain}");
                        // Its endpoints and ports are names below that of the Service.
                        if let To::HostName(target) = &to {
                            rules.add(&format!("*.{service}"), To::HostName(format!("*.{target}")));
                        }
                        rules.add(&service, to.clone());
                    }
                }
                Source::Namespace(namespace) => {
                    for domain in &domains {
                        rules.add(&format!("*.{namespace}.svc.{domain}"), to.clone());
                    }
                }
            }
        }
        // Of two that fit, the one that says more; of equals the first.
        rules
            .wildcards
            .sort_by_key(|wildcard| std::cmp::Reverse(wildcard.before.len() + wildcard.after.len()));
        rules
    }

    fn add(&mut self, pattern: &str, to: To) {
        match pattern.split_once('*') {
            None => drop(self.exact.entry(pattern.to_owned()).or_insert(to)),
            Some((before, after)) => self.wildcards.push(Wildcard {
                before: before.to_owned(),
                after: after.to_owned(),
                to,
            }),
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
    }

    /// What a name stands for, if there is a rule about it.
    pub(crate) fn meaning(&self, name: &Name) -> Option<Meaning> {
        let name = name.to_lowercase().to_ascii();
        let name = name.strip_suffix('.').unwrap_or(&name);
        if let Some(to) = self.exact.get(name) {
            return to.filled("");
        }
        self.wildcards.iter().find_map(|wildcard| {
            let rest = name.strip_prefix(wildcard.before.as_str())?;
            let text = rest
                .strip_suffix(wildcard.after.as_str())
                .filter(|text| !text.is_empty())?;
            wildcard.to.filled(text)
        })
    }
}

impl To {
    fn filled(&self, text: &str) -> Option<Meaning> {
        let name = |pattern: &str| fully_qualified(&pattern.replacen('*', text, 1));
        match self {
            To::Address(ip) => Some(Meaning::Address(*ip)),
            To::Name(pattern) => name(pattern).map(Meaning::Name),
            To::HostName(pattern) => name(pattern).map(Meaning::HostName),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(entries: serde_json::Value) -> Rules {
        let resolutions = entries.as_array().unwrap().iter();
        let resolutions: Vec<Resolution> = resolutions.map(|entry| Resolution::parse(entry).unwrap()).collect();
        Rules::new(&resolutions, "own.internal", "host.internal")
    }

    fn shown(rules: &Rules, name: &str) -> String {
        match rules.meaning(&Name::from_ascii(name).unwrap()) {
            None => "-".to_owned(),
            Some(Meaning::Address(ip)) => ip.to_string(),
            Some(Meaning::Name(name)) => name.to_string(),
            Some(Meaning::HostName(name)) => format!("host: {name}"),
        }
    }

    #[test]
    fn the_most_exact_rule_counts() {
        let rules = rules(json!([
            {"hostname": "*.example.com", "target": {"hostname": "*.team.svc.own.internal"}},
            {"hostname": "*.db.example.com", "target": {"hostname": "*.db.example.net"}},
            {"hostname": "www.example.com", "target": {"ip": "192.0.2.1"}},
            {"hostname": "cache-*", "target": {"hostname": "*"}},
            {"namespace": "shared", "target": {"hostNamespace": "infra"}},
            {"service": "shared/own", "target": {"vClusterService": "h/vc/ns/web"}},
            {"service": "team/api", "target": {"hostname": "api.example.net"}},
        ]));
        for (name, expected) in [
            ("a.example.com.", "a.team.svc.own.internal."),
            ("A.B.Example.com.", "a.b.team.svc.own.internal."),
            ("one.db.example.com.", "one.db.example.net."),
            ("WWW.example.com.", "192.0.2.1"),
            ("example.com.", "-"),
            (".", "-"),
            ("cache-a.b.", "a.b."),
            ("web.shared.svc.own.internal.", "host: web.infra.svc.host.internal."),
            ("web.shared.svc.cluster.local.", "host: web.infra.svc.host.internal."),
            (
                "_http._tcp.web.shared.svc.own.internal.",
                "host: _http._tcp.web.infra.svc.host.internal.",
            ),
            (
                "own.shared.svc.own.internal.",
                "host: web-x-ns-x-vc.h.svc.host.internal.",
            ),
            (
                "pod-0.own.shared.svc.own.internal.",
                "host: pod-0.web-x-ns-x-vc.h.svc.host.internal.",
            ),
            ("shared.svc.own.internal.", "-"),
            ("api.team.svc.own.internal.", "api.example.net."),
            ("pod-0.api.team.svc.own.internal.", "-"),
        ] {
            assert_eq!(shown(&rules, name), expected, "{name}");
        }
        assert!(!rules.is_empty() && Rules::default().is_empty());
    }

    #[test]
    fn the_search_list_names_the_domain_of_the_cluster() {
        for (text, expected) in [
            (
                "search vc.svc.k8s.example svc.k8s.example k8s.example\nnameserver 10.0.0.10\n",
                Some("k8s.example"),
            ),
            ("search example.com\n", None),
            ("search a.svc.one\nsearch a.svc.two\n", Some("two")),
            ("", None),
        ] {
            assert_eq!(cluster_domain(text).as_deref(), expected, "{text:?}");
        }
    }
}
