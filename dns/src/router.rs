//! Which server block answers which name.

use crate::request::{Answer, Failure, Handler, Next, Request, Transport};
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use std::net::SocketAddr;
use std::sync::Arc;

/// Lookups that lookups lead to, such as CNAME targets; CoreDNS stops at the same length.
const DEEPEST_LOOKUP: u8 = 8;

/// A zone and the plugins that serve it, in order.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) zone: Name,
    pub(crate) handlers: Arc<[Arc<dyn Handler>]>,
}

/// The routes of one address, the longest zones first.
pub(crate) struct Router {
    routes: Vec<Route>,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.routes.iter().map(|route| route.zone.to_string()))
            .finish()
    }
}

/// What became of a query: a message, and the plugin that wrote it.
pub(crate) struct Routed {
    pub(crate) message: Message,
    /// Kept for the server's finishing touches.
    pub(crate) request: Request,
}

impl Router {
    pub(crate) fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| std::cmp::Reverse(route.zone.num_labels()));
        Router { routes }
    }

    /// Serves a query of a client. `message` holds exactly one question.
    pub(crate) async fn serve(
        self: Arc<Self>,
        message: Message,
        question: Query,
        (peer, transport, size): (SocketAddr, Transport, usize),
    ) -> Routed {
        let request = Request {
            message,
            question,
            peer,
            transport,
            size,
            zone: Name::root(),
            router: self.clone(),
            depth: 0,
        };
        self.route(request).await
    }

    /// Looks up another name on behalf of `request`, through the plugins of its own zone.
    pub(crate) async fn lookup(&self, request: &Request, name: Name, kind: RecordType) -> Option<Message> {
        if request.depth >= DEEPEST_LOOKUP {
            return None;
        }
        let mut lookup = request.with_question(name, kind);
        lookup.depth += 1;
        // The answer becomes part of a message that is cut to size as a whole.
        lookup.transport = request.transport;
        Some(Box::pin(self.route(lookup)).await.message)
    }

    async fn route(&self, mut request: Request) -> Routed {
        if request.question.query_class != DNSClass::IN || request.message.metadata.op_code != OpCode::Query {
            let message = request.reply(ResponseCode::Refused);
            return Routed { message, request };
        }
        let route = self.routes.iter().find(|route| route.zone.zone_of(request.name()));
        let Some(route) = route.filter(|route| !route.handlers.is_empty()) else {
            let message = request.reply(ResponseCode::Refused);
            return Routed { message, request };
        };
        request.zone = route.zone.clone();
        let message = match Next(&route.handlers).run(&request).await {
            Ok(Answer { message, .. }) => message,
            Err(Failure { code, .. }) => request.reply(code),
        };
        Routed { message, request }
    }
}
