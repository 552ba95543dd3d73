//! The playground a test file works in.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::kubectl::Kubectl;
use crate::playground::{ClusterAccess, Layout, State};
use crate::process::{self, Health, Report};

/// How long anything may take to come true; far more than it takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The kubeconfig of the cluster that is to be the host; none when that is the embedded one.
///
/// # Errors
/// The environment says something else, or does not say which cluster.
pub(super) fn existing_host() -> Result<Option<PathBuf>> {
    let said = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    match said("E2E_HOST").and_then(|host| host.into_string().ok()).as_deref() {
        None | Some("embedded") => Ok(None),
        Some("existing") => {
            let kubeconfig = said("E2E_KUBECONFIG").or_else(|| said("KUBECONFIG"));
            let kubeconfig = kubeconfig.context("E2E_HOST=existing needs E2E_KUBECONFIG or KUBECONFIG")?;
            Ok(Some(kubeconfig.into()))
        }
        Some(other) => bail!("E2E_HOST={other} is neither embedded nor existing"),
    }
}

/// A playground of its own.
#[derive(Debug)]
pub struct World {
    dir: PathBuf,
    vcluster: PathBuf,
}

impl World {
    /// Starts one with these arguments, whose virtual clusters have `values` as their vcluster.yaml, in a new directory.
    ///
    /// # Errors
    /// The binaries have not been built, or something does not start.
    pub fn start(arguments: &[&str], values: &str) -> Result<Self> {
        let file = tempfile::NamedTempFile::new().context("no temporary file")?;
        std::fs::write(&file, values).context("cannot write the values")?;
        let path = file.path().to_string_lossy();
        Self::with(&[arguments, &["--values", &path]].concat())
    }

