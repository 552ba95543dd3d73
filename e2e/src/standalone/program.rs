//! A child process that ends with its value.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{ASK_EVERY, PATIENCE};
use crate::process::{MARKER, last_line, send};

/// How long it may take to end when asked to.
const GRACE: Duration = Duration::from_secs(20);

/// A running program. It is killed when this is dropped; [`Program::stop`] asks it to end.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it, with its output going to `log` and the mark of `dir` in its environment.
    pub(super) fn start(name: &str, binary: &Path, arguments: &[String], log: &Path, dir: &Path) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(binary)
            .args(arguments)
            .env(MARKER, dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("cannot share the log")?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        Ok(Self {
            name: name.to_string(),
            child,
            log: log.to_path_buf(),
        })
    }

    /// Its process id; none when it has ended.
    pub fn pid(&self) -> Option<i32> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Waits until `look` finds that it works.
    pub(super) async fn works<T>(&mut self, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = look().await;
            let said = || last_line(&self.log).unwrap_or_else(|| "it has said nothing".to_string());
            match seen {
                Ok(found) => return Ok(found),
                Err(_) if self.child.try_wait()?.is_some() => bail!("{} has ended: {}", self.name, said()),
                Err(error) if Instant::now() >= deadline => {
                    return Err(error.context(format!("{} does not get ready: {}", self.name, said())));
                }
                Err(_) => tokio::time::sleep(ASK_EVERY).await,
            }
        }
    }

    /// Ends it without warning, and waits for that.
    ///
    /// # Errors
    /// It cannot be ended.
    pub async fn kill(mut self) -> Result<()> {
        let killed = self.child.kill().await;
        killed.with_context(|| format!("cannot end {}", self.name))
    }

    /// Lets it do nothing until it is resumed; what it has open stays open.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            send(pid, signal);
        }
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// It cannot be ended.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM);
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
            self.child
                .kill()
                .await
                .with_context(|| format!("cannot end {}", self.name))?;
        }
        Ok(())
    }
}
