//! A database server's store as an SQLite file, for those who ask the service itself for a snapshot.

use std::fs::File;

use super::Build;
use crate::backend::{Fault, Item, contents::Target, driver::Readers, random_id};

/// Everything that `readers` have, at one moment, in a snapshot file that has no name any more: it goes when it is closed.
pub fn export(readers: &dyn Readers) -> Result<File, Fault> {
    let path = std::env::temp_dir().join(format!("kine-shim-snapshot-{:016x}.db", random_id()));
    let io = |error: std::io::Error| Fault::Other(format!("{}: {error}", path.display()));
    let mut build = Build::snapshot(&path)?;
    let mut numbers = None;
    let mut leases = Vec::new();
    readers.dump(&mut |item| {
        match item {
            Item::Numbers(found) => numbers = Some(found),
            Item::Lease(lease) => leases.push(lease),
            Item::Row(row) => build.push(&row)?,
        }
        Ok(())
    })?;
    build.finish(&numbers.unwrap_or_default(), &leases)?;
    Box::new(build).swap(false)?;
    let file = File::open(&path).map_err(io);
    std::fs::remove_file(&path).map_err(io)?;
    file
}
