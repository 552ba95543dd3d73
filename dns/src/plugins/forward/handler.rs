//! Chooses upstreams until one answers, as CoreDNS' `plugin/forward`.

use super::exchange::{Protocol, exchange};
use super::upstream::{HealthCheck, Upstream};
use crate::metrics::{ExchangeLabels, Metrics};
use crate::plugins::log::code_name;
use crate::plugins::random;
use crate::request::{Answer, Failure, Handler, Next, Outcome, Request, Served, Transport};
use crate::zone::matching;
use chassis::{CancellationToken, Tasks};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Name;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

const NAME: &str = "forward";
/// How long to go on trying.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long one upstream may take.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// After every upstream failed; a closed port fails at once.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// In which order upstreams are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Random,
    RoundRobin,
    Sequential,
}

/// The options of the plugin.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) from: Vec<Name>,
    pub(super) upstreams: Vec<Arc<Upstream>>,
    pub(super) except: Vec<Name>,
    pub(super) policy: Policy,
    pub(super) force_tcp: bool,
    pub(super) prefer_udp: bool,
    /// Failed health checks after which an upstream is down; 0 is never.
    pub(super) max_fails: u32,
    pub(super) max_concurrent: Option<usize>,
    pub(super) fail_fast: bool,
    pub(super) check: HealthCheck,
}

pub(super) struct Forward {
    settings: Settings,
    slots: Option<Semaphore>,
    turn: AtomicUsize,
    metrics: Metrics,
    tasks: Tasks,
    stop: CancellationToken,
}

impl Forward {
    pub(super) fn new(settings: Settings, metrics: Metrics, tasks: Tasks) -> Self {
        let slots = settings
            .max_concurrent
            .map(|limit| Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
        Forward {
            slots,
            settings,
            turn: AtomicUsize::new(0),
            metrics,
            tasks,
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// The upstreams in the order to try them.
    fn order(&self) -> Vec<&Arc<Upstream>> {
        let upstreams = &self.settings.upstreams;
        let start = match self.settings.policy {
            Policy::Sequential => 0,
            Policy::RoundRobin => self.turn.fetch_add(1, Ordering::Relaxed) % upstreams.len(),
            Policy::Random => (random() % upstreams.len() as u64) as usize,
        };
        upstreams.iter().cycle().skip(start).take(upstreams.len()).collect()
    }

    async fn forward(&self, request: &Request) -> Outcome {
        let failure = |error: String| Failure {
            code: ResponseCode::ServFail,
            plugin: NAME,
            error,
        };
        let _slot = match self.slots.as_ref().map(Semaphore::try_acquire) {
            Some(Err(_)) => {
                self.metrics.concurrent_rejects.inc();
                let error = "more queries than max_concurrent".to_owned();
                return Err(Failure {
                    code: ResponseCode::Refused,
                    plugin: NAME,
                    error,
                });
            }
            slot => slot,
        };
        let deadline = Instant::now() + DEADLINE;
        let order = self.order();
        let mut error = "no upstream is healthy".to_owned();
        'rounds: while Instant::now() < deadline {
            let mut down = 0;
            for upstream in &order {
                let mut chosen = upstream;
                if upstream.is_down(self.settings.max_fails) {
                    down += 1;
                    if down < order.len() {
                        continue;
                    }
                    self.metrics.healthcheck_broken.inc();
                    if self.settings.fail_fast {
                        break 'rounds;
                    }
                    // All of them are down: perhaps only the health checks are broken.
                    chosen = &order[(random() % order.len() as u64) as usize];
                }
                match self.ask(chosen, request).await {
                    Ok(message) => return Ok(Answer { message, plugin: NAME }),
                    Err(why) => error = format!("{why:#}"),
                }
                if self.settings.max_fails != 0 {
                    chosen.check(&self.settings.check, &self.metrics, &self.tasks, &self.stop);
                }
                if down == order.len() {
                    break 'rounds;
                }
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
        Err(failure(error))
    }

    /// Goes the way the query came; a cut answer is passed on, and the client comes back over TCP.
    async fn ask(&self, upstream: &Upstream, request: &Request) -> anyhow::Result<Message> {
        let by_tcp = self.settings.force_tcp || (request.transport == Transport::Tcp && !self.settings.prefer_udp);
        let protocol = if by_tcp { Protocol::Tcp } else { Protocol::Udp };
        let started = Instant::now();
        let mut answer = exchange(upstream.address, protocol, &request.message, READ_TIMEOUT).await?;
        if answer.metadata.truncation && protocol == Protocol::Udp && self.settings.prefer_udp {
            answer = exchange(upstream.address, Protocol::Tcp, &request.message, READ_TIMEOUT).await?;
        }
        let labels = ExchangeLabels {
            proxy_name: NAME,
            to: upstream.address.to_string(),
            rcode: code_name(answer.metadata.response_code),
        };
        self.metrics
            .exchange_seconds
            .get_or_create(&labels)
            .observe(started.elapsed().as_secs_f64());
        Ok(answer)
    }
}

impl Handler for Forward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a> {
        let name = request.name();
        if matching(&self.settings.from, name).is_none() || matching(&self.settings.except, name).is_some() {
            return next.run(request);
        }
        Box::pin(self.forward(request))
    }
}
