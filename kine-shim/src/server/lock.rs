//! Service Lock: whoever is first in a queue holds the lock (etcd: `server/etcdserver/api/v3lock`).

use bytes::Bytes;
use proto::{
    etcdserverpb::{DeleteRangeRequest, RangeRequest},
    v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse, lock_server::Lock},
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    Services,
    queue::{Queue, told},
};

#[async_trait]
impl Lock for Services {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let LockRequest { name, lease } = request.into_inner();
        let queue = Queue::new(&name);
        let lease = self.lease_for_queue(lease).await.map_err(told)?;
        let (waiting, place, _, _) = self.line_up(&queue, lease, &Bytes::new()).await.map_err(told)?;
        self.wait_for_turn(&queue, place.revision).await.map_err(told)?;
        let own = RangeRequest {
            key: place.key.clone(),
            ..Default::default()
        };
        let own = self.store.range(own).await.map_err(told)?;
        waiting.keep();
        if own.kvs.is_empty() {
            // The lease ended while its holder waited.
            return Err(Status::unknown("mutex: session is expired"));
        }
        Ok(Response::new(LockResponse {
            header: own.header,
            key: place.key,
        }))
    }

    async fn unlock(&self, request: Request<UnlockRequest>) -> Result<Response<UnlockResponse>, Status> {
        let request = DeleteRangeRequest {
            key: request.into_inner().key,
            ..Default::default()
        };
        let header = self.store.delete_range(request).await.map_err(told)?.header;
        Ok(Response::new(UnlockResponse { header }))
    }
}
