//! `vcluster playground up|status|down`.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chassis::usage;
use e2e::controlplane::missing_binaries;
use e2e::playground::{Layout, Phase, State, remove};
use e2e::process::{self, Health, Report};

use crate::options::{Directory, Status, Up};
use crate::supervisor;

/// How often a starting playground is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a supervisor may take to stop everything by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a playground and waits until it is ready.
pub(crate) fn up(options: &Up) -> Result<()> {
    let binaries = supervisor::binaries()?;
    let missing = missing_binaries(&binaries);
    if !missing.is_empty() {
        let dir = binaries.display();
        return Err(usage(format!(
            "{} not found beside vcluster in {dir}: build all of them first",
            missing.join(", ")
        )));
    }
    let values = options.values.as_deref().map(read_values).transpose()?;
    let layout = Layout::create(&options.directory.path()?)?;
    let dir = layout.dir().display();
    let processes = process::find(layout.dir());
    let known = State::read(&layout.state());
    if let Ok(Some(state)) = &known
        && processes
            .iter()
            .any(|process| u32::try_from(process.pid) == Ok(state.supervisor))
    {
        bail!("a playground is running in {dir} already: `vcluster playground status` shows it, `down` removes it");
    }
    if !processes.is_empty() || layout.has_files() {
        bail!("{dir} holds what is left of another playground: remove it with `vcluster playground down --dir {dir}`");
    }
    if let Some(values) = values {
        let file = layout.values();
        std::fs::write(&file, values).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let clusters = if options.names.is_empty() {
        (1..=options.clusters).map(|number| format!("vc-{number}")).collect()
    } else {
        options.names.clone()
    };
    let log = OpenOptions::new().create(true).append(true).open(layout.log());
    let log = log.with_context(|| format!("cannot write {}", layout.log().display()))?;
    let mut command = supervisor::command(&layout, options, &clusters)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut child = command.spawn().context("cannot start the playground's supervisor")?;
    let state = wait_ready(&layout, &mut child)?;
    print_access(&state);
    println!(
        "\nStop it and remove its files: vcluster playground down{}",
        directory_flag(&layout, &options.directory)
    );
    Ok(())
}

/// The text of a vcluster.yaml that can be used.
fn read_values(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| usage(format!("--values: cannot read {}: {error}", file.display())))?;
    config::Config::parse(&file.display().to_string(), &text).map_err(|error| usage(format!("--values: {error}")))?;
    Ok(text)
}

/// Shows what is waited for until the playground is ready, or says why it never will be.
fn wait_ready(layout: &Layout, child: &mut Child) -> Result<State> {
    let mut progress = Progress::new();
    loop {
        let state = State::read(&layout.state()).ok().flatten();
        match state.as_ref().map(|state| &state.phase) {
            Some(Phase::Ready) => {
                progress.done("ready");
                return state.context("the playground's state has vanished");
            }
            Some(Phase::Failed(why)) => {
                progress.done("failed");
                bail!("{why} (`vcluster playground down` cleans up)");
            }
            Some(Phase::Starting(what)) => progress.show(&format!("waiting for {what}")),
            Some(Phase::Stopping) => progress.show("stopping"),
            None => progress.show("preparing"),
        }
        if let Some(status) = child.try_wait().context("cannot watch the supervisor")? {
            progress.done("failed");
            bail!("the supervisor has ended ({status}); see {}", layout.log().display());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Shows a playground.
pub(crate) fn status(options: &Status) -> Result<()> {
    let dir = options.directory.path()?;
    let layout = Layout::find(&dir).filter(Layout::has_files);
    let Some(layout) = layout else {
        bail!("there is no playground in {}", dir.display())
    };
    let state =
        State::read(&layout.state())?.with_context(|| format!("there is no playground in {}", dir.display()))?;
    if options.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&state).context("cannot print the state")?
        );
        return Ok(());
    }
    let alive = process::find(layout.dir());
    let supervised = alive
        .iter()
        .any(|process| u32::try_from(process.pid) == Ok(state.supervisor));
    let phase = match &state.phase {
        _ if !supervised => "half dead: its supervisor is gone, `vcluster playground down` cleans up".to_string(),
        Phase::Starting(what) => format!("starting, waiting for {what}"),
        Phase::Ready => "ready".to_string(),
        Phase::Failed(why) => format!("failed: {why}"),
        Phase::Stopping => "stopping".to_string(),
    };
    println!("playground in {}: {phase}\n", layout.dir().display());
    println!(
        "{:<28} {:<9} {:>8} {:>9} {:>10}",
        "PROCESS", "STATE", "PID", "RESTARTS", "MEMORY"
    );
    for report in &state.processes {
        print_process(report);
    }
    print_access(&state);
    Ok(())
}

