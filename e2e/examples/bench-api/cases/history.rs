//! Whether answers get slower when a store has seen many writes.

use anyhow::Result;
use bytes::Bytes;
use serde_json::json;

use crate::Scale;
use crate::load::{Outcome, round};
use crate::peer::Peers;
use crate::report::{Line, Report};

const PATH: &str = "/api/v1/namespaces/bench/configmaps";
const OBJECTS: usize = 100;
/// Clients that write.
const WRITERS: usize = 16;
/// How many times as long an answer may take after all the writes.
const GROWTH_MOST: f64 = 1.15;

pub(crate) async fn run(peers: &mut Peers, scale: Scale, report: &mut Report) -> Result<()> {
    report.title(&format!(
        "Reads before and after {} writes of {OBJECTS} objects",
        scale.revisions
    ));
    let mut lines = Vec::new();
    for peer in &peers.0 {
        let mut connection = peer.connect().await?;
        for number in 0..OBJECTS {
            let object = json!({"metadata": {"name": format!("h-{number}")}, "data": {"text": "x".repeat(1024)}});
            peer.create(&mut connection, PATH, &object).await?;
        }
        let mut costs = Vec::new();
        for revisions in [0, scale.revisions] {
            try_write(peer, revisions).await?;
            for path in [format!("{PATH}/h-7"), PATH.to_string(), format!("{PATH}?limit=50")] {
                let mut outcome = Outcome::default();
                for _ in 0..scale.rounds {
                    round(peer, 1, scale.round, &mut outcome, |_| {
                        ("GET", path.clone(), Bytes::new())
                    })
                    .await?;
                }
                costs.push((outcome.percentile(0.5), outcome.cpu()));
            }
        }
        let growth = |at: usize| costs[at + 3].1 / costs[at].1;
        if peer.ours {
            report.goal("growth of a GET by name with history", growth(0), GROWTH_MOST);
            report.goal("growth of a LIST with history", growth(1), GROWTH_MOST);
            report.goal("growth of a page with history", growth(2), GROWTH_MOST);
        }
        let times = costs.iter().map(|(time, _)| *time);
        lines.push(Line::of(peer, times.collect()));
    }
    let columns = ["GET ms", "LIST ms", "page ms", "GET after", "LIST after", "page after"];
    report.table("p50", &columns, &lines);
    Ok(())
}

/// Writes the same objects again and again.
async fn try_write(peer: &crate::peer::Peer, revisions: usize) -> Result<()> {
    futures::future::try_join_all((0..WRITERS).map(|writer| async move {
        let mut connection = peer.connect().await?;
        for turn in (writer..revisions).step_by(WRITERS) {
            let patch = json!({"data": {"turn": turn.to_string()}});
            let path = format!("{PATH}/h-{}", turn % OBJECTS);
            let answer = connection.send("PATCH", &path, &patch).await?;
            anyhow::ensure!(answer.status == 200, "PATCH {path}: {}", answer.status);
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}
