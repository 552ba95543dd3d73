//! etcd's gRPC services.

mod auth;
mod cluster;
mod kv;
mod lease;
mod maintenance;
mod watch;
mod watch_session;

use std::{sync::Arc, time::Duration};

use chassis::{GrpcServices, Tasks};
use proto::etcdserverpb::{
    auth_server::AuthServer, cluster_server::ClusterServer, kv_server::KvServer, lease_server::LeaseServer,
    maintenance_server::MaintenanceServer, watch_server::WatchServer,
};

use crate::store::Store;

/// Largest request (etcd: `--max-request-bytes`), in bytes.
pub const MAX_REQUEST_BYTES: usize = 1536 << 10;
/// What a message may take beyond that (etcd: `grpcOverheadBytes`), in bytes.
const OVERHEAD_BYTES: usize = 512 << 10;

/// What the services need to know.
#[derive(Debug)]
pub struct Settings {
    /// The version of etcd that status reports.
    pub version: String,
    /// How often watches that want to hear of progress do, while nothing happens.
    pub progress_interval: Duration,
    /// The URLs the member list names.
    pub client_urls: Vec<String>,
}

/// The services, to be offered on any number of listeners.
#[derive(Debug, Clone)]
pub struct Services {
    store: Store,
    settings: Arc<Settings>,
    tasks: Tasks,
}

impl Services {
    /// The services of `store`. Streams run as tasks of `tasks`.
    pub fn new(store: Store, settings: Settings, tasks: Tasks) -> Self {
        Self {
            store,
            settings: Arc::new(settings),
            tasks,
        }
    }

    /// Adds all of them to `grpc`.
    pub fn register(&self, grpc: &mut GrpcServices) {
        let limit = MAX_REQUEST_BYTES + OVERHEAD_BYTES;
        let unlimited = usize::MAX;
        grpc.add(
            KvServer::new(self.clone())
                .max_decoding_message_size(limit)
                .max_encoding_message_size(unlimited),
        )
        .add(WatchServer::new(self.clone()).max_encoding_message_size(unlimited))
        .add(LeaseServer::new(self.clone()).max_encoding_message_size(unlimited))
        .add(ClusterServer::new(self.clone()))
        .add(MaintenanceServer::new(self.clone()))
        .add(AuthServer::new(self.clone()))
        .descriptors(proto::FILE_DESCRIPTOR_SET);
    }
}
