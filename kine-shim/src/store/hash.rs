//! The hashes etcd computes over its keys (`server/storage/mvcc/hash.go`): equal contents and histories give the same hash
//! here and there.

use prost::Message;

use super::{
    index::{Index, Keys, Version},
    range::key_value,
};
use crate::backend::Payload;

/// CRC-32 with Castagnoli's polynomial, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ POLYNOMIAL
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

/// A running CRC-32C.
#[derive(Debug, Clone, Copy)]
pub struct Crc(u32);

impl Default for Crc {
    fn default() -> Self {
        Self(!0)
    }
}

impl Crc {
    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let [low, ..] = self.0.to_le_bytes();
            self.0 = (self.0 >> 8) ^ TABLE[usize::from(low ^ byte)];
        }
    }

    /// The sum so far.
    pub fn sum(self) -> u32 {
        !self.0
    }
}

/// A hash of the history up to a revision.
#[derive(Debug)]
pub struct Hasher {
    crc: Crc,
    revision: i64,
    compacted: i64,
    keeps: bool,
}

impl Hasher {
    /// Starts a hash of everything up to `revision`, as it is once compacted to `compacted`.
    pub fn new(index: &Index, revision: i64, compacted: i64) -> Self {
        let mut crc = Crc::default();
        crc.write(b"key");
        let mut keeps = false;
        index.each_newest(|key, _| keeps = keeps || index.live_at(key, revision).is_some());
        Self {
            crc,
            revision,
            compacted,
            keeps,
        }
    }

    /// Adds a row. Rows that the index does not know or that lie outside are skipped.
    pub fn push(&mut self, index: &Index, payload: Payload) {
        let Some(version) = index.row(&payload.key, payload.id) else {
            return;
        };
        if version.revision > self.revision {
            return;
        }
        if version.revision <= self.compacted {
            // Whether or not a compaction under way has come to it.
            let is = |found: Option<Version>| found.is_some_and(|found| found.id == version.id);
            let remains = is(index.live_at(&payload.key, self.compacted));
            if !remains || self.keeps && !is(index.live_at(&payload.key, self.revision)) {
                return;
            }
        }
        self.crc.write(&bucket_key(&version, payload.sub));
        let kv = if version.is_live() {
            key_value(payload.key.into(), &version, payload.value.into())
        } else {
            key_value(payload.key.into(), &Version::tombstone(0, 0), payload.value.into())
        };
        self.crc.write(&kv.encode_to_vec());
    }

    /// The hash.
    pub fn sum(&self) -> u32 {
        self.crc.sum()
    }
}

/// The key etcd's database would have the version under: revision, position, and a mark for deletions.
fn bucket_key(version: &Version, sub: i64) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    key.extend(version.revision.to_be_bytes());
    key.push(b'_');
    key.extend(sub.to_be_bytes());
    if !version.is_live() {
        key.push(b't');
    }
    key
}

#[cfg(test)]
mod tests {
    use super::Crc;

    #[test]
    fn is_castagnolis_sum() {
        // The check value of CRC-32C.
        let mut crc = Crc::default();
        crc.write(b"123456789");
        assert_eq!(crc.sum(), 0xe306_9283);
    }
}
