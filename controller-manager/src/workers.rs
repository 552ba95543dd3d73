//! Runs the reconcile function of a controller over its queue.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use client::{ObjectKey, WorkQueue};
use futures::FutureExt;
use futures::future::join_all;
use tracing::{debug, warn};

use crate::context::{Context, Task};
use crate::error::Result;
use crate::metrics::Metrics;

/// A controller with one queue of objects to bring in line.
pub(crate) trait Reconcile: Send + Sync + 'static {
    fn queue(&self) -> &WorkQueue<ObjectKey>;

    /// Brings one object in line; an error means that it is tried again later.
    fn sync(&self, key: ObjectKey) -> impl Future<Output = Result> + Send;
}

/// The task of such a controller: it acts only when the informers have shown everything there is.
pub(crate) fn run<C: Reconcile>(
    name: &'static str,
    context: &Arc<Context>,
    workers: usize,
    controller: Arc<C>,
) -> Task {
    let context = context.clone();
    async move {
        context.informers.synced().await;
        let sync = |key| controller.sync(key);
        work(name, controller.queue(), workers, &context.metrics, sync).await;
    }
    .boxed()
}

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
