//! Connections of gRPC clients: HTTP/2, without the layers of a general web framework between it and the contracts. What
//! they do for a call takes as long as a small call itself.

use std::{pin::pin, time::Duration};

use futures::StreamExt;
use http::Request;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tracing::Instrument;

use super::{
    Limits, deadline,
    routes::{Answer, Routes},
};
use crate::{
    net::{Connection, Listener},
    tasks::Tasks,
    telemetry::request_span,
};

/// How long open calls may go on after shutdown; streams that do not watch for it are cut then.
const CALL_GRACE: Duration = Duration::from_secs(2);
/// How long a client may be silent before it is asked whether it is still there, and how long it may take to say so.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves `routes` on `listener` as a task called `name`, until shutdown. Calls that are open then get two seconds.
pub(super) fn serve(tasks: &Tasks, name: &'static str, listener: Listener, routes: Routes, limits: Limits) {
    let shutdown = tasks.shutdown();
    tasks.spawn(name, async move {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.concurrent_streams)
            .initial_connection_window_size(limits.window)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .auto_date_header(false);
        let server = Server {
            http2,
            routes,
            shutdown: shutdown.clone(),
            cut: CancellationToken::new(),
        };
        // Connections are tasks of their own, which would wait for their streams to end.
        let _cut_at_the_end = server.cut.clone().drop_guard();
        let connections = TaskTracker::new();
        {
            let mut incoming = pin!(listener.into_incoming());
            loop {
                let connection = tokio::select! {
                    connection = incoming.next() => connection,
                    () = shutdown.cancelled() => break,
                };
                let Some(connection) = connection else { break };
                connections.spawn(server.clone().serve(connection));
            }
        }
        connections.close();
        // Who is not done by then is cut.
        let _ = tokio::time::timeout(CALL_GRACE, connections.wait()).await;
    });
}

/// What every connection is served with.
#[derive(Clone)]
struct Server {
    http2: http2::Builder<TokioExecutor>,
    routes: Routes,
    shutdown: CancellationToken,
    cut: CancellationToken,
}

impl Server {
    /// Serves a connection until its client leaves or the process ends.
    async fn serve(self, connection: Connection) {
        let Self {
            http2,
            routes,
            shutdown,
            cut,
        } = self;
        let calls = service_fn(move |request| answer(&routes, request));
        let mut served = pin!(http2.serve_connection(TokioIo::new(connection), calls));
        // A connection that breaks is the client's affair, who knows.
        tokio::select! {
            biased;
            _ = served.as_mut() => return,
            () = shutdown.cancelled() => served.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            biased;
            _ = served => {}
            () = cut.cancelled() => {}
        }
    }
}

fn answer(routes: &Routes, request: Request<Incoming>) -> Answer {
    let span = request_span(request.uri().path(), request.headers());
    let allowed = deadline::allowed(request.headers());
    let mut answer = routes.call(request.map(Body::new));
    if let Some(allowed) = allowed {
        answer = deadline::within(allowed, answer);
    }
    if span.is_disabled() {
        answer
    } else {
        Box::pin(answer.instrument(span))
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, client::Grpc, codegen::http::uri::PathAndQuery};
    use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};

    use super::*;
    use crate::{BindAddress, GrpcServices, Health, grpc::channel};

    async fn serve_health(tasks: &Tasks, health: &Health) -> tonic::transport::Channel {
        let listener = Listener::bind(&BindAddress::LOOPBACK).await.unwrap();
        let url = listener.endpoint();
        GrpcServices::default()
            .serve(tasks, "sample", listener, health)
            .await
            .unwrap();
        channel("--sample", &url).unwrap()
    }

    #[tokio::test]
    async fn calls_are_answered_by_their_contract_or_refused() {
        let health = Health::default();
        let tasks = Tasks::new(health.clone(), CancellationToken::new());
        let channel = serve_health(&tasks, &health).await;
        let mut client = HealthClient::new(channel.clone());
        client.check(HealthCheckRequest::default()).await.unwrap();
        let mut unknown = Grpc::new(channel);
        unknown.ready().await.unwrap();
        let path = PathAndQuery::from_static("/sample.Nobody/Method");
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        let request = tonic::Request::new(HealthCheckRequest::default());
        let refused = unknown.unary(request, path, codec).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
        tasks.drain(Duration::from_secs(5)).await.unwrap();
    }

    #[tokio::test]
    async fn open_streams_are_cut_after_shutdown() {
        let health = Health::default();
        let tasks = Tasks::new(health.clone(), CancellationToken::new());
        let mut client = HealthClient::new(serve_health(&tasks, &health).await);
        let mut stream = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        stream.message().await.unwrap();
        let drained = tokio::spawn(async move { tasks.drain(Duration::from_secs(10)).await });
        while let Ok(Some(_)) = stream.message().await {}
        drained.await.unwrap().unwrap();
    }
}
