//! Two pods cannot have the same port of a node.

use super::{Cycle, Verdict, refuse};
use crate::cache::NodeInfo;

pub(crate) fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Verdict {
    let wanted = &cycle.pod.host_ports;
    if wanted.is_empty() {
        return Ok(());
    }
    let mut taken = node.pods.iter().flat_map(|pod| &pod.host_ports);
    if taken.any(|port| wanted.iter().any(|wanted| wanted.conflicts(port))) {
        return refuse("node(s) didn't have free ports for the requested pod ports");
    }
    Ok(())
}
