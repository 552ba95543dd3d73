//! The syncer between two running API servers, with everything going wrong that can: requests and answers get lost, processes
//! die and freeze. Owners and the host go on meanwhile. Once the trouble ends, both sides agree, and nothing that was acknowledged
//! is lost.
//!
//! `SOAK=1` tries many seeds for longer; `SEED=number` repeats one.
#![allow(clippy::unwrap_used)]

mod client;
mod clusters;
mod comparer;
mod host;
mod kinds;
mod owner;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::faulty::{Dice, Weather};
use tokio::time::Instant;

use clusters::{Clusters, VICTIMS, objects};
use comparer::{by_key, difference, text};
use host::{Host, NAMESPACE};
use owner::Owner;

/// Time within which both sides agree after the last trouble: a request may be waited for 30 s, and what failed often is tried
/// again after 30 s.
const AGREED_WITHIN: Duration = Duration::from_secs(150);
/// What one run is made of.
const STEPS: usize = 120;
const SOAK_STEPS: usize = 1_000;
const SEEDS: [u64; 2] = [1, 20_260];
const SOAK_SEEDS: u64 = 20;

#[tokio::test]
async fn both_sides_agree_after_any_trouble() -> Result<()> {
    chassis::tls::install_provider();
    let soaks = std::env::var_os("SOAK").is_some_and(|value| value == "1");
    let steps = if soaks { SOAK_STEPS } else { STEPS };
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().context("SEED is no number")?],
        Err(_) if soaks => (1..=SOAK_SEEDS).collect(),
        Err(_) => SEEDS.to_vec(),
    };
    for seed in seeds {
        run(seed, steps)
            .await
            .with_context(|| format!("SEED={seed} cargo test -p e2e --test convergence"))?;
    }
    Ok(())
}

async fn run(seed: u64, steps: usize) -> Result<()> {
    let mut dice = Dice::new(seed);
    let mut clusters = Clusters::start().await?;
    let mut owner = Owner::new(clusters.virtual_.client()?, Dice::new(dice.roll()));
    let mut host = Host::new(clusters.host.client()?, Dice::new(dice.roll()));
    for step in 0..steps {
        for _ in 0..1 + dice.below(4) {
            owner.act().await?;
        }
        // A host that is away does nothing, and says so.
        if dice.once_in(3) {
            let _ = host.work().await;
        }
        if dice.once_in(3) {
            let _ = host.meddle(step as u64).await;
        }
        if dice.once_in(6) {
            strike(&mut clusters, &mut dice).await?;
        }
        tokio::time::sleep(Duration::from_millis(20 + dice.below(100) as u64)).await;
        clusters.recover(Instant::now()).await?;
    }
    for cluster in [&clusters.virtual_, &clusters.host] {
        cluster.proxy.set_weather(Weather::calm());
    }
    clusters.recover_all().await?;
    let began = Instant::now();
    let agreed = agreement(&mut owner, &mut host).await;
    if agreed.is_err() {
        eprintln!("{}", clusters.syncer_log());
    }
    let objects = agreed?;
    println!(
        "seed {seed}: agreed {:.1} s after the trouble, on {objects} objects, {} of them acknowledged",
        began.elapsed().as_secs_f64(),
        owner.certainties()
    );
    ensure!(owner.certainties() > 0, "nothing was acknowledged");
    clusters.stop().await
}

/// One more thing goes wrong, or one less.
async fn strike(clusters: &mut Clusters, dice: &mut Dice) -> Result<()> {
    let away = Duration::from_millis(200 + dice.below(2_500) as u64);
    let victim = VICTIMS[dice.below(VICTIMS.len())];
    let proxy = if dice.once_in(2) {
        &clusters.virtual_.proxy
    } else {
        &clusters.host.proxy
    };
    match dice.below(8) {
        0..3 => proxy.set_weather(Weather::stormy(dice.roll(), 2 + dice.below(6))),
        3 => proxy.set_weather(Weather::calm()),
        4 => proxy.cut(),
        5 => clusters.pause(victim, away),
        _ => clusters.kill(victim, away).await?,
    }
    Ok(())
}

/// Waits until both sides agree; how many objects the virtual cluster has then.
async fn agreement(owner: &mut Owner, host: &mut Host) -> Result<usize> {
    let deadline = Instant::now() + AGREED_WITHIN;
    loop {
        let what = match disagreement(owner, host).await {
            Ok(Ok(objects)) => return Ok(objects),
            Ok(Err(what)) => what,
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            bail!("no agreement within {} s: {what}", AGREED_WITHIN.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// What is not as it must be in the end, or else the number of virtual objects.
async fn disagreement(owner: &mut Owner, host: &mut Host) -> Result<Result<usize, String>> {
    host.work().await?;
    let virtual_ = objects(&mut owner.client, None).await?;
    let on_host = objects(&mut host.client, Some(NAMESPACE)).await?;
    let nodes = owner.client.list("/api/v1/nodes").await?;
    let nodes: Vec<String> = nodes
        .iter()
        .map(|node| text(node, "/metadata/name").to_owned())
        .collect();
    let all = by_key(&virtual_);
    let found = difference(&virtual_, &on_host, &nodes).or_else(|| owner.lost(&all, &host.removed));
    Ok(found.map_or(Ok(all.len()), Err))
}
