//! A container's output as it comes, for `logs -f` and `attach`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use super::logs::{self, Line, Run};
use super::route::Target;
use crate::node::pods::Pods;
use crate::node::shell::Plan;

/// Follows one run of a container.
pub(super) struct Follower {
    pub(super) pods: Pods,
    pub(super) node: String,
    pub(super) target: Target,
    pub(super) pod: Arc<Pod>,
    pub(super) plan: Plan,
    pub(super) run: Run,
    /// Lines up to here have been seen.
    pub(super) seen: Timestamp,
    pub(super) over: bool,
}

impl Follower {
    /// Waits a moment; the lines written meanwhile. `None` once the run is over and all of it has been seen.
    pub(super) async fn next(&mut self) -> Option<Vec<Line>> {
        if self.over {
            return None;
        }
        tokio::time::sleep(logs::FOLLOW_EVERY).await;
        let now = Timestamp::now();
        let pod = self.pods.find(&self.node, &self.target.namespace, &self.target.pod);
        let pod = pod.filter(|pod| pod.metadata.uid == self.pod.metadata.uid);
        let current = pod.and_then(|pod| logs::run(&pod, &self.target.container, false).ok());
        match current {
            Some(run) if run.started == self.run.started => {
                self.over = run.finished.is_some();
                self.run = run;
            }
            // The pod is gone, or its container runs anew.
            _ => self.over = true,
        }
        let lines = logs::lines_after(&self.pod, &self.target.container, &self.plan, &self.run, self.seen, now);
        self.seen = now;
        Some(lines)
    }
}
