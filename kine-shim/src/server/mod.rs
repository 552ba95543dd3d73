//! etcd's gRPC services.

mod auth;
mod cluster;
mod counted;
mod election;
mod kv;
mod lease;
mod lock;
mod maintenance;
mod outbox;
mod queue;
mod quota;
mod watch;
mod watch_session;

use std::{sync::Arc, time::Duration};

use chassis::{GrpcServices, Tasks};
use proto::{
    etcdserverpb::{
        auth_server::AuthServer, cluster_server::ClusterServer, lease_server::LeaseServer,
        maintenance_server::MaintenanceServer, watch_server::WatchServer,
    },
    v3electionpb::election_server::ElectionServer,
    v3lockpb::lock_server::LockServer,
};

use self::{counted::Counted, kv::Kv, quota::Quota};
use crate::{metrics::ServerMetrics, options::Limits, store::Store};

/// What a message may take beyond the largest request (etcd: `grpcOverheadBytes`), in bytes.
const OVERHEAD_BYTES: usize = 512 << 10;

/// Bytes of requests of one connection that may wait. Clients send thousands of small messages at once, to create watches
/// anew after a restart or to keep leases alive; with the usual window they would be cut off.
const WINDOW: u32 = 16 << 20;

/// What the services need to know.
#[derive(Debug)]
pub struct Settings {
    /// The version of etcd that status reports.
    pub version: String,
    /// How often watches that want to hear of progress do, while nothing happens.
    pub progress_interval: Duration,
    /// What one client may take.
    pub limits: Limits,
    /// Counts what clients are told.
    pub metrics: ServerMetrics,
    /// The URLs the member list names.
    pub client_urls: Vec<String>,
}

impl Settings {
    /// The version of the stored data, which changes with minor releases only.
    fn storage_version(&self) -> String {
        match self.version.rsplit_once('.') {
            Some((minor, _patch)) => format!("{minor}.0"),
            None => self.version.clone(),
        }
    }

    /// Largest request, in bytes.
    fn max_request_bytes(&self) -> usize {
        size(self.limits.max_request_bytes)
    }

    /// Largest message, in bytes.
    fn max_message_bytes(&self) -> usize {
        self.max_request_bytes() + OVERHEAD_BYTES
    }
}

/// A number of a flag as a size.
fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The services, to be offered on any number of listeners.
#[derive(Debug, Clone)]
pub struct Services {
    store: Store,
    settings: Arc<Settings>,
    quota: Arc<Quota>,
    tasks: Tasks,
}

impl Services {
    /// The services of `store`. Streams run as tasks of `tasks`.
    pub fn new(store: Store, settings: Settings, tasks: Tasks) -> Self {
        Self {
            store,
            quota: Arc::new(Quota::new(settings.limits.quota_backend_bytes)),
            settings: Arc::new(settings),
            tasks,
        }
    }

    /// Adds all of them to `grpc`.
    pub fn register(&self, grpc: &mut GrpcServices) {
        macro_rules! limited {
            ($server:ident) => {
                Counted::new(
                    $server::new(self.clone())
                        .max_decoding_message_size(self.settings.max_message_bytes())
                        .max_encoding_message_size(usize::MAX),
                    self.settings.metrics.clone(),
                )
            };
        }
        grpc.add(Counted::new(Kv::new(self.clone()), self.settings.metrics.clone()))
            .add(limited!(WatchServer))
            .add(limited!(LeaseServer))
            .add(limited!(ClusterServer))
            .add(limited!(MaintenanceServer))
            .add(limited!(AuthServer))
            .add(limited!(LockServer))
            .add(limited!(ElectionServer))
            .descriptors(proto::FILE_DESCRIPTOR_SET)
            .limits(chassis::grpc::Limits {
                concurrent_streams: Some(self.settings.limits.max_concurrent_streams),
                window: Some(WINDOW),
            });
    }
}
