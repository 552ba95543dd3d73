//! APIServices: whether what they announce can be reached (kube-aggregator
//! `pkg/controllers/status/{local,remote}`).
//!
//! What leads to a Service has a task of its own, which looks at it and asks it until the APIService goes or changes.

use super::conditions::{Condition, holds};
use super::{Controller, Feed, Kind, Seen};
use crate::aggregator::Backend;
use crate::aggregator::availability::{AVAILABLE, pause};
use crate::bootstrap::writer::Writer;
use crate::endpoints::api::Api;
use chassis::{CancellationToken, Tasks};
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::DropGuard;

const KIND: Kind = ("apiregistration.k8s.io", "apiservices");
const SERVICES: Kind = ("", "services");
const SLICES: Kind = ("discovery.k8s.io", "endpointslices");
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The Services behind the APIServices that have one. Services and their endpoints are followed only once there are any.
pub(super) struct ApiServices {
    api: Arc<Api>,
    tasks: Tasks,
    /// Ends who looks after a backend.
    looked_after: BTreeMap<String, DropGuard>,
    follows_services: bool,
}

impl ApiServices {
    /// Begins with nothing: what ended while nobody was looking must lead nowhere.
    pub(super) fn new(api: Arc<Api>, tasks: Tasks) -> Self {
        api.aggregator.clear();
        ApiServices {
            api,
            tasks,
            looked_after: BTreeMap::new(),
            follows_services: false,
        }
    }
}

impl Controller for ApiServices {
    const NAME: &'static str = "apiservice-status";
    const FOLLOWS: &'static [Kind] = &[KIND];

    async fn see(&mut self, api: &Api, feed: &mut Feed, seen: Seen) -> Result<(), Status> {
        if seen.kind != KIND {
            wake(api, &seen);
            return Ok(());
        }
        let name = seen.object.index.name.to_string();
        if seen.gone {
            self.looked_after.remove(&name);
            api.aggregator.remove(&name);
            return Ok(());
        }
        let object = seen.decode(api)?;
        let Some((backend, is_new)) = api.aggregator.put(&object) else {
            self.looked_after.remove(&name);
            let local = Condition::new(AVAILABLE, "True", "Local", "Local APIServices are always available");
            return write(api, &object, &local).await;
        };
        if is_new || !self.looked_after.contains_key(&name) {
            let ended = CancellationToken::new();
            let looks = look_after(self.api.clone(), backend, ended.clone(), self.tasks.shutdown());
            self.tasks.spawn_finite("apiservice", looks);
            self.looked_after.insert(name, ended.drop_guard());
        }
        if !self.follows_services {
            self.follows_services = true;
            feed.follow(api, SERVICES).await?;
            feed.follow(api, SLICES).await?;
        }
        Ok(())
    }
}

/// Tells those whose Service or endpoints have changed.
fn wake(api: &Api, seen: &Seen) {
    let index = &seen.object.index;
    let service = if seen.kind == SLICES {
        index.label(SERVICE_NAME).unwrap_or_default()
    } else {
        &index.name
    };
    for backend in api.aggregator.backends() {
        let place = &backend.spec.place;
        if *index.namespace == *place.namespace && place.name == service {
            backend.changed.notify_one();
        }
    }
}

/// Keeps the condition of an APIService and what discovery knows of it.
async fn look_after(api: Arc<Api>, backend: Arc<Backend>, ended: CancellationToken, shutdown: CancellationToken) {
    let mut failures = 0;
    loop {
        let rest = async {
            let pause = attempt(&api, &backend, &mut failures).await;
            // Events tell when nothing is waited for.
            let waits = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = waits => {}
                () = backend.changed.notified() => failures = 0,
            }
        };
        tokio::select! {
            () = rest => {}
            () = ended.cancelled() => return,
            () = shutdown.cancelled() => return,
        }
    }
}

/// Judges a backend, says so in its APIService and learns what it has; the pause until the next time.
async fn attempt(api: &Api, backend: &Backend, failures: &mut u32) -> Option<Duration> {
    let verdict = api.aggregator.judge(backend).await;
    let passed = verdict.0 == "True";
    if passed {
        api.aggregator.discover(backend).await;
    } else {
        backend.forget_freshness();
    }
    let pause = pause(&verdict, *failures);
    *failures = if passed { 0 } else { failures.saturating_add(1) };
    let (status, reason, message) = verdict;
    match condition(api, &backend.name, &Condition::new(AVAILABLE, status, reason, message)).await {
        Ok(()) => pause,
        Err(status) => {
            tracing::warn!(apiservice = backend.name, error = %status, "cannot say whether an APIService is available");
            Some(super::RETRY)
        }
    }
}

async fn condition(api: &Api, name: &str, condition: &Condition) -> Result<(), Status> {
    match Writer::new(api, KIND.0, KIND.1)?.get("", name).await? {
        Some(object) => write(api, &object, condition).await,
        None => Ok(()),
    }
}

async fn write(api: &Api, object: &Value, condition: &Condition) -> Result<(), Status> {
    let (name, is_available) = (meta::name(object), condition.status == "True");
    let availability = &api.aggregator.availability;
    availability.set(name, is_available);
    if condition.is_in(object) {
        return Ok(());
    }
    let put = |current: &mut Value| condition.put(current, &machinery::time::now());
    let writer = Writer::new(api, KIND.0, KIND.1)?;
    match writer.change_in("status", "", name, &put).await {
        Err(status) if status.reason != "NotFound" => Err(status),
        Err(_) => Ok(()),
        Ok(()) => {
            // As `SetUnavailableCounter`: only what was available becomes unavailable.
            if holds(object, AVAILABLE) && !is_available {
                availability.count(name, condition.reason);
            }
            Ok(())
        }
    }
}
