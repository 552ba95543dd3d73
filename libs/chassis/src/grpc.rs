//! The gRPC side of a service: its contracts, health (`grpc.health.v1`) and reflection (v1 and v1alpha), on TCP or a unix
//! socket; and channels to other services.

use crate::health::Health;
use crate::net::{Connection, Listener, Peer};
use crate::reflection::Described;
use crate::tasks::Tasks;
use crate::telemetry::request_span;
use ::http::{Request, Response};
use anyhow::{Context as _, Result};
use futures::StreamExt;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How long open calls may go on after shutdown; streams that do not watch for it are cut then.
const CALL_GRACE: Duration = Duration::from_secs(2);

/// The contracts a process serves, collected while it is built.
#[derive(Debug, Default)]
pub struct GrpcServices {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    descriptors: Vec<&'static [u8]>,
    limits: Limits,
}

/// What one connection may take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Most calls at the same time, `None` for any number.
    pub concurrent_streams: Option<u32>,
    /// Bytes of requests that may wait to be read, `None` for 1 MiB. It also decides how many small messages may: about one
    /// for every 512 bytes; a connection with more of them is closed.
    pub window: Option<u32>,
}

impl GrpcServices {
    /// Adds a generated server, for example `RecordsServer::new(…)`.
    pub fn add<S>(&mut self, service: S) -> &mut Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + NamedService,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes.add_service(service);
        self
    }

    /// Adds an encoded file descriptor set, for reflection. Adding one twice is harmless.
    pub fn descriptors(&mut self, encoded: &'static [u8]) -> &mut Self {
        if !self.descriptors.contains(&encoded) {
            self.descriptors.push(encoded);
        }
        self
    }

    /// Limits what one connection may take.
    pub fn limits(&mut self, limits: Limits) -> &mut Self {
        self.limits = limits;
        self
    }

    /// Adds health and reflection and starts serving everything on `listener` as a task called `name`. Health follows
    /// `health`, for the process ("") and for each contract.
    pub async fn serve(mut self, tasks: &Tasks, name: &'static str, listener: Listener, health: &Health) -> Result<()> {
        let reporter = HealthReporter::new();
        let health_service = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
        self.add(tonic_health::pb::health_server::HealthServer::new(health_service));
        self.descriptors(tonic_health::pb::FILE_DESCRIPTOR_SET);
        let names = self.names.clone();
        let limits = self.limits;
        let routes = self.with_reflection();
        follow_readiness(tasks, reporter, names, health.subscribe()).await;
        serve(tasks, name, listener, routes, limits);
        Ok(())
    }

    /// Reflection lists what is served, not everything the descriptor sets describe.
    fn with_reflection(mut self) -> Routes {
        let described = Described {
            sets: self.descriptors,
            names: self.names,
        };
        self.routes
            .add_service(described.clone().v1())
            .add_service(described.v1alpha());
        self.routes.routes().prepare()
    }
}

/// Serves `routes` on `listener` as a task called `name`, until shutdown. Calls that are open then get two seconds.
fn serve(tasks: &Tasks, name: &'static str, listener: Listener, routes: Routes, limits: Limits) {
    let shutdown = tasks.shutdown();
    tasks.spawn(name, async move {
        let cut = CancellationToken::new();
        // Connections are tasks of their own, which would wait for their streams to end.
        let _cut_at_the_end = cut.clone().drop_guard();
        let connections = listener.into_incoming().map(move |connection| {
            let cut = Box::pin(cut.clone().cancelled_owned());
            connection.map(|connection| Cuttable { connection, cut })
        });
        let served = Server::builder()
            .max_concurrent_streams(limits.concurrent_streams)
            .initial_connection_window_size(limits.window)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .trace_fn(|request| request_span(request.uri().path(), request.headers()))
            .add_routes(routes)
            .serve_with_incoming_shutdown(connections, shutdown.clone().cancelled_owned());
        let grace_over = async {
            shutdown.cancelled().await;
            tokio::time::sleep(CALL_GRACE).await;
        };
        tokio::select! {
            served = served => served.context("the gRPC server failed"),
            () = grace_over => Ok(()),
        }
    });
}

/// A connection that ends, for the server, when `cut` does.
struct Cuttable {
    connection: Connection,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connected for Cuttable {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.connection.connect_info()
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Poll::Pending => Pin::new(&mut this.connection).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().connection).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().connection).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_shutdown(cx)
    }
}

async fn follow_readiness(
    tasks: &Tasks,
    reporter: HealthReporter,
    names: Vec<&'static str>,
    mut ready: watch::Receiver<bool>,
) {
    let shutdown = tasks.shutdown();
    let publish = move |ready: bool| {
        let (reporter, names) = (reporter.clone(), names.clone());
        async move {
            let status = if ready {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            for name in std::iter::once("").chain(names) {
                reporter.set_service_status(name, status).await;
            }
        }
    };
    let now = *ready.borrow_and_update();
    publish(now).await;
    tasks.spawn("grpc-health", async move {
        loop {
            tokio::select! {
                changed = ready.changed() => changed.context("readiness is no longer known")?,
                () = shutdown.cancelled() => return anyhow::Ok(()),
            }
            let now = *ready.borrow_and_update();
            publish(now).await;
        }
    });
}

/// A channel to another service, connected when first used and again whenever it breaks. `url` is `http://HOST:PORT` or
/// `unix:///path`; `flag` is named when it is not.
pub fn channel(flag: &str, url: &str) -> Result<Channel> {
    let wrong = || crate::usage(format!("{flag}: {url:?} is neither http://HOST:PORT nor unix:///path"));
    if !(url.starts_with("http://") || url.starts_with("unix:///")) {
        return Err(wrong());
    }
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| wrong())?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .connect_lazy())
}
