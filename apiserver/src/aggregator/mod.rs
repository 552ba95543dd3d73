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
mod resolve;

pub use backend::{Backend, Place};
pub use metrics::Availability;

use crate::admission::Lookup;
use crate::kubelet::{Security, Transport};
use crate::proxy::Target;
use crate::webhook::service;
use chassis::Tasks;
use chassis::tls::Identity;
use machinery::gvk::GroupResource;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
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
    /// Whether requests go to the endpoints of a Service rather than to its cluster IP (`--enable-aggregator-routing`).
    pub to_endpoints: bool,
    /// Where this server is reached from its own machine, which is what the Service `kubernetes` means here.
    pub own_address: SocketAddr,
    /// Reads Services and their endpoints.
    pub lookup: Arc<dyn Lookup>,
    /// Shows those that do not answer.
    pub availability: Availability,
}

impl Aggregator {
    /// Knows no backends yet.
    pub fn new(
        (transport, tasks): (Transport, Tasks),
        identity: Option<Identity>,
        to_endpoints: bool,
        own_address: SocketAddr,
        (lookup, availability): (Arc<dyn Lookup>, Availability),
    ) -> Self {
        Aggregator {
            backends: RwLock::default(),
            transport,
            tasks,
            identity,
            to_endpoints,
            own_address,
            lookup,
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
        if (place.namespace.as_str(), place.name.as_str(), place.port) == resolve::OWN {
            return Ok(Target {
                security,
                host: self.own_address.ip().to_string(),
                port: self.own_address.port(),
            });
        }
        let (service, slices) = self.service(place, self.to_endpoints).await?;
        let (host, port) = match service {
            Some(service) if self.to_endpoints => {
                let random = usize::from(uuid::Uuid::new_v4().as_bytes()[0]);
                resolve::endpoint(&service, &slices, place.port, random)?
            }
            service => service::address(&place.reference(), service.as_ref())?,
        };
        Ok(Target { security, host, port })
    }

    /// A Service and, when they are wanted, its endpoints.
    async fn service(&self, place: &Place, with_endpoints: bool) -> Result<(Option<Value>, Vec<Value>), String> {
        let (services, slices) = (
            GroupResource::new("", "services"),
            GroupResource::new("discovery.k8s.io", "endpointslices"),
        );
        let found = self.lookup.find(&services, &place.namespace, &place.name).await;
        let service = found.map_err(|status| status.message)?;
        if !with_endpoints || service.is_none() {
            return Ok((service, Vec::new()));
        }
        let mut listed = self
            .lookup
            .list(&slices, &place.namespace)
            .await
            .map_err(|status| status.message)?;
        listed.retain(|slice| {
            let label = ["metadata", "labels", resolve::SERVICE_NAME];
            machinery::meta::str_at(slice, &label) == Some(&place.name)
        });
        Ok((service, listed))
    }
}
