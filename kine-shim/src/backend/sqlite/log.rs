//! The write-ahead log: how long it is, and when what is in it is moved into the database.
//!
//! A commit that makes the file longer is durable only once the file system has written its own journal, which also waits
//! for what other processes have just written. A commit over blocks that are there already waits for its own bytes only.
//! So the log gets a length when the database opens, and starts over from its beginning whenever all of it has been moved.
//! Most of that is done while commits go on, in pieces so small that they do not keep the writer from its processor. Commits
//! wait for the last of it, so that is kept short, and rare.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{
    ahead::{self, Ahead},
    sibling,
};
use crate::backend::Fault;

/// Bytes of the log from the start, enough for a store with little to do.
const RESERVED: u64 = 8 << 20;
/// Bytes of the log that stay when it has become longer; a reader or a large transaction can make it longer still.
pub(super) const KEPT: usize = LONGEST * PAGE;

/// Bytes of a page.
const PAGE: usize = 4 << 10;
/// Pages in the log at which it should start over.
const LONG: usize = (6 << 20) / PAGE;
/// Pages at which it starts over even if commits have to wait for long, or again.
const LONGEST: usize = (48 << 20) / PAGE;
/// Pages that are worth moving while commits go on.
const MANY: usize = (1 << 19) / PAGE;
/// Pages that commits may wait for, be it that they are moved or that they get to the disk.
const FEW: usize = (1 << 20) / PAGE;
/// Time from one start of the log to the next.
const INTERVAL: Duration = Duration::from_millis(500);

/// Fills the log of the database at `path` with zeros up to the length it has from the start. SQLite takes them for the end
/// of the log.
///
/// Nobody may write to the database meanwhile.
pub(super) fn reserve(path: &Path) -> io::Result<()> {
    static PIECE: [u8; 64 << 10] = [0; 64 << 10];
    let mut file = OpenOptions::new().write(true).open(sibling(path, "-wal"))?;
    let mut length = file.seek(SeekFrom::End(0))?;
    while length < RESERVED {
        file.write_all(&PIECE)?;
        length += PIECE.len() as u64;
    }
    file.sync_all()
}

/// What is in the log, and how much of it is in the database already.
#[derive(Debug)]
pub(super) struct Log {
    /// Pages after the last commit.
    pages: Arc<AtomicUsize>,
    /// Pages that are in the database too, or on their way.
    moved: usize,
    /// Pages moved that need not be on the disk yet.
    unsynced: usize,
    /// Pages that were there when the log should have started over. It cannot while somebody reads what is in it.
    kept: usize,
    started: Instant,
    ahead: Ahead,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// Move what is there while commits go on.
    Ahead,
    /// Move all of it, for the log to start over with the next commit.
    All,
}

impl Log {
    /// The log of the database at `path`, as far as `writer` writes it. Nothing is moved any more but by the log.
    pub(super) fn new(path: &Path, database: Arc<File>, writer: &mut Connection) -> Result<Self, Fault> {
        let pages = Arc::new(AtomicUsize::new(0));
        let seen = pages.clone();
        writer.wal_hook(Some(move |_: &mut _, pages| {
            seen.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            pages,
            moved: 0,
            unsynced: 0,
            kept: 0,
            started: Instant::now(),
            ahead: Ahead::new(path, database),
        })
    }

    /// Does what is due after a commit by `writer`. Returns whether that took the writer's time.
    pub(super) fn tend(&mut self, writer: &Connection) -> Result<bool, Fault> {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.moved {
            // It has started over.
            (self.moved, self.kept) = (0, 0);
        }
        match step(
            pages - self.kept,
            pages - self.moved,
            self.started.elapsed(),
            self.ahead.is_running(),
        ) {
            Step::Nothing => Ok(false),
            Step::Ahead => {
                self.unsynced += pages - self.moved;
                self.moved = pages;
                let sync = self.unsynced >= FEW;
                if sync {
                    self.unsynced = 0;
                }
                self.ahead.start(sync);
                Ok(false)
            }
            Step::All => self.move_all(writer).map(|()| true),
        }
    }

    /// Moves all that nobody has to wait for.
    pub(super) fn move_all(&mut self, writer: &Connection) -> Result<(), Fault> {
        let pages = self.pages.load(Ordering::Relaxed);
        (self.moved, self.kept, self.unsynced, self.started) = (pages, pages, 0, Instant::now());
        self.ahead.finish();
        ahead::run(writer)
    }

    /// Waits until nothing is being moved.
    pub(super) fn rest(&mut self) {
        self.ahead.finish();
    }
}

/// What to do about a log with `pages`, of which `left` are not in the database and nothing is doing about it unless it is
/// `moving`, when it last started `since`.
fn step(pages: usize, left: usize, since: Duration, moving: bool) -> Step {
    let due = pages >= LONG && since >= INTERVAL;
    if pages >= LONGEST || due && left <= FEW && !moving {
        Step::All
    } else if !moving && (due || left >= MANY) {
        Step::Ahead
    } else {
        Step::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_wait_for_little_and_not_often() {
        let (soon, late) = (INTERVAL / 2, INTERVAL);
        for (pages, left, since, moving, expected) in [
            (MANY - 1, MANY - 1, late, false, Step::Nothing),
            (MANY, MANY, soon, false, Step::Ahead),
            (MANY, 0, late, true, Step::Nothing),
            (LONG, FEW, late, false, Step::All),
            (LONG, MANY - 1, soon, false, Step::Nothing),
            (LONG, FEW, late, true, Step::Nothing),
            (LONG, FEW + 1, late, false, Step::Ahead),
            (LONG, MANY, soon, true, Step::Nothing),
            (LONGEST, LONGEST, soon, true, Step::All),
            (LONGEST - 1, MANY, soon, false, Step::Ahead),
        ] {
            let step = step(pages, left, since, moving);
            assert_eq!(step, expected, "{pages} pages, {left} left, moving: {moving}");
        }
    }
}
