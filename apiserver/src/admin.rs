//! The gRPC contract `vcluster.apiserver.v1`: what the storage and the caches look like from the inside.

use crate::registry::catalog::Catalog;
use crate::storage::cacher::{CacheState, Hub};
use crate::storage::etcd3::Connection;
use proto::vcluster::apiserver::v1::state_server::{State, StateServer};
use proto::vcluster::apiserver::v1::{
    GetStorageRequest, GetStorageResponse, ListResourcesRequest, ListResourcesResponse, Resource,
};
use tonic::{Request, Response, Status};

/// Answers the contract.
pub struct Admin {
    connection: Connection,
    hub: Hub,
    endpoints: Vec<String>,
    /// Group, stored version, plural name and storage key of every resource.
    resources: Vec<(String, String, String, String)>,
}

impl Admin {
    /// Shows the caches of `hub` and the store behind `connection`, which is at `endpoints`.
    pub fn new(connection: Connection, hub: Hub, endpoints: Vec<String>, catalog: &Catalog) -> Self {
        let mut resources: Vec<_> = catalog
            .stores()
            .iter()
            .map(|store| {
                let resource = &store.resource;
                let version = resource.storage_gvk().version.clone();
                (
                    resource.gvk.group.clone(),
                    version,
                    resource.plural.to_string(),
                    resource.storage_key.to_string(),
                )
            })
            .collect();
        resources.sort_by(|a, b| (&a.0, &a.2).cmp(&(&b.0, &b.2)));
        resources.dedup_by(|a, b| (&a.0, &a.2) == (&b.0, &b.2));
        Admin {
            connection,
            hub,
            endpoints,
            resources,
        }
    }

    /// The service for the gRPC server.
    pub fn into_service(self) -> StateServer<Self> {
        StateServer::new(self)
    }
}

#[tonic::async_trait]
impl State for Admin {
    async fn get_storage(&self, _: Request<GetStorageRequest>) -> Result<Response<GetStorageResponse>, Status> {
        let mut answer = GetStorageResponse {
            endpoints: self.endpoints.clone(),
            ..GetStorageResponse::default()
        };
        match self.connection.state().await {
            Ok(state) => {
                answer.healthy = true;
                answer.version = state.version;
                answer.revision = signed(state.revision);
                answer.database_bytes = state.database_bytes;
            }
            Err(error) => answer.error = error.to_string(),
        }
        Ok(Response::new(answer))
    }

    async fn list_resources(
        &self,
        request: Request<ListResourcesRequest>,
    ) -> Result<Response<ListResourcesResponse>, Status> {
        let only_used = request.into_inner().only_used;
        let caches = self.hub.caches();
        let of_key = |key: &str| caches.iter().find(|cache| cache.prefix.ends_with(&format!("/{key}/")));
        let resources = self
            .resources
            .iter()
            .filter_map(|(group, version, name, key)| Some((group, version, name, of_key(key)?)))
            .filter(|(.., cache)| !only_used || cache.objects > 0 || cache.watchers > 0)
            .map(|(group, version, name, cache)| resource(group, version, name, cache))
            .collect();
        Ok(Response::new(ListResourcesResponse { resources }))
    }
}

fn resource(group: &str, version: &str, name: &str, cache: &CacheState) -> Resource {
    Resource {
        group: group.to_owned(),
        storage_version: version.to_owned(),
        name: name.to_owned(),
        key_prefix: cache.prefix.clone(),
        ready: cache.ready,
        not_ready_reason: if cache.ready {
            String::new()
        } else {
            "it is being filled from the store".to_owned()
        },
        revision: signed(cache.revision),
        objects: cache.objects as u64,
        object_bytes: cache.bytes as u64,
        watchers: cache.watchers,
        terminated_watchers: cache.terminated_watchers,
        oldest_watchable_revision: signed(cache.oldest_revision),
    }
}

/// The store's revisions fit.
fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}
