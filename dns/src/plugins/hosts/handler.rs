//! Answers from the file, and reads it again when it has changed.

use super::file::Hosts;
use crate::corefile::{Disk, Sources};
use crate::metrics::Metrics;
use crate::request::{Answer, Failure, Handler, Next, Request, Served, done, record};
use crate::zone::{Fallthrough, address_of_reverse, matching};
use chassis::{CancellationToken, lock};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

const NAME: &str = "hosts";

/// The options of the plugin.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) file: PathBuf,
    pub(super) zones: Vec<Name>,
    /// Lines of the Corefile.
    pub(super) inline: Hosts,
    pub(super) reverse: bool,
    pub(super) ttl: u32,
    /// How often to look at the file; zero is never.
    pub(super) reload: Duration,
    pub(super) fallthrough: Fallthrough,
}

pub(super) struct HostsFile {
    settings: Settings,
    current: Mutex<Arc<Hosts>>,
    metrics: Metrics,
}

impl HostsFile {
    pub(super) fn new(settings: Settings, metrics: Metrics) -> Self {
        let current = Mutex::new(Arc::new(settings.inline.clone()));
        HostsFile {
            settings,
            current,
            metrics,
        }
    }

    pub(super) fn reload_interval(&self) -> Option<Duration> {
        (!self.settings.reload.is_zero()).then_some(self.settings.reload)
    }

    /// Reads the file. One that is absent has no names; it may come later.
    pub(super) fn read(&self, sources: &dyn Sources) {
        let mut hosts = self.settings.inline.clone();
        match sources.read(&self.settings.file) {
            Ok(text) => hosts.add(&text, self.settings.reverse),
            Err(error) => {
                let file = self.settings.file.display();
                tracing::warn!(%file, %error, "the hosts file cannot be read");
            }
        }
        self.metrics.hosts_entries.set(hosts.len() as i64);
        *lock(&self.current) = Arc::new(hosts);
    }

    /// Looks at the file's time and size after every interval, until `stop`.
    pub(super) async fn watch(self: Arc<Self>, interval: Duration, stop: CancellationToken) {
        let mut seen = self.stamp();
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = stop.cancelled() => return,
            }
            let now = self.stamp();
            if now != seen {
                seen = now;
                self.read(&Disk);
            }
        }
    }

    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let metadata = std::fs::metadata(&self.settings.file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }

    fn records(&self, name: &Name, addresses: &[IpAddr], kind: RecordType) -> Vec<Record> {
        let of_kind = addresses.iter().filter_map(|address| match (address, kind) {
            (IpAddr::V4(ip), RecordType::A) => Some(RData::A(A(*ip))),
            (IpAddr::V6(ip), RecordType::AAAA) => Some(RData::AAAA(AAAA(*ip))),
            _ => None,
        });
        of_kind
            .map(|data| record(name.clone(), self.settings.ttl, data))
            .collect()
    }
}

impl Handler for HostsFile {
    fn name(&self) -> &'static str {
        NAME
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a> {
        let hosts = lock(&self.current).clone();
        let (name, kind) = (request.name(), request.kind());
        let answers = if kind == RecordType::PTR {
            // Reverse names need not be among the zones, and are always handed on when they are not in the file.
            let names = address_of_reverse(name)
                .map(|address| hosts.names(address).to_vec())
                .unwrap_or_default();
            if names.is_empty() {
                return next.run(request);
            }
            let data = names.into_iter().map(|target| RData::PTR(PTR(target)));
            data.map(|data| record(name.clone(), self.settings.ttl, data)).collect()
        } else {
            if matching(&self.settings.zones, name).is_none() {
                return next.run(request);
            }
            let addresses = hosts.addresses(name);
            if addresses.is_empty() {
                if self.settings.fallthrough.applies(name) {
                    return next.run(request);
                }
                // Without an SOA record there is no proper way to say that the name does not exist.
                let error = format!("{name} is not in {}", self.settings.file.display());
                return done(Err(Failure {
                    code: ResponseCode::ServFail,
                    plugin: NAME,
                    error,
                }));
            }
            self.records(name, addresses, kind)
        };
        let mut message = request.reply(ResponseCode::NoError);
        message.metadata.authoritative = true;
        message.answers = answers;
        done(Ok(Answer { message, plugin: NAME }))
    }
}
