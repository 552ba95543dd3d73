//! Which contract a call is for.

use std::{convert::Infallible, fmt, sync::Arc};

use http::{Request, Response};
use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, Service},
    server::NamedService,
};

/// The answer to a call, to come.
pub(super) type Answer = BoxFuture<Response<Body>, Infallible>;

/// A contract as the generated servers offer it: ready at any time, and cheap to clone.
pub trait Contract:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
    + NamedService
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Contract for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static
{
}

type Handler = Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>;

/// The contracts of a process by name. There are few, so they are looked through.
#[derive(Clone, Default)]
pub(super) struct Routes(Vec<(&'static str, Handler)>);

impl Routes {
    /// Adds a contract.
    pub(super) fn add<S: Contract>(&mut self, service: S) {
        self.0
            .push((S::NAME, Arc::new(move |request| service.clone().call(request))));
    }

    /// Names of the contracts.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    /// Answers a call.
    pub(super) fn call(&self, request: Request<Body>) -> Answer {
        let wanted = contract(request.uri().path());
        match self.0.iter().find(|(name, _)| wanted == Some(name)) {
            Some((_, handler)) => handler(request),
            None => Box::pin(std::future::ready(Ok(Status::unimplemented("").into_http()))),
        }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// The contract in a path, which is `/CONTRACT/METHOD`.
fn contract(path: &str) -> Option<&str> {
    let (contract, _method) = path.strip_prefix('/')?.split_once('/')?;
    Some(contract)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_contract() {
        for (path, expected) in [
            ("/pkg.Service/Method", Some("pkg.Service")),
            ("/pkg.Service/", Some("pkg.Service")),
            ("/pkg.Service", None),
            ("pkg.Service/Method", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(contract(path), expected, "{path}");
        }
    }
}
