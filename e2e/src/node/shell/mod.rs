//! The tiny shell of a simulated container: enough of POSIX `sh` for commands in examples, probes and tests.
//!
//! A container's main program and every `exec` go through the same two steps: `parse` turns a script into commands, `plan`
//! turns commands into a list of steps with a known exit status. Nothing here runs or waits; callers do.
//!
//! Known commands: `echo`, `cat`, `env`/`printenv`, `hostname`, `ls`, `id`, `pwd`, `sleep`, `true`/`:`, `false`, `exit`
//! and `sh -c` (also `bash`, `ash`) of those, joined by `;`, `&&`, `||` or line ends, with quotes, `$NAME`, `${NAME}`, `$?`,
//! `>&2` and `>/dev/null`.

mod parse;
mod plan;
mod run;

pub use plan::{End, Plan, Step, Unknown, plan};
pub use run::{Output, run};

use std::collections::BTreeMap;

/// What a command can see of its container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// What `hostname` prints.
    pub hostname: String,
    /// Environment variables in the order they were defined.
    pub env: Vec<(String, String)>,
    /// Absolute path -> content of every file a command may read.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What `id` prints: user and group.
    pub user: (i64, i64),
    /// Where relative paths start.
    pub working_dir: String,
}
