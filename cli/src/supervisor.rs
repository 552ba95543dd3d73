//! The background process of a playground: this binary under another name, `vcluster-playground`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use chassis::{Chassis, CommonOptions, Defaults, usage};
use e2e::playground::{Layout, Playground, Settings};

use crate::options::Up;

/// What the background process is called.
pub const NAME: &str = "vcluster-playground";

/// Supervises a playground; `vcluster playground up` starts it.
#[derive(Debug, clap::Parser)]
struct Options {
    /// Where the playground keeps its files
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// Number of simulated nodes
    #[arg(long, value_name = "N")]
    nodes: u8,

    /// Name of a virtual cluster; can be repeated
    #[arg(long = "cluster", value_name = "NAME")]
    clusters: Vec<String>,

    /// The one namespace that all virtual clusters live in
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Put each virtual cluster into the one before it
    #[arg(long)]
    nested: bool,

    /// Kubeconfig of the cluster that is the host
    #[arg(long, value_name = "FILE")]
    host_kubeconfig: Option<PathBuf>,

    #[command(flatten)]
    common: CommonOptions,
}

impl chassis::Options for Options {
    const DEFAULTS: Defaults = Defaults::NONE;

    fn common(&self) -> &CommonOptions {
        &self.common
    }
}

/// Whether this process was started as the supervisor.
pub fn is_called() -> bool {
    std::env::args_os()
        .next()
        .is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == NAME))
}

/// Runs the supervisor until it is asked to end.
pub fn run() -> ExitCode {
    chassis::run(NAME, build)
}

/// The command that starts the supervisor.
pub(crate) fn command(layout: &Layout, options: &Up, clusters: &[String]) -> Result<Command> {
    use std::os::unix::process::CommandExt;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = Command::new(program);
    command
        .arg0(NAME)
        .arg("--dir")
        .arg(layout.dir())
        .arg("--nodes")
        .arg(options.nodes.to_string());
    clusters.iter().for_each(|name| {
        command.arg("--cluster").arg(name);
    });
    options.namespace.iter().for_each(|namespace| {
        command.arg("--namespace").arg(namespace);
    });
    if options.nested {
        command.arg("--nested");
    }
    if let Some(file) = &options.host_kubeconfig {
        let file = file.canonicalize();
        let file = file.map_err(|error| usage(format!("--host-kubeconfig: cannot use the file: {error}")))?;
        command.arg("--host-kubeconfig").arg(file);
    }
    // Stopping takes a moment per process; signals of the terminal are not for it.
    command
        .arg("--drain-timeout=60")
        .env(e2e::process::MARKER, layout.dir())
        .process_group(0);
    Ok(command)
}

/// The directory of the services' binaries: where this program is.
pub(crate) fn binaries() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(program.parent().map(Path::to_path_buf).unwrap_or_default())
}

async fn build(options: Options, chassis: &mut Chassis) -> Result<()> {
    let settings = Settings {
        layout: Layout::create(&options.dir)?,
        binaries: binaries()?,
        nodes: options.nodes,
        clusters: options.clusters,
        namespace: options.namespace,
        nested: options.nested,
        host_kubeconfig: options.host_kubeconfig,
    };
    let tasks = chassis.tasks().clone();
    let ready = chassis.health().gate("playground");
    let mut playground = Playground::prepare(&settings, &tasks)?;
    // One task from start to stop: whatever has been started is stopped, also when the rest did not start.
    chassis.tasks().spawn("playground", async move {
        let shutdown = tasks.shutdown();
        let started = tokio::select! {
            started = playground.start(&settings, &tasks) => started,
            () = shutdown.cancelled() => Ok(()),
        };
        if started.is_ok() {
            ready.ready();
            shutdown.cancelled().await;
        }
        playground.stop().await;
        started
    });
    Ok(())
}
