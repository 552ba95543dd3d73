//! Reads `forward`.

use super::handler::{Forward, Policy, Settings};
use super::resolv_conf::name_servers;
use super::upstream::{HealthCheck, Upstream};
use crate::corefile::{Directive, Error, Token};
use crate::plugins::{Block, Job};
use crate::request::Handler;
use crate::zone;
use hickory_proto::rr::Name;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// As in CoreDNS.
const MOST_UPSTREAMS: usize = 15;

/// Names the machine's own name servers.
const MACHINES: &str = "/etc/resolv.conf";

pub(crate) fn setup(directives: &[Directive], block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    let mut handlers: Vec<Arc<dyn Handler>> = Vec::new();
    for directive in directives {
        let shared = block.shared;
        let handler = Arc::new(Forward::new(
            settings(directive, block)?,
            shared.metrics.clone(),
            shared.tasks.clone(),
        ));
        // Health checks must not outlive the Corefile that asks for them.
        let stop = handler.stop_token();
        block.plan.jobs.push(Job::new("forward", move |context| async move {
            context.stop.cancelled().await;
            stop.cancel();
        }));
        handlers.push(handler);
    }
    Ok(handlers)
}

fn settings(directive: &Directive, block: &Block<'_>) -> Result<Settings, Error> {
    let usage = "forward FROM TO...";
    let [from, to @ ..] = directive.args.as_slice() else {
        return Err(directive.misused(usage));
    };
    if to.is_empty() {
        return Err(directive.misused(usage));
    }
    let mut addresses = Vec::new();
    for token in to {
        addresses.extend(upstreams(token, block)?);
    }
    let mut policy = Policy::Random;
    let texts: Vec<&str> = to.iter().map(|token| token.text.as_str()).collect();
    if let Some(fallback) = fallback(&texts, &block.shared.networking.fallback_dns) {
        policy = Policy::Sequential;
        addresses.push(fallback);
    }
    if addresses.len() > MOST_UPSTREAMS {
        return Err(directive.name.error(format!("more than {MOST_UPSTREAMS} upstreams")));
    }
    let mut settings = Settings {
        from: zone::parse(from)?,
        upstreams: addresses
            .into_iter()
            .map(|address| Arc::new(Upstream::new(address)))
            .collect(),
        except: Vec::new(),
        policy,
        force_tcp: false,
        prefer_udp: false,
        max_fails: 2,
        max_concurrent: None,
        fail_fast: false,
        check: HealthCheck {
            interval: Duration::from_millis(500),
            recursion_desired: true,
            domain: Name::root(),
        },
    };
    for line in &directive.block {
        property(line, &mut settings)?;
    }
    Ok(settings)
}

fn property(line: &Directive, settings: &mut Settings) -> Result<(), Error> {
    let flag = || line.exactly::<0>(&line.name.text).map(|_| true);
    match line.name.text.as_str() {
        "except" => {
            if line.args.is_empty() {
                return Err(line.misused("except ZONE..."));
            }
            settings.except.extend(zone::parse_all(&line.args)?);
        }
        "force_tcp" => settings.force_tcp = flag()?,
        "prefer_udp" => settings.prefer_udp = flag()?,
        "failfast_all_unhealthy_upstreams" => settings.fail_fast = flag()?,
        "max_fails" => settings.max_fails = line.exactly::<1>("max_fails NUMBER")?[0].parse("a number")?,
        "max_concurrent" => {
            let limit: usize = line.exactly::<1>("max_concurrent NUMBER")?[0].parse("a number")?;
            settings.max_concurrent = (limit > 0).then_some(limit);
        }
        "policy" => {
            let token = &line.exactly::<1>("policy random|round_robin|sequential")?[0];
            settings.policy = match token.text.as_str() {
                "random" => Policy::Random,
                "round_robin" => Policy::RoundRobin,
                "sequential" => Policy::Sequential,
                _ => return Err(line.misused("policy random|round_robin|sequential")),
            };
        }
        "health_check" => health_check(line, &mut settings.check)?,
        "expire"
        | "tls"
        | "tls_servername"
        | "max_connect_attempts"
        | "max_age"
        | "max_idle_conns"
        | "next"
        | "failover"
        | "source_address" => {
            return Err(line.name.error(format!("forward does not support {}", line.name.text)));
        }
        _ => return Err(line.unknown("forward")),
    }
    Ok(())
}

/// `health_check DURATION [no_rec] [domain NAME]`.
fn health_check(line: &Directive, check: &mut HealthCheck) -> Result<(), Error> {
    let usage = || line.misused("health_check DURATION [no_rec] [domain NAME]");
    let [interval, rest @ ..] = line.args.as_slice() else {
        return Err(usage());
    };
    check.interval = interval.duration()?;
    if check.interval.is_zero() {
        return Err(interval.error("the interval of health checks must not be 0"));
    }
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "no_rec" => check.recursion_desired = false,
            "domain" => {
                let token = words.next().ok_or_else(usage)?;
                check.domain = zone::parse(token)?.first().cloned().unwrap_or_else(Name::root);
            }
            _ => return Err(usage()),
        }
    }
    Ok(())
}

/// The server that comes after those of the machine: vCluster puts `policies.networkPolicy.fallbackDns` there in its Corefile
/// (pkg/coredns/template.go). Who names other servers has said what is to be asked.
fn fallback(to: &[&str], configured: &str) -> Option<SocketAddr> {
    (to == [MACHINES]).then(|| address(configured)).flatten()
}

/// `IP` or `IP:PORT`.
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let ip = bare.parse::<IpAddr>().ok()?;
    Some(SocketAddr::new(ip, 53))
}

/// `IP`, `IP:PORT`, `dns://IP[:PORT]` or a file in the form of resolv.conf.
fn upstreams(token: &Token, block: &Block<'_>) -> Result<Vec<SocketAddr>, Error> {
    let text = token.text.as_str();
    let address = match text.split_once("://") {
        None => text,
        Some(("dns", address)) => address,
        Some((scheme, _)) => return Err(token.error(format!("forward does not support {scheme} upstreams, only dns"))),
    };
    if let Some(address) = self::address(address) {
        return Ok(vec![address]);
    }
    let unusable = |why: &str| token.error(format!("the upstream {text:?} is neither an address nor {why}"));
    let file = block
        .sources
        .read(Path::new(text))
        .map_err(|_| unusable("a readable file such as /etc/resolv.conf"))?;
    let servers = name_servers(&file);
    if servers.is_empty() {
        return Err(unusable("a file with a nameserver line"));
    }
    Ok(servers.into_iter().map(|ip| SocketAddr::new(ip, 53)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fallback_comes_after_the_servers_of_the_machine_only() {
        let shown = |to: &[&str], configured| fallback(to, configured).map(|address| address.to_string());
        assert_eq!(shown(&[MACHINES], "8.8.8.8").as_deref(), Some("8.8.8.8:53"));
        assert_eq!(
            shown(&[MACHINES], "[2001:db8::1]:5353").as_deref(),
            Some("[2001:db8::1]:5353")
        );
        assert_eq!(shown(&[MACHINES], ""), None);
        assert_eq!(shown(&[MACHINES, "192.0.2.1"], "8.8.8.8"), None);
        assert_eq!(shown(&["192.0.2.1"], "8.8.8.8"), None);
    }
}
