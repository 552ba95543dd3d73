//! Checkpoints ahead of time: most of the write-ahead log is moved into the database on a thread of its own, while commits
//! go on. The log can start over only when all of it has been moved, so the writer does the rest, which is little by then.

use std::{
    path::{Path, PathBuf},
    thread::{Builder, JoinHandle},
};

use rusqlite::{Connection, OpenFlags};

use super::connect;
use crate::backend::Fault;

/// Page cache of the connection, in KiB: pages go from one file to the other without one.
const CACHE_KIB: i64 = 64;

/// At most one checkpoint that runs beside the writer.
#[derive(Debug)]
pub(super) struct Ahead {
    path: PathBuf,
    running: Option<JoinHandle<Result<Connection, Fault>>>,
    /// Kept from one checkpoint to the next.
    connection: Option<Connection>,
}

impl Ahead {
    /// Checkpoints of the database at `path`.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            running: None,
            connection: None,
        }
    }

    /// Starts a checkpoint, unless one is running. That it cannot be started means more to do for the writer.
    pub(super) fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        let (path, connection) = (self.path.clone(), self.connection.take());
        let work = move || {
            let connection = match connection {
                Some(connection) => connection,
                None => connect(&path, OpenFlags::empty(), CACHE_KIB)?,
            };
            run(&connection)?;
            Ok(connection)
        };
        self.running = Builder::new().name("checkpoint".into()).spawn(work).ok();
    }

    /// Waits for the checkpoint that is running.
    pub(super) fn finish(&mut self) {
        match self.running.take().map(JoinHandle::join) {
            Some(Ok(Ok(connection))) => self.connection = Some(connection),
            Some(Ok(Err(fault))) => tracing::debug!(%fault, "a checkpoint is left to the writer"),
            Some(Err(_)) | None => {}
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Moves as much of the log as nobody has to wait for.
pub(super) fn run(connection: &Connection) -> Result<(), Fault> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
}
