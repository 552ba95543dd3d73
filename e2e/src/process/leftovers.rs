//! Processes of a playground that nobody supervises any more, found by the mark in their environment.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::MARKER;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Process id.
    pub pid: i32,
    /// Its command line, shortened to the program.
    pub program: String,
}

/// All processes of the playground in `dir`, except the calling one. Needs Linux' /proc.
pub fn find(dir: &Path) -> Vec<Leftover> {
    let mark = format!("{MARKER}={}", dir.display()).into_bytes();
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let marked = pids.filter(|pid| *pid != own).filter(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark)
    });
    marked
        .map(|pid| Leftover {
            pid,
            program: program(pid),
        })
        .collect()
}

fn program(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    first.rsplit('/').next().unwrap_or_default().to_string()
}

/// Ends processes: SIGTERM, and SIGKILL for those that are still there after `grace`. Returns what could not be ended.
pub fn end(dir: &Path, grace: Duration) -> Vec<Leftover> {
    for (signal, patience) in [(Signal::TERM, grace), (Signal::KILL, Duration::from_secs(5))] {
        let left = find(dir);
        for process in &left {
            send(process.pid, signal);
        }
        let deadline = Instant::now() + patience;
        while !find(dir).is_empty() {
            if Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    find(dir)
}

/// Asks one process to end.
pub fn terminate(process: &Leftover) {
    send(process.pid, Signal::TERM);
}

/// Ends a process at once, as a crash would.
pub fn kill(pid: i32) {
    send(pid, Signal::KILL);
}

/// Memory a process holds, in bytes; `None` when it is gone.
pub fn resident_memory(pid: i32) -> Option<u64> {
    memory(pid, "VmRSS:")
}

/// The most memory a process ever held, in bytes; `None` when it is gone.
pub fn peak_memory(pid: i32) -> Option<u64> {
    memory(pid, "VmHWM:")
}

fn memory(pid: i32, label: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()
        .map(|kibibytes| kibibytes * 1024)
}

/// Processor time a process has used, in ticks of 10 ms as Linux counts it; `None` when it is gone.
pub fn cpu_time(pid: i32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name in parentheses may hold blanks; user and system time are the 12th and 13th field after it.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// Sends a signal; a process that is gone already is no error.
pub(crate) fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn marked_processes_are_found_and_ended_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let start = |mark: &Path, script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).env(MARKER, mark).stdout(Stdio::null());
            command.spawn().unwrap()
        };
        let mut tame = start(dir.path(), "exec sleep 600");
        let mut stubborn = start(dir.path(), "trap '' TERM; while :; do sleep 600; done");
        let mut other = start(Path::new("/elsewhere"), "exec sleep 600");
        let reaper = std::thread::spawn(move || (tame.wait().unwrap(), stubborn.wait().unwrap()));
        while find(dir.path()).len() < 3 {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(end(dir.path(), Duration::from_millis(300)), []);
        reaper.join().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let held = resident_memory(own).unwrap();
        assert!(held > 1 << 20 && peak_memory(own).unwrap() >= held);
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
