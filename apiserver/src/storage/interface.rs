//! The storage contract (k8s.io/apiserver `pkg/storage/interfaces.go`). Both implementations run one battery of tests.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use machinery::object::Stored;
use machinery::selector::Selector;
use serde_json::Value;

/// Why the store did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No object under the key.
    #[error("key not found: {key}")]
    NotFound {
        /// The key.
        key: String,
    },
    /// An object is already there.
    #[error("key exists: {key}")]
    Exists {
        /// The key.
        key: String,
    },
    /// The object is not in the expected state; `reason` is upstream's text for the client.
    #[error("{reason}")]
    Precondition {
        /// The key.
        key: String,
        /// Which precondition failed.
        reason: String,
    },
    /// The update or deletion was refused by its own callback.
    #[error(transparent)]
    Refused(#[from] Box<machinery::status::Status>),
    /// The requested revision is compacted away: HTTP 410.
    #[error("{0}")]
    Expired(String),
    /// The revision of a continue token is compacted away: HTTP 410 whose list metadata carries `token`, with which the
    /// client can go on at the latest state.
    #[error("{message}")]
    ContinueExpired {
        /// For the client.
        message: String,
        /// For `metadata.continue`.
        token: String,
    },
    /// The requested revision lies in the future.
    #[error("Too large resource version: {requested}, current: {current}")]
    TooLargeRevision {
        /// What was asked for.
        requested: u64,
        /// What the store has.
        current: u64,
    },
    /// A continue token or another parameter is malformed: HTTP 400.
    #[error("{0}")]
    Invalid(String),
    /// The store cannot be reached or answered with an error; a retry may help.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be decoded.
    #[error("stored object under {key} is damaged: {why}")]
    Corrupt {
        /// The key.
        key: String,
        /// What the decoder said.
        why: String,
    },
}

/// How a read relates to a resource version (`resourceVersion` and `resourceVersionMatch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// The latest: a consistent read.
    Latest,
    /// Anything the cache has (`resourceVersion=0`).
    Any,
    /// Not older than this.
    NotOlderThan(u64),
    /// Exactly this.
    Exact(u64),
}

/// Which objects a list or watch concerns.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Only this namespace; empty for all (or for cluster-scoped kinds).
    pub namespace: String,
    /// Only this object name (from a `metadata.name` field selector); empty for all.
    pub name: String,
    /// Labels and fields.
    pub selector: Selector,
}

impl Scope {
    /// Whether an object belongs to the scope.
    pub fn contains(&self, object: &Stored) -> bool {
        let index = &*object.index;
        (self.namespace.is_empty() || *self.namespace == *index.namespace)
            && (self.name.is_empty() || *self.name == *index.name)
            && self.selector.matches(index)
    }
}

/// A list request.
#[derive(Clone, Debug)]
pub struct ListOptions {
    /// What to list.
    pub scope: Scope,
    /// As of when. A list with a limit and a resourceVersion but without resourceVersionMatch asks for exactly that one.
    pub revision: Revision,
    /// How many at most; 0 for all.
    pub limit: usize,
    /// The continue token of the previous chunk; empty for the first.
    pub continue_token: String,
}

/// A chunk of a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The objects, in key order.
    pub items: Vec<Stored>,
    /// The revision of the list.
    pub revision: u64,
    /// The token for the next chunk; empty at the end.
    pub continue_token: String,
    /// How many objects follow, where known.
    pub remaining: Option<i64>,
}

/// A watch request.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// What to watch.
    pub scope: Scope,
    /// Where to start: `NotOlderThan(n)` (or `Exact(n)`) sends what happened after `n`; `Any` and `Latest`, unless
    /// `initial_events` says otherwise, start with synthetic ADDED events for what is there now.
    pub revision: Revision,
    /// Send bookmarks about every minute, and shortly before the deadline.
    pub bookmarks: bool,
    /// `sendInitialEvents`: with `true` everything that exists first (as of a state that satisfies `revision`), then,
    /// with `bookmarks`, a bookmark that closes it; with `false` only what happens from now on or after `revision`.
    pub initial_events: Option<bool>,
    /// When the caller will end the watch.
    pub deadline: Option<tokio::time::Instant>,
}

/// What happened to an object, from the point of view of one watcher's selector.
#[derive(Clone, Debug)]
pub enum Event {
    /// It exists, or entered the selector.
    Added(Stored),
    /// It changed.
    Modified(Stored),
    /// It is gone, or left the selector: the last matching state under the revision of the change.
    Deleted(Stored),
    /// Everything up to this revision has been sent.
    Bookmark {
        /// The revision.
        revision: u64,
        /// Whether this closes the initial events.
        initial_events_end: bool,
    },
    /// The watch ends with an error.
    Error(Error),
}

/// Conditions on the object as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// The UID it must have.
    pub uid: Option<String>,
    /// The revision it must have.
    pub resource_version: Option<u64>,
}

/// What an update callback decides. Values are the JSON bytes to store, without `metadata.resourceVersion`.
pub enum Update {
    /// Store this.
    Write(Bytes),
    /// Leave the object as it is.
    Keep,
    /// Remove it.
    Delete,
}

/// The callback of an update: gets the current object (`None` when absent) and may run more than once.
pub type UpdateFn<'a> =
    dyn FnMut(Option<&Stored>) -> BoxFuture<'a, Result<Update, Box<machinery::status::Status>>> + Send + 'a;

/// A stream of events; ends when the watch ends.
pub type Watch = BoxStream<'static, Event>;

/// The objects of one resource. Keys are built from namespace and name by the implementation, from the resource's
/// storage key.
pub trait Storage: Send + Sync {
    /// Reads one object.
    fn get<'a>(&'a self, namespace: &'a str, name: &'a str, revision: Revision)
    -> BoxFuture<'a, Result<Stored, Error>>;

    /// Reads many.
    fn list<'a>(&'a self, options: ListOptions) -> BoxFuture<'a, Result<Listed, Error>>;

    /// Follows changes.
    fn watch<'a>(&'a self, options: WatchOptions) -> BoxFuture<'a, Result<Watch, Error>>;

    /// Stores a new object; fails with [`Error::Exists`] when there is one.
    fn create<'a>(&'a self, namespace: &'a str, name: &'a str, value: Bytes) -> BoxFuture<'a, Result<Stored, Error>>;

    /// Changes an object by compare-and-swap, calling `update` again with the fresh state when somebody was faster.
    /// Answers the state after the change, or the last state when it was deleted, and whether anything was written.
    fn update<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        preconditions: &'a Preconditions,
        update: &'a mut UpdateFn<'a>,
    ) -> BoxFuture<'a, Result<(Stored, bool), Error>>;

    /// Removes an object in the state that `check` accepts. Answers its last state under the revision of the deletion.
    fn delete<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        preconditions: &'a Preconditions,
        check: &'a mut (dyn FnMut(&Stored) -> Result<(), Box<machinery::status::Status>> + Send + 'a),
    ) -> BoxFuture<'a, Result<Stored, Error>>;

    /// How many objects there are.
    fn count(&self) -> BoxFuture<'_, Result<u64, Error>>;

    /// An object of one version in another one, where the versions differ in more than the code of the kind knows.
    fn convert<'a>(&'a self, object: Value, _to: &'a str) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(std::future::ready(Ok(object)))
    }
}
