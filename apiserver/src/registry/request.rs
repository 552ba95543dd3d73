//! What the registry needs to know about a request.

use super::strategy::Context;

/// The circumstances of one read or write.
pub struct Request<'a> {
    /// The namespace in the path; empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// Who asks.
    pub user: &'a str,
    /// The groups of who asks.
    pub groups: &'a [String],
    /// When, in Unix seconds.
    pub now: jiff::Timestamp,
    /// Whether nothing may be persisted.
    pub dry_run: bool,
    /// Takes a warning for the client.
    pub warn: &'a (dyn Fn(String) + Send + Sync),
}

impl Request<'_> {
    /// The time as it is written into objects.
    pub fn now_text(&self) -> String {
        machinery::time::format(self.now)
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
