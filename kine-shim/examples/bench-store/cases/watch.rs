//! How long after its commit an event is delivered, and whether every one is.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use prost::Message;
use proto::etcdserverpb::{
    PutRequest, PutResponse, WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};

use super::{Bench, prefix};
use crate::{
    connection::{Connection, Event, Method},
    load::{PATIENCE, Tally},
    peer::{Program, Running},
    report::{Better, Line, Report},
};

/// Streams the watchers share.
const STREAMS: usize = 10;
/// Time between two writes: nothing waits for anything else.
const PACE: Duration = Duration::from_millis(2);
/// How long to wait for events that are still to come.
const LATE: Duration = Duration::from_secs(5);

/// Watchers, and prefixes they are spread over.
const SHAPES: [(&str, usize, usize); 2] = [
    ("1000 watchers, a prefix each", 1000, 1000),
    ("100 watchers of one prefix", 100, 1),
];

pub(super) fn watch(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let running = bench.start(|program| program != Program::DurableKine);
    report.table(
        "Watch: from the answer to the write until delivery",
        &["p99 ms", "p50 ms", "max ms", "lost", "twice"],
    );
    for (name, watchers, prefixes) in SHAPES {
        let mut lines = Vec::new();
        for peer in &running {
            let numbers = measure(peer, watchers, prefixes, bench.scale.events)?;
            lines.push(Line {
                peer: peer.peer,
                numbers,
            });
        }
        report.lines(name, Better::Less, &lines);
        for line in lines.iter().filter(|line| line.peer.program == Program::Shim) {
            let of = |what: &str| format!("{what}, {name}, {}", line.peer.name);
            report.goal(&of("watch p99"), line.numbers[0], "ms", 2.0, Better::Less);
            report.goal(&of("events lost"), line.numbers[3], "events", 0.0, Better::Less);
        }
    }
    Ok(())
}

fn key_prefix(at: usize) -> String {
    format!("/watched/{at:04}/")
}

fn measure(peer: &Running, watchers: usize, prefixes: usize, events: usize) -> Result<Vec<f64>> {
    let connection = subscribe(peer, watchers, prefixes)?;
    let expected = events * watchers / prefixes;
    let (answered, delivered) = thread::scope(|scope| {
        let listener = scope.spawn(move || listen(connection, expected, events));
        let answered = write(peer, prefixes, events);
        let delivered = listener.join().map_err(|_| anyhow!("the listener panicked"))?;
        anyhow::Ok((answered?, delivered?))
    })?;
    let mut tally = Tally::default();
    let mut times = vec![0; events];
    for (event, moment) in delivered {
        let answered = answered.get(event).context("an event nobody wrote")?;
        tally.times.push(moment.saturating_duration_since(*answered));
        times[event] += 1;
    }
    let each = watchers / prefixes;
    let lost: usize = times.iter().map(|times| each.saturating_sub(*times)).sum();
    let twice: usize = times.iter().map(|times| times.saturating_sub(each)).sum();
    Ok(vec![
        tally.percentile(0.99),
        tally.percentile(0.5),
        tally.percentile(1.0),
        lost as f64,
        twice as f64,
    ])
}

/// Opens the watches and waits until all of them are registered.
fn subscribe(peer: &Running, watchers: usize, prefixes: usize) -> Result<Connection> {
    let mut connection = Connection::open(&peer.address, Method::Watch)?;
    let mut streams = Vec::new();
    for at in 0..watchers {
        let range = prefix(&key_prefix(at % prefixes));
        let request = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
                key: range.key,
                range_end: range.range_end,
                ..Default::default()
            })),
        };
        match streams.get(at % STREAMS) {
            Some(stream) => connection.send(*stream, &request),
            None => streams.push(connection.stream(&request)),
        }
    }
    let mut created = 0;
    while created < watchers {
        match connection.next(PATIENCE)? {
            Event::Message(_, message) => created += usize::from(WatchResponse::decode(message.as_slice())?.created),
            Event::End(_) => bail!("a watch was refused"),
            Event::Silence => bail!("a watch was not answered"),
        }
    }
    Ok(connection)
}

/// Writes the events and returns when each was answered.
fn write(peer: &Running, prefixes: usize, events: usize) -> Result<Vec<Instant>> {
    let mut connection = Connection::open(&peer.address, Method::Put)?;
    let mut answered = Vec::new();
    for event in 0..events {
        let request = PutRequest {
            key: format!("{}{event:06}", key_prefix(event.wrapping_mul(7919) % prefixes)).into(),
            value: vec![b'x'; 256].into(),
            ..Default::default()
        };
        connection.unary::<PutResponse>(&request, PATIENCE)?;
        answered.push(Instant::now());
        thread::sleep(PACE);
    }
    Ok(answered)
}

/// Notes when which event comes, until all have come or nothing comes any more.
fn listen(mut connection: Connection, expected: usize, events: usize) -> Result<Vec<(usize, Instant)>> {
    let mut delivered = Vec::with_capacity(expected);
    // Until the last event has been written there may be long silences.
    let mut all_written = false;
    while delivered.len() < expected {
        match connection.next(LATE)? {
            Event::Message(_, message) => {
                let now = Instant::now();
                for event in WatchResponse::decode(message.as_slice())?.events {
                    let key = event.kv.context("an event without a key")?.key;
                    let digits = key.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                    let number: usize = String::from_utf8_lossy(digits).parse()?;
                    all_written |= number + 1 == events;
                    delivered.push((number, now));
                }
            }
            Event::End(_) => bail!("a watch ended"),
            Event::Silence if all_written => break,
            Event::Silence => bail!("no event came for {LATE:?}"),
        }
    }
    Ok(delivered)
}
