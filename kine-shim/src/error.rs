//! Every failure an etcd client can be told about: the one place where an error gets its gRPC code and text.
//!
//! Codes and texts are those of etcd's `api/v3rpc/rpctypes/error.go`; clients compare them literally.

use tonic::{Code, Status};

use crate::backend::Fault;

/// A request that failed, in etcd's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is explained by its text in `wire`")]
pub enum Error {
    EmptyKey,
    KeyNotFound,
    ValueProvided,
    LeaseProvided,
    TooManyOperations,
    DuplicateKey,
    InvalidSortOption,
    Compacted,
    FutureRevision,
    NoSpace,
    LeaseNotFound,
    LeaseExists,
    LeaseTtlTooLarge,
    RequestTooLarge,
    MemberBadUrls,
    MemberNotFound,
    MemberNotLearner,
    BadLeaderTransferee,
    WrongDowngradeFormat,
    InvalidDowngradeTarget,
    NoDowngrade,
    RootUserNotExist,
    UserEmpty,
    UserNotFound,
    RoleEmpty,
    RoleNotFound,
    PermissionNotGiven,
    AuthNotEnabled,
    Stopped,
    Timeout,
    TimeoutConnectionLost,
    Unhealthy,
    Corrupt,
}

impl Error {
    /// The gRPC code and the text etcd answers with.
    pub const fn wire(self) -> (Code, &'static str) {
        match self {
            Self::EmptyKey => (Code::InvalidArgument, "etcdserver: key is not provided"),
            Self::KeyNotFound => (Code::InvalidArgument, "etcdserver: key not found"),
            Self::ValueProvided => (Code::InvalidArgument, "etcdserver: value is provided"),
            Self::LeaseProvided => (Code::InvalidArgument, "etcdserver: lease is provided"),
            Self::TooManyOperations => (Code::InvalidArgument, "etcdserver: too many operations in txn request"),
            Self::DuplicateKey => (Code::InvalidArgument, "etcdserver: duplicate key given in txn request"),
            Self::InvalidSortOption => (Code::InvalidArgument, "etcdserver: invalid sort option"),
            Self::Compacted => (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
            ),
            Self::FutureRevision => (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
            ),
            Self::NoSpace => (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
            Self::LeaseNotFound => (Code::NotFound, "etcdserver: requested lease not found"),
            Self::LeaseExists => (Code::FailedPrecondition, "etcdserver: lease already exists"),
            Self::LeaseTtlTooLarge => (Code::OutOfRange, "etcdserver: too large lease TTL"),
            Self::RequestTooLarge => (Code::InvalidArgument, "etcdserver: request is too large"),
            Self::MemberBadUrls => (Code::InvalidArgument, "etcdserver: given member URLs are invalid"),
            Self::MemberNotFound => (Code::NotFound, "etcdserver: member not found"),
            Self::MemberNotLearner => (
                Code::FailedPrecondition,
                "etcdserver: can only promote a learner member",
            ),
            Self::BadLeaderTransferee => (Code::FailedPrecondition, "etcdserver: bad leader transferee"),
            Self::WrongDowngradeFormat => (
                Code::InvalidArgument,
                "etcdserver: wrong downgrade target version format",
            ),
            Self::InvalidDowngradeTarget => (Code::InvalidArgument, "etcdserver: invalid downgrade target version"),
            Self::NoDowngrade => (Code::FailedPrecondition, "etcdserver: no inflight downgrade job"),
            Self::RootUserNotExist => (Code::FailedPrecondition, "etcdserver: root user does not exist"),
            Self::UserEmpty => (Code::InvalidArgument, "etcdserver: user name is empty"),
            Self::UserNotFound => (Code::FailedPrecondition, "etcdserver: user name not found"),
            Self::RoleEmpty => (Code::InvalidArgument, "etcdserver: role name is empty"),
            Self::RoleNotFound => (Code::FailedPrecondition, "etcdserver: role name not found"),
            Self::PermissionNotGiven => (Code::InvalidArgument, "etcdserver: permission not given"),
            Self::AuthNotEnabled => (Code::FailedPrecondition, "etcdserver: authentication is not enabled"),
            Self::Stopped => (Code::Unavailable, "etcdserver: server stopped"),
            Self::Timeout => (Code::Unavailable, "etcdserver: request timed out"),
            Self::TimeoutConnectionLost => (
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to connection lost",
            ),
            Self::Unhealthy => (Code::Unavailable, "etcdserver: unhealthy cluster"),
            Self::Corrupt => (Code::DataLoss, "etcdserver: corrupt cluster"),
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.wire().1)
    }
}

impl std::error::Error for Error {}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, text) = error.wire();
        Self::new(code, text)
    }
}

impl From<&Fault> for Error {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::NoSpace(_) => Self::NoSpace,
            Fault::Damaged(_) => Self::Corrupt,
            Fault::Lost(_) => Self::Timeout,
            Fault::Unknown(_) => Self::TimeoutConnectionLost,
            Fault::Busy(_) | Fault::Other(_) => Self::Unhealthy,
        }
    }
}
