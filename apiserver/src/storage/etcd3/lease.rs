//! Leases for objects that expire, such as events. Objects that are written shortly after one another share a lease, so
//! that the store has few of them (k8s.io/apiserver `storage/etcd3/lease_manager.go`).

use super::client::{Connection, timed};
use crate::storage::interface::Error;
use etcd_client::PutOptions;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A lease is shared for this part of the lifetime of its objects, but not for longer than the second.
const SHARED_PART: f64 = 0.05;
const SHARED_AT_MOST: Duration = Duration::from_secs(60);
/// Objects on one lease.
const MAX_OBJECTS: u32 = 1000;

/// Grants leases for objects of one lifetime.
pub(super) struct Leases {
    lifetime: Duration,
    current: Mutex<Option<Lease>>,
}

struct Lease {
    id: i64,
    granted: Instant,
    objects: u32,
}

impl Leases {
    pub(super) fn new(lifetime: Duration) -> Self {
        Leases {
            lifetime,
            current: Mutex::default(),
        }
    }

    /// How to put an object that is written now.
    pub(super) async fn put_options(&self, connection: &Connection) -> Result<PutOptions, Error> {
        let shared_for = self.lifetime.mul_f64(SHARED_PART).min(SHARED_AT_MOST);
        let mut current = self.current.lock().await;
        let usable = current
            .take()
            .filter(|l| l.granted.elapsed() < shared_for && l.objects < MAX_OBJECTS);
        let lease = match usable {
            Some(lease) => lease,
            None => {
                let seconds = i64::try_from((self.lifetime + shared_for).as_secs())
                    .unwrap_or(i64::MAX)
                    .max(1);
                let granted = Instant::now();
                let answer = timed(connection.lease().grant(seconds, None)).await?;
                Lease {
                    id: answer.id(),
                    granted,
                    objects: 0,
                }
            }
        };
        let id = lease.id;
        *current = Some(Lease {
            objects: lease.objects + 1,
            ..lease
        });
        Ok(PutOptions::new().with_lease(id))
    }

    /// Forgets a lease that the store does not know any more.
    pub(super) async fn reset(&self) {
        *self.current.lock().await = None;
    }
}
