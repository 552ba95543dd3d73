//! Storage errors as answers (k8s.io/apiserver `pkg/registry/generic/registry/storage_factory.go`, `pkg/storage/errors`).

use crate::storage::interface::Error;
use machinery::gvk::GroupResource;
use machinery::status::{Cause, Details, Status};

/// What was tried when the storage failed; upstream words some errors after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// A read of one object.
    Get,
    /// A list.
    List,
    /// A watch.
    Watch,
    /// A creation.
    Create,
    /// An update.
    Update,
    /// A deletion.
    Delete,
}

impl Attempt {
    fn verb(self) -> &'static str {
        match self {
            Attempt::Get => "get",
            Attempt::List => "list",
            Attempt::Watch => "watch",
            Attempt::Create => "create",
            Attempt::Update => "update",
            Attempt::Delete => "delete",
        }
    }
}

/// The answer to a storage error.
pub fn status(error: Error, attempt: Attempt, resource: &GroupResource, name: &str) -> Status {
    match error {
        Error::NotFound { .. } => Status::not_found(resource, name),
        Error::Exists { .. } => Status::already_exists(resource, name),
        Error::Precondition { reason, .. } => Status::conflict(resource, name, reason),
        Error::Refused(status) => *status,
        Error::Expired(message) => Status::expired(message),
        Error::ContinueExpired { message, token } => {
            let mut status = Status::expired(message);
            status.metadata.continue_token = token;
            status
        }
        Error::TooLargeRevision { requested, current } => too_large(requested, current),
        Error::Invalid(message) => Status::bad_request(message),
        Error::Unavailable(message) => {
            tracing::warn!(%resource, verb = attempt.verb(), error = message, "the store is unavailable");
            server_timeout(resource, attempt.verb())
        }
        corrupt @ Error::Corrupt { .. } => {
            tracing::error!(%resource, verb = attempt.verb(), error = %corrupt, "a stored object is damaged");
            Status::internal(corrupt)
        }
    }
}

/// A resourceVersion that the store has not reached: the client may come back (apiserver
/// `storage.NewTooLargeResourceVersionError`).
pub fn too_large(requested: u64, current: u64) -> Status {
    Status::timeout(
        format!("Too large resource version: {requested}, current: {current}"),
        1,
    )
    .with_cause("ResourceVersionTooLarge", "Too large resource version", "")
}

/// The request could not be done in time (apimachinery `NewServerTimeout`).
fn server_timeout(resource: &GroupResource, verb: &str) -> Status {
    let message =
        format!("The {verb} operation against {resource} could not be completed at this time, please try again.");
    Status::failure(500, "ServerTimeout", message).with_details(Details {
        group: resource.group.clone(),
        kind: resource.resource.clone(),
        retry_after_seconds: 2,
        causes: Vec::<Cause>::new(),
        ..Details::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_future_is_a_timeout_with_a_cause() {
        let status = too_large(9, 3);
        assert_eq!((status.code, status.reason.as_str()), (504, "Timeout"));
        assert_eq!(status.message, "Timeout: Too large resource version: 9, current: 3");
        let details = status.details.unwrap();
        assert_eq!(details.retry_after_seconds, 1);
        assert_eq!(details.causes[0].reason, "ResourceVersionTooLarge");
    }
}
