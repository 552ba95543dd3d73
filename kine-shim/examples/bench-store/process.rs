//! Processes the benchmark starts, and what they take. Only processes started here are ever ended.

use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clock ticks per second in /proc, the same on every Linux.
const TICKS: f64 = 100.0;

/// A running process; it is ended when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`, with its output going to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        Ok(Self { child })
    }

    /// Waits until something listens on `port`.
    pub(crate) fn wait_for(&mut self, port: u16, log: &Path) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none(), "a server ended at once; see {}", log.display());
            ensure!(
                Instant::now() < deadline,
                "a server does not listen; see {}",
                log.display()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Processor time of the process and all its descendants so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        cpu_of_tree(self.child.id())
    }

    /// Resident memory of the process itself, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Harmless when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of this process, in seconds.
pub(crate) fn own_cpu() -> f64 {
    cpu_of(std::process::id()).map_or(0.0, |(_, seconds)| seconds)
}

/// A port nobody listens on now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Writes what the kernel still holds back, so that one measurement does not pay for the one before.
pub(crate) fn settle(directory: &Path) {
    // Where there is no such command the numbers are a little noisier.
    let _ = Command::new("sync").arg("-f").arg(directory).status();
}

/// Parent and processor time of a process, with that of its children that have ended.
fn cpu_of(pid: u32) -> Option<(u32, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything; what follows are numbers, beginning with the third field.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at - 3)?.parse::<f64>().ok();
    let parent = fields.get(1)?.parse().ok()?;
    Some((parent, (ticks(14)? + ticks(15)? + ticks(16)? + ticks(17)?) / TICKS))
}

fn cpu_of_tree(root: u32) -> f64 {
    let processes: Vec<(u32, u32, f64)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| cpu_of(pid).map(|(parent, seconds)| (pid, parent, seconds)))
        .collect();
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(parent) = tree.get(at).copied() {
        tree.extend(
            processes
                .iter()
                .filter(|(_, of, _)| *of == parent)
                .map(|(pid, ..)| *pid),
        );
        at += 1;
    }
    let in_tree = processes.iter().filter(|(pid, ..)| tree.contains(pid));
    in_tree.map(|(.., seconds)| seconds).sum()
}
