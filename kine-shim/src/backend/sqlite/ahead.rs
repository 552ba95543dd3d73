//! Checkpoints ahead of time: pages go from the write-ahead log into the database on a thread of its own, while commits go
//! on. What is written meanwhile is left, so the log cannot start over from that alone.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
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
    database: Arc<File>,
    /// Started with the first checkpoint: a store without work needs none.
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    orders: Sender<Order>,
    done: Receiver<()>,
    running: bool,
    handle: JoinHandle<()>,
}

#[derive(Debug)]
struct Order {
    sync: bool,
}

impl Ahead {
    /// Checkpoints of the database at `path`, the file `database`.
    pub(super) fn new(path: &Path, database: Arc<File>) -> Self {
        Self {
            path: path.to_owned(),
            database,
            thread: None,
        }
    }

    /// Starts a checkpoint, after the one that is running; with `sync`, what has been moved goes to the disk. SQLite does
    /// that only when the log can start over, and then all at once. That a checkpoint fails means more to do for the writer.
    pub(super) fn start(&mut self, sync: bool) {
        self.finish();
        if self.thread.is_none() {
            self.thread = Thread::start(&self.path, &self.database);
        }
        if let Some(thread) = &mut self.thread {
            thread.running = thread.orders.send(Order { sync }).is_ok();
        }
    }

    /// Whether a checkpoint is running.
    pub(super) fn is_running(&mut self) -> bool {
        self.thread.as_mut().is_some_and(|thread| {
            thread.running = thread.running && thread.done.try_recv().is_err();
            thread.running
        })
    }

    /// Waits for the checkpoint that is running.
    pub(super) fn finish(&mut self) {
        if let Some(thread) = &mut self.thread
            && thread.running
        {
            // An error means that the thread has ended, and the checkpoint with it.
            let _ = thread.done.recv();
            thread.running = false;
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(Thread { orders, handle, .. }) = self.thread.take() {
            drop(orders);
            let _ = handle.join();
        }
    }
}

impl Thread {
    fn start(path: &Path, database: &Arc<File>) -> Option<Self> {
        let (path, database) = (path.to_owned(), database.clone());
        let (orders, ordered) = channel();
        let (tell, done) = channel();
        let work = move || {
            let mut connection = None;
            while let Ok(Order { sync }) = ordered.recv() {
                let mut done = checkpoint(&path, &mut connection);
                if sync {
                    done = done.and_then(|()| database.sync_data().map_err(|error| Fault::Other(error.to_string())));
                }
                if let Err(fault) = done {
                    tracing::debug!(%fault, "a checkpoint is left to the writer");
                }
                if tell.send(()).is_err() {
                    break;
                }
            }
        };
        let handle = Builder::new().name("checkpoint".into()).spawn(work).ok()?;
        Some(Self {
            orders,
            done,
            running: false,
            handle,
        })
    }
}

fn checkpoint(path: &Path, connection: &mut Option<Connection>) -> Result<(), Fault> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connect(path, OpenFlags::empty(), CACHE_KIB)?),
    };
    run(connection)
}

/// Moves as much of the log as nobody has to wait for.
pub(super) fn run(connection: &Connection) -> Result<(), Fault> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
}
