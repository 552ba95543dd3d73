//! Service Lease.

use std::{pin::Pin, time::Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse, lease_server::Lease,
};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{Services, quota::LEASE_COST};

#[async_trait]
impl Lease for Services {
    async fn lease_grant(&self, request: Request<LeaseGrantRequest>) -> Result<Response<LeaseGrantResponse>, Status> {
        let request = request.into_inner();
        self.make_room(LEASE_COST).await?;
        let (id, ttl, revision) = self.store.grant(request.id, request.ttl).await?;
        Ok(Response::new(LeaseGrantResponse {
            header: Some(self.store.header(revision)),
            id,
            ttl,
            error: String::new(),
        }))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let revision = self.store.revoke(request.into_inner().id).await?;
        Ok(Response::new(LeaseRevokeResponse {
            header: Some(self.store.header(revision)),
        }))
    }

    type LeaseKeepAliveStream = Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let store = self.store.clone();
        let answer = move |request: Result<LeaseKeepAliveRequest, Status>| {
            let store = store.clone();
            async move {
                let id = request?.id;
                // The revision comes first: what is answered as alive was so at a revision no earlier than this one.
                let header = store.header(store.revision());
                let ttl = store.keep_alive(id).await?.unwrap_or(0);
                Ok(LeaseKeepAliveResponse {
                    header: Some(header),
                    id,
                    ttl,
                })
            }
        };
        let answers = request
            .into_inner()
            .then(answer)
            .take_until(self.tasks.shutdown().cancelled_owned());
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        self.store.refresh_lease(id).await?;
        let header = Some(self.store.header(self.store.revision()));
        let response = self.store.lease(id, |lease| LeaseTimeToLiveResponse {
            header,
            id,
            ttl: lease.remaining(Instant::now()),
            granted_ttl: lease.ttl,
            keys: if keys {
                lease.keys.iter().map(Bytes::clone).collect()
            } else {
                Vec::new()
            },
        });
        let gone = || LeaseTimeToLiveResponse {
            header,
            id,
            ttl: -1,
            ..Default::default()
        };
        Ok(Response::new(response.unwrap_or_else(gone)))
    }

    async fn lease_leases(&self, _: Request<LeaseLeasesRequest>) -> Result<Response<LeaseLeasesResponse>, Status> {
        self.store.confirm().await?;
        let leases = self.store.leases().into_iter().map(|id| LeaseStatus { id }).collect();
        let header = Some(self.store.header(self.store.revision()));
        Ok(Response::new(LeaseLeasesResponse { header, leases }))
    }
}
