//! Keeps `playground.json` up to date while processes come and go.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chassis::lock;
use tokio::sync::{Notify, watch};
use tracing::warn;

use super::state::{Phase, State};
use crate::process::Report;

/// Changes within this time are written together.
const GATHER: Duration = Duration::from_millis(20);

/// The state and its file; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Board(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: PathBuf,
    state: Mutex<State>,
    changed: Notify,
}

impl Board {
    pub(super) fn new(file: PathBuf, state: State) -> Self {
        Self(Arc::new(Shared {
            file,
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.0.state));
        self.0.changed.notify_one();
    }

    pub(super) fn phase(&self, phase: Phase) {
        self.change(|state| state.phase = phase);
    }

    pub(super) fn state(&self) -> State {
        lock(&self.0.state).clone()
    }

    /// Shows a process for as long as it is supervised.
    pub(super) async fn show(self, mut reports: watch::Receiver<Report>) {
        loop {
            let report = reports.borrow_and_update().clone();
            self.change(
                |state| match state.processes.iter_mut().find(|known| known.name == report.name) {
                    Some(known) => *known = report,
                    None => state.processes.push(report),
                },
            );
            if reports.changed().await.is_err() {
                return;
            }
        }
    }

    /// Writes the file whenever something has changed.
    pub(super) async fn publish(self) {
        loop {
            self.0.changed.notified().await;
            tokio::time::sleep(GATHER).await;
            self.write();
        }
    }

    pub(super) fn write(&self) {
        if let Err(error) = self.state().write(&self.0.file) {
            warn!("{error:#}");
        }
    }
}
