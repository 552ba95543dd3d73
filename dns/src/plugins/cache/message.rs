//! Which messages may be kept, and for how long (CoreDNS' `plugin/pkg/response` and `plugin/pkg/dnsutil/ttl.go`).

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Success,
    /// The name, or the type, does not exist, and an SOA record says for how long.
    Denial,
    ServerError,
}

/// The class of a message that may be kept.
pub(super) fn class(message: &Message) -> Option<Class> {
    let metadata = &message.metadata;
    if metadata.truncation || metadata.op_code != OpCode::Query || message.queries.len() != 1 {
        return None;
    }
    let has_soa = message
        .authorities
        .iter()
        .any(|record| record.record_type() == RecordType::SOA);
    match metadata.response_code {
        ResponseCode::NoError if !message.answers.is_empty() => Some(Class::Success),
        ResponseCode::NoError | ResponseCode::NXDomain if has_soa => Some(Class::Denial),
        ResponseCode::ServFail | ResponseCode::NotImp => Some(Class::ServerError),
        _ => None,
    }
}

/// The smallest TTL of a message's records; of a denial, also the SOA's minimum. `default` when there is no record.
pub(super) fn smallest_ttl(message: &Message, class: Class, default: u32) -> u32 {
    let ttl = |record: &Record| match &record.data {
        RData::SOA(soa) if class == Class::Denial => record.ttl.min(soa.minimum),
        _ => record.ttl,
    };
    message.all_sections().map(ttl).min().unwrap_or(default)
}

/// Sets the TTL of every record.
pub(super) fn set_ttl(message: &mut Message, ttl: u32) {
    for section in [&mut message.answers, &mut message.authorities, &mut message.additionals] {
        for record in section {
            record.ttl = ttl;
        }
    }
}
