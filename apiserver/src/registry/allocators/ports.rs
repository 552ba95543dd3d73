//! Node ports: a bitmap that is changed by compare-and-swap, as several API servers share it
//! (kubernetes `pkg/registry/core/service/portallocator`, `allocator/storage`).

use super::Failure;
use crate::registry::codec;
use crate::storage::interface::{Error, Preconditions, Revision, Storage, Update};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use machinery::meta;
use machinery::object::Stored;
use machinery::status::Status;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// The name of the bitmap: upstream's key below `ranges`.
const NAME: &str = "servicenodeports";

/// The node ports of the cluster.
pub struct Ports {
    first: u16,
    last: u16,
    /// The bitmap's storage.
    ranges: Arc<dyn Storage>,
}

/// Which ports are taken, by their distance from the first one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bitmap(Vec<bool>);

impl Bitmap {
    /// Whether a port is taken.
    pub(super) fn has(&self, offset: usize) -> bool {
        self.0.get(offset).copied().unwrap_or_default()
    }

    /// Takes a port or gives it back.
    pub(super) fn set(&mut self, offset: usize, taken: bool) {
        if let Some(bit) = self.0.get_mut(offset) {
            *bit = taken;
        }
    }

    /// Reads upstream's form: the bytes of a big-endian number whose bits are the ports.
    fn decode(data: &[u8], size: usize) -> Self {
        let bit = |i: usize| {
            data.len()
                .checked_sub(i / 8 + 1)
                .is_some_and(|at| data[at] >> (i % 8) & 1 == 1)
        };
        Bitmap((0..size).map(bit).collect())
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0u8; self.0.len().div_ceil(8)];
        for (i, _) in self.0.iter().enumerate().filter(|(_, taken)| **taken) {
            bytes[i / 8] |= 1 << (i % 8);
        }
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        bytes.reverse();
        bytes
    }
}

impl Ports {
    /// Gives out ports of a range, both ends included.
    pub fn new(first: u16, last: u16, ranges: Arc<dyn Storage>) -> Self {
        Ports { first, last, ranges }
    }

    fn size(&self) -> usize {
        usize::from(self.last.saturating_sub(self.first)) + 1
    }

    /// Every port with its distance from the first.
    pub(super) fn all(&self) -> impl Iterator<Item = (u16, usize)> {
        (self.first..=self.last)
            .enumerate()
            .map(|(offset, port)| (port, offset))
    }

    /// The range as text.
    pub(super) fn range(&self) -> String {
        format!("{}-{}", self.first, self.last)
    }

    /// What is said of a port that is not one of them.
    pub(super) fn outside(&self) -> String {
        let range = self.range();
        format!("provided port is not in the valid range. The range of valid ports is {range}")
    }

    /// No port is taken.
    pub(super) fn none(&self) -> Bitmap {
        Bitmap(vec![false; self.size()])
    }

    /// The distance of a port from the first; `None` outside of the range.
    pub(super) fn offset(&self, port: u16) -> Option<usize> {
        (self.first..=self.last)
            .contains(&port)
            .then(|| usize::from(port - self.first))
    }

    /// Reserves the port that is wished for, or any. A dry run only looks; `seen` are the ports it has found before.
    pub(super) async fn reserve(&self, wish: Option<u16>, seen: &[u16], dry_run: bool) -> Result<u16, Failure> {
        let wish = match wish {
            None => None,
            // A dry run only asks whether somebody has the port.
            Some(port) if dry_run && self.offset(port).is_none() => return Ok(port),
            Some(port) => Some(self.offset(port).ok_or_else(|| Failure::Refused(self.outside()))?),
        };
        let seen: Vec<usize> = seen.iter().filter_map(|port| self.offset(*port)).collect();
        let found = Mutex::new(None);
        let choose = |bitmap: &mut Bitmap| -> bool {
            let free = |i: &usize| {
                let found_before = dry_run && seen.contains(i);
                bitmap.0.get(*i).is_some_and(|taken| !taken) && !found_before
            };
            let chosen = match wish {
                Some(offset) => Some(offset).filter(free),
                None => candidates(self.size()).find(free),
            };
            if let Some(offset) = chosen {
                bitmap.0[offset] = true;
            }
            *found.lock().unwrap_or_else(PoisonError::into_inner) = chosen;
            chosen.is_some()
        };
        if dry_run {
            choose(&mut self.read().await?);
        } else {
            self.change(&choose).await?;
        }
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (found, wish) {
            // The offset is below the size of the range, which is one of ports.
            (Some(offset), _) => Ok(self.first + u16::try_from(offset).unwrap_or_default()),
            (None, Some(_)) => Err(Failure::Refused("provided port is already allocated".to_owned())),
            (None, None) => Err(Failure::Store(Box::new(Status::internal(
                "failed to allocate a nodePort: range is full",
            )))),
        }
    }

