//! The check of caches against the store (k8s.io/apiserver `cacher.consistencyChecker`): keys and revisions of both are
//! digested and compared. A cache that differs is thrown away and read again.

use super::cache::Cache;
use super::hub::Hub;
use crate::storage::interface::Error;
use chassis::CancellationToken;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    resource: String,
    status: &'static str,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The cache has what the store has.
    Same,
    /// It has not.
    Different,
}

/// Checks caches from time to time.
#[derive(Clone, Default)]
pub struct ConsistencyCheck {
    checks: Family<Labels, Counter>,
}

impl ConsistencyCheck {
    /// Registers the metric, which has upstream's name.
    pub fn new(metrics: &chassis::Metrics) -> Self {
        let check = ConsistencyCheck::default();
        metrics.register(|registry| {
            let help = "Checks of a cache against the store, by their outcome.";
            registry.register("apiserver_storage_consistency_checks", help, check.checks.clone());
        });
        check
    }

    /// Checks all caches every `period`, unless nothing has been written and the store has not been away since the last
    /// time: a store that comes back may have been changed or restored without a trace in its history.
    pub async fn run(self, hub: Hub, period: Duration, shutdown: CancellationToken) {
        let mut checked = (0, 0);
        loop {
            tokio::select! {
                () = tokio::time::sleep(period) => {}
                () = shutdown.cancelled() => return,
            }
            let now = (hub.contacts(), hub.revision());
            if now == checked {
                continue;
            }
            self.check(&hub).await;
            checked = now;
        }
    }

    /// Checks all caches once, one after the other, and heals those that differ.
    pub async fn check(&self, hub: &Hub) {
        for cache in hub.all() {
            let outcome = compare(hub, &cache).await;
            let status = match &outcome {
                Ok(Some(Outcome::Same)) => "success",
                Ok(Some(Outcome::Different)) => "failure",
                Ok(None) => continue,
                Err(_) => "error",
            };
            let resource = hub.resource(&cache);
            self.checks.get_or_create(&Labels { resource, status }).inc();
            match outcome {
                Ok(Some(Outcome::Different)) => {
                    tracing::error!(
                        prefix = cache.prefix(),
                        "a cache differs from the store; reading it again"
                    );
                    cache.invalidate();
                    hub.reload();
                }
                Err(error) => tracing::warn!(prefix = cache.prefix(), %error, "cannot check a cache"),
                _ => {}
            }
        }
    }

    /// How many checks of a resource have ended in this way: `success`, `failure` or `error`.
    pub fn count(&self, resource: &str, status: &'static str) -> u64 {
        let resource = resource.to_owned();
        self.checks.get_or_create(&Labels { resource, status }).get()
    }
}

/// Compares a cache with the store; `None` when the cache is not filled or has moved on too far meanwhile.
async fn compare(hub: &Hub, cache: &Cache) -> Result<Option<Outcome>, Error> {
    if !cache.is_ready() {
        return Ok(None);
    }
    let (stored, revision) = cache.store().keys().await?;
    cache.wait_for(hub, revision).await?;
    Ok(cache.with_keys_since(revision, |cached, changed| outcome(&stored, cached, &changed)))
}

/// Compares two lists of keys with their revisions, both in order, leaving out what has changed since the first was read.
fn outcome<'a>(
    stored: &[(String, u64)],
    cached: impl Iterator<Item = (&'a str, u64)>,
    changed: &HashSet<String>,
) -> Outcome {
    let stored = stored.iter().map(|(key, revision)| (key.as_str(), *revision));
    if digest(stored, changed) == digest(cached, changed) {
        Outcome::Same
    } else {
        Outcome::Different
    }
}

fn digest<'a>(keys: impl Iterator<Item = (&'a str, u64)>, without: &HashSet<String>) -> u64 {
    let mut hasher = DefaultHasher::new();
    keys.filter(|(key, _)| !without.contains(*key))
        .for_each(|pair| pair.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_the_same_but_for_what_changed_meanwhile() {
        let list = |pairs: &[(&str, u64)]| pairs.iter().map(|(k, r)| ((*k).to_owned(), *r)).collect::<Vec<_>>();
        let stored = list(&[("/a", 1), ("/b", 2), ("/c", 3)]);
        let check = |cached: &[(&'static str, u64)], changed: &[&str]| {
            let changed = changed.iter().map(|key| (*key).to_owned()).collect();
            outcome(&stored, cached.iter().copied(), &changed)
        };
        assert_eq!(check(&[("/a", 1), ("/b", 2), ("/c", 3)], &[]), Outcome::Same);
        assert_eq!(
            check(&[("/a", 1), ("/c", 3)], &[]),
            Outcome::Different,
            "an object is missing"
        );
        assert_eq!(
            check(&[("/a", 1), ("/b", 1), ("/c", 3)], &[]),
            Outcome::Different,
            "an object is old"
        );
        assert_eq!(
            check(&[("/a", 1), ("/b", 5), ("/d", 4)], &["/b", "/c", "/d"]),
            Outcome::Same
        );
    }
}
