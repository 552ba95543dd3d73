//! `kine-shim snapshot`: a store copied into a file.

use std::path::Path;

use anyhow::anyhow;

use super::{
    stores,
    survey::{Summary, Survey},
};
use crate::backend::{
    Fault, Item, LeaseRow, Numbers,
    contents::{Source, Target},
    endpoint::{DatastoreOptions, Endpoint},
    sqlite::Build,
};

/// Copies the store at `endpoint` into `file`. Returns what is to be said about it.
pub fn run(endpoint: &Endpoint, options: &DatastoreOptions, file: &Path) -> anyhow::Result<String> {
    let name = stores::name(endpoint);
    let mut source = stores::open(endpoint, options)?;
    let shown = file.display().to_string();
    if file.is_dir() {
        return Err(chassis::usage(format!("{shown} is a directory; name a file in it")));
    }
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    if Path::new(&log).exists() {
        return Err(chassis::usage(format!(
            "{shown} is a database with a write-ahead log, which a snapshot must not replace; name another file"
        )));
    }
    let mut build = Build::snapshot(file).map_err(|fault| stores::failed(&shown, fault))?;
    let (numbers, leases, summary) = copy(source.as_mut(), &mut build, &name)?;
    let written = build
        .record(&summary.digest)
        .and_then(|()| build.finish(&numbers, &leases))
        .and_then(|()| verify(&mut build, &summary))
        .and_then(|()| Box::new(build).swap(false));
    written.map_err(|fault| stores::failed(&shown, fault))?;
    Ok(format!("{shown}: {summary}"))
}

/// Copies every row of `source`, named `name`, into `target`. Returns the numbers and leases, which are still to be
/// written, and what the copy must be like. A store that breaks the rules is not copied.
pub fn copy(
    source: &mut dyn Source,
    target: &mut dyn Target,
    name: &str,
) -> anyhow::Result<(Numbers, Vec<LeaseRow>, Summary)> {
    let mut survey = Survey::default();
    // Which of the two failed makes a difference to whoever reads the message.
    let mut unwritten = None;
    let read = source.dump(&mut |item| {
        survey.push(&item);
        if let (Ok(Item::Row(row)), None) = (&item, &unwritten) {
            unwritten = target.push(row).err();
        }
        match unwritten {
            Some(_) => Err(Fault::Other("the copy failed".into())),
            None => Ok(()),
        }
    });
    if let Some(fault) = unwritten {
        return Err(anyhow!("the copy cannot be written: {fault}"));
    }
    read.map_err(|fault| stores::failed(name, fault))?;
    let (numbers, leases) = survey.ledger();
    let report = survey.finish();
    if let Some(first) = report.findings.first() {
        return Err(anyhow!(
            "{name} is inconsistent ({first}); `kine-shim check` lists everything, nothing was changed"
        ));
    }
    Ok((numbers, leases, report.summary))
}

/// Reads back what was written and holds it against what was read.
pub fn verify(target: &mut dyn Target, summary: &Summary) -> Result<(), Fault> {
    let mut source = target.read_back()?;
    let report = Survey::of(source.as_mut())?;
    match report.findings.first() {
        Some(first) => Err(Fault::Damaged(format!("the copy is inconsistent: {first}"))),
        None if report.summary.digest != summary.digest => Err(Fault::Damaged(format!(
            "the copy has digest {}, not {}",
            report.summary.digest, summary.digest
        ))),
        None => Ok(()),
    }
}
