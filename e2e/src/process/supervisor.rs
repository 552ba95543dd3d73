//! One supervised process: started, watched until it is ready, started again when it dies, stopped on request.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::MARKER;

/// How often a starting process is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// Pauses between a death and the next start: the first doubles up to the last, and again after a good while of running.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);
const GOOD_WHILE: Duration = Duration::from_secs(10);
/// How long a process may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// The exit status of our services for a command line or file they cannot use; starting again would not help.
const USAGE: i32 = 2;

/// What to run.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Unique within the playground, e.g. `host/apiserver`.
    pub name: String,
    /// The binary.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where its output is appended.
    pub log: PathBuf,
    /// Where it serves `/readyz`.
    pub admin: SocketAddr,
    /// The playground it belongs to.
    pub playground: PathBuf,
}

/// How a process is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "health", content = "why", rename_all = "lowercase")]
pub enum Health {
    /// Running, not ready yet.
    Starting,
    /// Running and ready.
    Ready,
    /// It has died and will be started again.
    Died(String),
    /// It cannot work as it was asked to; it stays down.
    Failed(String),
    /// Stopped on request.
    Stopped,
}

/// What is known of a process at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// How it is doing.
    #[serde(flatten)]
    pub health: Health,
    /// The running process.
    pub pid: Option<i32>,
    /// How often it was started again.
    pub restarts: u32,
    /// Where it serves `/readyz` and `/metrics`.
    pub admin: SocketAddr,
    /// Its log.
    pub log: PathBuf,
}

/// A supervised process; it is asked to end when this is dropped, [`Process::stop`] also waits for it.
#[derive(Debug)]
pub struct Process {
    reports: watch::Receiver<Report>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Process {
    /// Starts supervising.
    pub fn start(spec: Spec) -> Self {
        let report = Report {
            name: spec.name.clone(),
            health: Health::Starting,
            pid: None,
            restarts: 0,
            admin: spec.admin,
            log: spec.log.clone(),
        };
        let (publish, reports) = watch::channel(report);
        let stop = CancellationToken::new();
        let task = tokio::spawn(supervise(spec, publish, stop.clone()));
        Self {
            reports,
            stop,
            task: Some(task),
        }
    }

    /// Reports, newest last seen.
    pub fn reports(&self) -> watch::Receiver<Report> {
        self.reports.clone()
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It has failed for good, or `patience` is over; says why, with the last line of its log.
    pub async fn ready(&self, patience: Duration) -> Result<()> {
        let mut reports = self.reports.clone();
        let decided = reports.wait_for(|report| matches!(report.health, Health::Ready | Health::Failed(_)));
        let report = match tokio::time::timeout(patience, decided).await {
            Ok(Ok(report)) => report.clone(),
            _ => self.reports.borrow().clone(),
        };
        let (name, log) = (&report.name, report.log.display());
        match report.health {
            Health::Ready => Ok(()),
            Health::Failed(why) => bail!("{name} cannot run: {why}; see {log}"),
            Health::Died(why) => bail!("{name} is not ready after {} s: {why}; see {log}", patience.as_secs()),
            Health::Starting | Health::Stopped => {
                let last = last_line(&report.log).unwrap_or_else(|| "it has said nothing".to_string());
                bail!("{name} is not ready after {} s: {last}; see {log}", patience.as_secs())
            }
        }
    }

    /// Ends it: SIGTERM, SIGKILL when it takes too long.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // The task cannot panic; it ends soon after the process.
            let _ = task.await;
        }
    }
}

async fn supervise(spec: Spec, publish: watch::Sender<Report>, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let health = match run(&spec, &publish, &stop).await {
            Ok(None) => {
                publish.send_modify(|report| (report.health, report.pid) = (Health::Stopped, None));
                return;
            }
            Ok(Some(status)) => death(&spec, status),
            Err(error) => Health::Failed(format!("{error:#}")),
        };
        warn!(process = spec.name, ?health, "ended");
        let failed = matches!(health, Health::Failed(_));
        publish.send_modify(|report| (report.health, report.pid) = (health, None));
        if failed {
            return stop.cancelled().await;
        }
        if began.elapsed() >= GOOD_WHILE {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return publish.send_modify(|report| report.health = Health::Stopped),
        }
        pause = (pause * 2).min(LAST_PAUSE);
        publish.send_modify(|report| (report.health, report.restarts) = (Health::Starting, report.restarts + 1));
    }
}

/// One run; `None` when it ended because it was asked to.
async fn run(spec: &Spec, publish: &watch::Sender<Report>, stop: &CancellationToken) -> Result<Option<ExitStatus>> {
    let log = open_log(&spec.log)?;
    let mut child = Command::new(&spec.program)
        .args(&spec.arguments)
        .env(MARKER, &spec.playground)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share the log")?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", spec.program.display()))?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    publish.send_modify(|report| report.pid = pid);
    let began = Instant::now();
    tokio::select! {
        status = child.wait() => return Ok(Some(status?)),
        () = ready(spec.admin) => {
            info!(process = spec.name, pid, after = ?began.elapsed(), "ready");
            publish.send_modify(|report| report.health = Health::Ready);
        }
        () = stop.cancelled() => return terminate(child).await.map(|()| None),
    }
    tokio::select! {
        status = child.wait() => Ok(Some(status?)),
        () = stop.cancelled() => terminate(child).await.map(|()| None),
    }
}