    /// Starts one with these arguments of `vcluster playground up`, in a new directory.
    ///
    /// # Errors
    /// The binaries have not been built, or something does not start.
    pub fn with(arguments: &[&str]) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("vc")
            .tempdir()
            .context("no temporary directory")?
            .keep();
        let dir = dir.canonicalize().context("no temporary directory")?;
        let world = Self {
            dir,
            vcluster: binary("vcluster")?,
        };
        if let Err(error) = world.up(arguments) {
            world.keep_logs("start");
            world.stop()?;
            return Err(error);
        }
        Ok(world)
    }

    /// Runs `vcluster playground up`.
    ///
    /// # Errors
    /// It fails.
    pub fn up(&self, arguments: &[&str]) -> Result<String> {
        succeeded(&self.vcluster(&[&["up"], arguments].concat())?)
    }

    /// Runs `vcluster playground` with these arguments on this playground's directory.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn vcluster(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.vcluster);
        command.arg("playground").args(arguments).arg("--dir").arg(&self.dir);
        command
            .output()
            .with_context(|| format!("cannot start {}", self.vcluster.display()))
    }

    /// Where the binaries are.
    ///
    /// # Errors
    /// They are nowhere.
    pub fn binaries(&self) -> Result<PathBuf> {
        self.vcluster
            .parent()
            .map(Path::to_path_buf)
            .context("the binaries are in no directory")
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the playground tells about itself.
    ///
    /// # Errors
    /// There is none.
    pub fn state(&self) -> Result<State> {
        let layout = Layout::find(&self.dir).context("the playground's directory is gone")?;
        State::read(&layout.state())?.context("there is no playground")
    }

    /// How to reach a cluster: `host`, `vc-1`, ...
    ///
    /// # Errors
    /// There is none of that name.
    pub fn access(&self, name: &str) -> Result<ClusterAccess> {
        let found = self.state()?.clusters.into_iter().find(|cluster| cluster.name == name);
        found.with_context(|| format!("there is no cluster {name}"))
    }

    /// The namespace of the host that a virtual cluster lives in.
    ///
    /// # Errors
    /// There is no such virtual cluster.
    pub fn host_namespace(&self, cluster: &str) -> Result<String> {
        let namespace = self.access(cluster)?.namespace;
        namespace.with_context(|| format!("{cluster} lives in no namespace"))
    }

    /// An image with a shell, which every host can run: that of `E2E_IMAGE` where another one is to be used.
    pub fn image(&self) -> String {
        std::env::var("E2E_IMAGE").unwrap_or_else(|_| "busybox:1.36".to_string())
    }

    /// kubectl for a cluster.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn kubectl(&self, cluster: &str) -> Result<Kubectl> {
        Ok(Kubectl::new(&self.access(cluster)?.kubeconfig))
    }

    /// kubectl with a kubeconfig of the caller's.
    pub fn kubectl_with(&self, kubeconfig: &Path) -> Kubectl {
        Kubectl::new(kubeconfig)
    }

    /// A process by name, e.g. `vc-1/syncer`.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn process(&self, name: &str) -> Result<Report> {
        let found = self.state()?.processes.into_iter().find(|report| report.name == name);
        found.with_context(|| format!("there is no process {name}"))
    }

    /// The command line of a running process: the program and its arguments.
    ///
    /// # Errors
    /// It does not run.
    pub fn command_line(&self, name: &str) -> Result<(PathBuf, Vec<String>)> {
        let pid = self
            .process(name)?
            .pid
            .with_context(|| format!("{name} does not run"))?;
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .with_context(|| format!("{name} has no command line"))?;
        let mut words = line.split('\0').filter(|word| !word.is_empty()).map(str::to_owned);
        let program = words.next().with_context(|| format!("{name} has no name"))?;
        Ok((program.into(), words.collect()))
    }

    /// What the cases run on, for the report: whose cluster the host is, its version, what runs its containers.
    pub fn description(&self) -> String {
        let whose = match existing_host() {
            Ok(Some(kubeconfig)) => format!("the existing cluster of {}", kubeconfig.display()),
            _ => "the embedded host".to_string(),
        };
        let told = |arguments: &[&str]| self.kubectl("host").and_then(|host| host.json(arguments));
        let version = told(&["version"]).unwrap_or_default();
        let version = version["serverVersion"]["gitVersion"].as_str().unwrap_or("unknown");
        let nodes = told(&["get", "nodes"]).unwrap_or_default();
        format!("{whose}, version {version}, {}", nodes_of(&nodes))
    }

    /// Requests of syncers that their hosts have refused for want of a right, as the syncers count them.
    ///
    /// # Errors
    /// A syncer does not say what it counts.
    fn refused_by_hosts(&self) -> Result<Vec<String>> {
        let mut refused = Vec::new();
        for process in self.state()?.processes {
            if process.name.ends_with("/syncer") && process.health == Health::Ready {
                let counted = scraped(process.admin).with_context(|| format!("the metrics of {}", process.name))?;
                let lines = counted.lines().filter(|line| {
                    line.starts_with("syncer_requests")
                        && line.contains("cluster=\"host\"")
                        && line.contains("code=\"403\"")
                });
                refused.extend(lines.map(|line| format!("{}: {line}", process.name)));
            }
        }
        Ok(refused)
    }

    /// A case that comes after those that let syncers work: their hosts have refused nothing for want of a right, so the roles
    /// that `syncer rbac` prints are enough.
    ///
    /// # Errors
    /// A host has refused something.
    pub fn rights_are_enough(&self) -> Result<()> {
        let refused = self.refused_by_hosts()?;
        ensure!(refused.is_empty(), "there is no right to {refused:?}");
        Ok(())
    }

    /// Kills a process without warning and waits until it is ready again; returns how long that took.
    ///
    /// # Errors
    /// It does not come back.
    pub fn crash(&self, name: &str) -> Result<Duration> {
        let before = self.process(name)?;
        let pid = before.pid.with_context(|| format!("{name} does not run"))?;
        let began = Instant::now();
        process::kill(pid);
        eventually(&format!("{name} is back"), || {
            let now = self.process(name)?;
            Ok((now.restarts > before.restarts && now.health == Health::Ready).then_some(()))
        })?;
        Ok(began.elapsed())
    }

    /// Stops the playground and checks that nothing is left of it.
    ///
    /// # Errors
    /// A process or file is left.
    pub fn stop(&self) -> Result<()> {
        succeeded(&self.vcluster(&["down"])?)?;
        let left = process::find(&self.dir);
        ensure!(left.is_empty(), "processes are left: {left:?}");
        ensure!(!self.dir.exists(), "files are left in {}", self.dir.display());
        Ok(())
    }

    /// Copies all logs to the target directory, for a look after a failure.
    pub fn keep_logs(&self, file: &str) {
        let Some(target) = self.vcluster.parent().map(|dir| dir.join("e2e-logs").join(file)) else {
            return;
        };
        let copy = Command::new("sh")
            .args([
                "-c",
                r#"mkdir -p "$2" && cd "$1" && find . -name '*.log' | tar cf - -T - | tar xf - -C "$2""#,
                "sh",
            ])
            .args([&self.dir, &target])
            .status();
        match copy {
            Ok(status) if status.success() => println!("the logs are in {}", target.display()),
            _ => println!("the logs could not be copied"),
        }
    }
}

