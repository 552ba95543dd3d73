//! A bounded cache of values by row. Rows never change, so nothing in it can be stale.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
};

use bytes::Bytes;

/// Most bytes of values kept.
const CAPACITY: usize = 2 << 20;
/// Larger values are not worth displacing many small ones for.
const LARGEST: usize = CAPACITY / 16;
/// Rows that have gone and are still in the order, beside as many as there are values.
const SLACK: usize = 1024;

/// The values most recently written or read; the oldest go first.
#[derive(Debug, Default)]
pub struct Cache {
    values: HashMap<i64, Bytes, BuildHasherDefault<RowHasher>>,
    order: VecDeque<i64>,
    bytes: usize,
}

impl Cache {
    /// The value in row `id`, if it is kept.
    pub fn get(&self, id: i64) -> Option<Bytes> {
        self.values.get(&id).cloned()
    }

    /// Lets go of the value in row `id`, which a newer one has replaced: however often one key is written, the values of
    /// other keys stay.
    pub fn replaced(&mut self, id: i64) {
        let Some(value) = self.values.remove(&id) else { return };
        self.bytes -= cost(&value);
        if self.order.len() > 2 * self.values.len() + SLACK {
            self.order.retain(|id| self.values.contains_key(id));
        }
    }

    /// Keeps a value.
    pub fn insert(&mut self, id: i64, value: Bytes) {
        if value.len() > LARGEST || self.values.contains_key(&id) {
            return;
        }
        self.bytes += cost(&value);
        self.values.insert(id, value);
        self.order.push_back(id);
        while self.bytes > CAPACITY {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(value) = self.values.remove(&oldest) {
                self.bytes -= cost(&value);
            }
        }
    }
}

/// Row identifiers are handed out one after the other, by ourselves: spreading them needs no secret.
#[derive(Debug, Default)]
struct RowHasher(u64);

impl Hasher for RowHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio; the upper half of the product is the better mixed one.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }
}

/// What keeping a value takes, with the entries of both collections.
fn cost(value: &Bytes) -> usize {
    value.len() + 96
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_values_go_first() {
        let mut cache = Cache::default();
        let value = Bytes::from(vec![0; LARGEST]);
        for id in 0..64 {
            cache.insert(id, value.clone());
        }
        assert!(cache.bytes <= CAPACITY);
        assert_eq!(cache.get(0), None);
        assert_eq!(cache.get(63), Some(value));
        assert_eq!(cache.values.len(), cache.order.len());
    }

    #[test]
    fn replaced_values_make_no_room_necessary() {
        let mut cache = Cache::default();
        let value = Bytes::from(vec![0; 1024]);
        cache.insert(0, value.clone());
        for id in 1..100_000 {
            cache.insert(id, value.clone());
            cache.replaced(id - 1);
            if id == 1 {
                cache.insert(0, value.clone());
            }
        }
        assert_eq!(cache.get(0), Some(value.clone()));
        assert_eq!(cache.get(99_998), None);
        assert_eq!(cache.bytes, 2 * cost(&value));
        assert!(cache.order.len() <= SLACK + 2 * cache.values.len() + 1);
    }

    #[test]
    fn huge_values_are_not_kept() {
        let mut cache = Cache::default();
        cache.insert(1, Bytes::from(vec![0; LARGEST + 1]));
        assert_eq!(cache.get(1), None);
    }
}