fn print_process(report: &Report) {
    let (state, why) = match &report.health {
        Health::Starting => ("starting", ""),
        Health::Ready => ("ready", ""),
        Health::Died(why) => ("died", why.as_str()),
        Health::Failed(why) => ("failed", why.as_str()),
        Health::Stopped => ("stopped", ""),
    };
    let pid = report.pid.map_or("-".to_string(), |pid| pid.to_string());
    let memory = report.pid.and_then(process::resident_memory);
    let memory = memory.map_or("-".to_string(), |bytes| {
        format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
    });
    println!(
        "{:<28} {state:<9} {pid:>8} {:>9} {memory:>10}",
        report.name, report.restarts
    );
    if !why.is_empty() {
        println!("    {why}; see {}", report.log.display());
    }
}

/// Stops a playground and removes its files.
pub(crate) fn down(options: &Directory) -> Result<()> {
    let dir = options.path()?;
    let Some(layout) = Layout::find(&dir) else {
        println!("there is no playground in {}", dir.display());
        return Ok(());
    };
    let processes = process::find(layout.dir());
    if processes.is_empty() && !layout.has_files() {
        println!("there is no playground in {}", layout.dir().display());
        return Ok(());
    }
    let mut progress = Progress::new();
    // The supervisor stops its processes in the right order; without one they are stopped from here.
    if let Ok(Some(state)) = State::read(&layout.state())
        && let Some(supervisor) = processes
            .iter()
            .find(|process| u32::try_from(process.pid) == Ok(state.supervisor))
    {
        process::terminate(supervisor);
        let deadline = Instant::now() + PATIENCE;
        while process::find(layout.dir()).contains(supervisor) && Instant::now() < deadline {
            progress.show("stopping the processes");
            std::thread::sleep(LOOK_EVERY);
        }
    }
    progress.show("stopping what is left");
    let stubborn = process::end(layout.dir(), Duration::from_secs(3));
    if let Some(process) = stubborn.first() {
        progress.done("failed");
        bail!(
            "process {} ({}) does not end; its files in {} are kept",
            process.pid,
            process.program,
            layout.dir().display()
        );
    }
    remove(&layout)?;
    progress.done(&format!(
        "stopped {} processes, removed {}",
        processes.len(),
        layout.dir().display()
    ));
    Ok(())
}

fn print_access(state: &State) {
    println!("\nCLUSTERS");
    for cluster in &state.clusters {
        let place = match (&cluster.namespace, &cluster.dns) {
            (Some(namespace), Some(dns)) => format!("in host namespace {namespace}, DNS on {dns}"),
            _ => format!("with {} simulated nodes", state.nodes.len()),
        };
        println!(
            "  {:<8} {place}\n           export KUBECONFIG={}",
            cluster.name,
            cluster.kubeconfig.display()
        );
    }
}

/// `--dir` as it has to be repeated to mean the same playground.
fn directory_flag(layout: &Layout, given: &Directory) -> String {
    if given.is_default() {
        String::new()
    } else {
        format!(" --dir {}", layout.dir().display())
    }
}

/// One line that says what is going on and for how long: rewritten in a terminal, one line per change elsewhere.
struct Progress {
    began: Instant,
    shown: String,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            shown: String::new(),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, what: &str) {
        let elapsed = self.began.elapsed().as_secs_f64();
        if self.terminal {
            eprint!("\r\x1b[K{elapsed:5.1} s  {what}");
            // A terminal that cannot be written to has no reader to miss the line.
            let _ = std::io::stderr().flush();
        } else if self.shown != what {
            eprintln!("{elapsed:5.1} s  {what}");
        }
        self.shown = what.to_string();
    }

    fn done(&mut self, what: &str) {
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{start}{:5.1} s  {what}", self.began.elapsed().as_secs_f64());
    }
}
