//! The one model of vcluster.yaml: a table of all its keys ([`keys`]), a reader that checks a file against it and names the
//! line of every mistake, and the settings this version acts on ([`Config`]). [`digest`] makes the names by which objects of
//! one virtual cluster are known to the host and, through it, to others.
#![warn(missing_docs)]

#[cfg(test)]
mod chart;
mod charts;
mod checks;
mod deploy;
pub mod digest;
mod docker;
mod experimental;
mod export;
mod former;
mod gateways;
pub mod keys;
mod mappings;
mod model;
mod monitors;
mod namespaces;
mod networking;
mod patches;
pub mod policies;
mod proxied;
mod read;
pub mod requests;
mod resolve;

pub use charts::{Chart, ChartRelease, Secret};
pub use checks::{DEFAULT_SCHEDULER, toleration};
pub use deploy::{Deploy, HostManifests, VirtualDeploy};
pub use experimental::{Experimental, SyncSettings, VirtualKubeConfig};
pub use export::{ExportKubeConfig, KubeConfigSecret, ServiceAccountLogin};
pub use gateways::{
    AllowedRoutes, GatewayApi, ImportedGateways, NamespacePolicy, RoutesOverride, Sanitize, ShownMetadata, ShownStatus,
};
pub use mappings::{ObjectMapping, ServiceMapping, ServiceName};
pub use model::*;
pub use monitors::{MonitorEndpoint, NodeMonitor};
pub use namespaces::Namespaces;
pub use networking::{AdvancedNetworking, Networking, ProxyKubelets, Replica, ReplicateServices};
pub use patches::{Action, ObjectReference, Patch, Path};
pub use proxied::{AccessResources, ProxiedResource, ProxiedVersion, Proxy, VirtualClusterRef};
pub use resolve::{Resolution, Source, Target};

use std::fmt;

/// A vcluster.yaml that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The file, as the caller calls it.
    pub file: String,
    /// The line, from 1, if the mistake has one.
    pub line: Option<usize>,
    /// One sentence that names the key.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

#[cfg(test)]
mod tests;
