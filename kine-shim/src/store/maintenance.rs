//! What maintenance asks of the store: sizes, alarms, hashes, copies.

use std::{fs::File, ops::ControlFlow, sync::atomic::Ordering};

use chassis::lock;

use super::{
    Store, alarm,
    command::Command,
    hash::{Crc, Hasher},
    range::check_revision,
    read::failed,
    shared::Shared,
};
use crate::{backend::Size, error::Error};

/// Attempts to read everything between two compactions.
const HASH_ATTEMPTS: usize = 16;

/// A hash of the keys and their history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash {
    /// The hash.
    pub hash: u32,
    /// The newest revision.
    pub revision: i64,
    /// The revision the hash reaches up to.
    pub hash_revision: i64,
    /// The revision the store was compacted to.
    pub compact_revision: i64,
}

impl Store {
    /// How large the database is.
    pub async fn size(&self) -> Result<Size, Error> {
        self.blocking(|shared| shared.readers.size().map_err(|fault| failed(&fault)))
            .await?
    }

    /// Bytes of the database's own log, where it is a file of its own.
    pub fn log_bytes(&self) -> i64 {
        self.shared.readers.log_bytes()
    }

    /// How large the database is. A file is asked at once; a server is asked in the background, and the answer is that of
    /// the time before.
    pub fn size_now(&self) -> Result<Size, Error> {
        let ask = |shared: &Shared| {
            let size = shared.readers.size().map_err(|fault| failed(&fault))?;
            *lock(&shared.size) = size;
            Ok(size)
        };
        if self.shared.peers.is_none() {
            return ask(&self.shared);
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let shared = std::sync::Arc::clone(&self.shared);
            runtime.spawn_blocking(move || ask(&shared));
        }
        Ok(*lock(&self.shared.size))
    }

    /// The alarms that are on, as a sum of bits: those raised by hand, and NOSPACE while the disk is full.
    pub fn alarms(&self) -> i64 {
        let full = self.shared.disk_full.load(Ordering::Acquire);
        self.shared.alarms.load(Ordering::Acquire) | if full { alarm::NO_SPACE } else { 0 }
    }

    /// Turns alarms on or off by hand. Turning NOSPACE off also forgets that the disk was full.
    pub async fn set_alarms(&self, bits: i64, on: bool) -> Result<i64, Error> {
        if !on && bits & alarm::NO_SPACE != 0 {
            self.shared.disk_full.store(false, Ordering::Release);
        }
        self.ask(|reply| Command::SetAlarms { bits, on, reply }).await
    }

    /// Rewrites the database without free space. Writes wait meanwhile.
    pub async fn defragment(&self) -> Result<(), Error> {
        self.ask(Command::Defragment).await.map(drop)
    }

    /// Hashes the keys and their history up to `revision`, 0 for the newest, as etcd does.
    pub async fn hash_kv(&self, revision: i64) -> Result<KeyHash, Error> {
        // A revision that a peer has written is not one of the future.
        self.confirm().await?;
        for _ in 0..HASH_ATTEMPTS {
            let hash = self.hash_kv_once(revision).await?;
            // A peer may have taken rows away of which nobody here has heard yet.
            self.confirm().await?;
            if self.compacted() == hash.compact_revision {
                return Ok(hash);
            }
        }
        Err(Error::Unhealthy)
    }

    /// A hash that is right if nothing has been compacted meanwhile.
    async fn hash_kv_once(&self, revision: i64) -> Result<KeyHash, Error> {
        self.blocking(move |shared| {
            let (current, compacted, end_row, mut hasher) = {
                let state = shared.state();
                check_revision(revision, state.revision, state.compacted)?;
                let upto = if revision > 0 { revision } else { state.revision };
                let hasher = Hasher::new(&state.index, upto, state.compacted);
                (state.revision, state.compacted, state.last_row + 1, hasher)
            };
            let read = shared.readers.payloads(1, end_row, &mut |payload| {
                hasher.push(&shared.state().index, payload);
                ControlFlow::Continue(())
            });
            read.map_err(|fault| failed(&fault))?;
            Ok(KeyHash {
                hash: hasher.sum(),
                revision: current,
                hash_revision: if revision > 0 { revision } else { current },
                compact_revision: compacted,
            })
        })
        .await?
    }

    /// Hashes everything in the database: rows and leases. Returns the hash and the newest revision.
    pub async fn hash(&self) -> Result<(u32, i64), Error> {
        self.blocking(|shared| {
            let mut crc = Crc::default();
            let (revision, end_row, leases) = {
                let state = shared.state();
                let mut leases: Vec<_> = state.leases.by_expiry();
                leases.sort_unstable();
                (state.revision, state.last_row + 1, leases)
            };
            let read = shared.readers.payloads(1, end_row, &mut |payload| {
                crc.write(&payload.id.to_be_bytes());
                for part in [&payload.key, &payload.value, &payload.old_value] {
                    crc.write(&part.len().to_be_bytes());
                    crc.write(part);
                }
                ControlFlow::Continue(())
            });
            read.map_err(|fault| failed(&fault))?;
            for lease in leases {
                crc.write(&lease.to_be_bytes());
            }
            Ok((crc.sum(), revision))
        })
        .await?
    }

    /// A consistent copy of the database; it goes when it is closed.
    pub async fn snapshot(&self) -> Result<File, Error> {
        self.blocking(|shared| shared.readers.copy().map_err(|fault| failed(&fault)))
            .await?
    }
}
