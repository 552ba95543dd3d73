//! From bytes to queries and from messages to bytes: what is accepted, what every answer carries, how it is cut to size.

use crate::router::Routed;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::serialize::binary::BinEncodable;

const HEADER: usize = 12;

/// What to do with a message of a client.
pub(super) enum Accepted {
    /// A query with one question.
    Query(Box<Message>, Query),
    /// Answer this at once.
    Refused(Vec<u8>),
    /// Not a query, or too short to tell.
    Ignored,
}

/// Judges a message as miekg/dns does (`acceptfunc.go`), which CoreDNS is built on.
pub(super) fn accept(bytes: &[u8]) -> Accepted {
    let Some(header) = bytes.get(..HEADER) else {
        return Accepted::Ignored;
    };
    let word = |index: usize| u16::from_be_bytes([header[index], header[index + 1]]);
    let (id, flags) = (word(0), word(2));
    if flags & 0x8000 != 0 {
        return Accepted::Ignored;
    }
    let code = OpCode::from_u8((flags >> 11 & 0xf) as u8);
    if !matches!(code, OpCode::Query | OpCode::Notify) {
        return Accepted::Refused(bare(id, code, flags, ResponseCode::NotImp));
    }
    let [questions, answers, authorities, additionals] = [4, 6, 8, 10].map(word);
    let malformed = || Accepted::Refused(bare(id, code, flags, ResponseCode::FormErr));
    if questions != 1 || answers > 1 || authorities > 1 || additionals > 2 {
        return malformed();
    }
    let Ok(message) = Message::from_vec(bytes) else {
        return malformed();
    };
    let [question] = message.queries.as_slice() else {
        return malformed();
    };
    let question = question.clone();
    if message.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
        let mut reply = Message::error_msg(id, code, ResponseCode::BADVERS);
        reply.queries = vec![question];
        reply.metadata.recursion_desired = message.metadata.recursion_desired;
        reply.edns = Some(edns(&message));
        return Accepted::Refused(encode(&reply));
    }
    Accepted::Query(Box::new(message), question)
}

/// A reply of a header only.
fn bare(id: u16, code: OpCode, flags: u16, response: ResponseCode) -> Vec<u8> {
    let mut reply = Message::error_msg(id, code, response);
    reply.metadata.recursion_desired = flags & 0x0100 != 0;
    encode(&reply)
}

/// The OPT record of an answer: our version, the client's size and DO bit (CoreDNS' `SizeAndDo`).
fn edns(request: &Message) -> Edns {
    let mut edns = Edns::new();
    let asked = request.edns.as_ref();
    edns.set_max_payload(asked.map_or(512, |edns| edns.max_payload().max(512)));
    edns.set_dnssec_ok(asked.is_some_and(|edns| edns.flags().dnssec_ok));
    edns.set_version(0);
    edns
}

/// The bytes of an answer: with the client's id and question, an OPT record when the client sent one, and no larger than
/// the client takes.
pub(super) fn finish(routed: Routed, question: &Query) -> Vec<u8> {
    let Routed { mut message, request } = routed;
    message.metadata.id = request.message.metadata.id;
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_desired = request.message.metadata.recursion_desired;
    message.queries = vec![question.clone()];
    message.edns = request.message.edns.as_ref().map(|_| edns(&request.message));
    fit(message, request.largest_answer())
}

/// Drops records from the end until the message fits: additional ones, then authorities, then answers. Only missing
/// answers make it truncated, as in miekg/dns' `Truncate`.
fn fit(mut message: Message, largest: usize) -> Vec<u8> {
    let bytes = encode(&message);
    if bytes.len() <= largest {
        return bytes;
    }
    for section in [Section::Additionals, Section::Authorities, Section::Answers] {
        let mut records = std::mem::take(section.of(&mut message));
        if section == Section::Answers {
            message.metadata.truncation = true;
        }
        // Without the whole section it fits, or the next one must go too.
        if encode(&message).len() > largest {
            continue;
        }
        let (mut fits, mut too_many) = (0, records.len());
        while fits + 1 < too_many {
            let middle = usize::midpoint(fits, too_many);
            *section.of(&mut message) = records[..middle].to_vec();
            match encode(&message).len() <= largest {
                true => fits = middle,
                false => too_many = middle,
            }
        }
        records.truncate(fits);
        *section.of(&mut message) = records;
        break;
    }
    encode(&message)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Additionals,
    Authorities,
    Answers,
}

impl Section {
    fn of(self, message: &mut Message) -> &mut Vec<hickory_proto::rr::Record> {
        match self {
            Section::Additionals => &mut message.additionals,
            Section::Authorities => &mut message.authorities,
            Section::Answers => &mut message.answers,
        }
    }
}

/// The message's bytes; what cannot be encoded becomes a server failure.
fn encode(message: &Message) -> Vec<u8> {
    match message.to_bytes() {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(%error, "an answer cannot be encoded");
            let mut reply = message.clone();
            reply.metadata.response_code = ResponseCode::ServFail;
            reply.answers.clear();
            reply.authorities.clear();
            reply.additionals.clear();
            reply.to_bytes().unwrap_or_default()
        }
    }
}
