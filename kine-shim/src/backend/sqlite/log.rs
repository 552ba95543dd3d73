//! The write-ahead log as a file.
//!
//! A commit that makes the file longer is durable only once the file system has written its own journal, which also waits
//! for what other processes have just written. A commit over blocks that are there already waits for its own bytes only.
//! So the log gets its length when the database opens, and starts over from its beginning after every checkpoint.

use std::{
    fs::OpenOptions,
    io::{self, Seek, SeekFrom, Write},
    path::Path,
};

use super::sibling;

/// Bytes of the log. It grows beyond while a reader keeps a checkpoint from finishing, and is cut back after that.
pub(super) const LENGTH: u64 = 8 << 20;
/// Bytes written at once.
static PIECE: [u8; 64 << 10] = [0; 64 << 10];

/// Fills the log of the database at `path` with zeros up to [`LENGTH`]. SQLite takes them for the end of the log.
///
/// Nobody may write to the database meanwhile.
pub(super) fn reserve(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(sibling(path, "-wal"))?;
    let mut length = file.seek(SeekFrom::End(0))?;
    while length < LENGTH {
        file.write_all(&PIECE)?;
        length += PIECE.len() as u64;
    }
    file.sync_all()
}
