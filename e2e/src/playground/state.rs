//! What a playground tells about itself, as a file others can read at any moment.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::process::Report;

/// How far a playground has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", content = "detail", rename_all = "lowercase")]
pub enum Phase {
    /// Starting; says what is waited for.
    Starting(String),
    /// Everything has been ready once.
    Ready,
    /// It could not start.
    Failed(String),
    /// Stopping.
    Stopping,
}

/// How to reach a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterAccess {
    /// `host`, or the virtual cluster's name.
    pub name: String,
    /// URL of its API server.
    pub server: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Namespace of the host it lives in; none for the host.
    pub namespace: Option<String>,
    /// Where its DNS answers; none for the host.
    pub dns: Option<SocketAddr>,
}

/// The content of `playground.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Version of the program that runs it.
    pub version: String,
    /// Process id of the supervisor.
    pub supervisor: u32,
    /// How far it is.
    #[serde(flatten)]
    pub phase: Phase,
    /// The host first.
    pub clusters: Vec<ClusterAccess>,
    /// Simulated nodes of the host.
    pub nodes: Vec<String>,
    /// All processes.
    pub processes: Vec<Report>,
}

impl State {
    /// Reads the file; `None` when there is none.
    ///
    /// # Errors
    /// The file is there and cannot be understood.
    pub fn read(file: &Path) -> Result<Option<Self>> {
        match fs::read(file) {
            Ok(bytes) => {
                let state = serde_json::from_slice(&bytes);
                state
                    .map(Some)
                    .with_context(|| format!("{} is not the state of a playground", file.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("cannot describe the playground")?;
        pki::write_secret(file, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Health;

    #[test]
    fn a_state_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("playground.json");
        assert_eq!(State::read(&file).unwrap(), None);
        let state = State {
            version: "1".to_string(),
            supervisor: 42,
            phase: Phase::Starting("host/apiserver".to_string()),
            clusters: vec![ClusterAccess {
                name: "host".to_string(),
                server: "https://127.0.0.1:1".to_string(),
                kubeconfig: "/k".into(),
                namespace: None,
                dns: None,
            }],
            nodes: vec!["node-1".to_string()],
            processes: vec![Report {
                name: "host/dns".to_string(),
                health: Health::Died("x".to_string()),
                pid: None,
                restarts: 3,
                admin: ([127, 0, 0, 1], 9).into(),
                log: "/l".into(),
            }],
        };
        state.write(&file).unwrap();
        assert_eq!(State::read(&file).unwrap(), Some(state));
        fs::write(&file, "{").unwrap();
        assert!(State::read(&file).is_err());
    }
}
