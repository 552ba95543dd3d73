//! One attempt to find a node: filter, score, choose.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::plugins::{Cycle, PLUGINS, Scale, Score};
use crate::pod::PodInfo;

/// The name of the best node, or upstream's sentence for why there is none.
pub(crate) fn choose(pod: &PodInfo, snapshot: &Snapshot) -> Result<String, String> {
    if snapshot.nodes.is_empty() {
        return Err("no nodes available to schedule pods".to_owned());
    }
    let cycle = Cycle::new(pod, snapshot);
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut feasible: Vec<&Arc<NodeInfo>> = Vec::new();
    for node in &snapshot.nodes {
        let refusal = PLUGINS
            .iter()
            .filter_map(|plugin| plugin.filter)
            .find_map(|filter| filter(&cycle, node).err());
        match refusal {
            None => feasible.push(node),
            Some(words) => {
                for word in words {
                    *reasons.entry(word).or_default() += 1;
                }
            }
        }
    }
    if feasible.is_empty() {
        return Err(sentence(snapshot.nodes.len(), &reasons));
    }
    let mut totals = vec![0; feasible.len()];
    if feasible.len() > 1 {
        for score in PLUGINS.iter().filter_map(|plugin| plugin.score.as_ref()) {
            for (total, scaled) in totals.iter_mut().zip(scaled(score, &cycle, &feasible)) {
                *total += scaled * score.weight;
            }
        }
    }
    // Equal nodes share the pods: which one wins depends on the pod.
    let lot = |node: &NodeInfo| {
        let mut hasher = DefaultHasher::new();
        (&pod.uid, &node.name).hash(&mut hasher);
        hasher.finish()
    };
    let best = feasible
        .into_iter()
        .zip(totals)
        .max_by_key(|(node, total)| (*total, lot(node)));
    best.map(|(node, _)| node.name.clone())
        .ok_or_else(|| "no nodes available to schedule pods".to_owned())
}

/// As in `FitError.Error`.
fn sentence(nodes: usize, reasons: &BTreeMap<String, usize>) -> String {
    let mut words: Vec<String> = reasons
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    words.sort();
    format!("0/{nodes} nodes are available: {}.", words.join(", "))
}

fn scaled(score: &Score, cycle: &Cycle<'_>, nodes: &[&Arc<NodeInfo>]) -> Vec<i64> {
    let raw: Vec<i64> = nodes.iter().map(|node| (score.of)(cycle, node)).collect();
    let low = raw.iter().copied().min().unwrap_or(0).min(0);
    let high = raw.iter().copied().max().unwrap_or(0);
    let percent = |value: i64| {
        if high == low {
            0
        } else {
            (value - low) * 100 / (high - low)
        }
    };
    raw.into_iter()
        .map(|value| match score.scale {
            Scale::Percent => value,
            Scale::HighestIsBest => percent(value),
            Scale::LowestIsBest => 100 - percent(value),
        })
        .collect()
}
