//! Clients that ask as soon as they are answered.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use e2e::bench::percentile;
use futures::future::try_join_all;

use crate::peer::Peer;

/// A request: method, path, body.
pub(crate) type Ask = (&'static str, String, Bytes);

/// What a peer did in all rounds.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    rates: Vec<f64>,
    times: Vec<Duration>,
    cpu: Duration,
}

impl Outcome {
    /// Requests per second, the median of the rounds.
    pub(crate) fn rate(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or(0.0)
    }

    /// Milliseconds that a share of the answers needed at most.
    pub(crate) fn percentile(&mut self, share: f64) -> f64 {
        percentile(&mut self.times, share)
    }

    /// Microseconds of processor time per request, store included.
    pub(crate) fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.times.len().max(1) as f64
    }
}

/// One round: `clients` connections, each with one request at a time. `ask` says what the client of a number asks next.
pub(crate) async fn round(
    peer: &Peer,
    clients: usize,
    length: Duration,
    outcome: &mut Outcome,
    ask: impl Fn(usize) -> Ask,
) -> Result<()> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(peer.connect().await?);
    }
    let times = Rc::new(RefCell::new(Vec::new()));
    let (cpu, began) = (peer.cpu()?, Instant::now());
    let ask = &ask;
    try_join_all(connections.into_iter().enumerate().map(|(number, mut connection)| {
        let times = times.clone();
        async move {
            while began.elapsed() < length {
                let (method, path, body) = ask(number);
                let asked = Instant::now();
                let answer = connection.send_bytes(method, &path, body).await?;
                times.borrow_mut().push(asked.elapsed());
                ensure!(
                    answer.status < 300,
                    "{method} {path}: {}: {:?}",
                    answer.status,
                    answer.body
                );
            }
            anyhow::Ok(())
        }
    }))
    .await?;
    let took = began.elapsed().as_secs_f64();
    outcome.cpu += peer.cpu()?.saturating_sub(cpu);
    outcome.rates.push(times.borrow().len() as f64 / took);
    outcome.times.append(&mut times.borrow_mut());
    Ok(())
}