async fn terminate(mut child: Child) -> Result<()> {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        super::leftovers::send(pid, Signal::TERM);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        child.kill().await.context("cannot kill a process")?;
    }
    Ok(())
}

fn death(spec: &Spec, status: ExitStatus) -> Health {
    let why = match last_line(&spec.log) {
        Some(line) => format!("{status}: {line}"),
        None => status.to_string(),
    };
    if status.code() == Some(USAGE) {
        Health::Failed(why)
    } else {
        Health::Died(why)
    }
}

fn open_log(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The last line of a log that says something.
pub(crate) fn last_line(path: &Path) -> Option<String> {
    let lines = BufReader::new(File::open(path).ok()?)
        .lines()
        .map_while(std::result::Result::ok);
    lines.filter(|line| !line.trim().is_empty()).last()
}

/// Waits until `/readyz` answers 200.
async fn ready(admin: SocketAddr) {
    while !is_ready(admin).await.unwrap_or(false) {
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Asks `/readyz` once.
///
/// # Errors
/// Nobody answers.
pub async fn is_ready(admin: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(admin).await?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    Ok(&answer == b"HTTP/1.1 200")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    /// A process that sleeps, next to a listener of the test that says it is ready.
    struct Bench {
        dir: tempfile::TempDir,
        admin: SocketAddr,
        _answers: tokio::task::JoinHandle<()>,
    }

    impl Bench {
        async fn new() -> Self {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let admin = listener.local_addr().unwrap();
            let answers = tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let mut request = [0; 64];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                }
            });
            Self {
                dir: tempfile::tempdir().unwrap(),
                admin,
                _answers: answers,
            }
        }

        fn spec(&self, script: &str) -> Spec {
            Spec {
                name: "test/sh".to_string(),
                program: "/bin/sh".into(),
                arguments: vec!["-c".to_string(), script.to_string()],
                log: self.dir.path().join("sh.log"),
                admin: self.admin,
                playground: self.dir.path().to_path_buf(),
            }
        }
    }

    #[tokio::test]
    async fn a_killed_process_comes_back_and_a_stopped_one_does_not() {
        let bench = Bench::new().await;
        let process = Process::start(bench.spec("exec sleep 600"));
        process.ready(Duration::from_secs(5)).await.unwrap();
        let first = process.reports().borrow().pid.unwrap();
        let killed = Instant::now();
        super::super::leftovers::send(first, Signal::KILL);
        let mut reports = process.reports();
        let report = reports
            .wait_for(|report| report.restarts == 1 && report.health == Health::Ready)
            .await
            .unwrap()
            .clone();
        assert!(killed.elapsed() < LAST_PAUSE);
        assert_ne!(report.pid, Some(first));
        process.stop().await;
        assert_eq!(reports.borrow().health, Health::Stopped);
        assert_eq!(super::super::find(bench.dir.path()), []);
    }

    #[tokio::test]
    async fn a_usage_error_is_final_and_told() {
        let bench = Bench::new().await;
        let mut spec = bench.spec("echo '--nonsense is not a flag' >&2; exit 2");
        // Nobody listens there, so it cannot be ready before it ends.
        spec.admin = (Ipv4Addr::LOCALHOST, 1).into();
        let process = Process::start(spec);
        let error = process.ready(Duration::from_secs(5)).await.unwrap_err().to_string();
        assert!(
            error.starts_with("test/sh cannot run: exit status: 2: --nonsense is not a flag; see "),
            "{error}"
        );
        process.stop().await;
    }

    #[tokio::test]
    async fn a_process_that_never_gets_ready_is_reported_with_its_last_words() {
        let bench = Bench::new().await;
        let mut spec = bench.spec("echo waiting for godot; exec sleep 600");
        spec.admin = (Ipv4Addr::LOCALHOST, 1).into();
        let log = spec.log.clone();
        let process = Process::start(spec);
        let spoken = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("godot"));
        let began = Instant::now();
        while !spoken() {
            assert!(began.elapsed() < GRACE, "it says nothing");
            tokio::time::sleep(ASK_EVERY).await;
        }
        let error = process.ready(Duration::from_millis(300)).await.unwrap_err().to_string();
        assert!(error.contains("waiting for godot"), "{error}");
        process.stop().await;
    }

    #[tokio::test]
    async fn a_missing_binary_is_named() {
        let bench = Bench::new().await;
        let mut spec = bench.spec("");
        spec.program = "/does/not/exist".into();
        let process = Process::start(spec);
        let error = process.ready(Duration::from_secs(5)).await.unwrap_err().to_string();
        assert!(error.contains("cannot start /does/not/exist"), "{error}");
        process.stop().await;
    }
}
