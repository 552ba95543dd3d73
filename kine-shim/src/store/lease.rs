//! Leases: how long they live and which keys hang on them.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;

/// Fewest seconds a lease lives: one and a half election time-outs of an etcd with its defaults, rounded up.
pub const MIN_TTL: i64 = 2;
/// Most seconds a lease may live (etcd: `lease.MaxLeaseTTL`).
pub const MAX_TTL: i64 = 9_000_000_000;

/// A lease.
#[derive(Debug)]
pub struct Lease {
    /// Seconds to live without a keep-alive.
    pub ttl: i64,
    /// When it ends unless kept alive.
    pub expires: Instant,
    /// The keys that end with it.
    pub keys: BTreeSet<Bytes>,
}

impl Lease {
    /// Whole seconds left at `now`.
    pub fn remaining(&self, now: Instant) -> i64 {
        i64::try_from(self.expires.saturating_duration_since(now).as_secs()).unwrap_or(i64::MAX)
    }
}

/// All leases.
#[derive(Debug, Default)]
pub struct Leases {
    leases: HashMap<i64, Lease>,
}

impl Leases {
    /// Adds a lease that starts at `now`, or starts it anew if it is there.
    pub fn grant(&mut self, id: i64, ttl: i64, now: Instant) {
        let expires = expiry(now, ttl);
        let lease = self.leases.entry(id).or_insert_with(|| Lease {
            ttl,
            expires,
            keys: BTreeSet::new(),
        });
        lease.ttl = ttl;
        lease.expires = expires;
    }

    /// Notes that a lease ends in `left` milliseconds.
    pub fn set_left(&mut self, id: i64, left: i64, now: Instant) {
        if let Some(lease) = self.leases.get_mut(&id) {
            let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
            lease.expires = now.checked_add(left).unwrap_or_else(|| expiry(now, lease.ttl));
        }
    }

    /// Removes a lease.
    pub fn revoke(&mut self, id: i64) {
        self.leases.remove(&id);
    }

    /// The lease of this identifier.
    pub fn get(&self, id: i64) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// Starts the life of a lease anew, even if it has ended.
    pub fn renew(&mut self, id: i64, now: Instant) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.expires = expiry(now, lease.ttl);
        }
    }

    /// Starts the life of a lease anew. Returns its seconds to live, `None` when the lease is not there or has ended.
    pub fn keep_alive(&mut self, id: i64, now: Instant) -> Option<i64> {
        let lease = self.leases.get_mut(&id).filter(|lease| lease.expires > now)?;
        lease.expires = expiry(now, lease.ttl);
        Some(lease.ttl)
    }

    /// Hangs a key on a lease, taking it off the one it was on. A lease of 0 is none.
    pub fn move_key(&mut self, key: &Bytes, from: i64, to: i64) {
        if from == to {
            return;
        }
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            // The key may be part of a buffer that holds the value too.
            lease.keys.insert(Bytes::copy_from_slice(key));
        }
    }

    /// Identifiers in the order in which the leases end.
    pub fn by_expiry(&self) -> Vec<i64> {
        let mut leases: Vec<_> = self.leases.iter().map(|(id, lease)| (lease.expires, *id)).collect();
        leases.sort_unstable();
        leases.into_iter().map(|(_, id)| id).collect()
    }

    /// The leases that have ended at `now`.
    pub fn expired(&self, now: Instant) -> Vec<i64> {
        self.leases
            .iter()
            .filter(|(_, lease)| lease.expires <= now)
            .map(|(id, _)| *id)
            .collect()
    }

    /// When the next lease ends.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.leases.values().map(|lease| lease.expires).min()
    }

    /// Number of leases.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there is no lease.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }
}

fn expiry(now: Instant, ttl: i64) -> Instant {
    let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
    // The longest lease lasts 285 years, which every clock can add; should one not, a day from now is looked at again.
    now.checked_add(ttl).unwrap_or(now + Duration::from_secs(86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_hangs_on_one_lease_at_a_time() {
        let now = Instant::now();
        let mut leases = Leases::default();
        leases.grant(1, 10, now);
        leases.grant(2, 20, now);
        let key = Bytes::from_static(b"k");
        leases.move_key(&key, 0, 1);
        leases.move_key(&key, 1, 2);
        assert!(leases.get(1).is_some_and(|lease| lease.keys.is_empty()));
        assert!(leases.get(2).is_some_and(|lease| lease.keys.contains(&key)));
        leases.move_key(&key, 2, 0);
        assert!(leases.get(2).is_some_and(|lease| lease.keys.is_empty()));
    }

    #[test]
    fn keep_alive_starts_anew_and_comes_too_late_after_the_end() {
        let now = Instant::now();
        let mut leases = Leases::default();
        leases.grant(1, 10, now);
        let later = now + Duration::from_secs(9);
        assert_eq!(leases.keep_alive(1, later), Some(10));
        assert_eq!(leases.get(1).map(|lease| lease.remaining(later)), Some(10));
        let too_late = later + Duration::from_secs(10);
        assert_eq!(leases.keep_alive(1, too_late), None);
        assert_eq!(leases.expired(too_late), vec![1]);
        assert_eq!(leases.keep_alive(2, now), None);
    }

    #[test]
    fn the_longest_lease_does_not_overflow() {
        let mut leases = Leases::default();
        leases.grant(1, MAX_TTL, Instant::now());
        assert!(leases.next_expiry().is_some());
    }
}
