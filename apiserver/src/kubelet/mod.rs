//! The client of kubelets: logs, and the tunnels of exec, attach and port-forward (kubernetes `pkg/kubelet/client`,
//! `pkg/registry/core/pod/rest`).

mod location;
mod log;
mod transport;
mod tunnel;

pub(crate) use log::until;
pub use transport::{Named, Security, Transport};
pub(crate) use transport::{authority, first_version};
pub(crate) use tunnel::{is_upgrade, tunnel};

use crate::authentication::Getter;
use chassis::Tasks;
use machinery::gvk::GroupResource;
use machinery::status::Status;
use serde_json::Value;

/// The port of a kubelet that does not say its own.
const DEFAULT_PORT: u16 = 10250;

/// Reaches the kubelets of this cluster's nodes.
pub struct Kubelet {
    /// How to connect.
    pub transport: Transport,
    /// Which of a node's addresses to try, best first (`--kubelet-preferred-address-types`).
    pub address_types: Vec<String>,
    /// Ports of kubelets at loopback addresses (`--loopback-kubelet-ports`).
    pub loopback_ports: Vec<u16>,
    /// Reads pods and whatever requests are proxied to as they are in the store.
    pub objects: Getter,
    /// Reads nodes.
    pub nodes: Getter,
    /// Owns the connections and tunnels.
    pub tasks: Tasks,
}

impl Kubelet {
    async fn pod(&self, namespace: &str, name: &str) -> Result<Value, Status> {
        let pods = GroupResource::new("", "pods");
        let found = (self.objects)(pods.clone(), namespace.to_owned(), name.to_owned()).await?;
        found.ok_or_else(|| Status::not_found(&pods, name))
    }

    /// Where the kubelet of a node listens. Upstream reports the missing node of a pod as a missing pod of its name.
    async fn address(&self, node: &str) -> Result<(String, u16), Status> {
        self.address_of(node, "pods").await
    }

    /// Where the kubelet of a node listens; a missing one is reported as one of `missing`.
    pub(crate) async fn address_of(&self, node: &str, missing: &str) -> Result<(String, u16), Status> {
        let found = (self.nodes)(GroupResource::new("", "nodes"), String::new(), node.to_owned()).await?;
        let found = found.ok_or_else(|| Status::not_found(&GroupResource::new("", missing), node))?;
        let host = location::host(&found, &self.address_types).map_err(|why| Status::failure(500, "", why))?;
        Ok((host, location::port(&found).unwrap_or(DEFAULT_PORT)))
    }
}
