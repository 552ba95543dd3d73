//! The command line.

use std::path::PathBuf;

use anyhow::Result;
use chassis::usage;
use clap::{Args, Parser, Subcommand};

/// Virtual Kubernetes clusters: each a control plane of its own in one namespace of a host cluster.
#[derive(Debug, Parser)]
#[command(name = "vcluster", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try it on this machine: a host cluster with simulated nodes, and virtual clusters on it
    #[command(subcommand)]
    Playground(Playground),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Playground {
    /// Start a playground in the background and say how to reach its clusters
    ///
    /// Everything listens on 127.0.0.1 and keeps its files in one directory. The nodes of the host are simulated: pods
    /// become Running, have addresses, logs, exec and port-forward, but no image is pulled and no program runs.
    #[command(after_help = UP_EXAMPLES)]
    Up(Up),
    /// Show what runs and how to reach it
    Status(Status),
    /// Stop all processes of a playground and remove its files, also after a crash
    Down(Directory),
}

const UP_EXAMPLES: &str = "Examples:
  vcluster playground up                    one virtual cluster, vc-1, in the host namespace vcluster-vc-1
  vcluster playground up --clusters 3       vc-1, vc-2 and vc-3
  vcluster playground up --dir ./play       keep the files in ./play";

#[derive(Debug, Args)]
pub(crate) struct Directory {
    /// Where the playground keeps its files [default: $XDG_STATE_HOME/vcluster/playground, else
    /// ~/.local/state/vcluster/playground]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Number of virtual clusters; they are called vc-1, vc-2, ...
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=50))]
    pub(crate) clusters: u8,

    /// Number of simulated nodes, node-1, node-2, ..., each for up to 110 pods
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) nodes: u8,

    #[command(flatten)]
    pub(crate) directory: Directory,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print everything as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) directory: Directory,
}

impl Directory {
    /// Whether no directory was asked for.
    pub(crate) fn is_default(&self) -> bool {
        self.dir.is_none()
    }

    /// The directory asked for, or the default one.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        if let Some(dir) = &self.dir {
            return Ok(dir.clone());
        }
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let state = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
        let state = state.ok_or_else(|| usage("neither XDG_STATE_HOME nor HOME is set: say where with --dir"))?;
        Ok(state.join("vcluster").join("playground"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
        let parse = |arguments: &[&str]| Options::try_parse_from([&["vcluster", "playground"], arguments].concat());
        assert!(parse(&["up", "--clusters", "3", "--nodes=5"]).is_ok());
        for wrong in [
            &["up", "--clusters", "x"][..],
            &["up", "--nodes", "0"],
            &["sideways"],
            &[],
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
        assert_eq!(parse(&["up", "--version"]).unwrap_err().exit_code(), 0);
    }
}
