//! One Service behind an APIService.

use super::discovery::Discovered;
use crate::kubelet::{Named, Security, first_version};
use crate::webhook::{ServiceReference, trust};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chassis::tls::{Identity, Trust};
use machinery::meta;
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// The port of a Service when the APIService names none.
const DEFAULT_PORT: u16 = 443;

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The Service's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The port that it listens on.
    pub port: u16,
}

impl Place {
    pub(super) fn reference(&self) -> ServiceReference {
        ServiceReference {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            port: self.port,
            path: String::new(),
        }
    }
}

/// What an APIService says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// Groups with higher numbers come first in discovery.
    pub group_priority: i64,
    /// Versions with higher numbers come first in their group.
    pub version_priority: i64,
    /// The Service.
    pub place: Place,
    ca_bundle: String,
    insecure: bool,
}

impl Spec {
    /// From an APIService; `None` when it names no Service.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let spec = object.get("spec")?;
        let service = spec.get("service").filter(|service| service.is_object())?;
        let text = |value: &Value, field: &str| meta::str_at(value, &[field]).unwrap_or_default().to_owned();
        let number = |field: &str| meta::i64_at(spec, &[field]).unwrap_or_default();
        let port = meta::i64_at(service, &["port"]).and_then(|port| u16::try_from(port).ok());
        Some(Spec {
            group: text(spec, "group"),
            version: text(spec, "version"),
            group_priority: number("groupPriorityMinimum"),
            version_priority: number("versionPriority"),
            place: Place {
                namespace: text(service, "namespace"),
                name: text(service, "name"),
                port: port.unwrap_or(DEFAULT_PORT),
            },
            ca_bundle: text(spec, "caBundle"),
            insecure: meta::bool_at(spec, &["insecureSkipTLSVerify"]) == Some(true),
        })
    }

    /// The path that a server has to answer to be available.
    pub fn path(&self) -> String {
        if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        }
    }

    fn security(&self, identity: Option<Identity>) -> Result<Security, String> {
        let name = format!("{}.{}.svc", self.place.name, self.place.namespace);
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        let tls = if self.insecure {
            chassis::tls::client_config(Trust::Anything, identity).map_err(|error| error.to_string())?
        } else {
            let bundle = STANDARD.decode(&self.ca_bundle).map_err(|error| error.to_string())?;
            trust::config(trust::verifier(&bundle)?, identity.as_ref())?
        };
        Ok(Security::Named(Arc::new(Named {
            name,
            tls: first_version(tls),
        })))
    }
}

/// Whether the conditions of an APIService say that requests may be passed on.
pub(super) fn is_available(object: &Value) -> bool {
    meta::list_at(object, &["status", "conditions"])
        .iter()
        .any(|condition| condition["type"] == super::availability::AVAILABLE && condition["status"] == "True")
}

/// One Service behind an APIService, and what is known of it.
pub struct Backend {
    /// The name of the APIService.
    pub name: String,
    /// What it says.
    pub spec: Spec,
    /// How connections are secured, or why they cannot be.
    pub(super) security: Result<Security, String>,
    available: AtomicBool,
    pub(super) discovered: Mutex<Discovered>,
    /// Wakes who looks after it: the Service or its endpoints have changed.
    pub changed: Notify,
}

impl Backend {
    pub(super) fn new(name: &str, spec: Spec, identity: Option<Identity>) -> Self {
        Backend {
            name: name.to_owned(),
            security: spec.security(identity),
            spec,
            available: AtomicBool::new(false),
            discovered: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Whether the APIService is available.
    pub fn is_available(&self) -> bool {
        self.available.load(Ordering::Relaxed)
    }

    pub(super) fn set_available(&self, available: bool) {
        self.available.store(available, Ordering::Relaxed);
    }

    /// What discovery says of it.
    pub(super) fn with_discovered<T>(&self, look: impl FnOnce(&mut Discovered) -> T) -> T {
        look(&mut self.discovered.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object() -> Value {
        json!({"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": {
            "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 50,
            "service": {"namespace": "kube-system", "name": "metrics-server"}, "insecureSkipTLSVerify": true,
        }})
    }

    #[test]
    fn apiservices_with_a_service_are_backends() {
        let spec = Spec::of(&object()).unwrap();
        assert_eq!(
            (spec.place.port, spec.path().as_str()),
            (443, "/apis/metrics.k8s.io/v1beta1")
        );
        assert!(matches!(spec.security(None), Ok(Security::Named(named))
            if named.name == ServerName::try_from("metrics-server.kube-system.svc").unwrap()));
        assert_eq!(Spec::of(&json!({"spec": {"group": "apps", "version": "v1"}})), None);
        let core = json!({"spec": {"version": "v1", "service": {"name": "s", "namespace": "n"}}});
        assert_eq!(Spec::of(&core).unwrap().path(), "/api/v1");
    }

    #[test]
    fn a_bundle_without_certificates_is_a_reason() {
        let mut object = object();
        object["spec"]["insecureSkipTLSVerify"] = json!(false);
        object["spec"]["caBundle"] = json!(STANDARD.encode("no PEM"));
        let why = Spec::of(&object).unwrap().security(None).unwrap_err();
        assert!(why.contains("unable to load root certificates"), "{why}");
    }

    #[test]
    fn availability_is_what_the_condition_says() {
        let with = |status: &str| json!({"status": {"conditions": [{"type": "Available", "status": status}]}});
        assert!(is_available(&with("True")));
        assert!(!is_available(&with("False")) && !is_available(&json!({})));
    }
}
