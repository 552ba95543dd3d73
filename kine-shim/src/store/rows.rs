//! A set of rows.

use std::collections::BTreeMap;

/// Bits of an identifier that say where in its chunk it is.
const CHUNK_BITS: u32 = 12;
const WORDS: usize = (1 << CHUNK_BITS) / u64::BITS as usize;

/// Identifiers of rows. Where they are dense, as they are in a history, each takes a bit.
#[derive(Debug, Default)]
pub struct RowSet {
    chunks: BTreeMap<i64, Box<[u64; WORDS]>>,
}

impl RowSet {
    /// Adds a row.
    pub fn insert(&mut self, id: i64) {
        let (word, bit) = place(id);
        self.chunks
            .entry(id >> CHUNK_BITS)
            .or_insert_with(|| Box::new([0; WORDS]))[word] |= bit;
    }

    /// Adds the rows of another set.
    pub fn append(&mut self, other: Self) {
        for (chunk, words) in other.chunks {
            let mine = self.chunks.entry(chunk).or_insert_with(|| Box::new([0; WORDS]));
            mine.iter_mut().zip(*words).for_each(|(mine, other)| *mine |= other);
        }
    }

    /// The first `limit` rows, ascending.
    pub fn first(&self, limit: usize) -> Vec<i64> {
        let rows = self.chunks.iter().flat_map(|(chunk, words)| {
            let bits = words.iter().enumerate().filter(|(_, word)| **word != 0);
            bits.flat_map(move |(at, word)| {
                let first = (chunk << CHUNK_BITS) + i64::from(u64::BITS) * i64::try_from(at).unwrap_or(0);
                (0..u64::BITS)
                    .filter(move |bit| word >> bit & 1 == 1)
                    .map(move |bit| first + i64::from(bit))
            })
        });
        rows.take(limit).collect()
    }

    /// Takes rows out.
    pub fn remove(&mut self, ids: &[i64]) {
        for id in ids {
            let chunk = id >> CHUNK_BITS;
            let Some(words) = self.chunks.get_mut(&chunk) else {
                continue;
            };
            let (word, bit) = place(*id);
            words[word] &= !bit;
            if words[word] == 0 && words.iter().all(|word| *word == 0) {
                self.chunks.remove(&chunk);
            }
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

/// Where in its chunk an identifier is: the word, and the bit within.
fn place(id: i64) -> (usize, u64) {
    let within = id.cast_unsigned() & ((1 << CHUNK_BITS) - 1);
    let word = usize::try_from(within / u64::from(u64::BITS)).unwrap_or(0);
    (word, 1 << (within % u64::from(u64::BITS)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_any_set(
            ids in proptest::collection::vec(0_i64..20_000, 0..200),
            more in proptest::collection::vec(0_i64..20_000, 0..50),
            gone in proptest::collection::vec(0_i64..20_000, 0..200),
            limit in 0_usize..100,
        ) {
            let mut rows = RowSet::default();
            ids.iter().for_each(|id| rows.insert(*id));
            let mut others = RowSet::default();
            more.iter().for_each(|id| others.insert(*id));
            rows.append(others);
            rows.remove(&gone);
            let mut expected: BTreeSet<i64> = ids.into_iter().chain(more).collect();
            gone.iter().for_each(|id| { expected.remove(id); });
            prop_assert_eq!(rows.is_empty(), expected.is_empty());
            prop_assert_eq!(rows.first(limit), expected.into_iter().take(limit).collect::<Vec<_>>());
        }
    }
}
