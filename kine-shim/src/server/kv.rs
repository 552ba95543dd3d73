//! Service KV.

use prost::Message;
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, TxnRequest, TxnResponse, kv_server::Kv,
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    Services,
    quota::{put_cost, txn_cost},
    size,
};
use crate::error::Error;

impl Services {
    /// Refuses a request that is larger than etcd lets through.
    fn check_size(&self, request: &impl Message) -> Result<(), Error> {
        if request.encoded_len() > self.settings.max_request_bytes() {
            Err(Error::RequestTooLarge)
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Kv for Services {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        Ok(Response::new(self.store.range(request.into_inner()).await?))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.check_size(request.get_ref())?;
        self.make_room(put_cost(request.get_ref())).await?;
        Ok(Response::new(self.store.put(request.into_inner()).await?))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        self.check_size(request.get_ref())?;
        Ok(Response::new(self.store.delete_range(request.into_inner()).await?))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        self.check_size(request.get_ref())?;
        self.make_room(txn_cost(request.get_ref())).await?;
        let operations = size(self.settings.limits.max_txn_ops);
        Ok(Response::new(self.store.txn(request.into_inner(), operations).await?))
    }

    async fn compact(&self, request: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        let CompactionRequest { revision, physical } = request.into_inner();
        let now = self.store.compact(revision, physical).await?;
        Ok(Response::new(CompactionResponse {
            header: Some(self.store.header(now)),
        }))
    }
}
