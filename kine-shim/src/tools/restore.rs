//! `kine-shim restore`: the store of a file put in the place of another.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use anyhow::anyhow;
use sha2::{Digest, Sha256};

use super::{
    snapshot::{copy, verify},
    stores,
};
use crate::backend::{
    Fault,
    endpoint::{DatastoreOptions, Endpoint},
};

/// Length of the sum that `etcdctl snapshot save` leaves behind a file whose length is a multiple of the other number.
const SUM: u64 = 32;
const PAGE: u64 = 512;

/// Puts the store of `file` in the place of the one at `endpoint`. Returns what is to be said about it.
pub fn run(file: &Path, endpoint: &Endpoint, options: &DatastoreOptions, replace: bool) -> anyhow::Result<String> {
    let shown = file.display().to_string();
    let mut source = stores::open(&Endpoint::Sqlite(file.to_owned()), options)?;
    check_sum(file).map_err(|error| anyhow!("{shown}: {error}"))?;
    let name = stores::name(endpoint);
    // From here on nobody else can open it.
    let mut target = stores::create(endpoint, options)?;
    if !replace
        && target
            .replaces_something()
            .map_err(|fault| stores::failed(&name, fault))?
    {
        return Err(chassis::usage(format!(
            "{name} is not empty; with --replace it is put aside under another name, nothing was changed"
        )));
    }
    let failed = |fault: Fault| stores::failed(&shown, fault);
    let damaged = source.integrity().map_err(failed)?;
    if let Some(first) = damaged.first() {
        return Err(anyhow!(
            "{shown} is damaged ({}); use another snapshot, nothing was changed",
            first.trim()
        ));
    }
    let recorded = source.recorded_digest().map_err(failed)?;
    let (numbers, leases, summary) = copy(source.as_mut(), target.as_mut(), &shown)?;
    if recorded.is_some_and(|recorded| recorded != summary.digest) {
        return Err(anyhow!(
            "{shown} is not what it was when it was made: its digest is {}; use another snapshot, nothing was changed",
            summary.digest
        ));
    }
    let kept = target
        .finish(&numbers, &leases)
        .and_then(|()| verify(target.as_mut(), &summary))
        .and_then(|()| target.swap(true))
        .map_err(|fault| stores::failed(&name, fault))?;
    Ok(match kept {
        Some(kept) => format!("{name}: {summary}; what was there before is {kept} now"),
        None => format!("{name}: {summary}"),
    })
}

/// Compares the sum behind a file that `etcdctl snapshot save` wrote with the file.
fn check_sum(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length % PAGE != SUM {
        return Ok(());
    }
    let mut sum = Sha256::new();
    io::copy(&mut (&mut file).take(length - SUM), &mut sum)?;
    let mut recorded = Vec::new();
    file.seek(SeekFrom::Start(length - SUM))?;
    file.read_to_end(&mut recorded)?;
    if sum.finalize()[..] == recorded[..] {
        Ok(())
    } else {
        Err(io::Error::other(
            "the sum at its end is not that of the file, so it was cut off or changed; use another snapshot, \
             nothing was changed",
        ))
    }
}
