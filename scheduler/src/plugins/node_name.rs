//! A pod that already names a node fits no other one.

use super::{Cycle, Verdict, refuse};
use crate::cache::NodeInfo;

pub(crate) fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Verdict {
    if cycle.pod.node.is_empty() || cycle.pod.node == node.name {
        return Ok(());
    }
    refuse("node(s) didn't match the requested node name")
}