    /// Gives ports back. What cannot be freed now is freed by the next repair.
    pub(super) async fn free(&self, ports: &[u16]) {
        let offsets: Vec<usize> = ports.iter().filter_map(|port| self.offset(*port)).collect();
        if offsets.is_empty() {
            return;
        }
        let clear = |bitmap: &mut Bitmap| {
            offsets.iter().for_each(|offset| bitmap.0[*offset] = false);
            true
        };
        if let Err(Failure::Store(error)) = self.change(&clear).await {
            tracing::warn!(?ports, %error, "cannot free node ports");
        }
    }

    async fn read(&self) -> Result<Bitmap, Failure> {
        match self.ranges.get("", NAME, Revision::Latest).await {
            Ok(stored) => self.bitmap(&stored),
            Err(Error::NotFound { .. }) => Ok(self.none()),
            Err(error) => Err(Failure::Store(Box::new(Status::internal(error)))),
        }
    }

    fn bitmap(&self, stored: &Stored) -> Result<Bitmap, Failure> {
        let object = codec::parse(stored).map_err(|status| Failure::Store(Box::new(status)))?;
        let data = meta::str_at(&object, &["data"]).unwrap_or_default();
        let data = STANDARD
            .decode(data)
            .map_err(|error| Failure::Store(Box::new(Status::internal(error))))?;
        // It may have been written under another --service-node-port-range.
        let range = meta::str_at(&object, &["range"]).and_then(ends);
        let (first, last) = range.unwrap_or((self.first, self.last));
        let size = usize::from(last.saturating_sub(first)) + 1;
        let written = Bitmap::decode(&data, size);
        let mut bitmap = self.none();
        for (port, i) in (first..=last).zip(0..) {
            if let Some(offset) = self.offset(port).filter(|_| written.has(i)) {
                bitmap.set(offset, true);
            }
        }
        Ok(bitmap)
    }

    fn object(&self, bitmap: &Bitmap) -> Value {
        json!({
            "kind": "RangeAllocation",
            "apiVersion": "v1",
            "metadata": {},
            "range": self.range(),
            "data": STANDARD.encode(bitmap.encode()),
        })
    }

    /// Changes the bitmap; a change that answers `false` is not written.
    pub(super) async fn change(&self, change: &(dyn Fn(&mut Bitmap) -> bool + Send + Sync)) -> Result<(), Failure> {
        let mut step = |existing: Option<&Stored>| -> BoxFuture<'_, Result<Update, Box<Status>>> {
            let read = existing.map_or_else(|| Ok(self.none()), |stored| self.bitmap(stored));
            Box::pin(async move {
                let before = read.map_err(|failure| match failure {
                    Failure::Store(status) => status,
                    Failure::Refused(why) => Box::new(Status::internal(why)),
                })?;
                let mut after = before.clone();
                if !change(&mut after) || after == before {
                    return Ok(Update::Keep);
                }
                Ok(Update::Write(codec::to_bytes(&self.object(&after))))
            })
        };
        match self.ranges.update("", NAME, &Preconditions::default(), &mut step).await {
            // Nothing to keep: the bitmap is not there and need not be.
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Failure::Store(Box::new(Status::internal(error)))),
        }
    }
}

/// The ends of a range as text.
fn ends(range: &str) -> Option<(u16, u16)> {
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// Every offset once, from a random one on; the lowest part, which is left to those who ask, comes last (upstream
/// `calculateRangeOffset`).
fn candidates(size: usize) -> impl Iterator<Item = usize> {
    let reserved = if size < 16 {
        0
    } else {
        (size / 32).clamp(16, 128).min(size)
    };
    let upper = size - reserved;
    let random = u64::from_be_bytes(first_bytes()) as usize % upper.max(1);
    (0..upper)
        .map(move |i| reserved + (random + i) % upper)
        .chain(0..reserved)
}

fn first_bytes() -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&uuid::Uuid::new_v4().as_bytes()[..8]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_have_upstreams_form() {
        let mut bitmap = Bitmap(vec![false; 20]);
        assert_eq!(bitmap.encode(), Vec::<u8>::new());
        bitmap.0[0] = true;
        bitmap.0[9] = true;
        assert_eq!(bitmap.encode(), [0b10, 0b1]);
        assert_eq!(Bitmap::decode(&bitmap.encode(), 20), bitmap);
    }

    #[test]
    fn candidates_are_all_offsets_once() {
        for size in [1, 5, 16, 100, 2768] {
            let mut all: Vec<usize> = candidates(size).collect();
            all.sort_unstable();
            assert_eq!(all, (0..size).collect::<Vec<_>>());
        }
    }
}
