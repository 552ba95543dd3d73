//! Reads `kubernetes`.

use super::handler::Kubernetes;
use super::lookup::{Pods, Settings};
use super::resolve::Resolve;
use crate::corefile::{Directive, Error};
use crate::plugins::Block;
use crate::request::Handler;
use crate::zone::{self, Fallthrough};
use hickory_proto::rr::Name;
use std::sync::Arc;

const DEFAULT_TTL: u32 = 5;
const LARGEST_TTL: u32 = 3600;

pub(crate) fn setup(directives: &[Directive], block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    let mut handlers: Vec<Arc<dyn Handler>> = Vec::new();
    let rules = &block.shared.networking.rules;
    if !directives.is_empty() && !rules.is_empty() {
        handlers.push(Arc::new(Resolve { rules: rules.clone() }));
    }
    for directive in directives {
        handlers.push(Arc::new(one(directive, block)?));
    }
    if !handlers.is_empty() {
        let records = block.shared.records.clone();
        block
            .plan
            .ready
            .push(("kubernetes", Arc::new(move || records.is_synced())));
    }
    Ok(handlers)
}

fn one(directive: &Directive, block: &mut Block<'_>) -> Result<Kubernetes, Error> {
    if !block.shared.has_records {
        return Err(directive
            .name
            .error("kubernetes needs the record stream of the syncer: set --records-endpoint"));
    }
    let mut zones = match directive.args.as_slice() {
        [] => block.zones.to_vec(),
        zones => zone::parse_all(zones)?,
    };
    let networking = &block.shared.networking;
    if let Some(domain) = networking.domain.as_ref().filter(|domain| !zones.contains(domain)) {
        zones.insert(0, domain.clone());
    }
    let is_reverse = |zone: &&Name| {
        ["in-addr.arpa.", "ip6.arpa."]
            .iter()
            .any(|tree| Name::from_ascii(tree).is_ok_and(|tree| tree.zone_of(zone)))
    };
    let Some(primary) = zones.iter().find(|zone| !is_reverse(zone)).cloned() else {
        return Err(directive
            .name
            .error("kubernetes needs a zone that is not a reverse zone, such as cluster.local"));
    };
    let mut settings = Settings {
        zones,
        primary,
        pods: Pods::Disabled,
        ttl: DEFAULT_TTL,
        namespaces: Vec::new(),
        endpoint_pod_names: false,
        endpoints: true,
        ignore_empty_service: false,
        own_addresses: block.shared.own_addresses.clone(),
    };
    let mut fallthrough = Fallthrough::default();
    for line in &directive.block {
        match line.name.text.as_str() {
            "pods" => settings.pods = pods(line, block)?,
            "ttl" => {
                let ttl = line.exactly::<1>("ttl SECONDS")?[0].parse("a number of seconds")?;
                if ttl > LARGEST_TTL {
                    return Err(line.name.error(format!("the ttl must be between 0 and {LARGEST_TTL}")));
                }
                settings.ttl = ttl;
            }
            "namespaces" => {
                if line.args.is_empty() {
                    return Err(line.misused("namespaces NAMESPACE..."));
                }
                settings
                    .namespaces
                    .extend(line.args.iter().map(|token| token.text.to_lowercase()));
            }
            "endpoint_pod_names" => {
                line.exactly::<0>("endpoint_pod_names")?;
                settings.endpoint_pod_names = true;
            }
            "noendpoints" => {
                line.exactly::<0>("noendpoints")?;
                settings.endpoints = false;
            }
            "ignore" => match line.exactly::<1>("ignore empty_service")?[0].text.as_str() {
                "empty_service" => settings.ignore_empty_service = true,
                _ => return Err(line.misused("ignore empty_service")),
            },
            "fallthrough" => fallthrough = Fallthrough::parse(&line.args)?,
            "kubeconfig" | "endpoint" | "tls" | "apiserver_qps" | "apiserver_burst" | "apiserver_max_inflight" => {
                let (at, property) = (&line.name.at, &line.name.text);
                tracing::warn!(%at, property, "not used: the records come from --records-endpoint");
            }
            "labels" | "namespace_labels" | "multicluster" | "startup_timeout" | "upstream" => {
                return Err(line
                    .name
                    .error(format!("kubernetes does not support {} here", line.name.text)));
            }
            _ => return Err(line.unknown("kubernetes")),
        }
    }
    if networking.fallback_host_cluster {
        fallthrough.extend(&settings.zones);
    }
    Ok(Kubernetes {
        settings,
        fallthrough,
        records: block.shared.records.clone(),
    })
}

fn pods(line: &Directive, block: &mut Block<'_>) -> Result<Pods, Error> {
    let usage = "pods disabled|insecure|verified";
    match line.exactly::<1>(usage)?[0].text.as_str() {
        "disabled" => Ok(Pods::Disabled),
        "insecure" => Ok(Pods::Insecure),
        "verified" => {
            block.plan.include_pods = true;
            Ok(Pods::Verified)
        }
        _ => Err(line.misused(usage)),
    }
}
