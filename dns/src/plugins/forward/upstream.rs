//! One upstream name server and its health (CoreDNS' `plugin/pkg/proxy`).

use super::exchange::{Protocol, exchange};
use crate::metrics::{Metrics, UpstreamLabels};
use chassis::{CancellationToken, Tasks};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// How upstreams are checked after a failure.
#[derive(Debug, Clone)]
pub(super) struct HealthCheck {
    pub(super) interval: Duration,
    pub(super) recursion_desired: bool,
    pub(super) domain: Name,
}

#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    /// Failed health checks in a row.
    fails: AtomicU32,
    checking: AtomicBool,
}

impl Upstream {
    pub(super) fn new(address: SocketAddr) -> Self {
        Upstream {
            address,
            fails: AtomicU32::new(0),
            checking: AtomicBool::new(false),
        }
    }

    /// Whether it failed more than `max_fails` checks; 0 means that it never counts as down.
    pub(super) fn is_down(&self, max_fails: u32) -> bool {
        max_fails != 0 && self.fails.load(Ordering::Relaxed) > max_fails
    }

    /// Starts checking, unless that is going on: until it answers again.
    pub(super) fn check(
        self: &Arc<Self>,
        check: &HealthCheck,
        metrics: &Metrics,
        tasks: &Tasks,
        stop: &CancellationToken,
    ) {
        if self.checking.swap(true, Ordering::Relaxed) {
            return;
        }
        let (upstream, check, metrics, stop) = (self.clone(), check.clone(), metrics.clone(), stop.clone());
        tasks.spawn_finite("forward-health-check", async move {
            let until_healthy = async {
                while let Err(error) = upstream.check_once(&check).await {
                    let labels = UpstreamLabels {
                        proxy_name: "forward",
                        to: upstream.address.to_string(),
                    };
                    metrics.healthcheck_failures.get_or_create(&labels).inc();
                    if upstream.fails.fetch_add(1, Ordering::Relaxed) == 0 {
                        tracing::warn!(upstream = %upstream.address, %error, "an upstream does not answer");
                    }
                    tokio::time::sleep(check.interval).await;
                }
                if upstream.fails.swap(0, Ordering::Relaxed) > 0 {
                    tracing::info!(upstream = %upstream.address, "the upstream answers again");
                }
            };
            tokio::select! {
                () = until_healthy => {}
                () = stop.cancelled() => {}
            }
            upstream.checking.store(false, Ordering::Relaxed);
        });
    }

    /// Any answer is a sign of life.
    async fn check_once(&self, check: &HealthCheck) -> anyhow::Result<()> {
        let mut query = Message::query();
        query.metadata.recursion_desired = check.recursion_desired;
        query.queries = vec![Query::query(check.domain.clone(), RecordType::NS)];
        exchange(self.address, Protocol::Udp, &query, CHECK_TIMEOUT)
            .await
            .map(|_| ())
    }
}
