//! The plugins, one directory each, and THE order in which a query passes them.

mod bind;
mod cache;
mod errors;
mod forward;
mod health;
mod hosts;
mod kubernetes;
mod loadbalance;
mod log;
mod r#loop;
mod prometheus;
mod ready;
mod reload;
mod rewrite;
mod template;

#[cfg(test)]
pub(crate) use log::code_name;

use crate::corefile::{Directive, Error, Sources};
use crate::metrics::Metrics;
use crate::networking::Networking;
use crate::records::Store;
use crate::request::Handler;
use chassis::{CancellationToken, Tasks};
use hickory_proto::rr::Name;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Reads a plugin's lines of a server block, in the order of the file, into the handlers it needs.
type Setup = fn(&[Directive], &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error>;

/// Every plugin. A query passes them from top to bottom, whatever their order in the Corefile; the order is that of
/// CoreDNS' `plugin.cfg`.
pub(crate) const PLUGINS: &[(&str, Setup)] = &[
    ("reload", reload::setup),
    ("bind", bind::setup),
    ("ready", ready::setup),
    ("health", health::setup),
    ("prometheus", prometheus::setup),
    ("errors", errors::setup),
    ("log", log::setup),
    ("loadbalance", loadbalance::setup),
    ("cache", cache::setup),
    ("rewrite", rewrite::setup),
    ("template", template::setup),
    ("hosts", hosts::setup),
    ("kubernetes", kubernetes::setup),
    ("loop", r#loop::setup),
    ("forward", forward::setup),
];

/// What plugins have at their disposal, whatever the Corefile says.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) metrics: Metrics,
    pub(crate) records: Arc<Store>,
    /// There is a record stream to fill the records.
    pub(crate) has_records: bool,
    /// Addresses of this name server; the services in front of them answer NS queries.
    pub(crate) own_addresses: Vec<IpAddr>,
    pub(crate) networking: Arc<Networking>,
    pub(crate) tasks: Tasks,
}

/// The server block that is being set up.
pub(crate) struct Block<'a> {
    /// The zones of its addresses.
    pub(crate) zones: &'a [Name],
    /// The label `server` of metrics, such as dns://:53.
    pub(crate) server: &'a str,
    pub(crate) shared: &'a Shared,
    pub(crate) sources: &'a dyn Sources,
    pub(crate) plan: &'a mut Plan,
    /// Addresses to listen on instead of all, from `bind`.
    pub(crate) binds: Vec<IpAddr>,
}

impl Block<'_> {
    /// The zones as CoreDNS writes them into labels.
    pub(crate) fn zone_label(&self) -> String {
        self.zones.iter().map(Name::to_string).collect::<Vec<_>>().join(",")
    }
}

/// What a Corefile wants done besides answering queries.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) http: Vec<Endpoint>,
    /// How long to go on answering after SIGTERM.
    pub(crate) lameduck: Duration,
    pub(crate) reload: Option<Reload>,
    pub(crate) include_pods: bool,
    /// Plugins that may be not ready, by name.
    pub(crate) ready: Vec<(&'static str, ReadyCheck)>,
    pub(crate) jobs: Vec<Job>,
}

/// Whether a plugin is ready to answer.
pub(crate) type ReadyCheck = Arc<dyn Fn() -> bool + Send + Sync>;

/// An HTTP endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) kind: EndpointKind,
    pub(crate) address: SocketAddr,
    /// Where the Corefile asks for it.
    pub(crate) directive: Directive,
}

/// What an HTTP endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum EndpointKind {
    Health,
    Ready,
    Prometheus,
}

/// Look at the Corefile again after each interval, and up to the jitter later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reload {
    pub(crate) interval: Duration,
    pub(crate) jitter: Duration,
}

/// Work in the background for as long as the Corefile is in use.
pub(crate) struct Job {
    pub(crate) name: &'static str,
    run: JobStart,
}

type JobFuture = Pin<Box<dyn Future<Output = ()> + Send>>;
type JobStart = Box<dyn FnOnce(JobContext) -> JobFuture + Send>;

impl Job {
    pub(crate) fn new<F>(name: &'static str, run: impl FnOnce(JobContext) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Job {
            name,
            run: Box::new(move |context| Box::pin(run(context))),
        }
    }

    pub(crate) fn start(self, context: JobContext) -> JobFuture {
        (self.run)(context)
    }
}

/// What a job needs to know of the running service.
pub(crate) struct JobContext {
    /// The Corefile is in use no more.
    pub(crate) stop: CancellationToken,
    /// An address of the server block, as a client on this machine reaches it.
    pub(crate) address: SocketAddr,
}

/// Refuses a second line of a plugin that takes one.
fn only_once(directives: &[Directive]) -> Result<(), Error> {
    match directives.get(1) {
        None => Ok(()),
        Some(second) => Err(second
            .name
            .error(format!("{} may stand only once in a server block", second.name.text))),
    }
}

/// `[HOST]:PORT` or `PORT`-less forms of HTTP endpoints: an empty host is all addresses.
fn http_address(directive: &Directive, text: &str) -> Result<SocketAddr, Error> {
    match text
        .parse::<chassis::BindAddress>()
        .ok()
        .and_then(|address| address.tcp())
    {
        Some(address) => Ok(address),
        None => Err(directive
            .name
            .error(format!("{text:?} is not an address such as :8080 or 127.0.0.1:8080"))),
    }
}

/// A number that differs each time and that nobody outside can guess.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // Every RandomState has its own keys.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
