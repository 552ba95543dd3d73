//! Tasks with an owner: nothing runs unnoticed, ends unnoticed or outlives the process's drain.

use crate::health::Health;
use crate::sync::lock;
use anyhow::{Context, anyhow};
use futures::FutureExt;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A task that ran this long is healthy again: its next restart is quick.
const STEADY: Duration = Duration::from_secs(60);

/// What a task may return: nothing, or a `Result<(), _>` whose error says why it ended.
pub trait Outcome: Send + 'static {
    /// The outcome as a result.
    fn into_result(self) -> anyhow::Result<()>;
}

impl Outcome for () {
    fn into_result(self) -> anyhow::Result<()> {
        Ok(())
    }
}

impl<E: Into<anyhow::Error> + Send + 'static> Outcome for Result<(), E> {
    fn into_result(self) -> anyhow::Result<()> {
        self.map_err(Into::into)
    }
}

/// Owns the tasks of a process. Clones share them.
#[derive(Debug, Clone)]
pub struct Tasks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    health: Health,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    /// Cancelled when the drain deadline passed: drops every task that is left.
    kill: CancellationToken,
    failed: CancellationToken,
    failure: Mutex<Option<anyhow::Error>>,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    names: BTreeMap<u64, Cow<'static, str>>,
}

impl Tasks {
    /// An owner without tasks. Supervised tasks report to `health`; `shutdown` asks all of them to end.
    pub fn new(health: Health, shutdown: CancellationToken) -> Self {
        Tasks(Arc::new(Shared {
            health,
            tracker: TaskTracker::new(),
            shutdown,
            kill: CancellationToken::new(),
            failed: CancellationToken::new(),
            failure: Mutex::default(),
            running: Mutex::default(),
        }))
    }

    /// Cancelled when tasks must finish what they do and end.
    pub fn shutdown(&self) -> CancellationToken {
        self.0.shutdown.clone()
    }

    /// Runs a task the service cannot live without: that it ends before shutdown, in whatever way, ends the service.
    pub fn spawn<F>(&self, name: impl Into<Cow<'static, str>>, task: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let name = name.into();
        let tasks = self.clone();
        // What is around it would have room for it several times over, for as long as it runs.
        let task = Box::pin(task);
        self.start(name.clone(), async move {
            let result = caught(task).await;
            if !tasks.0.shutdown.is_cancelled() {
                tasks.fail(match result {
                    Ok(()) => anyhow!("the task {name} ended unexpectedly"),
                    Err(error) => error.context(format!("the task {name} failed")),
                });
            }
        });
    }

    /// Runs a task that may end at any time, such as one per connection. An error is logged, a panic too.
    pub fn spawn_finite<F>(&self, name: impl Into<Cow<'static, str>>, task: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let name = name.into();
        let task = Box::pin(task);
        self.start(name.clone(), async move {
            if let Err(error) = caught(task).await {
                tracing::warn!(task = %name, error = format!("{error:#}"), "task failed");
            }
        });
    }

