//! Whether a compaction of very many revisions holds up a write.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use proto::etcdserverpb::{CompactionRequest, CompactionResponse, PutRequest, PutResponse};

use super::{Bench, prefix, range};
use crate::{
    connection::{Connection, Method},
    load::{self, PATIENCE, Tally},
    peer::{Program, Running},
    process::settle,
    report::{Better, Line, Report},
};

const KEYS: usize = 10_000;
const VALUE: usize = 128;
/// How long is written without a compaction, and after one.
const CALM: Duration = Duration::from_secs(3);
/// The longest a compaction may take.
const COMPACTION: Duration = Duration::from_secs(900);

pub(super) fn compaction(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let running = bench.start(|program| !matches!(program, Program::Kine | Program::DurableKine));
    let revisions = bench.scale.compacted;
    report.table(
        &format!("Writes of one client while {revisions} revisions are compacted"),
        &["max ms", "p99 ms", "p50 ms", "calm max ms", "calm p99 ms", "seconds"],
    );
    let mut lines = Vec::new();
    for peer in &running {
        load::fill(&peer.address, revisions, VALUE, &|number| {
            format!("/compacted/{:05}", number % KEYS)
        })?;
        settle(&bench.directory);
        lines.push(Line {
            peer: peer.peer,
            numbers: measure(peer)?,
        });
    }
    report.lines("one after the other", Better::Less, &lines);
    for line in lines.iter().filter(|line| line.peer.program == Program::Shim) {
        let name = format!("longest write during the compaction, {}", line.peer.name);
        report.goal(&name, line.numbers[0], "ms", 20.0, Better::Less);
    }
    Ok(())
}

fn measure(peer: &Running) -> Result<Vec<f64>> {
    let mut calm = write_while(peer, |began| began.elapsed() < CALM)?;
    let done = AtomicBool::new(false);
    let (mut busy, seconds) = thread::scope(|scope| {
        let writer = scope.spawn(|| write_while(peer, |_| !done.load(Ordering::Acquire)));
        let seconds = compact(peer);
        done.store(true, Ordering::Release);
        let tally = writer.join().map_err(|_| anyhow!("the writer panicked"))??;
        anyhow::Ok((tally, seconds?))
    })?;
    Ok(vec![
        busy.percentile(1.0),
        busy.percentile(0.99),
        busy.percentile(0.5),
        calm.percentile(1.0),
        calm.percentile(0.99),
        seconds,
    ])
}

/// Compacts everything and returns the seconds until the last row was gone.
fn compact(peer: &Running) -> Result<f64> {
    let newest = range(
        &mut Connection::open(&peer.address, Method::Range)?,
        &prefix("/nothing/"),
    )?;
    let request = CompactionRequest {
        revision: newest.header.map_or(0, |header| header.revision),
        physical: true,
    };
    let began = Instant::now();
    let mut connection = Connection::open(&peer.address, Method::Compact)?;
    connection.unary::<CompactionResponse>(&request, COMPACTION)?;
    Ok(began.elapsed().as_secs_f64())
}

fn write_while(peer: &Running, go_on: impl Fn(Instant) -> bool) -> Result<Tally> {
    let mut connection = Connection::open(&peer.address, Method::Put)?;
    let mut tally = Tally::default();
    let began = Instant::now();
    for number in 0_usize.. {
        if !go_on(began) {
            break;
        }
        let request = PutRequest {
            key: format!("/compacted/{:05}", number % KEYS).into(),
            value: vec![b'x'; VALUE].into(),
            ..Default::default()
        };
        let sent = Instant::now();
        connection.unary::<PutResponse>(&request, PATIENCE)?;
        tally.times.push(sent.elapsed());
    }
    Ok(tally)
}
