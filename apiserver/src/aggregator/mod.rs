//! Groups and versions that other servers answer for: APIServices that name a Service
//! (k8s.io/kube-aggregator `pkg/apiserver`).

pub mod availability;
mod backend;
mod call;
pub mod discovery;
mod identity;
pub mod local;
mod metrics;
mod openapi;
mod pass;

pub use backend::{Backend, Place};
pub use metrics::Availability;

use crate::kubelet::{Security, Transport};
use crate::proxy::Target;
use crate::webhook::Services;
use chassis::Tasks;
use chassis::tls::Identity;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The Services behind APIServices, and how they are reached.
pub struct Aggregator {
    /// By the names of their APIServices.
    backends: RwLock<BTreeMap<String, Arc<Backend>>>,
    /// Dials.
    pub transport: Transport,
    /// Owns the connections.
    pub tasks: Tasks,
    /// Presented to backends (`--proxy-client-cert-file`).
    pub identity: Option<Identity>,
    /// Finds the Services.
    services: Services,
    /// Shows those that do not answer.
    pub availability: Availability,
}

impl Aggregator {
    /// Knows no backends yet.
    pub fn new(
        (transport, tasks): (Transport, Tasks),
        identity: Option<Identity>,
        services: Services,
        availability: Availability,
    ) -> Self {
        Aggregator {
            backends: RwLock::default(),
            transport,
            tasks,
            identity,
            services,
            availability,
        }
    }

    /// Takes note of an APIService. The backend and whether it is another one than before; `None` when it is local.
    pub fn put(&self, object: &Value) -> Option<(Arc<Backend>, bool)> {
        let name = machinery::meta::name(object);
        let available = backend::is_available(object);
        let Some(spec) = backend::Spec::of(object) else {
            self.take_out(name);
            return None;
        };
        let mut backends = self.backends.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = backends.get(name).filter(|known| known.spec == spec) {
            known.set_available(available);
            return Some((known.clone(), false));
        }
        let backend = Arc::new(Backend::new(name, spec, self.identity.clone()));
        backend.set_available(available);
        backends.insert(name.to_owned(), backend.clone());
        Some((backend, true))
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.availability.clear();
        self.backends.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Forgets an APIService.
    pub fn remove(&self, name: &str) {
        self.availability.forget(name);
        self.take_out(name);
    }

    fn take_out(&self, name: &str) {
        let mut backends = self.backends.write().unwrap_or_else(PoisonError::into_inner);
        backends.remove(name);
    }

    /// Everything that leads to a Service, by name.
    pub fn backends(&self) -> Vec<Arc<Backend>> {
        let backends = self.backends.read().unwrap_or_else(PoisonError::into_inner);
        backends.values().cloned().collect()
    }

    /// Who answers for a group and version, if it is not this server.
    pub fn backend(&self, group: &str, version: &str) -> Option<Arc<Backend>> {
        let backends = self.backends.read().unwrap_or_else(PoisonError::into_inner);
        let answers = |backend: &&Arc<Backend>| backend.spec.group == group && backend.spec.version == version;
        backends.values().find(answers).cloned()
    }

    /// Who answers for a path: `/apis/{group}/{version}` and everything below, or `/api`.
    pub fn leads(&self, path: &str) -> Option<Arc<Backend>> {
        let mut segments = path.strip_prefix('/')?.split('/');
        match segments.next()? {
            "apis" => {
                let group = segments.next().filter(|group| !group.is_empty())?;
                self.backend(group, segments.next()?)
            }
            "api" => self.backend("", "v1"),
            _ => None,
        }
    }

    /// The address of a Service.
    ///
    /// # Errors
    /// Why there is none, in upstream's words.
    async fn target(&self, place: &Place, security: Security) -> Result<Target, String> {
        let (host, port) = self.services.address(&place.reference()).await?;
        Ok(Target { security, host, port })
    }
}
