//! Reads and writes of single objects.

use super::client::{Connection, timed};
use super::errors::is_lost_lease;
use super::lease::Leases;
use crate::storage::codec::{Codec, check};
use crate::storage::interface::{
    Error, ListOptions, Listed, Preconditions, Revision, Storage, Update, UpdateFn, Watch, WatchOptions,
};
use bytes::Bytes;
use etcd_client::proto::{PbKeyValue, PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp};
use futures::future::BoxFuture;
use machinery::object::Stored;
use machinery::status::Status;
use std::sync::Arc;
use std::time::Duration;

/// The objects of one resource in an etcd v3 store. Clones share the connection.
#[derive(Clone)]
pub struct Store {
    pub(super) connection: Connection,
    pub(super) codec: Codec,
    /// For objects that expire.
    leases: Option<Arc<Leases>>,
}

/// The callback of a deletion.
pub(in crate::storage) type CheckFn<'a> = dyn FnMut(&Stored) -> Result<(), Box<Status>> + Send + 'a;

/// What is stored, and whether it was read from the store in this operation. What was not may be stale, so that nothing
/// is refused because of it.
struct Known {
    object: Option<Stored>,
    fresh: bool,
}

impl Known {
    fn revision(&self) -> u64 {
        self.object.as_ref().map_or(0, |object| object.revision)
    }
}

impl Store {
    /// The objects of the resource that `codec` describes.
    pub fn new(connection: Connection, codec: Codec) -> Self {
        Store {
            connection,
            codec,
            leases: None,
        }
    }

    /// Lets every object expire this long after it was last written.
    #[must_use]
    pub fn with_lifetime(self, lifetime: Duration) -> Self {
        Store {
            leases: Some(Arc::new(Leases::new(lifetime))),
            ..self
        }
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<TxnOp, Error> {
        let options = match &self.leases {
            Some(leases) => Some(leases.put_options(&self.connection).await?),
            None => None,
        };
        Ok(TxnOp::put(key, value, options))
    }

    /// A transaction; when it fails because its lease has gone, the next one gets a new lease.
    async fn commit(&self, txn: Txn) -> Result<PbTxnResponse, Error> {
        let answer = timed(self.connection.kv().txn(txn)).await;
        if let (Err(error), Some(leases)) = (&answer, &self.leases)
            && is_lost_lease(error)
        {
            leases.reset().await;
        }
        Ok(answer?.0)
    }

    /// The codec.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// The store's revision now.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn current_revision(&self) -> Result<u64, Error> {
        let options = GetOptions::new().with_count_only();
        let mut kv = self.connection.kv();
        let answer = timed(kv.get(self.codec.prefix(), Some(options))).await?;
        Ok(answer.header().map_or(0, |header| revision(header.revision())))
    }

    /// The object under a key, and the store's revision.
    async fn read(&self, key: &str, at: Option<u64>) -> Result<(Option<Stored>, u64), Error> {
        let options = at.map(|at| GetOptions::new().with_revision(etcd_revision(at)));
        let mut kv = self.connection.kv();
        let mut answer = timed(kv.get(key, options)).await?;
        let now = answer.header().map_or(0, |header| revision(header.revision()));
        let object = answer.0.kvs.pop().map(|kv| self.decode(&kv)).transpose()?;
        Ok((object, now))
    }

    pub(super) fn decode(&self, kv: &PbKeyValue) -> Result<Stored, Error> {
        self.codec
            .decode(&String::from_utf8_lossy(&kv.key), &kv.value, revision(kv.mod_revision))
    }

    async fn fresh(&self, key: &str) -> Result<Known, Error> {
        Ok(Known {
            object: self.read(key, None).await?.0,
            fresh: true,
        })
    }

    /// Reads what the store really has; answers whether that is another state.
    async fn refresh(&self, key: &str, known: &mut Known) -> Result<bool, Error> {
        let before = known.revision();
        *known = self.fresh(key).await?;
        Ok(known.revision() != before)
    }

    /// Swaps in `operation` if the object is unchanged since `known`; otherwise answers its new state.
    async fn swap(&self, key: &str, known: u64, operation: TxnOp) -> Result<Result<u64, Known>, Error> {
        let txn = Txn::new()
            .when([Compare::mod_revision(key, CompareOp::Equal, etcd_revision(known))])
            .and_then([operation])
            .or_else([TxnOp::get(key, None)]);
        let answer = self.commit(txn).await?;
        if answer.succeeded {
            return Ok(Ok(answer.header.map_or(0, |header| revision(header.revision))));
        }
        let object = found(answer).map(|kv| self.decode(&kv)).transpose()?;
        Ok(Err(Known { object, fresh: true }))
    }

