//! `kine-shim check`: everything the rules find in a store.

use std::{io::Write, process::ExitCode};

use anyhow::Context;

use super::{rules::Finding, stores, survey::Survey};
use crate::backend::{
    Fault,
    contents::Source,
    endpoint::{DatastoreOptions, Endpoint},
};

/// Most lines printed of one kind.
const MOST: usize = 200;

/// Checks the store at `endpoint` and prints what it finds.
pub fn run(endpoint: &Endpoint, options: &DatastoreOptions, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let name = stores::name(endpoint);
    let found = match stores::open(endpoint, options) {
        Ok(mut source) => check(source.as_mut()),
        // A store that is there and cannot be read is damaged; anything else is not ours to judge.
        Err(error) => match error.downcast::<Fault>() {
            Ok(fault) => Err(fault),
            Err(error) => return Err(error),
        },
    };
    let (findings, more, summary) = match found {
        Ok(found) => found,
        Err(fault @ Fault::Damaged(_)) => (vec![unreadable(&fault)], 0, None),
        Err(fault) => return Err(stores::failed(&name, fault)),
    };
    let mut print = || -> std::io::Result<()> {
        for finding in findings.iter().take(MOST) {
            writeln!(out, "{name}: {finding}")?;
        }
        let left = findings.len().saturating_sub(MOST) + more;
        if left > 0 {
            writeln!(out, "{name}: and {left} more")?;
        }
        if let Some(summary) = &summary {
            writeln!(out, "{name}: {summary}")?;
        }
        match findings.len() + more {
            0 => writeln!(out, "{name}: ok"),
            1 => writeln!(out, "{name}: 1 finding"),
            count => writeln!(out, "{name}: {count} findings"),
        }
    };
    print().context("cannot write to standard output")?;
    Ok(ExitCode::from(u8::from(!findings.is_empty())))
}

type Found = (Vec<Finding>, usize, Option<String>);

/// What is wrong with a store, how many findings there are beyond those, and its summary as far as it can be read.
pub fn check(source: &mut dyn Source) -> Result<Found, Fault> {
    let mut findings: Vec<Finding> = source
        .integrity()?
        .into_iter()
        .map(|line| Finding {
            row: None,
            text: format!("the database's own check says: {}; restore a snapshot", line.trim()),
        })
        .collect();
    let recorded = source.recorded_digest()?;
    match Survey::of(source) {
        Ok(report) => {
            findings.extend(report.findings);
            if let Some(recorded) = recorded.filter(|recorded| *recorded != report.summary.digest) {
                findings.push(Finding {
                    row: None,
                    text: format!(
                        "the snapshot was made with digest `{recorded}`, which is not that of its contents; use another one"
                    ),
                });
            }
            Ok((findings, report.more, Some(report.summary.to_string())))
        }
        Err(fault @ Fault::Damaged(_)) => {
            findings.push(unreadable(&fault));
            Ok((findings, 0, None))
        }
        Err(fault) => Err(fault),
    }
}

fn unreadable(fault: &Fault) -> Finding {
    Finding {
        row: None,
        text: format!("{fault}; restore a snapshot"),
    }
}
