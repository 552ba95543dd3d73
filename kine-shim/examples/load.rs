//! Measures any etcd v3 endpoint: `load URL [SECONDS]` writes 1 KiB values from 1, 10, 100 and 1,000 clients, reads lists, and
//! prints what each took.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use proto::etcdserverpb::{PutRequest, RangeRequest, kv_client::KvClient};
use tonic::transport::Channel;

const VALUE: usize = 1024;
/// Clients that share a connection.
const PER_CONNECTION: usize = 100;
const KEYS: usize = 10_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("usage: load URL [SECONDS]")?;
    let seconds = arguments.next().map_or(Ok(5), |seconds| seconds.parse())?;
    println!(
        "{:>8} {:>10} {:>9} {:>9} {:>9} {:>7}",
        "clients", "puts/s", "p50 ms", "p99 ms", "max ms", "errors"
    );
    for clients in [1, 10, 100, 1000] {
        writes(&url, clients, Duration::from_secs(seconds)).await?;
    }
    reads(&url).await
}

async fn writes(url: &str, clients: usize, span: Duration) -> Result<()> {
    let mut tasks = Vec::new();
    let end = Instant::now() + span;
    let mut channel = chassis::grpc::channel("URL", url)?;
    for client in 0..clients {
        if client % PER_CONNECTION == 0 {
            channel = chassis::grpc::channel("URL", url)?;
        }
        tasks.push(tokio::spawn(write(KvClient::new(channel.clone()), client, end)));
    }
    let (mut took, mut errors) = (Vec::new(), 0);
    for task in tasks {
        let (times, failed) = task.await?;
        took.extend(times);
        errors += failed;
    }
    took.sort_unstable();
    let at = |share: usize| {
        took.get((took.len().saturating_sub(1)) * share / 100)
            .copied()
            .unwrap_or_default()
    };
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let rate = took.len() as f64 / span.as_secs_f64();
    let (p50, p99, max) = (millis(at(50)), millis(at(99)), millis(at(100)));
    println!("{clients:>8} {rate:>10.0} {p50:>9.2} {p99:>9.2} {max:>9.2} {errors:>7}");
    Ok(())
}

async fn write(mut kv: KvClient<Channel>, client: usize, end: Instant) -> (Vec<Duration>, usize) {
    let (mut took, mut errors) = (Vec::new(), 0);
    let value = Bytes::from(vec![b'x'; VALUE]);
    for count in 0_usize.. {
        let began = Instant::now();
        if began >= end {
            break;
        }
        let key = format!("/load/{:05}", (client * 7919 + count) % KEYS);
        match kv
            .put(PutRequest {
                key: key.into(),
                value: value.clone(),
                ..Default::default()
            })
            .await
        {
            Ok(_) => took.push(began.elapsed()),
            Err(_) => errors += 1,
        }
    }
    (took, errors)
}

async fn reads(url: &str) -> Result<()> {
    let mut kv = KvClient::new(chassis::grpc::channel("URL", url)?).max_decoding_message_size(usize::MAX);
    for key in 0..KEYS {
        let key = format!("/load/{key:05}");
        kv.put(PutRequest {
            key: key.into(),
            value: vec![b'x'; VALUE].into(),
            ..Default::default()
        })
        .await?;
    }
    let all = RangeRequest {
        key: "/load/".into(),
        range_end: "/load0".into(),
        ..Default::default()
    };
    let count = RangeRequest {
        count_only: true,
        ..all.clone()
    };
    let one = RangeRequest {
        key: "/load/00042".into(),
        ..Default::default()
    };
    for (name, request, times) in [
        ("list of 10,000", all, 10),
        ("count of 10,000", count, 100),
        ("get", one, 1000),
    ] {
        let began = Instant::now();
        for _ in 0..times {
            kv.range(request.clone()).await?;
        }
        println!(
            "{name:>16} {:>9.3} ms",
            began.elapsed().as_secs_f64() * 1000.0 / f64::from(times)
        );
    }
    Ok(())
}
