//! No more rights than needed, and no fewer: the syncer runs with the roles that `syncer rbac` prints and nothing else, every
//! feature is used, alone and with all others, and what it asks of the host is written down. A right that nothing has used is one
//! too many; a request that was refused is one too few. And however a virtual cluster with everything on ends, nothing is left of it.
#![allow(clippy::unwrap_used)]

mod acts;
mod endings;
mod features;
mod judge;
mod run;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::playground::Layout;
use e2e::suite::{Kubectl, World};
use pki::Pki;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use endings::{ENDS, End};
use features::MONITORS;
use run::Run;

/// How many virtual clusters run at the same time.
const AT_ONCE: usize = 4;

/// The cluster that all of them live in.
struct Host {
    kubeconfig: PathBuf,
    /// Its keys, with which its clients are made.
    keys: Pki,
    port: u16,
}

impl Host {
    fn of(world: &World) -> Result<Self> {
        let access = world.access("host")?;
        let port = access.server.rsplit(':').next().and_then(|port| port.parse().ok());
        let layout = Layout::find(world.dir()).context("the playground's directory is gone")?;
        Ok(Self {
            kubeconfig: access.kubeconfig,
            keys: Pki::open(&layout.host().join("pki"), "host-ca")?,
            port: port.with_context(|| format!("{} has no port", access.server))?,
        })
    }

    fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.kubeconfig)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_right_is_used_none_is_missing_and_nothing_is_left() -> Result<()> {
    chassis::tls::install_provider();
    let only = std::env::var("FEATURE").unwrap_or_default();
    let world = World::with(&["--clusters", "0", "--nodes", "1"])?;
    let outcome = judge_all(&world, &only).await;
    if outcome.is_err() {
        world.keep_logs("rights");
    }
    world.stop()?;
    outcome
}

/// What is done with one virtual cluster.
enum Task {
    Judge,
    End(End),
    Empty,
}

/// Judges every configuration whose name contains a text, and ends those that have everything on. What is wrong is told at once:
/// each of them takes a while.
async fn judge_all(world: &World, only: &str) -> Result<()> {
    let host = Arc::new(Host::of(world)?);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = Vec::new();
    // Those that take longest are the last ones.
    for configuration in features::configurations().into_iter().rev() {
        if configuration.is_whole {
            tasks.extend(ENDS.map(|end| (configuration.clone(), Task::End(end))));
        }
        if configuration.name == MONITORS {
            tasks.push((configuration.clone(), Task::Empty));
        }
        tasks.push((configuration, Task::Judge));
    }
    let mut runs = JoinSet::new();
    for (number, (configuration, task)) in tasks.into_iter().enumerate() {
        let name = match &task {
            Task::Judge => configuration.name.to_owned(),
            Task::End(end) => format!("{}: {end:?}", configuration.name),
            Task::Empty => format!("{}: none any more", configuration.name),
        };
        if !name.contains(only) {
            continue;
        }
        let (host, room, runtime) = (host.clone(), room.clone(), Handle::current());
        // Waiting for a kubectl keeps a thread busy.
        runs.spawn_blocking(move || {
            runtime.block_on(async {
                let _room = room.acquire().await;
                let began = Instant::now();
                let run = Run::new(number, configuration);
                let found = match task {
                    Task::Judge => run.judge(&host).await,
                    Task::End(end) => run.end(&host, end).await,
                    Task::Empty => run.empty(&host).await,
                };
                let found = found.unwrap_or_else(|error| vec![format!("{error:#}")]);
                println!("{name}: judged in {:.1?}, {} wrong", began.elapsed(), found.len());
                found
                    .into_iter()
                    .map(|what| format!("{name}: {what}"))
                    .collect::<Vec<_>>()
            })
        });
    }
    let wrong = runs.join_all().await.concat();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Waits until `look` succeeds.
async fn until<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    /// Longer than anything takes on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(60);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(100)).await,
            seen => return seen,
        }
    }
}
