//! One write, many watchers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use http_body_util::BodyExt;
use serde_json::json;

use crate::Scale;
use crate::peer::{Peer, Peers};
use crate::report::{Line, Report};
use e2e::bench::percentile;

const PATH: &str = "/api/v1/namespaces/bench/configmaps";
/// Watches per connection.
const STREAMS: usize = 10;
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(25);
/// How long the last event may take.
const PATIENCE: Duration = Duration::from_secs(60);
const FORMATS: [(&str, &str); 3] = [
    ("JSON", "application/json"),
    ("protobuf", "application/vnd.kubernetes.protobuf;stream=watch"),
    (
        "metadata only",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    ),
];

pub(crate) async fn run(peers: &mut Peers, scale: Scale, report: &mut Report) -> Result<()> {
    report.title(&format!(
        "{} watchers of one collection, {} writes of 4 KiB",
        scale.watchers, scale.events
    ));
    for (name, accept) in FORMATS {
        let mut lines = Vec::new();
        for peer in &peers.0 {
            let numbers = deliver(peer, scale, accept, name).await?;
            lines.push(Line::of(peer, numbers));
        }
        report.table(name, &["p50 ms", "p99 ms", "CPU us/event", "lost", "peak MiB"], &lines);
    }
    Ok(())
}

/// Time from a write's answer until each watcher has the event.
async fn deliver(peer: &Peer, scale: Scale, accept: &str, name: &str) -> Result<Vec<f64>> {
    let name = name.split(' ').next().unwrap_or(name).to_lowercase();
    let mut connection = peer.connect().await?;
    let object = json!({"metadata": {"name": &name}, "data": {"text": "x".repeat(4096)}});
    peer.create(&mut connection, PATH, &object).await?;
    let seen: Rc<RefCell<Vec<Vec<Instant>>>> = Rc::default();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let dialer = peer.dialer();
            let mut connections = Vec::new();
            for number in 0..scale.watchers {
                if number % STREAMS == 0 {
                    connections.push(dialer.connect().await?);
                }
                let last = connections.len() - 1;
                let path = format!("{PATH}?watch=true&fieldSelector=metadata.name={name}&resourceVersion=0");
                let body = connections[last].watch(&path, accept).await?;
                seen.borrow_mut().push(Vec::new());
                tokio::task::spawn_local(follow(body, seen.clone(), number));
            }
            // Each gets the object as it is before anything is measured.
            until(&seen, 1).await?;
            let cpu = peer.cpu()?;
            let mut written = Vec::new();
            for turn in 0..scale.events {
                let patch = json!({"data": {"turn": turn.to_string()}});
                let answer = connection.send("PATCH", &format!("{PATH}/{name}"), &patch).await?;
                ensure!(answer.status == 200, "PATCH: {}", answer.status);
                written.push(Instant::now());
                tokio::time::sleep(PAUSE).await;
            }
            let lost = until(&seen, 1 + scale.events)
                .await
                .err()
                .map_or(0.0, |_| missing(&seen, 1 + scale.events));
            let cpu = peer.cpu()?.saturating_sub(cpu);
            let mut times: Vec<Duration> = Vec::new();
            for watcher in seen.borrow().iter() {
                let pairs = watcher.iter().skip(1).zip(&written);
                times.extend(pairs.map(|(arrived, written)| arrived.saturating_duration_since(*written)));
            }
            let per_event = cpu.as_secs_f64() * 1e6 / times.len().max(1) as f64;
            let (median, late) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
            Ok(vec![median, late, per_event, lost, peer.peak()?])
        })
        .await
}

/// Notes when each event is there.
async fn follow(mut body: hyper::body::Incoming, seen: Rc<RefCell<Vec<Vec<Instant>>>>, number: usize) {
    let mut partial = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        partial.extend_from_slice(data);
        while let Some(end) = event_end(&partial) {
            partial.drain(..end);
            seen.borrow_mut()[number].push(Instant::now());
        }
    }
}

/// Where the first event ends: a line of JSON, or protobuf behind its length.
fn event_end(bytes: &[u8]) -> Option<usize> {
    if bytes.first()? == &b'{' {
        return Some(bytes.iter().position(|byte| *byte == b'\n')? + 1);
    }
    let length = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    let end = 4 + usize::try_from(length).ok()?;
    (bytes.len() >= end).then_some(end)
}

async fn until(seen: &Rc<RefCell<Vec<Vec<Instant>>>>, events: usize) -> Result<()> {
    let began = Instant::now();
    while missing(seen, events) > 0.0 {
        ensure!(began.elapsed() < PATIENCE, "events are missing");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn missing(seen: &Rc<RefCell<Vec<Vec<Instant>>>>, events: usize) -> f64 {
    let short = seen
        .borrow()
        .iter()
        .map(|watcher| events.saturating_sub(watcher.len()))
        .sum::<usize>();
    short as f64
}
