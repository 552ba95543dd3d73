//! Service KV. Nearly every call goes through here, so it does without a generated server.

use std::{
    convert::Infallible,
    future::ready,
    sync::Arc,
    task::{Context, Poll},
};

use chassis::grpc::unary;
use http::{Request, Response};
use prost::Message;
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    TxnRequest, TxnResponse,
};
use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, Service},
    server::NamedService,
};

use super::{
    Services,
    quota::{put_cost, txn_cost},
    size,
};
use crate::error::Error;

/// Service KV.
#[derive(Debug, Clone)]
pub(super) struct Kv(Arc<Services>);

impl Kv {
    pub(super) fn new(services: Services) -> Self {
        Self(Arc::new(services))
    }
}

impl NamedService for Kv {
    const NAME: &'static str = "etcdserverpb.KV";
}

impl Service<Request<Body>> for Kv {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let services = Arc::clone(&self.0);
        let largest = services.settings.max_message_bytes();
        macro_rules! answered_by {
            ($answer:expr) => {
                Box::pin(async move { Ok(unary(request, largest, $answer).await) })
            };
        }
        match request.uri().path() {
            "/etcdserverpb.KV/Range" => answered_by!(async |range| Ok(services.store.range(range).await?)),
            "/etcdserverpb.KV/Put" => answered_by!(async |put| Ok(services.put(put).await?)),
            "/etcdserverpb.KV/DeleteRange" => answered_by!(async |delete| Ok(services.delete_range(delete).await?)),
            "/etcdserverpb.KV/Txn" => answered_by!(async |txn| Ok(services.txn(txn).await?)),
            "/etcdserverpb.KV/Compact" => answered_by!(async |compaction| Ok(services.compact(compaction).await?)),
            _ => Box::pin(ready(Ok(Status::unimplemented("").into_http()))),
        }
    }
}

impl Services {
    /// Refuses a request that is larger than etcd lets through.
    fn check_size(&self, request: &impl Message) -> Result<(), Error> {
        if request.encoded_len() > self.settings.max_request_bytes() {
            Err(Error::RequestTooLarge)
        } else {
            Ok(())
        }
    }

    async fn put(&self, request: PutRequest) -> Result<PutResponse, Error> {
        self.check_size(&request)?;
        self.make_room(put_cost(&request)).await?;
        self.store.put(request).await
    }

    async fn delete_range(&self, request: DeleteRangeRequest) -> Result<DeleteRangeResponse, Error> {
        self.check_size(&request)?;
        self.store.delete_range(request).await
    }

    async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        self.check_size(&request)?;
        self.make_room(txn_cost(&request)).await?;
        self.store.txn(request, size(self.settings.limits.max_txn_ops)).await
    }

    async fn compact(
        &self,
        CompactionRequest { revision, physical }: CompactionRequest,
    ) -> Result<CompactionResponse, Error> {
        let now = self.store.compact(revision, physical).await?;
        Ok(CompactionResponse {
            header: Some(self.store.header(now)),
        })
    }
}
