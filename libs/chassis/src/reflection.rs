//! gRPC reflection that costs nothing until somebody asks: the descriptors are decoded at the first request, because most
//! processes never get one and the decoded form takes many times the memory of the encoded one.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, Service},
    server::NamedService,
};
use tonic_reflection::server::{Builder, Error};

/// What reflection tells: descriptor sets, and of the services in them those that are served.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    /// Encoded file descriptor sets.
    pub(crate) sets: Vec<&'static [u8]>,
    /// Names of the services.
    pub(crate) names: Vec<&'static str>,
}

impl Described {
    fn builder(&self, own_name: &'static str) -> Builder<'static> {
        let mut builder = Builder::configure();
        for set in &self.sets {
            builder = builder.register_encoded_file_descriptor_set(set);
        }
        let names = self.names.iter().copied().chain([own_name]);
        names.fold(builder, |builder, name| builder.with_service_name(name))
    }

    /// The service `grpc.reflection.v1`.
    pub(crate) fn v1(self) -> impl Reflection {
        named(move || self.builder("grpc.reflection.v1.ServerReflection").build_v1())
    }

    /// The service `grpc.reflection.v1alpha`, which older clients ask.
    pub(crate) fn v1alpha(self) -> impl Reflection {
        named(move || self.builder("grpc.reflection.v1alpha.ServerReflection").build_v1alpha())
    }
}

type Request = http::Request<Body>;
type Response = http::Response<Body>;
type Answer = BoxFuture<Response, Infallible>;

/// A gRPC service.
pub(crate) trait Reflection:
    Service<Request, Response = Response, Error = Infallible, Future = Answer>
    + NamedService
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<T> Reflection for T where
    T: Service<Request, Response = Response, Error = Infallible, Future = Answer>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static
{
}

fn named<S: Reflection>(build: impl Fn() -> Result<S, Error> + Send + Sync + 'static) -> impl Reflection {
    Lazy {
        build: Arc::new(build),
        built: Arc::default(),
    }
}

/// A service that is built when the first request comes.
struct Lazy<S> {
    build: Arc<dyn Fn() -> Result<S, Error> + Send + Sync>,
    built: Arc<OnceLock<Option<S>>>,
}

impl<S> Clone for Lazy<S> {
    fn clone(&self) -> Self {
        Self {
            build: Arc::clone(&self.build),
            built: Arc::clone(&self.built),
        }
    }
}

impl<S: Reflection> NamedService for Lazy<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Reflection> Service<Request> for Lazy<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answer {
        let build = || {
            let built = (self.build)();
            built
                .inspect_err(|error| tracing::error!(%error, "a gRPC file descriptor set cannot be read"))
                .ok()
        };
        match self.built.get_or_init(build).clone() {
            Some(mut service) => Box::pin(async move { service.call(request).await }),
            None => {
                Box::pin(async { Ok(Status::internal("the descriptors of this server cannot be read").into_http()) })
            }
        }
    }
}