    /// [`Storage::update`], starting from a state that may be stale.
    pub(in crate::storage) async fn update_from<'a>(
        &self,
        key: &str,
        suggestion: Option<Stored>,
        preconditions: &Preconditions,
        update: &mut UpdateFn<'a>,
    ) -> Result<(Stored, bool), Error> {
        let mut known = match suggestion {
            Some(object) => Known {
                object: Some(object),
                fresh: false,
            },
            None => self.fresh(key).await?,
        };
        loop {
            let verdict = match &known.object {
                Some(object) => check(preconditions, key, object),
                None if *preconditions != Preconditions::default() => Err(not_found(key)),
                None => Ok(()),
            };
            let decision = match verdict {
                Ok(()) => update(known.object.as_ref()).await.map_err(Error::Refused),
                Err(error) => Err(error),
            };
            // A decision that stores nothing holds only for the state that the store really has.
            if !known.fresh && matches!(decision, Err(_) | Ok(Update::Keep)) && self.refresh(key, &mut known).await? {
                continue;
            }
            let (next, written) = match (decision, &known.object) {
                (Err(error), _) => return Err(error),
                (Ok(Update::Keep | Update::Delete), None) => return Err(not_found(key)),
                (Ok(Update::Keep), Some(object)) => return Ok((object.clone(), false)),
                (Ok(Update::Delete), Some(object)) => (
                    self.swap(key, object.revision, TxnOp::delete(key, None)).await?,
                    object.clone(),
                ),
                (Ok(Update::Write(value)), _) => {
                    let written = self.codec.decode(key, &value, known.revision())?;
                    let unchanged = known
                        .object
                        .as_ref()
                        .is_some_and(|object| object.bytes == written.bytes);
                    if unchanged {
                        if !known.fresh && self.refresh(key, &mut known).await? {
                            continue;
                        }
                        return Ok((written, false));
                    }
                    (
                        self.swap(key, known.revision(), self.put(key, value).await?).await?,
                        written,
                    )
                }
            };
            match next {
                Ok(revision) => return Ok((written.at_revision(revision), true)),
                Err(newer) => known = newer,
            }
        }
    }

    /// [`Storage::delete`], starting from a state that may be stale.
    pub(in crate::storage) async fn delete_from(
        &self,
        key: &str,
        suggestion: Option<Stored>,
        preconditions: &Preconditions,
        accepted: &mut CheckFn<'_>,
    ) -> Result<Stored, Error> {
        let mut known = match suggestion {
            Some(object) => Known {
                object: Some(object),
                fresh: false,
            },
            None => self.fresh(key).await?,
        };
        loop {
            let Some(object) = &known.object else {
                return Err(not_found(key));
            };
            let verdict = check(preconditions, key, object).and_then(|()| accepted(object).map_err(Error::Refused));
            match verdict {
                Err(error) if known.fresh => return Err(error),
                Err(_) => known = self.fresh(key).await?,
                Ok(()) => match self.swap(key, object.revision, TxnOp::delete(key, None)).await? {
                    Ok(revision) => return Ok(object.at_revision(revision)),
                    Err(newer) => known = newer,
                },
            }
        }
    }
}

impl Storage for Store {
    fn get<'a>(&'a self, namespace: &'a str, name: &'a str, at: Revision) -> BoxFuture<'a, Result<Stored, Error>> {
        Box::pin(async move {
            let key = self.codec.key(namespace, name)?;
            let exact = if let Revision::Exact(at) = at { Some(at) } else { None };
            let (object, now) = self.read(&key, exact).await?;
            at_least(at, now)?;
            object.ok_or_else(|| not_found(&key))
        })
    }

    fn list<'a>(&'a self, options: ListOptions) -> BoxFuture<'a, Result<Listed, Error>> {
        Box::pin(self.list_chunk(options))
    }

    fn watch<'a>(&'a self, options: WatchOptions) -> BoxFuture<'a, Result<Watch, Error>> {
        Box::pin(self.follow(options))
    }

    fn create<'a>(&'a self, namespace: &'a str, name: &'a str, value: Bytes) -> BoxFuture<'a, Result<Stored, Error>> {
        Box::pin(async move {
            let key = self.codec.key(namespace, name)?;
            let object = self.codec.decode(&key, &value, 0)?;
            let txn = Txn::new()
                .when([Compare::mod_revision(&*key, CompareOp::Equal, 0)])
                .and_then([self.put(&key, value).await?]);
            let answer = self.commit(txn).await?;
            if !answer.succeeded {
                return Err(Error::Exists { key });
            }
            Ok(object.at_revision(answer.header.map_or(0, |header| revision(header.revision))))
        })
    }

    fn update<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        preconditions: &'a Preconditions,
        update: &'a mut UpdateFn<'a>,
    ) -> BoxFuture<'a, Result<(Stored, bool), Error>> {
        Box::pin(async move {
            let key = self.codec.key(namespace, name)?;
            self.update_from(&key, None, preconditions, update).await
        })
    }

    fn delete<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        preconditions: &'a Preconditions,
        check: &'a mut CheckFn<'a>,
    ) -> BoxFuture<'a, Result<Stored, Error>> {
        Box::pin(async move {
            let key = self.codec.key(namespace, name)?;
            self.delete_from(&key, None, preconditions, check).await
        })
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move {
            let options = GetOptions::new().with_prefix().with_count_only();
            let mut kv = self.connection.kv();
            Ok(revision(
                timed(kv.get(self.codec.prefix(), Some(options))).await?.count(),
            ))
        })
    }
}

/// Whether the store has reached what was asked for.
pub(super) fn at_least(wanted: Revision, current: u64) -> Result<(), Error> {
    match wanted {
        Revision::NotOlderThan(requested) if requested > current => Err(Error::TooLargeRevision { requested, current }),
        _ => Ok(()),
    }
}

/// The key-value pair that the failure branch of a swap read.
fn found(answer: PbTxnResponse) -> Option<PbKeyValue> {
    answer
        .responses
        .into_iter()
        .find_map(|response| match response.response {
            Some(PbTxnOpResponse::ResponseRange(mut range)) => range.kvs.pop(),
            _ => None,
        })
}

fn not_found(key: &str) -> Error {
    Error::NotFound { key: key.to_owned() }
}

/// etcd's revisions and counts are signed but never negative.
pub(super) fn revision(etcd: i64) -> u64 {
    u64::try_from(etcd).unwrap_or_default()
}

/// A revision that a client made up may not fit; no store will ever have reached it.
pub(super) fn etcd_revision(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}
