//! Memory of an empty and of a full store, and reads of the full one.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use proto::etcdserverpb::RangeRequest;

use super::{Bench, prefix, range};
use crate::{
    connection::{Connection, Method},
    load::{self, VALUE},
    peer::{Program, Running},
    report::{Better, Line, Report},
};

/// Reads of a kind: what they are called, how many there are, how many keys each finds, and the request by its number.
type Reads<'a> = (String, usize, i64, Box<dyn Fn(usize) -> RangeRequest + 'a>);

/// Time a store has to come to rest before its memory is looked at.
const REST: Duration = Duration::from_secs(3);
const MIB: f64 = 1_048_576.0;

/// Requests of one round.
const GETS: usize = 2000;
const LISTS: usize = 5;
const COUNTS: usize = 20;

pub(super) fn reads(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let running = bench.start(|program| program != Program::DurableKine);
    let (keys, listed) = (bench.scale.keys, bench.scale.listed);
    let key = |number: usize| format!("/registry/configmaps/namespace-{:04}/name-{number:08}", number / listed);

    thread::sleep(REST);
    let empty: Vec<f64> = running.iter().map(|peer| peer.memory() as f64 / MIB).collect();
    for peer in &running {
        load::fill(&peer.address, keys, VALUE, &key)?;
    }
    thread::sleep(REST);
    report.table("Resident memory", &["MiB"]);
    let full: Vec<f64> = running.iter().map(|peer| peer.memory() as f64 / MIB).collect();
    for (name, numbers, bound) in [
        ("empty, idle".to_owned(), empty, 10.0),
        (format!("with {keys} keys of 1 KiB"), full, 64.0),
    ] {
        let lines = lines(&running, numbers.into_iter().map(|number| vec![number]));
        report.lines(&name, Better::Less, &lines);
        for line in lines.iter().filter(|line| line.peer.program == Program::Shim) {
            report.goal(
                &format!("memory, {name}, {}", line.peer.name),
                line.numbers[0],
                "MiB",
                bound,
                Better::Less,
            );
        }
    }

    let get = |number: usize| RangeRequest {
        key: key(number).into(),
        ..Default::default()
    };
    // The numbers are spread evenly and never come in the order of the keys.
    let spread = |at: usize| at.wrapping_mul(7_368_787) % keys;
    let count = RangeRequest {
        count_only: true,
        ..prefix("/registry/configmaps/")
    };
    let requests: [Reads<'_>; 3] = [
        ("get of a key at random".into(), GETS, 1, Box::new(|at| get(spread(at)))),
        (
            format!("list of {listed} keys"),
            LISTS,
            listed as i64,
            Box::new(move |at| prefix(&format!("/registry/configmaps/namespace-{:04}/", at % (keys / listed)))),
        ),
        (
            format!("count of {keys} keys"),
            COUNTS,
            keys as i64,
            Box::new(move |_| count.clone()),
        ),
    ];
    report.table(
        "Reads from a store that holds them, one after the other",
        &["p50 ms", "p99 ms", "CPU us"],
    );
    for (name, times, expected, request) in &requests {
        let numbers = measure(bench, &running, *times, *expected, request)?;
        let lines = lines(&running, numbers.into_iter());
        report.lines(name, Better::Less, &lines);
        report.goal_ratio(name, Program::Etcd, Better::Less, &lines, 1.0);
    }
    Ok(())
}

fn measure(
    bench: &Bench<'_>,
    running: &[Running],
    times: usize,
    expected: i64,
    request: &dyn Fn(usize) -> RangeRequest,
) -> Result<Vec<Vec<f64>>> {
    let mut sums: Vec<(load::Tally, f64)> = running.iter().map(|_| Default::default()).collect();
    for round in 0..bench.scale.rounds {
        for (peer, (tally, cpu)) in running.iter().zip(&mut sums) {
            let mut connection = Connection::open(&peer.address, Method::Range)?;
            let before = peer.cpu();
            for at in 0..times {
                let began = Instant::now();
                let response = range(&mut connection, &request(round * times + at))?;
                tally.times.push(began.elapsed());
                ensure!(
                    response.count == expected,
                    "{} counts {}",
                    peer.peer.name,
                    response.count
                );
            }
            *cpu += peer.cpu() - before;
        }
    }
    let numbers = |(mut tally, cpu): (load::Tally, f64)| {
        let requests = tally.times.len() as f64;
        vec![tally.percentile(0.5), tally.percentile(0.99), cpu / requests * 1e6]
    };
    Ok(sums.into_iter().map(numbers).collect())
}

fn lines(running: &[Running], numbers: impl Iterator<Item = Vec<f64>>) -> Vec<Line> {
    let line = |(peer, numbers): (&Running, Vec<f64>)| Line {
        peer: peer.peer,
        numbers,
    };
    running.iter().zip(numbers).map(line).collect()
}
