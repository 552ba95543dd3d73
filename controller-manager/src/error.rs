//! The one error of a reconcile: what was being done and why it did not work. Every error is retried with backoff.

use std::fmt::Display;

/// Why a reconcile has to run again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    /// The API server refused or could not be reached.
    #[error("{action}: {source}")]
    Api {
        /// What was being done, as in "creating pod shop/web-0".
        action: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// Something in an object does not allow to go on.
    #[error("{0}")]
    Invalid(String),
}

pub(crate) type Result<T = ()> = std::result::Result<T, SyncError>;

impl SyncError {
    /// Whether the object changed or vanished meanwhile: ordinary, and the next reconcile sees it.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, SyncError::Api { source, .. } if status_is(source, 409, "") || is_not_found(source))
    }
}

/// Says what a request was for.
pub(crate) trait During<T> {
    fn during(self, action: impl Display) -> Result<T>;
}

impl<T> During<T> for std::result::Result<T, kube::Error> {
    fn during(self, action: impl Display) -> Result<T> {
        self.map_err(|source| SyncError::Api {
            action: action.to_string(),
            source: Box::new(source),
        })
    }
}

fn status_is(error: &kube::Error, code: u16, reason: &str) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code && (reason.is_empty() || status.reason == reason))
}

pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    status_is(error, 404, "")
}

pub(crate) fn is_already_exists(error: &kube::Error) -> bool {
    status_is(error, 409, "AlreadyExists")
}

/// Creating something in a namespace that is being deleted cannot work and is nobody's fault.
pub(crate) fn is_namespace_terminating(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403 && status.details.as_ref().is_some_and(|details| {
        details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
    }))
}

/// The sentence of an API error without the wrapping of the client library, for events and conditions.
pub(crate) fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Whether a request ended as wanted or found the object already gone.
pub(crate) fn ignore_not_found<T>(result: std::result::Result<T, kube::Error>) -> std::result::Result<(), kube::Error> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(error),
    }
}
