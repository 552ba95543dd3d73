//! Writes of 1 KiB from 1 to 1,000 clients at once.

use std::time::Instant;

use anyhow::Result;

use super::Bench;
use crate::{
    database::Database,
    load::{self, Tally, Until, VALUE},
    peer::{Program, Running},
    process::{own_cpu, settle},
    report::{Better, Line, Report},
};

const CLIENTS: [usize; 4] = [1, 10, 100, 1000];
/// Keys that are written over and over.
const KEYS: usize = 10_000;
const COLUMNS: [&str; 7] = [
    "puts/s",
    "p50 ms",
    "p99 ms",
    "max ms",
    "errors",
    "CPU us/put",
    "load us/put",
];

/// What a peer did in all rounds.
#[derive(Default)]
struct Sum {
    rates: Vec<f64>,
    tally: Tally,
    cpu: f64,
    load_cpu: f64,
}

/// Every write makes a key.
pub(super) fn puts(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    report.table("Puts of 1 KiB, each of a new key", &COLUMNS);
    let running = bench.start(|_| true);
    for clients in wanted(bench) {
        measure(bench, &running, clients, &|round, number| {
            format!("/bench/{clients:04}/{round}/{number:08}")
        })?
        .print(report, clients);
    }
    Ok(())
}

/// Every write is to one of 10,000 keys that are there already.
pub(super) fn overwrites(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    report.table("Puts of 1 KiB over 10,000 keys", &COLUMNS);
    let running = bench.start(|_| true);
    let key = |number: usize| format!("/bench/{:05}", number % KEYS);
    for peer in &running {
        load::fill(&peer.address, KEYS, VALUE, &key)?;
    }
    for clients in wanted(bench) {
        let result = measure(bench, &running, clients, &|_, number| key(number))?;
        result.print(report, clients);
        result.goals(report, clients);
    }
    Ok(())
}

/// The numbers of clients to measure with.
fn wanted(bench: &Bench<'_>) -> impl Iterator<Item = usize> {
    let asked = bench.options.clients.clone();
    CLIENTS
        .into_iter()
        .filter(move |clients| asked.is_empty() || asked.contains(clients))
}

struct Measured {
    lines: Vec<Line>,
}

fn measure(
    bench: &Bench<'_>,
    running: &[Running],
    clients: usize,
    key: &(dyn Fn(usize, usize) -> String + Sync),
) -> Result<Measured> {
    let mut sums: Vec<Sum> = running.iter().map(|_| Sum::default()).collect();
    for round in 0..bench.scale.rounds {
        for (peer, sum) in running.iter().zip(&mut sums) {
            settle(&bench.directory);
            let (cpu, load_cpu, began) = (peer.cpu(), own_cpu(), Instant::now());
            let until = Until::Time(began + bench.scale.span);
            let tally = load::write(&peer.address, clients, until, VALUE, &|number| key(round, number))?;
            sum.rates.push(tally.times.len() as f64 / began.elapsed().as_secs_f64());
            sum.cpu += peer.cpu() - cpu;
            sum.load_cpu += own_cpu() - load_cpu;
            sum.tally.add(tally);
        }
    }
    let line = |(peer, mut sum): (&Running, Sum)| {
        sum.rates.sort_by(f64::total_cmp);
        let puts = sum.tally.times.len() as f64;
        let numbers = vec![
            sum.rates[sum.rates.len() / 2],
            sum.tally.percentile(0.5),
            sum.tally.percentile(0.99),
            sum.tally.percentile(1.0),
            sum.tally.errors as f64,
            sum.cpu / puts * 1e6,
            sum.load_cpu / puts * 1e6,
        ];
        Line {
            peer: peer.peer,
            numbers,
        }
    };
    let lines = running.iter().zip(sums).map(line).collect();
    Ok(Measured { lines })
}

impl Measured {
    fn print(&self, report: &Report, clients: usize) {
        report.lines(&format!("{clients} clients"), Better::More, &self.lines);
    }

    fn goals(&self, report: &mut Report, clients: usize) {
        let name = format!("puts/s, {clients} clients");
        if clients >= 100 {
            report.goal_ratio(&name, Program::Etcd, Better::More, &self.lines, 1.0);
        }
        if clients == 100 {
            report.goal_ratio(&name, Program::DurableKine, Better::More, &self.lines, 5.0);
            for (database, times) in [
                (Database::File, 5.0),
                (Database::Postgres, 2.0),
                (Database::MariaDb, 2.0),
            ] {
                let of_one: Vec<Line> = self
                    .lines
                    .iter()
                    .filter(|line| line.peer.database == database)
                    .cloned()
                    .collect();
                report.goal_ratio(&name, Program::Kine, Better::More, &of_one, times);
            }
        }
        if clients == 1000 {
            for line in self.lines.iter().filter(|line| line.peer.program == Program::Shim) {
                let of = |what: &str| format!("{what}, 1000 clients, {}", line.peer.name);
                report.goal(&of("errors"), line.numbers[4], "errors", 0.0, Better::Less);
                report.goal(&of("p99"), line.numbers[2], "ms", 1000.0, Better::Less);
            }
        }
    }
}
