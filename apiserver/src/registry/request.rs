//! What the registry needs to know about a request.

use super::strategy::Context;
pub use crate::admission::Extra;
use serde_json::Value;

/// Nothing more than name and groups.
pub static NO_EXTRA: Extra = Extra::new();
/// A request without options.
pub static NO_OPTIONS: Value = Value::Null;

/// Who asks, for kinds that record it.
pub struct Requester<'a> {
    /// The user name.
    pub name: &'a str,
    /// The UID; empty when it is not known.
    pub uid: &'a str,
    /// The groups.
    pub groups: &'a [String],
    /// What else is known.
    pub extra: &'a Extra,
}

/// The circumstances of one read or write.
pub struct Request<'a> {
    /// The namespace in the path; empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// Who asks.
    pub user: &'a str,
    /// The UID of who asks; empty when it is not known.
    pub uid: &'a str,
    /// The groups of who asks.
    pub groups: &'a [String],
    /// What else is known of who asks.
    pub extra: &'a Extra,
    /// When, in Unix seconds.
    pub now: jiff::Timestamp,
    /// Whether nothing may be persisted.
    pub dry_run: bool,
    /// The options as admission sees them; null when there are none.
    pub options: &'a Value,
    /// Takes a warning for the client.
    pub warn: &'a (dyn Fn(String) + Send + Sync),
}

impl Request<'_> {
    /// The time as it is written into objects.
    pub fn now_text(&self) -> String {
        machinery::time::format(self.now)
    }

    /// Who asks.
    pub fn requester(&self) -> Requester<'_> {
        Requester {
            name: self.user,
            uid: self.uid,
            groups: self.groups,
            extra: self.extra,
        }
    }

    /// What hooks see of the request; `now` is [`Self::now_text`].
    pub fn context<'c>(&'c self, now: &'c str) -> Context<'c> {
        Context {
            namespace: self.namespace,
            now,
            user: self.user,
        }
    }
}
