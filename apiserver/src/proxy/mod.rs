//! Requests that are passed on to pods, services and nodes (kubernetes `pkg/registry/core/{pod,service,node}/rest`,
//! apimachinery `pkg/util/proxy`).

mod forward;
pub mod html;
mod location;
mod rewrite;

pub(crate) use forward::Way;

use crate::kubelet::{Kubelet, Security};
use machinery::status::Status;
use serde_json::Value;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) security: Security,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Target {
    /// Host and port as in a URL.
    pub(crate) fn authority(&self) -> String {
        crate::kubelet::authority(&self.host, self.port)
    }
}

/// An object that somebody wants to reach.
pub struct Wanted<'a> {
    /// The plural name of its kind: `pods`, `services` or `nodes`.
    pub resource: &'a str,
    /// Its namespace; empty for nodes.
    pub namespace: &'a str,
    /// What the path calls it: `[scheme:]name[:port]`.
    pub id: &'a str,
    /// The decoded path behind it, with a slash in front; empty when there is none.
    pub path: &'a str,
}

impl Kubelet {
    /// Reads an object from the store.
    async fn object(&self, plural: &str, namespace: &str, name: &str) -> Result<Value, Status> {
        let resource = machinery::gvk::GroupResource::new("", plural);
        let found = (self.objects)(resource.clone(), namespace.to_owned(), name.to_owned()).await?;
        found.ok_or_else(|| Status::not_found(&resource, name))
    }
}
