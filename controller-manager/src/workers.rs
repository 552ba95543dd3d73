//! Runs the reconcile function of a controller over its queue.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::time::Instant;

use client::WorkQueue;
use futures::future::join_all;
use tracing::{debug, warn};

use crate::error::Result;
use crate::metrics::Metrics;

/// Works on the keys of `queue` for ever, `workers` at a time. A failed key comes back after a growing delay.
pub(crate) async fn work<K, F, Fut>(
    controller: &'static str,
    queue: &WorkQueue<K>,
    workers: usize,
    metrics: &Metrics,
    sync: F,
) where
    K: Clone + Eq + Hash + Debug + Display,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Result>,
{
    let worker = || async {
        loop {
            let key = queue.next().await;
            let started = Instant::now();
            let result = sync(key.clone()).await;
            metrics.reconciled(controller, started.elapsed(), result.is_err());
            match result {
                Ok(()) => queue.forget(&key),
                Err(error) => {
                    if error.is_stale() {
                        debug!(controller, %key, %error, "will try again");
                    } else {
                        warn!(controller, %key, %error, "will try again");
                    }
                    queue.add_rate_limited(key.clone());
                }
            }
            queue.done(&key);
        }
    };
    join_all((0..workers.max(1)).map(|_| worker())).await;
}
