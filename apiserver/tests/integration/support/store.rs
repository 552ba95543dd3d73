//! Real stores for tests: etcd, and kine-shim when it has been built. Each is a child process on a free port or a unix
//! socket, gone when it is dropped.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running store.
pub(crate) struct Backend {
    pub(crate) endpoint: String,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    child: Child,
    _dir: TempDir,
}

impl Backend {
    /// etcd, from the Debian package `etcd-server`.
    pub(crate) fn etcd() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (client, peer) = (free_url(), free_url());
        let (data, url) = (dir.path().join("data"), client.clone());
        Self::start(dir, client, move || {
            let mut command = Command::new("etcd");
            command.arg("--data-dir").arg(&data).args(["--log-level", "error"]);
            for flag in ["--listen-client-urls", "--advertise-client-urls"] {
                command.args([flag, &url]);
            }
            for flag in ["--listen-peer-urls", "--initial-advertise-peer-urls"] {
                command.args([flag, &peer]);
            }
            command.args(["--initial-cluster", &format!("default={peer}")]);
            command
        })
    }

    /// kine-shim on SQLite, if its binary lies next to the tests'. With `CI=true` it must.
    pub(crate) fn kine_shim() -> Option<Self> {
        let tests = std::env::current_exe().unwrap();
        let binary: PathBuf = tests.parent()?.parent()?.join("kine-shim");
        if !binary.exists() {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "{} is missing",
                binary.display()
            );
            eprintln!(
                "skipped: {} is missing; build it with `cargo build -p kine-shim`",
                binary.display()
            );
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let socket = format!("unix://{}", dir.path().join("kine.sock").display());
        let (database, listen) = (dir.path().join("state.db"), socket.clone());
        Some(Self::start(dir, socket, move || {
            let mut command = Command::new(&binary);
            command.arg(format!("--endpoint=sqlite://{}", database.display()));
            command.arg(format!("--listen-address={listen}"));
            command
        }))
    }

    fn start(dir: TempDir, endpoint: String, command: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        let child = spawn(&command);
        Backend {
            endpoint,
            command: Box::new(command),
            child,
            _dir: dir,
        }
    }

    /// Kills the store without warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same data.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.command);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &dyn Fn() -> Command) -> Child {
    let mut command = command();
    let program = command.get_program().to_owned();
    let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    spawned.unwrap_or_else(|error| panic!("cannot run {program:?}: {error}"))
}

fn free_url() -> String {
    format!(
        "http://{}",
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    )
}

/// Polls until `condition` answers something, at most 20 s.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "still waiting: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
