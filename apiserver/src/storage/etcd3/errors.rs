//! The store's errors in terms of the storage contract, with upstream's texts (k8s.io/apiserver `storage/etcd3/errors.go`).

use crate::storage::interface::Error;

/// etcd's texts for errors that mean something here (etcd `api/v3rpc/rpctypes/error.go`).
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const FUTURE_REVISION: &str = "etcdserver: mvcc: required revision is a future revision";

const NO_LEASE: &str = "etcdserver: requested lease not found";

pub(super) const LIST_EXPIRED: &str = "The resourceVersion for the provided list is too old.";
pub(in crate::storage) const WATCH_EXPIRED: &str = "The resourceVersion for the provided watch is too old.";
pub(super) const CONTINUE_EXPIRED: &str = "The provided continue parameter is too old to display a consistent list \
     result. You can start a new list without the continue parameter, or use the continue token in this response to \
     retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - \
     objects that were created, modified, or deleted between the time the first chunk was returned and now may show up \
     in the list.";

/// Any other error of the store.
pub(super) fn unavailable(error: &etcd_client::Error) -> Error {
    match error {
        etcd_client::Error::GRpcStatus(status) => Error::Unavailable(status.message().to_owned()),
        other => Error::Unavailable(other.to_string()),
    }
}

pub(super) fn is_compacted(error: &Error) -> bool {
    matches!(error, Error::Unavailable(text) if text == COMPACTED)
}

pub(super) fn is_future(error: &Error) -> bool {
    matches!(error, Error::Unavailable(text) if text == FUTURE_REVISION)
}

pub(super) fn is_lost_lease(error: &Error) -> bool {
    matches!(error, Error::Unavailable(text) if text == NO_LEASE)
}
