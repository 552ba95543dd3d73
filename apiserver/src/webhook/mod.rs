//! Calls of webhooks: admission and conversion (k8s.io/apiserver `pkg/util/webhook`).

mod answer;
mod client;
mod connection;
mod credentials;
pub(crate) mod endpoints;
pub(crate) mod service;
pub(crate) mod trust;

pub use client::Client;
pub use credentials::Credentials;
pub use service::{Services, Slices};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// Reads an object by resource, namespace and name; `None` when there is none.
pub type Objects =
    Arc<dyn Fn(GroupResource, String, String) -> BoxFuture<'static, Result<Option<Value>, Status>> + Send + Sync>;

/// Where a webhook is and whom it is believed from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientConfig {
    /// Its URL, when it has one.
    pub url: Option<String>,
    /// The Service behind which it is.
    pub service: Option<ServiceReference>,
    /// The certificates that are believed, in PEM; the system's when there are none.
    pub ca_bundle: Vec<u8>,
}

/// A Service of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServiceReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// The path of the URL; empty for none.
    pub path: String,
}

impl ClientConfig {
    /// What a `clientConfig` says. A bundle that is not base64 is none, which no stored object has.
    pub fn of(config: &Value) -> Self {
        const HTTPS: u16 = 443;
        let text = |owner: &Value, field: &str| meta::str_at(owner, &[field]).unwrap_or_default().to_owned();
        let service = config.get("service").filter(|service| service.is_object());
        ClientConfig {
            url: meta::str_at(config, &["url"]).map(str::to_owned),
            service: service.map(|service| ServiceReference {
                namespace: text(service, "namespace"),
                name: text(service, "name"),
                port: meta::i64_at(service, &["port"])
                    .and_then(|port| u16::try_from(port).ok())
                    .filter(|port| *port > 0)
                    .unwrap_or(HTTPS),
                path: text(service, "path"),
            }),
            ca_bundle: STANDARD.decode(text(config, "caBundle")).unwrap_or_default(),
        }
    }
}

/// Why a webhook has not answered.
#[derive(Clone, Debug, PartialEq)]
pub enum CallError {
    /// It cannot be called at all as it is configured.
    Config(String),
    /// The call failed.
    Failed(String),
    /// It answered with an error.
    Refused(Box<Status>),
}

impl CallError {
    /// The HTTP status that stands for the failure in metrics.
    pub fn code(&self) -> u16 {
        match self {
            CallError::Config(_) => 500,
            CallError::Failed(_) => 503,
            CallError::Refused(status) => status.code,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Config(why) | CallError::Failed(why) => f.write_str(why),
            CallError::Refused(status) => f.write_str(&status.message),
        }
    }
}

#[cfg(test)]
mod tests;
