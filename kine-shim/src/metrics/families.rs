//! The labels of metrics that come in families.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelSetEncoder};
use tonic::Code;

use crate::backend::Fault;

/// Why a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Cancelled {
    /// Its client asked for it.
    Client,
    /// The revision it needs next has been compacted.
    Compacted,
    /// Its client left events unread for too long.
    Slow,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reason {
    pub(super) reason: Cancelled,
}

/// kine's labels of `kine_sql_total`; no error has the empty code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Statement {
    name: &'static str,
    error_code: &'static str,
}

impl Statement {
    pub(super) fn new(name: &'static str, fault: Option<&Fault>) -> Self {
        let error_code = match fault {
            None => "",
            Some(Fault::NoSpace(_)) => "no_space",
            Some(Fault::Damaged(_)) => "damaged",
            Some(Fault::Busy(_)) => "busy",
            Some(Fault::Lost(_)) => "lost",
            Some(Fault::Unknown(_)) => "unknown",
            Some(Fault::Other(_)) => "other",
        };
        Self { name, error_code }
    }
}

/// kine's labels of `kine_compact_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultOf {
    result: &'static str,
}

impl ResultOf {
    pub(super) fn new(succeeded: bool) -> Self {
        Self {
            result: if succeeded { "success" } else { "error" },
        }
    }
}

/// kine's labels of `kine_insert_errors_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Retriable {
    retriable: &'static str,
}

impl Retriable {
    pub(super) const YES: Self = Self { retriable: "true" };
    pub(super) const NO: Self = Self { retriable: "false" };
}

/// A gRPC method, with the labels of go-grpc-prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Method {
    /// Which side sends several messages.
    pub kind: &'static str,
    /// Full name of the service.
    pub service: String,
    /// Name of the method.
    pub name: String,
}

/// A method with the code its calls ended with, or without one for calls that began.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Calls {
    pub(super) method: &'static Method,
    pub(super) code: Option<i32>,
}

impl EncodeLabelSet for Calls {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Method { kind, service, name } = self.method;
        let mut labels = vec![
            ("grpc_method", name.as_str()),
            ("grpc_service", service.as_str()),
            ("grpc_type", kind),
        ];
        if let Some(code) = self.code {
            labels.push(("grpc_code", code_name(Code::from_i32(code))));
        }
        labels.as_slice().encode(encoder)
    }
}

/// The names that Go has for the codes.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
