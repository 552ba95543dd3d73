//! Keeps messages and answers with them, as CoreDNS' `plugin/cache`.

use super::message::{Class, class, set_ttl, smallest_ttl};
use crate::metrics::{CacheLabels, CacheZoneLabels};
use crate::plugins::Block;
use crate::request::{Answer, Handler, Next, Outcome, Request, Served, done};
use crate::zone::matching;
use chassis::lock;
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RecordType};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const NAME: &str = "cache";
/// How many messages are added before old ones are looked for.
const SWEEP_EVERY: usize = 256;

/// Limits of one kind of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Messages.
    pub(super) capacity: usize,
    /// Seconds.
    pub(super) longest: u32,
    /// Seconds.
    pub(super) shortest: u32,
}

/// The options of the plugin.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) zones: Vec<Name>,
    pub(super) success: Limits,
    pub(super) denial: Limits,
    pub(super) servfail: Duration,
    /// Do not count TTLs down.
    pub(super) keep_ttl: bool,
    pub(super) no_success: Vec<Name>,
    pub(super) no_denial: Vec<Name>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// Compares without regard to case.
    name: Name,
    kind: RecordType,
    dnssec_ok: bool,
    checking_disabled: bool,
}

#[derive(Debug)]
struct Item {
    message: Message,
    plugin: &'static str,
    stored: Instant,
    ttl: u32,
}

impl Item {
    fn rest(&self, now: Instant) -> Option<u32> {
        let age = now.saturating_duration_since(self.stored).as_secs();
        u64::from(self.ttl)
            .checked_sub(age)
            .filter(|rest| *rest > 0)
            .map(|rest| rest as u32)
    }
}

/// One of the two halves of the cache.
#[derive(Debug)]
struct Half {
    items: Mutex<Items>,
    capacity: usize,
    entries: Gauge,
    hits: Counter,
    evictions: Counter,
}

#[derive(Debug, Default)]
struct Items {
    map: HashMap<Key, Item>,
    added: usize,
}

impl Half {
    fn new(capacity: usize, kind: &'static str, block: &Block<'_>) -> Self {
        let labels = CacheLabels {
            server: block.server.to_owned(),
            r#type: kind,
            zones: block.zone_label(),
            view: "",
        };
        let metrics = &block.shared.metrics;
        Half {
            items: Mutex::default(),
            capacity,
            entries: metrics.cache_entries.get_or_create_owned(&labels),
            hits: metrics.cache_hits.get_or_create_owned(&labels),
            evictions: metrics.cache_evictions.get_or_create_owned(&labels),
        }
    }

    fn get(&self, key: &Key, now: Instant) -> Option<(Message, u32, &'static str)> {
        let items = lock(&self.items);
        let item = items.map.get(key)?;
        let rest = item.rest(now)?;
        self.hits.inc();
        Some((item.message.clone(), rest, item.plugin))
    }

    fn put(&self, key: Key, item: Item, now: Instant) {
        let mut items = lock(&self.items);
        items.added += 1;
        if items.added.is_multiple_of(SWEEP_EVERY) {
            items.map.retain(|_, item| item.rest(now).is_some());
        }
        if items.map.len() >= self.capacity
            && !items.map.contains_key(&key)
            && let Some(victim) = items.map.keys().next().cloned()
        {
            items.map.remove(&victim);
            self.evictions.inc();
        }
        items.map.insert(key, item);
        self.entries.set(items.map.len() as i64);
    }

    fn remove(&self, key: &Key) {
        lock(&self.items).map.remove(key);
    }
}

pub(super) struct Cache {
    settings: Settings,
    success: Half,
    denial: Half,
    requests: Counter,
    misses: Counter,
}

impl Cache {
    pub(super) fn new(settings: Settings, block: &Block<'_>) -> Self {
        let labels = CacheZoneLabels {
            server: block.server.to_owned(),
            zones: block.zone_label(),
            view: "",
        };
        Cache {
            success: Half::new(settings.success.capacity, "success", block),
            denial: Half::new(settings.denial.capacity, "denial", block),
            requests: block.shared.metrics.cache_requests.get_or_create_owned(&labels),
            misses: block.shared.metrics.cache_misses.get_or_create_owned(&labels),
            settings,
        }
    }

    /// An answer that is still good. The time is a parameter for tests.
    pub(super) fn get(&self, request: &Request, now: Instant) -> Option<Answer> {
        let key = key(request);
        let found = self.denial.get(&key, now).or_else(|| self.success.get(&key, now));
        let (kept, rest, plugin) = found?;
        let mut message = request.reply(kept.metadata.response_code);
        // Some clients drop answers that are not authoritative, so CoreDNS makes them so.
        message.metadata.authoritative = true;
        message.metadata.recursion_available = kept.metadata.recursion_available;
        message.metadata.authentic_data = kept.metadata.authentic_data && request.dnssec_ok();
        message.answers = kept.answers;
        message.authorities = kept.authorities;
        message.additionals = kept.additionals;
        if !self.settings.keep_ttl {
            set_ttl(&mut message, rest);
        }
        Some(Answer { message, plugin })
    }

    /// Keeps an answer if it may be kept, and limits its TTLs to how long it is.
    pub(super) fn put(&self, request: &Request, answer: &mut Answer, now: Instant) {
        let Some(class) = class(&answer.message) else { return };
        let asked_for = answer
            .message
            .queries
            .first()
            .is_some_and(|query| query.name == *request.name());
        if !asked_for {
            return;
        }
        let (half, other, ttl, disabled) = match class {
            Class::Success => {
                let limits = self.settings.success;
                let ttl = smallest_ttl(&answer.message, class, limits.shortest);
                (
                    &self.success,
                    &self.denial,
                    clamp(ttl, limits),
                    &self.settings.no_success,
                )
            }
            Class::Denial => {
                let limits = self.settings.denial;
                let ttl = smallest_ttl(&answer.message, class, limits.shortest);
                (
                    &self.denial,
                    &self.success,
                    clamp(ttl, limits),
                    &self.settings.no_denial,
                )
            }
            Class::ServerError => {
                let ttl = self.settings.servfail.as_secs() as u32;
                (&self.denial, &self.success, ttl, &self.settings.no_denial)
            }
        };
        if ttl == 0 || matching(disabled, request.name()).is_some() {
            return;
        }
        if !self.settings.keep_ttl && class != Class::ServerError {
            set_ttl(&mut answer.message, ttl);
        }
        let key = key(request);
        other.remove(&key);
        let mut message = answer.message.clone();
        message.edns = None;
        half.put(
            key,
            Item {
                message,
                plugin: answer.plugin,
                stored: now,
                ttl,
            },
            now,
        );
    }
}

fn clamp(ttl: u32, limits: Limits) -> u32 {
    ttl.max(limits.shortest).min(limits.longest)
}

fn key(request: &Request) -> Key {
    Key {
        name: request.name().clone(),
        kind: request.kind(),
        dnssec_ok: request.dnssec_ok(),
        checking_disabled: request.message.metadata.checking_disabled,
    }
}

impl Handler for Cache {
    fn name(&self) -> &'static str {
        NAME
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a> {
        if matching(&self.settings.zones, request.name()).is_none() {
            return next.run(request);
        }
        self.requests.inc();
        if let Some(answer) = self.get(request, Instant::now()) {
            return done(Ok(answer));
        }
        self.misses.inc();
        Box::pin(async move {
            let mut outcome: Outcome = next.run(request).await;
            if let Ok(answer) = &mut outcome {
                self.put(request, answer, Instant::now());
            }
            outcome
        })
    }
}
