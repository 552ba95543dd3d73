//! What many clients with large requests cost.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use e2e::process::{peak_memory, resident_memory};
use futures::stream::{FuturesUnordered, TryStreamExt};
use http::{Request, header};
use http_body_util::Full;
use serde_json::{Value, json};

use super::Running;
use super::connection::{Dialer, text};

const CLIENTS: usize = 128;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Just below the largest body that is read.
const LARGE: usize = 3 * 1024 * 1024 - 4096;
/// What the server may need more than before, whatever its build: a small part of the bodies, which are 384 MiB.
const MORE: u64 = 128 * 1024 * 1024;

/// All clients send the largest body that is accepted at the same time. The server judges one after the other, and needs
/// the memory of a few.
#[tokio::test]
async fn large_bodies_of_many_clients_need_the_memory_of_a_few() -> Result<()> {
    let running = Running::start(&[]).await?;
    let dialer = running.dialer()?;
    let pid = running.server.program.pid().context("the server has ended")?;
    let before = resident_memory(pid).context("no memory is told")?;
    let values = (0..).map(|i| (format!("k{i}"), Value::from("x".repeat(1000))));
    let data: serde_json::Map<String, Value> = values.take(LARGE / 1020).collect();
    let body = Bytes::from(json!({"metadata": {"name": "large"}, "data": data}).to_string());
    ensure!(
        body.len() > LARGE * 9 / 10 && body.len() <= LARGE,
        "{} bytes",
        body.len()
    );
    let all = (0..CLIENTS).map(|i| post(&dialer, ["http/1.1", "h2"][i % 2], body.clone()));
    let answers: Vec<(u16, String)> = all.collect::<FuturesUnordered<_>>().try_collect().await?;
    let judged = |status: u16, answer: &str| status == 422 && answer.contains("Too long");
    // A slow server may tell the last ones to come back.
    let wrong = answers
        .iter()
        .find(|(status, answer)| !judged(*status, answer) && *status != 429);
    ensure!(wrong.is_none(), "{wrong:?}");
    let done = answers
        .iter()
        .filter(|(status, answer)| judged(*status, answer))
        .count();
    ensure!(done >= CLIENTS / 8, "only {done} were judged");
    let peak = peak_memory(pid).context("no memory is told")?;
    ensure!(
        peak < before + MORE,
        "{} MiB at the peak, {} MiB before",
        peak >> 20,
        before >> 20
    );
    let too_large = Bytes::from(vec![b' '; LARGE + 8192]);
    let (status, answer) = post(&dialer, "http/1.1", too_large).await?;
    ensure!(status == 413, "{status} {answer}");
    running.stop().await
}

/// Status and text of the answer to a creation on a connection of its own.
async fn post(dialer: &Dialer, protocol: &str, body: Bytes) -> Result<(u16, String)> {
    let request = Request::post(format!("https://localhost{MAPS}")).header(header::CONTENT_TYPE, "application/json");
    let answer = if protocol == "h2" {
        let request = request.body(Full::new(body))?;
        dialer.http2().await?.send_request(request).await
    } else {
        let request = request.header(header::HOST, "localhost").body(Full::new(body))?;
        dialer.http1().await?.send_request(request).await
    };
    let answer = answer.with_context(|| format!("no answer over {protocol}"))?;
    let status = answer.status().as_u16();
    Ok((status, text(answer).await?))
}