    /// Runs a task that is made anew whenever it ends, with growing pauses. A gate of the same name is closed from the
    /// end until the next start.
    pub fn supervise<M, F>(&self, name: impl Into<Cow<'static, str>>, mut make: M)
    where
        M: FnMut() -> F + Send + 'static,
        F: Future<Output: Outcome> + Send + 'static,
    {
        let name = name.into();
        let shutdown = self.shutdown();
        let gate = self.0.health.gate(&name);
        self.start(name.clone(), async move {
            let mut backoff = FIRST_BACKOFF;
            loop {
                gate.ready();
                let started = Instant::now();
                let result = caught(Box::pin(make())).await;
                if shutdown.is_cancelled() {
                    return;
                }
                if started.elapsed() >= STEADY {
                    backoff = FIRST_BACKOFF;
                }
                let why = match result {
                    Ok(()) => "ended unexpectedly".to_owned(),
                    Err(error) => format!("{error:#}"),
                };
                tracing::warn!(task = %name, why, restart_in_ms = backoff.as_millis() as u64, "task restarts");
                gate.not_ready(format!("restarting: {why}"));
                tokio::select! {
                    () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(LONGEST_BACKOFF),
                    () = shutdown.cancelled() => return,
                }
            }
        });
    }

    /// Ends the service with `error`, from anywhere. The first one wins.
    pub fn fail(&self, error: anyhow::Error) {
        lock(&self.0.failure).get_or_insert(error);
        self.0.failed.cancel();
    }

    /// Returns when a task ended the service, with the reason.
    pub async fn failed(&self) -> anyhow::Error {
        self.0.failed.cancelled().await;
        lock(&self.0.failure).take().unwrap_or_else(|| anyhow!("a task failed"))
    }

    /// Asks every task to end and waits for it, at most `deadline`; drops the ones that are left then.
    pub async fn drain(&self, deadline: Duration) -> anyhow::Result<()> {
        self.0.shutdown.cancel();
        self.0.tracker.close();
        if tokio::time::timeout(deadline, self.0.tracker.wait()).await.is_ok() {
            return Ok(());
        }
        let left: Vec<String> = lock(&self.0.running)
            .names
            .values()
            .map(|name| name.to_string())
            .collect();
        self.0.kill.cancel();
        // Killed tasks end at their next await; one that blocks a thread is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.tracker.wait()).await;
        Err(anyhow!("{}", left.join(", "))).with_context(|| format!("tasks did not end within {deadline:?}"))
    }

    fn start(&self, name: Cow<'static, str>, task: impl Future<Output = ()> + Send + 'static) {
        let shared = self.0.clone();
        let id = {
            let mut running = lock(&shared.running);
            running.next += 1;
            let id = running.next;
            running.names.insert(id, name);
            id
        };
        self.0.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = task => {}
                () = shared.kill.cancelled() => {}
            }
            lock(&shared.running).names.remove(&id);
        });
    }
}

/// The task's outcome, with a panic as an error.
async fn caught<F: Future<Output: Outcome>>(task: F) -> anyhow::Result<()> {
    match AssertUnwindSafe(task).catch_unwind().await {
        Ok(outcome) => outcome.into_result(),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(anyhow!("panicked: {}", text.unwrap_or_else(|| "no message".to_owned())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Tasks {
        Tasks::new(Health::default(), CancellationToken::new())
    }

    #[tokio::test]
    async fn an_unexpected_end_ends_the_service() {
        let tasks = tasks();
        tasks.spawn("worker", async {});
        assert_eq!(tasks.failed().await.to_string(), "the task worker ended unexpectedly");
        let tasks = self::tasks();
        tasks.spawn("worker", async { Err::<(), _>(anyhow!("no disk")) });
        assert_eq!(format!("{:#}", tasks.failed().await), "the task worker failed: no disk");
        let tasks = self::tasks();
        tasks.spawn("worker", async { assert!(std::env::args().next().is_none(), "oh") });
        assert_eq!(
            format!("{:#}", tasks.failed().await),
            "the task worker failed: panicked: oh"
        );
    }

    #[tokio::test]
    async fn an_end_after_shutdown_is_expected() {
        let tasks = tasks();
        let shutdown = tasks.shutdown();
        tasks.spawn("worker", async move { shutdown.cancelled().await });
        tasks.drain(Duration::from_secs(5)).await.unwrap();
        assert!(tasks.failed().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_supervised_task_comes_back_with_growing_pauses() {
        let tasks = tasks();
        let (sender, mut starts) = tokio::sync::mpsc::unbounded_channel();
        let health = tasks.0.health.clone();
        let mut ready = health.subscribe();
        tasks.supervise("stream", move || {
            let sender = sender.clone();
            async move {
                let _ = sender.send(Instant::now());
                anyhow::bail!("lost")
            }
        });
        let mut at = Vec::new();
        for _ in 0..3 {
            at.push(starts.recv().await.unwrap());
        }
        assert!(at[1] - at[0] >= FIRST_BACKOFF);
        assert!(at[2] - at[1] >= 2 * FIRST_BACKOFF);
        ready.wait_for(|ready| !ready).await.unwrap();
        assert_eq!(
            health.report(&[]).checks,
            [("stream".to_owned(), Some("restarting: lost".to_owned()))]
        );
        tasks.drain(Duration::from_secs(5)).await.unwrap();
    }

    #[tokio::test]
    async fn the_deadline_ends_what_does_not_end_itself() {
        let tasks = tasks();
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn_finite("stuck", async move {
            let _held = sender;
            std::future::pending::<()>().await;
        });
        let error = tasks.drain(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "tasks did not end within 20ms: stuck");
        assert!(receiver.await.is_err(), "the task must be gone");
    }
}
