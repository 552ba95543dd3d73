//! The options of a deletion.

use crate::storage::interface::Preconditions;

/// What happens to the dependents of a deleted object (`metav1.DeletionPropagation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Dependents stay.
    Orphan,
    /// Dependents go after the owner.
    Background,
    /// Dependents go before the owner.
    Foreground,
}

impl Propagation {
    /// Reads the wire form.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Orphan" => Some(Propagation::Orphan),
            "Background" => Some(Propagation::Background),
            "Foreground" => Some(Propagation::Foreground),
            _ => None,
        }
    }

    /// The wire form.
    pub fn as_str(self) -> &'static str {
        match self {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        }
    }
}

/// `metav1.DeleteOptions` after validation; `dryRun` is part of the [`Request`](crate::registry::request::Request).
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// How long the object may take to end.
    pub grace_period_seconds: Option<i64>,
    /// The object must have this UID.
    pub uid: Option<String>,
    /// The object must have this resourceVersion.
    pub resource_version: Option<String>,
    /// The deprecated predecessor of `propagation`.
    pub orphan_dependents: Option<bool>,
    /// What happens to dependents.
    pub propagation: Option<Propagation>,
    /// Whether the request names no object but a collection: admission is told no name either.
    pub unnamed: bool,
}

impl DeleteOptions {
    /// The conditions as the storage checks them. A resourceVersion that is no number can match nothing: it has already
    /// been compared as text by then.
    pub fn preconditions(&self) -> Preconditions {
        Preconditions {
            uid: self.uid.clone(),
            resource_version: self.resource_version.as_ref().and_then(|text| text.parse().ok()),
        }
    }
}
