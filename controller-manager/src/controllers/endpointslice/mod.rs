//! The endpoint slice controller: at most 100 endpoints per EndpointSlice of a Service (`k8s.io/endpointslice`).

mod plan;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use client::{Informer, ObjectKey, WorkQueue};
use k8s_openapi::api::core::v1::{Node, Pod, Service};

use crate::common::services::{self, TriggerTimes};
use crate::common::slices::{STALE_RETRY, Slices};
use crate::context::{Context, Task};
use crate::error::{Result, SyncError};
use crate::workers::{Reconcile, run};
use plan::{MANAGER, State};

const NAME: &str = "endpointslice-controller";
struct Controller {
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    slices: Slices,
    triggers: TriggerTimes,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        services: context.informers.services(),
        pods: context.informers.pods(),
        nodes: context.informers.nodes(),
        slices: Slices::new(context, MANAGER),
        triggers: TriggerTimes::default(),
        queue: WorkQueue::new(),
    });
    controller.listen();
    run(
        NAME,
        context,
        context.settings.workers.concurrent_service_endpoint_syncs,
        controller,
    )
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(service) = self.services.get(&key) else {
            // Its slices have it as their owner, so the garbage collector takes them.
            self.triggers.forget(&key);
            return Ok(());
        };
        let Some(selector) = services::selector(&service) else {
            return Ok(());
        };
        let pods = services::selected(&self.pods, &key.namespace, selector);
        let Some(existing) = self.slices.existing(&key) else {
            self.queue.add_after(key, STALE_RETRY);
            return Ok(());
        };
        let trigger = self.triggers.update(&key, &service, &pods).map(services::format);
        let node = |name: &str| self.nodes.get(&ObjectKey::new("", name));
        let state = State {
            service: &service,
            pods: &pods,
            existing: &existing,
            node: &node,
            trigger,
        };
        let plan = plan::plan(&state);
        self.slices.carry_out(&key, plan.changes).await?;
        match plan.waiting_for_node {
            Some(node) => Err(SyncError::Invalid(format!(
                "service {key} has pods on node {node}, which is not known yet"
            ))),
            None => Ok(()),
        }
    }
}

impl Controller {
    fn listen(self: &Arc<Self>) {
        let this = self.clone();
        self.services
            .on_change(move |change| this.queue.add(ObjectKey::of(&change.object().metadata)));
        let this = self.clone();
        self.pods
            .on_change(move |change| services::queue_services_of(change, &this.services, &this.queue));
        self.slices.listen(&self.queue);
    }
}
