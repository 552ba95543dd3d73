//! The endpoint slices of one manager: which there are, which changes to make, and what the informer has not shown yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use client::{Change, Informer, ObjectKey, WorkQueue};
use k8s_openapi::api::discovery::v1::{EndpointPort, EndpointSlice};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};

use crate::context::Context;
use crate::error::{During, Result, ignore_not_found, is_namespace_terminating, is_not_found};

pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// How long to wait for the informer to show what was just written.
pub(crate) const STALE_RETRY: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) create: Vec<EndpointSlice>,
    pub(crate) update: Vec<EndpointSlice>,
    pub(crate) delete: Vec<Arc<EndpointSlice>>,
}

pub(crate) fn address_type(ipv6: bool) -> &'static str {
    if ipv6 { "IPv6" } else { "IPv4" }
}

/// What makes two sets of ports the same, whatever their order.
pub(crate) type PortKey = Vec<(Option<String>, Option<i32>, Option<String>, Option<String>)>;

pub(crate) fn port_key(ports: &[EndpointPort]) -> PortKey {
    let key = |port: &EndpointPort| {
        (
            port.name.clone(),
            port.port,
            port.protocol.clone(),
            port.app_protocol.clone(),
        )
    };
    let mut keys: PortKey = ports.iter().map(key).collect();
    keys.sort();
    keys
}

fn label<'a>(slice: &'a EndpointSlice, key: &str) -> &'a str {
    let value = slice.metadata.labels.as_ref().and_then(|labels| labels.get(key));
    value.map(String::as_str).unwrap_or_default()
}

/// The service a slice says it belongs to.
fn service_of(slice: &EndpointSlice) -> ObjectKey {
    let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
    ObjectKey::new(namespace, label(slice, SERVICE_NAME))
}

/// The slices of one manager.
pub(crate) struct Slices {
    client: Client,
    manager: &'static str,
    informer: Informer<EndpointSlice>,
    written: Arc<Written>,
}

impl Slices {
    pub(crate) fn new(context: &Context, manager: &'static str) -> Self {
        Self {
            client: context.client.clone(),
            manager,
            informer: context.informers.endpoint_slices(),
            written: Arc::default(),
        }
    }

    /// Queues a service when somebody else changes a slice of this manager.
    pub(crate) fn listen(&self, queue: &WorkQueue<ObjectKey>) {
        let (manager, written, queue) = (self.manager, self.written.clone(), queue.clone());
        self.informer.on_change(move |change| {
            let slice = change.object();
            let is_ours = |slice: &EndpointSlice| label(slice, MANAGED_BY) == manager;
            let by_others = match change {
                Change::Added(_) => is_ours(slice) && !written.is_current(slice),
                Change::Updated { old, .. } => (is_ours(slice) || is_ours(old)) && !written.is_current(slice),
                Change::Deleted(_) => is_ours(slice) && !written.was_deleted(slice),
            };
            let key = service_of(slice);
            if by_others && !key.name.is_empty() {
                queue.add(key);
            }
        });
    }

    /// The slices of a service that are not being deleted; nothing while the informer is behind our own writes.
    pub(crate) fn existing(&self, service: &ObjectKey) -> Option<Vec<Arc<EndpointSlice>>> {
        let mut slices = self.informer.list_in(&service.namespace);
        slices.retain(|slice| label(slice, MANAGED_BY) == self.manager && label(slice, SERVICE_NAME) == service.name);
        if self.written.is_ahead_of(service, &slices) {
            return None;
        }
        slices.retain(|slice| slice.metadata.deletion_timestamp.is_none());
        Some(slices)
    }

    /// Makes the changes to the slices of a service.
    pub(crate) async fn carry_out(&self, key: &ObjectKey, changes: Changes) -> Result {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &key.namespace);
        for slice in &changes.create {
            match api.create(&PostParams::default(), slice).await {
                Ok(created) => self.written.note(key, &created),
                Err(error) if is_namespace_terminating(&error) => return Ok(()),
                Err(error) => return Err(error).during(format_args!("creating an endpoint slice of {key}")),
            }
        }
        for slice in &changes.update {
            let name = slice.metadata.name.as_deref().unwrap_or_default();
            match api.replace(name, &PostParams::default(), slice).await {
                Ok(updated) => self.written.note(key, &updated),
                Err(error) if is_not_found(&error) => {}
                Err(error) => {
                    return Err(error).during(format_args!("updating endpoint slice {name} of {key}"));
                }
            }
        }
        for slice in &changes.delete {
            let name = slice.metadata.name.as_deref().unwrap_or_default();
            self.written.note_deletion(key, slice);
            let deleted = ignore_not_found(api.delete(name, &DeleteParams::default()).await);
            deleted.during(format_args!("deleting endpoint slice {name} of {key}"))?;
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
        let service = service_of(slice);
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
