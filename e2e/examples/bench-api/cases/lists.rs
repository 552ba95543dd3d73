//! Many pods: what they hold in memory, and lists of them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use e2e::standalone::Connection;
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::Scale;
use crate::peer::{Peer, Peers};
use crate::report::{Line, Report};
use e2e::bench::percentile;

const PATH: &str = "/api/v1/namespaces/bench/pods";
/// Objects per page.
const PAGE: usize = 500;
/// MiB that our server may hold with all pods.
const HELD_MOST: f64 = 60.0;
const SETTLE: Duration = Duration::from_secs(5);
/// Clients that create the pods.
const CREATORS: usize = 8;
/// Size of a pod as it is served.
const POD_BYTES: usize = 4096;

pub(crate) async fn run(peers: &mut Peers, scale: Scale, report: &mut Report) -> Result<()> {
    let mut lines = Vec::new();
    for peer in &peers.0 {
        let empty = peer.memory()?;
        let size = create(peer, scale.pods).await?;
        tokio::time::sleep(SETTLE).await;
        lines.push(Line::of(peer, vec![empty, peer.memory()?, peer.peak()?, size]));
        if peer.ours {
            report.goal(
                format!("MiB held with {} pods of 4 KiB", scale.pods),
                peer.memory()?,
                HELD_MOST,
            );
        }
    }
    report.title(&format!("{} pods of 4 KiB", scale.pods));
    report.table("", &["empty MiB", "MiB", "peak MiB", "bytes per pod"], &lines);
    for (name, limit) in [("LIST of all", None), ("LIST in pages of 500", Some(PAGE))] {
        let mut measured: Vec<(Vec<Duration>, Duration)> = peers.0.iter().map(|_| Default::default()).collect();
        for _ in 0..scale.rounds {
            for (peer, (times, cpu)) in peers.0.iter().zip(&mut measured) {
                let (mut connection, before, began) = (peer.connect().await?, peer.cpu()?, Instant::now());
                while began.elapsed() < scale.round {
                    let asked = Instant::now();
                    let found = list(&mut connection, limit).await?;
                    times.push(asked.elapsed());
                    ensure!(found == scale.pods, "{} lists {found} pods", peer.name);
                }
                *cpu += peer.cpu()?.saturating_sub(before);
            }
        }
        let lines: Result<Vec<Line>> = peers
            .0
            .iter()
            .zip(&mut measured)
            .map(|(peer, (times, cpu))| {
                let count = times.len() as f64;
                let cpu = cpu.as_secs_f64() * 1e3 / count;
                Ok(Line::of(
                    peer,
                    vec![percentile(times, 0.5), percentile(times, 0.99), cpu, peer.peak()?],
                ))
            })
            .collect();
        report.table(name, &["p50 ms", "p99 ms", "CPU ms", "peak MiB"], &lines?);
    }
    Ok(())
}

/// Creates pods; the size of one as it is served.
async fn create(peer: &Peer, pods: usize) -> Result<f64> {
    let mut connection = peer.connect().await?;
    let account = json!({"metadata": {"name": "default"}});
    peer.create(&mut connection, "/api/v1/namespaces/bench/serviceaccounts", &account)
        .await?;
    // The first is made as large as the others shall be.
    peer.create(&mut connection, PATH, &pod("first", 0)).await?;
    let first = connection.send("GET", &format!("{PATH}/first"), &Value::Null).await?;
    let filler = POD_BYTES.saturating_sub(first.body.len());
    connection
        .send("DELETE", &format!("{PATH}/first?gracePeriodSeconds=0"), &Value::Null)
        .await?;
    try_join_all((0..CREATORS).map(|creator| async move {
        let mut connection = peer.connect().await?;
        for number in (creator..pods).step_by(CREATORS) {
            peer.create(&mut connection, PATH, &pod(&format!("p-{number}"), filler))
                .await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    let one = connection.send("GET", &format!("{PATH}/p-0"), &Value::Null).await?;
    Ok(one.body.len() as f64)
}

fn pod(name: &str, filler: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}, "annotations": {"filler": "x".repeat(filler)}},
        "spec": {"automountServiceAccountToken": false, "containers": [{"name": "c", "image": "nginx"}]},
    })
}

/// Lists all pods, in one answer or in pages; how many there are.
async fn list(connection: &mut Connection, limit: Option<usize>) -> Result<usize> {
    let Some(limit) = limit else {
        let answer = connection.send("GET", PATH, &Value::Null).await?;
        return Ok(count(&answer.body));
    };
    let mut found = 0;
    let mut path = format!("{PATH}?limit={limit}");
    loop {
        let answer = connection.send("GET", &path, &Value::Null).await?;
        ensure!(answer.status == 200, "GET {path}: {}", answer.status);
        found += count(&answer.body);
        match token(&answer.body)? {
            Some(token) => path = format!("{PATH}?limit={limit}&continue={token}"),
            None => return Ok(found),
        }
    }
}

/// Pods in a list, without parsing it: the client is not what is measured.
fn count(body: &Bytes) -> usize {
    const EACH: &[u8] = b"\"filler\":\"";
    let mut rest = &body[..];
    let mut found = 0;
    while let Some(at) = rest.iter().position(|byte| *byte == b'"') {
        rest = &rest[at..];
        let here = rest.starts_with(EACH);
        found += usize::from(here);
        // Past the filler, which is most of a pod.
        let skip = if here { (EACH.len() + 64).min(rest.len()) } else { 1 };
        rest = &rest[skip..];
    }
    found
}

/// The token of the next page, from the metadata at the beginning of a list.
fn token(body: &Bytes) -> Result<Option<String>> {
    let head = &body[..body.len().min(1024)];
    let head = String::from_utf8_lossy(head);
    let Some((_, rest)) = head.split_once("\"continue\":\"") else {
        return Ok(None);
    };
    let (token, _) = rest.split_once('"').context("a token without an end")?;
    Ok(Some(token.to_string()).filter(|token| !token.is_empty()))
}
