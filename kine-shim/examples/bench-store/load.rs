//! Clients that write, each waiting for its answer before it writes again.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};
use proto::etcdserverpb::PutRequest;

use crate::connection::{Connection, Event, Method};

/// Bytes of a value.
pub(crate) const VALUE: usize = 1024;
/// Clients that share a connection.
const PER_CONNECTION: usize = 100;
/// A server that says nothing for so long is taken to hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a run of writes took.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Times of the writes that succeeded; sorted by [`Tally::finish`].
    pub(crate) times: Vec<Duration>,
    pub(crate) errors: usize,
}

impl Tally {
    /// Adds another tally.
    pub(crate) fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.errors += other.errors;
    }

    /// The time that this share of the writes did not exceed, in milliseconds.
    pub(crate) fn percentile(&mut self, share: f64) -> f64 {
        self.times.sort_unstable();
        let at = (self.times.len().saturating_sub(1)) as f64 * share;
        self.times.get(at as usize).map_or(f64::NAN, |time| millis(*time))
    }
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Which keys are written.
pub(crate) type Keys<'a> = &'a (dyn Fn(usize) -> String + Sync);

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After this many writes of all clients together.
    Count(usize),
    /// At this moment.
    Time(Instant),
}

/// Writes values of `bytes` from `clients` clients. Write number n of all of them is to key `keys(n)`.
pub(crate) fn write(address: &str, clients: usize, until: Until, bytes: usize, keys: Keys<'_>) -> Result<Tally> {
    thread::scope(|scope| {
        let starts = (0..clients).step_by(PER_CONNECTION);
        let threads: Vec<_> = starts
            .map(|first| {
                let mine = first..clients.min(first + PER_CONNECTION);
                scope.spawn(move || {
                    let writer = Writer {
                        connection: Connection::open(address, Method::Put)?,
                        value: vec![b'x'; bytes].into(),
                        in_flight: HashMap::new(),
                        stride: clients,
                        keys,
                    };
                    writer.run(mine, until)
                })
            })
            .collect();
        let mut tally = Tally::default();
        for thread in threads {
            tally.add(thread.join().map_err(|_| anyhow!("a writer panicked"))??);
        }
        Ok(tally)
    })
}

/// The clients of one connection.
struct Writer<'a> {
    connection: Connection,
    value: bytes::Bytes,
    in_flight: HashMap<u32, Flight>,
    /// Distance between the numbers of a client's writes.
    stride: usize,
    keys: Keys<'a>,
}

struct Flight {
    /// Number of the write.
    number: usize,
    began: Instant,
    succeeded: bool,
}

impl Writer<'_> {
    fn run(mut self, clients: std::ops::Range<usize>, until: Until) -> Result<Tally> {
        let mut tally = Tally::default();
        for client in clients {
            self.put(client);
        }
        while !self.in_flight.is_empty() {
            match self.connection.next(PATIENCE)? {
                Event::Message(stream, _) => {
                    if let Some(flight) = self.in_flight.get_mut(&stream) {
                        flight.succeeded = true;
                    }
                }
                Event::End(stream) => {
                    let Some(flight) = self.in_flight.remove(&stream) else {
                        continue;
                    };
                    let now = Instant::now();
                    if flight.succeeded {
                        tally.times.push(now - flight.began);
                    } else {
                        tally.errors += 1;
                    }
                    let next = flight.number + self.stride;
                    let go_on = match until {
                        Until::Count(count) => next < count,
                        Until::Time(end) => now < end,
                    };
                    if go_on {
                        self.put(next);
                    }
                }
                Event::Silence => bail!("the server hangs"),
            }
        }
        Ok(tally)
    }

    fn put(&mut self, number: usize) {
        let request = PutRequest {
            key: (self.keys)(number).into(),
            value: self.value.clone(),
            ..Default::default()
        };
        let flight = Flight {
            number,
            began: Instant::now(),
            succeeded: false,
        };
        self.in_flight.insert(self.connection.call(&request), flight);
    }
}

/// Writes `count` keys once each, as fast as a hundred clients can.
pub(crate) fn fill(address: &str, count: usize, bytes: usize, keys: Keys<'_>) -> Result<()> {
    let clients = PER_CONNECTION.min(count);
    let tally = write(address, clients, Until::Count(count), bytes, keys)?;
    if tally.errors > 0 {
        bail!("{} of {count} keys could not be written", tally.errors);
    }
    Ok(())
}
