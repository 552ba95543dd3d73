//! A query on its way through the plugins, and what comes back.

use crate::router::Router;
use hickory_proto::op::{Message, Metadata, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// How a query came in; the answer and forwarded queries go the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

/// A query with exactly one question.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The message as it came in, or as a plugin rewrote it.
    pub(crate) message: Message,
    pub(crate) question: Query,
    pub(crate) peer: SocketAddr,
    pub(crate) transport: Transport,
    /// Bytes on the wire.
    pub(crate) size: usize,
    /// The zone of the server block that serves it.
    pub(crate) zone: Name,
    /// Resolves other names the way this one is resolved.
    pub(crate) router: Arc<Router>,
    /// How many lookups led to this one; bounds chains of CNAMEs.
    pub(crate) depth: u8,
}

impl Request {
    /// The name asked for, in the case of the question.
    pub(crate) fn name(&self) -> &Name {
        &self.question.name
    }

    /// The type asked for.
    pub(crate) fn kind(&self) -> RecordType {
        self.question.query_type
    }

    /// The same request for another name or type.
    pub(crate) fn with_question(&self, name: Name, kind: RecordType) -> Request {
        let mut question = Query::query(name, kind);
        question.set_query_class(self.question.query_class);
        let mut request = self.clone();
        request.message.queries = vec![question.clone()];
        request.question = question;
        request
    }

    /// An answer to this request without records.
    pub(crate) fn reply(&self, code: ResponseCode) -> Message {
        let metadata = &self.message.metadata;
        let mut reply = Message::response(metadata.id, metadata.op_code);
        reply.metadata = Metadata::response_from_request(metadata);
        reply.metadata.response_code = code;
        reply.queries = vec![self.question.clone()];
        reply
    }

    /// Whether the client wants DNSSEC records.
    pub(crate) fn dnssec_ok(&self) -> bool {
        self.message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok)
    }

    /// The largest answer the client takes, at least 512 bytes.
    pub(crate) fn largest_answer(&self) -> usize {
        match self.transport {
            Transport::Tcp => usize::from(u16::MAX),
            Transport::Udp => self
                .message
                .edns
                .as_ref()
                .map_or(512, |edns| usize::from(edns.max_payload().max(512))),
        }
    }
}

/// A record of class IN.
pub(crate) fn record(name: Name, ttl: u32, data: hickory_proto::rr::RData) -> Record {
    let mut record = Record::from_rdata(name, ttl, data);
    record.dns_class = DNSClass::IN;
    record
}

/// A message a plugin answered with.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) message: Message,
    /// The plugin that wrote it; a label of `coredns_dns_responses_total`.
    pub(crate) plugin: &'static str,
}

/// No message: the server answers with the code alone.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) code: ResponseCode,
    pub(crate) plugin: &'static str,
    /// What went wrong, for the log.
    pub(crate) error: String,
}

pub(crate) type Outcome = Result<Answer, Failure>;
pub(crate) type Served<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// A plugin at work. It answers, or asks the next one and may change what that says.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The plugin's name in the Corefile.
    fn name(&self) -> &'static str;

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a>;
}

/// The plugins after the current one.
#[derive(Clone, Copy)]
pub(crate) struct Next<'a>(pub(crate) &'a [Arc<dyn Handler>]);

impl<'a> Next<'a> {
    /// Hands the request on.
    pub(crate) fn run(self, request: &'a Request) -> Served<'a> {
        match self.0.split_first() {
            Some((first, rest)) => first.serve(request, Next(rest)),
            None => Box::pin(std::future::ready(Err(Failure {
                code: ResponseCode::ServFail,
                plugin: "",
                error: "no plugin answers this name".to_owned(),
            }))),
        }
    }
}

/// An answer that is known at once.
pub(crate) fn done<'a>(outcome: Outcome) -> Served<'a> {
    Box::pin(std::future::ready(outcome))
}
