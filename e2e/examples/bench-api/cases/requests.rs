//! GETs by name and writes of ConfigMaps.

use std::cell::Cell;

use anyhow::Result;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::Scale;
use crate::load::{Ask, Outcome, round};
use crate::peer::{Peer, Peers};
use crate::report::{Line, Report};

const CLIENTS: [usize; 3] = [1, 16, 128];
/// As many as there are clients at most, so that no two change the same one.
const OBJECTS: usize = 128;
const PATH: &str = "/api/v1/namespaces/bench/configmaps";
/// The objects that the creations have made.
const CREATED: &str = "/api/v1/namespaces/bench/configmaps?labelSelector=created";
const COLUMNS: [&str; 5] = ["+per second", "p50 ms", "p99 ms", "CPU us", "peak MiB"];

/// What a client asks: `number` is its own, `turn` is new every time.
type Question = fn(number: usize, turn: usize) -> Ask;

const QUESTIONS: [(&str, Question); 4] = [
    ("GET by name", |number, turn| {
        ("GET", named((number + turn) % OBJECTS), Bytes::new())
    }),
    ("create", |_, turn| {
        let mut object = config_map(&format!("new-{turn}"), turn);
        object["metadata"]["labels"] = json!({"created": "yes"});
        ("POST", PATH.to_string(), object.to_string().into())
    }),
    ("update", |number, turn| {
        let object = config_map(&format!("c-{number}"), turn);
        ("PUT", named(number), object.to_string().into())
    }),
    ("patch", |number, turn| {
        let patch = json!({"data": {"turn": turn.to_string()}});
        ("PATCH", named(number), patch.to_string().into())
    }),
];

pub(crate) async fn run(peers: &mut Peers, scale: Scale, report: &mut Report) -> Result<()> {
    for peer in &peers.0 {
        let mut connection = peer.connect().await?;
        for number in 0..OBJECTS {
            connection
                .send("POST", PATH, &config_map(&format!("c-{number}"), 0))
                .await?;
        }
    }
    report.title("ConfigMaps of 1 KiB, each connection with one request at a time");
    let turn = Cell::new(0);
    for (name, question) in QUESTIONS {
        for clients in CLIENTS {
            let mut outcomes: Vec<(&Peer, Outcome)> = peers.0.iter().map(|peer| (peer, Outcome::default())).collect();
            for _ in 0..scale.rounds {
                for (peer, outcome) in &mut outcomes {
                    let ask = |number| question(number, turn.replace(turn.get() + 1));
                    round(peer, clients, scale.round, outcome, ask).await?;
                    // What was created is data, which is no cost of requests.
                    let mut connection = peer.connect().await?;
                    connection.send("DELETE", CREATED, &Value::Null).await?;
                }
            }
            let lines: Result<Vec<Line>> = outcomes.iter_mut().map(|(peer, outcome)| line(peer, outcome)).collect();
            report.table(&format!("{name}, {clients} connections"), &COLUMNS, &lines?);
        }
    }
    Ok(())
}

fn line(peer: &Peer, outcome: &mut Outcome) -> Result<Line> {
    let numbers = vec![
        outcome.rate(),
        outcome.percentile(0.5),
        outcome.percentile(0.99),
        outcome.cpu(),
        peer.peak()?,
    ];
    Ok(Line::of(peer, numbers))
}

fn named(number: usize) -> String {
    format!("{PATH}/c-{number}")
}

fn config_map(name: &str, turn: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"text": "x".repeat(1024), "turn": turn.to_string()},
    })
}