/// How many nodes a list has, and what runs their containers.
fn nodes_of(list: &Value) -> String {
    let Some(nodes) = list["items"].as_array() else {
        return "whose nodes it may not list".to_string();
    };
    let runtime = |node: &Value| {
        let runtime = &node["status"]["nodeInfo"]["containerRuntimeVersion"];
        runtime.as_str().unwrap_or("an unknown runtime").to_string()
    };
    let runtimes: BTreeSet<String> = nodes.iter().map(runtime).collect();
    let runtimes: Vec<String> = runtimes.into_iter().collect();
    format!("nodes: {} with {}", nodes.len(), runtimes.join(" and "))
}

/// The metrics of a process.
fn scraped(admin: SocketAddr) -> Result<String> {
    let mut connection = TcpStream::connect(admin)?;
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(answer)
}

/// Waits until `look` finds something.
///
/// # Errors
/// It does not within a minute; carries what the last look had to say.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        match seen {
            Ok(Some(found)) => return Ok(found),
            _ if Instant::now() < deadline => std::thread::sleep(LOOK_EVERY),
            Ok(None) => bail!("not true after {} s: {what}", PATIENCE.as_secs()),
            Err(error) => return Err(error.context(format!("not true after {} s: {what}", PATIENCE.as_secs()))),
        }
    }
}

/// A binary of the workspace, built next to this test or benchmark.
///
/// # Errors
/// It has not been built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this test's own file")?;
    // Tests lie in `deps/` below the binaries, examples in `examples/`, the benchmark beside them.
    let mut dir = own.parent().context("this test is in no target directory")?;
    if dir.ends_with("deps") || dir.ends_with("examples") {
        dir = dir.parent().context("this test is in no target directory")?;
    }
    let path = dir.join(name);
    ensure!(
        path.exists(),
        "{} does not exist: cargo build --workspace --bins",
        path.display()
    );
    Ok(path)
}

/// The standard output of a command that must succeed.
pub(super) fn succeeded(output: &Output) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "{}: {}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_described_by_what_runs_their_containers() {
        let node = |runtime: &str| serde_json::json!({"status": {"nodeInfo": {"containerRuntimeVersion": runtime}}});
        let list = serde_json::json!({"items": [node("containerd://2.1.0"), node("cri-o://1.36.0"), node("containerd://2.1.0")]});
        assert_eq!(nodes_of(&list), "nodes: 3 with containerd://2.1.0 and cri-o://1.36.0");
        assert_eq!(nodes_of(&Value::Null), "whose nodes it may not list");
    }
}
