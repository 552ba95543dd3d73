//! Keeps the mappings in the virtual cluster's own store, through the etcd v3 API.
//!
//! Writing is behind the syncing: names are a function of the virtual name, so a record that is lost in a crash is made
//! again, and no object has to wait for the store.

use std::time::Duration;

use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::request_op::Request as Operation;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use tonic::transport::Channel;
use tracing::{debug, info};

use super::fixed::{Compared, FIXED, Fixed, Recorded};
use super::mappings::{PREFIX, Reference};
use crate::kinds::Kind;
use crate::world::World;

/// Records per read and per transaction.
const BATCH: usize = 100;
/// Delays between attempts.
const RETRY: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(5);

/// A connection to the store.
#[derive(Clone)]
pub struct MappingStore {
    client: KvClient<Channel>,
    /// Marks our own records.
    sender: String,
}

impl MappingStore {
    /// Uses a channel that dials when it is needed. `sender` names this process.
    pub fn new(channel: Channel, sender: String) -> Self {
        Self {
            client: KvClient::new(channel),
            sender,
        }
    }

    /// Reads all records, trying until it succeeds.
    pub async fn load(&mut self, world: &World) {
        let mut delay = *RETRY.start();
        loop {
            match self.read_all(world).await {
                Ok(count) => return info!(count, "name mappings loaded"),
                Err(status) => {
                    info!(
                        error = status.message(),
                        "waiting for the store to read the name mappings"
                    );
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(*RETRY.end());
                }
            }
        }
    }

    /// Compares what must not change with what was recorded at the first start, and records it then. Tries until the store
    /// answers.
    ///
    /// # Errors
    /// Names the key that was changed.
    pub async fn agree(&mut self, fixed: &Fixed) -> Result<(), String> {
        let mut delay = *RETRY.start();
        loop {
            match self.recorded(fixed).await {
                Ok(recorded) => match fixed.compare(recorded) {
                    Compared::Same => return Ok(()),
                    Compared::Different(problem) => return Err(problem),
                    Compared::New(value) => match self.put(FIXED, value).await {
                        Ok(()) => return Ok(()),
                        Err(status) => info!(error = status.message(), "waiting for the store to write the settings"),
                    },
                },
                Err(status) => info!(error = status.message(), "waiting for the store to read the settings"),
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(*RETRY.end());
        }
    }

    /// What was recorded, and whether there are names already.
    async fn recorded(&mut self, fixed: &Fixed) -> Result<Recorded, tonic::Status> {
        let single = RangeRequest {
            key: FIXED.as_bytes().to_vec().into(),
            ..RangeRequest::default()
        };
        let found = self.client.range(single).await?.into_inner().kvs;
        if !fixed.enabled || !found.is_empty() {
            return Ok(Recorded {
                fixed: found.first().map(|record| record.value.to_vec()),
                has_names: false,
            });
        }
        let names = RangeRequest {
            key: PREFIX.as_bytes().to_vec().into(),
            range_end: end_of(PREFIX).into(),
            limit: 1,
            keys_only: true,
            ..RangeRequest::default()
        };
        let names = self.client.range(names).await?.into_inner().kvs;
        Ok(Recorded {
            fixed: None,
            has_names: !names.is_empty(),
        })
    }

    async fn put(&mut self, key: &str, value: Vec<u8>) -> Result<(), tonic::Status> {
        let request = PutRequest {
            key: key.as_bytes().to_vec().into(),
            value: value.into(),
            ..PutRequest::default()
        };
        self.client.put(request).await.map(|_| ())
    }

    async fn read_all(&mut self, world: &World) -> Result<usize, tonic::Status> {
        let mut from = PREFIX.as_bytes().to_vec();
        let end = end_of(PREFIX);
        let kinds: Vec<Kind> = world.settings.kinds().collect();
        let (mut count, mut revision) = (0, 0);
        loop {
            let request = RangeRequest {
                key: from.clone().into(),
                range_end: end.clone().into(),
                limit: i64::try_from(BATCH).unwrap_or(i64::MAX),
                revision,
                ..RangeRequest::default()
            };
            let answer = self.client.range(request).await?.into_inner();
            // All pages show one moment.
            revision = if revision == 0 {
                answer.header.map_or(0, |header| header.revision)
            } else {
                revision
            };
            for record in &answer.kvs {
                count += usize::from(world.mappings().load(&record.value, &kinds, &world.names));
            }
            match answer.kvs.last() {
                Some(last) if answer.more => {
                    from = last.key.to_vec();
                    from.push(0);
                }
                _ => return Ok(count),
            }
        }
    }

    /// Writes what changes, for ever.
    pub async fn run(mut self, world: &World) {
        let mut delay = *RETRY.start();
        loop {
            world.mappings_changed().await;
            loop {
                let batch = world.mappings().take_dirty(&self.sender, BATCH);
                if batch.is_empty() {
                    break;
                }
                match self.write(&batch).await {
                    Ok(()) => delay = *RETRY.start(),
                    Err(status) => {
                        debug!(error = status.message(), ?delay, "cannot write name mappings");
                        world.mappings().mark_dirty(batch.into_iter().map(|(owner, _)| owner));
                        tokio::time::sleep(delay).await;
                        delay = (delay * 2).min(*RETRY.end());
                    }
                }
            }
        }
    }

    async fn write(&mut self, batch: &[(Reference, Option<Vec<u8>>)]) -> Result<(), tonic::Status> {
        let success = batch
            .iter()
            .map(|(owner, value)| operation(owner, value.clone()))
            .collect();
        self.client
            .txn(TxnRequest {
                success,
                ..TxnRequest::default()
            })
            .await
            .map(|_| ())
    }
}

/// The first key behind those that begin with a prefix.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

fn operation(owner: &Reference, value: Option<Vec<u8>>) -> RequestOp {
    let key = owner.store_key().into_bytes().into();
    let request = match value {
        Some(value) => Operation::RequestPut(PutRequest {
            key,
            value: value.into(),
            ..PutRequest::default()
        }),
        None => Operation::RequestDeleteRange(DeleteRangeRequest {
            key,
            ..DeleteRangeRequest::default()
        }),
    };
    RequestOp { request: Some(request) }
}
