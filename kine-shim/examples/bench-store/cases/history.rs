//! What a read costs when there is much that it does not ask for: older revisions of the key, other keys.

use std::time::Instant;

use anyhow::{Result, ensure};
use proto::etcdserverpb::RangeRequest;

use super::{Bench, prefix, range};
use crate::{
    connection::{Connection, Method},
    load::{self, Tally},
    peer::{Program, Running},
    report::{Better, Line, Report},
};

const READS: usize = 2000;
const VALUE: usize = 256;
const KEY: &str = "/history/key";
const LISTED: usize = 100;

pub(super) fn history(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let running = bench.start(|program| !matches!(program, Program::Kine | Program::DurableKine));
    for peer in &running {
        load::fill(&peer.address, LISTED, VALUE, &|number| {
            format!("/history/list/{number:04}")
        })?;
    }
    report.table("Reads beside a growing history", &["get us", "list of 100 us"]);
    let mut written = 0;
    let mut medians: Vec<Vec<Vec<f64>>> = Vec::new();
    for revisions in [1, bench.scale.history / 10, bench.scale.history] {
        for peer in &running {
            load::fill(&peer.address, revisions - written, VALUE, &|_| KEY.to_owned())?;
        }
        written = revisions;
        let numbers = measure(bench, &running)?;
        let line = |(peer, numbers): (&Running, &Vec<f64>)| Line {
            peer: peer.peer,
            numbers: numbers.clone(),
        };
        let lines: Vec<Line> = running.iter().zip(&numbers).map(line).collect();
        report.lines(&format!("{revisions} revisions of the key"), Better::Less, &lines);
        medians.push(numbers);
    }
    for (at, peer) in running
        .iter()
        .enumerate()
        .filter(|(_, peer)| peer.peer.program == Program::Shim)
    {
        for (what, column) in [("get", 0), ("list", 1)] {
            let growth = medians[2][at][column] / medians[0][at][column];
            let name = format!("{what} with {written} revisions against 1, {}", peer.peer.name);
            report.goal(&name, growth, "times as long", 1.25, Better::Less);
        }
    }
    Ok(())
}

fn measure(bench: &Bench<'_>, running: &[Running]) -> Result<Vec<Vec<f64>>> {
    let get = RangeRequest {
        key: KEY.into(),
        ..Default::default()
    };
    let requests = [(get, 1), (prefix("/history/list/"), LISTED as i64)];
    let mut numbers: Vec<Vec<f64>> = running.iter().map(|_| Vec::new()).collect();
    for (request, expected) in &requests {
        let mut tallies: Vec<Tally> = running.iter().map(|_| Tally::default()).collect();
        for _ in 0..bench.scale.rounds {
            for (peer, tally) in running.iter().zip(&mut tallies) {
                let mut connection = Connection::open(&peer.address, Method::Range)?;
                for _ in 0..READS / bench.scale.rounds {
                    let began = Instant::now();
                    let response = range(&mut connection, request)?;
                    tally.times.push(began.elapsed());
                    ensure!(
                        response.count == *expected,
                        "{} counts {}",
                        peer.peer.name,
                        response.count
                    );
                }
            }
        }
        for (numbers, mut tally) in numbers.iter_mut().zip(tallies) {
            numbers.push(tally.percentile(0.5) * 1000.0);
        }
    }
    Ok(numbers)
}
