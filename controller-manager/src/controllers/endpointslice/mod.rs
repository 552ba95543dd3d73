//! The endpoint slice controller: at most 100 endpoints per EndpointSlice of a Service (`k8s.io/endpointslice`).

mod plan;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use client::{Change, Informer, ObjectKey, WorkQueue};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};

use crate::common::services::{self, TriggerTimes};
use crate::context::{Context, Task};
use crate::error::{During, Result, SyncError, ignore_not_found, is_namespace_terminating, is_not_found};
use crate::workers::{Reconcile, run};
use plan::{MANAGED_BY, MANAGER, SERVICE_NAME, State};

const NAME: &str = "endpointslice-controller";
/// How long to wait for the informer to show what was just written.
const STALE_RETRY: Duration = Duration::from_millis(50);

struct Controller {
    client: Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    slices: Informer<EndpointSlice>,
    triggers: TriggerTimes,
    written: Written,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        services: context.informers.services(),
        pods: context.informers.pods(),
        nodes: context.informers.nodes(),
        slices: context.informers.endpoint_slices(),
        triggers: TriggerTimes::default(),
        written: Written::default(),
        queue: WorkQueue::new(),
    });
    controller.listen();
    run(
        NAME,
        context,
        context.settings.concurrent_service_endpoint_syncs,
        controller,
    )
}

fn label<'a>(slice: &'a EndpointSlice, key: &str) -> &'a str {
    slice
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(key))
        .map(String::as_str)
        .unwrap_or_default()
}

fn is_ours(slice: &EndpointSlice) -> bool {
    label(slice, MANAGED_BY) == MANAGER
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
        let mut existing = self.slices.list_in(&key.namespace);
        existing.retain(|slice| is_ours(slice) && label(slice, SERVICE_NAME) == key.name);
        if self.written.is_ahead_of(&key, &existing) {
            self.queue.add_after(key, STALE_RETRY);
            return Ok(());
        }
        existing.retain(|slice| slice.metadata.deletion_timestamp.is_none());
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
        self.carry_out(&key, plan.changes).await?;
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
        let this = self.clone();
        self.slices.on_change(move |change| {
            let slice = change.object();
            let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
            let key = ObjectKey::new(namespace, label(slice, SERVICE_NAME));
            let theirs = match change {
                Change::Added(_) => is_ours(slice) && !this.written.is_current(slice),
                Change::Updated { old, .. } => (is_ours(slice) || is_ours(old)) && !this.written.is_current(slice),
                Change::Deleted(_) => is_ours(slice) && !this.written.was_deleted(slice),
            };
            if theirs && !key.name.is_empty() {
                this.queue.add(key);
            }
        });
    }

    async fn carry_out(&self, key: &ObjectKey, changes: plan::Changes) -> Result {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &key.namespace);
        for slice in &changes.create {
            match api.create(&PostParams::default(), slice).await {
                Ok(created) => self.written.note(key, &created),
                Err(error) if is_namespace_terminating(&error) => return Ok(()),
                Err(error) => return Err(error).during(format_args!("creating an endpoint slice of service {key}")),
            }
        }
        for slice in &changes.update {
            let name = slice.metadata.name.as_deref().unwrap_or_default();
            match api.replace(name, &PostParams::default(), slice).await {
                Ok(updated) => self.written.note(key, &updated),
                Err(error) if is_not_found(&error) => {}
                Err(error) => {
                    return Err(error).during(format_args!("updating endpoint slice {name} of service {key}"));
                }
            }
        }
        for slice in &changes.delete {
            let name = slice.metadata.name.as_deref().unwrap_or_default();
            self.written.note_deletion(key, slice);
            let deleted = ignore_not_found(api.delete(name, &DeleteParams::default()).await);
            deleted.during(format_args!("deleting endpoint slice {name} of service {key}"))?;
        }
        Ok(())
    }
}

/// What we wrote and the informer has not shown yet, by service and slice UID: planning from older slices would write
/// duplicates (`endpointslice_tracker.go`).
#[derive(Default)]
struct Written(Mutex<HashMap<ObjectKey, HashMap<String, Write>>>);

#[derive(Clone, Copy)]
struct Write {
    /// The generation, or nothing for a deletion.
    generation: Option<i64>,
    at: Instant,
}

/// What has not arrived by then never will: somebody else deleted it at once.
const FORGET_AFTER: Duration = Duration::from_secs(5);

fn generation(slice: &EndpointSlice) -> i64 {
    slice.metadata.generation.unwrap_or(0)
}

impl Written {
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, HashMap<String, Write>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, service: &ObjectKey, slice: &EndpointSlice) {
        self.remember(service, slice, Some(generation(slice)));
    }

    fn note_deletion(&self, service: &ObjectKey, slice: &EndpointSlice) {
        self.remember(service, slice, None);
    }

    fn remember(&self, service: &ObjectKey, slice: &EndpointSlice, generation: Option<i64>) {
        let uid = slice.metadata.uid.clone().unwrap_or_default();
        let write = Write {
            generation,
            at: Instant::now(),
        };
        self.lock().entry(service.clone()).or_default().insert(uid, write);
    }

    fn find(&self, slice: &EndpointSlice) -> Option<Write> {
        let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
        let service = ObjectKey::new(namespace, label(slice, SERVICE_NAME));
        self.lock()
            .get(&service)?
            .get(slice.metadata.uid.as_deref().unwrap_or_default())
            .copied()
    }

    /// Whether this state of the slice is of our own making.
    fn is_current(&self, slice: &EndpointSlice) -> bool {
        self.find(slice)
            .and_then(|write| write.generation)
            .is_some_and(|written| generation(slice) <= written)
    }

    fn was_deleted(&self, slice: &EndpointSlice) -> bool {
        self.find(slice).is_some_and(|write| write.generation.is_none())
    }

    /// Whether the informer still has to catch up with our own writes.
    fn is_ahead_of(&self, service: &ObjectKey, shown: &[Arc<EndpointSlice>]) -> bool {
        let mut all = self.lock();
        let Some(written) = all.get_mut(service) else {
            return false;
        };
        let shown: HashMap<&str, i64> = shown
            .iter()
            .map(|slice| (slice.metadata.uid.as_deref().unwrap_or_default(), generation(slice)))
            .collect();
        // What has arrived needs no remembering.
        written.retain(|uid, write| {
            let arrived = match (shown.get(uid.as_str()), write.generation) {
                (Some(shown), Some(written)) => *shown >= written,
                (None, None) => true,
                _ => false,
            };
            !arrived && write.at.elapsed() < FORGET_AFTER
        });
        let ahead = !written.is_empty();
        if !ahead {
            all.remove(service);
        }
        ahead
    }
}
