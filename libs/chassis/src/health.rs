//! Named readiness gates: what must be true before a service takes traffic, and what it is still waiting for.

use crate::sync::lock;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::watch;

/// All gates of a process. Ready means every gate is.
#[derive(Debug, Clone)]
pub struct Health(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    gates: Mutex<BTreeMap<String, State>>,
    ready: watch::Sender<bool>,
    started: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Ready,
    NotReady(String),
}

impl Default for Health {
    fn default() -> Self {
        Health(Arc::new(Shared {
            gates: Mutex::default(),
            ready: watch::Sender::new(true),
            started: Instant::now(),
        }))
    }
}

impl Health {
    /// The gate called `name`. A new one is not ready; an existing one is shared.
    pub fn gate(&self, name: &str) -> Gate {
        let gate = Gate {
            health: self.clone(),
            name: name.to_owned(),
        };
        let is_new = !lock(&self.0.gates).contains_key(name);
        if is_new {
            gate.set(State::NotReady("starting".to_owned()));
        }
        gate
    }

    /// Whether every gate is ready.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Returns once every gate is ready.
    pub async fn wait_ready(&self) {
        let mut ready = self.0.ready.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// Follows readiness as a whole.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.ready.subscribe()
    }

    /// The gates as they are now, without those named in `exclude`.
    pub fn report(&self, exclude: &[&str]) -> Report {
        let gates = lock(&self.0.gates);
        let checks = gates
            .iter()
            .filter(|(name, _)| !exclude.contains(&name.as_str()))
            .map(|(name, state)| match state {
                State::Ready => (name.clone(), None),
                State::NotReady(why) => (name.clone(), Some(why.clone())),
            })
            .collect();
        Report { checks }
    }
}

/// A snapshot of the gates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Every gate's name, with the reason when it is not ready.
    pub checks: Vec<(String, Option<String>)>,
}

impl Report {
    /// Whether every gate of the report is ready.
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|(_, failure)| failure.is_none())
    }

    /// The text of kube-apiserver's `?verbose` (k8s.io/apiserver `pkg/server/healthz`), with the reasons.
    pub fn verbose(&self, endpoint: &str) -> String {
        let mut text = String::new();
        for (name, failure) in &self.checks {
            // Writing to a String cannot fail.
            let _ = match failure {
                None => writeln!(text, "[+]{name} ok"),
                Some(why) => writeln!(text, "[-]{name} failed: {why}"),
            };
        }
        let verdict = if self.is_ready() { "passed" } else { "failed" };
        let _ = writeln!(text, "{endpoint} check {verdict}");
        text
    }
}

/// One named condition of readiness. Clones share it.
#[derive(Debug, Clone)]
pub struct Gate {
    health: Health,
    name: String,
}

impl Gate {
    /// Opens the gate.
    pub fn ready(&self) {
        self.set(State::Ready);
    }

    /// Closes the gate; `why` is shown by `/readyz?verbose` and in the log.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.set(State::NotReady(why.into()));
    }

    fn set(&self, state: State) {
        let shared = &self.health.0;
        let mut gates = lock(&shared.gates);
        let before = gates.insert(self.name.clone(), state.clone());
        if before.as_ref() == Some(&state) {
            return;
        }
        let closed: Vec<&str> = gates
            .iter()
            .filter(|(_, state)| **state != State::Ready)
            .map(|(name, _)| name.as_str())
            .collect();
        let waiting_for = closed.join(", ");
        match &state {
            State::Ready if closed.is_empty() => {
                tracing::info!(
                    gate = self.name,
                    after_ms = shared.started.elapsed().as_millis() as u64,
                    "ready"
                );
            }
            State::Ready => tracing::info!(gate = self.name, waiting_for, "gate ready"),
            State::NotReady(_) if before.is_none() => tracing::debug!(waiting_for, "gate added"),
            State::NotReady(why) => tracing::warn!(gate = self.name, why, waiting_for, "not ready"),
        }
        shared.ready.send_replace(closed.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_gate_must_be_ready() {
        let health = Health::default();
        assert!(health.is_ready());
        let storage = health.gate("storage");
        let tls = health.gate("tls");
        storage.ready();
        assert!(!health.is_ready());
        assert_eq!(
            health.report(&[]).verbose("readyz"),
            "[+]storage ok\n[-]tls failed: starting\nreadyz check failed\n"
        );
        assert!(health.report(&["tls"]).is_ready());
        tls.ready();
        health.wait_ready().await;
        storage.not_ready("the store does not answer");
        assert!(!health.is_ready());
        assert!(
            health
                .report(&[])
                .verbose("readyz")
                .contains("[-]storage failed: the store does not answer\n")
        );
    }

    #[test]
    fn asking_for_a_gate_twice_does_not_close_it() {
        let health = Health::default();
        health.gate("a").ready();
        health.gate("a");
        assert!(health.is_ready());
    }
}
