//! What a decision asks for. Plans are values: deciding is pure, doing is [`super::execute`].

use std::time::Duration;

use serde_json::Value;

use crate::clusters::Patch;
use crate::kinds::{Kind, Side};
use crate::names::Mapping;
use crate::object::ObjectKey;

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Creates an object; namespace and name are in it.
    Create {
        /// Where.
        side: Side,
        /// What.
        kind: Kind,
        /// The object.
        object: Value,
    },
    /// Creates an object in the virtual cluster or brings the one that is there up to date.
    Upsert {
        /// What.
        kind: Kind,
        /// The object.
        object: Value,
    },
    /// Changes an object.
    Patch {
        /// Where.
        side: Side,
        /// What.
        kind: Kind,
        /// Which.
        key: ObjectKey,
        /// A subresource, or empty.
        subresource: &'static str,
        /// How `body` is applied.
        patch: Patch,
        /// The change.
        body: Value,
    },
    /// Deletes an object if it still is the one with this uid.
    Delete {
        /// Where.
        side: Side,
        /// What.
        kind: Kind,
        /// Which.
        key: ObjectKey,
        /// Its uid.
        uid: String,
        /// Seconds that its containers get to end; the object's own when absent.
        grace: Option<i64>,
    },
    /// Assigns a virtual pod to a node.
    Bind {
        /// The pod.
        key: ObjectKey,
        /// Its uid.
        uid: String,
        /// The node.
        node: String,
    },
    /// Asks the virtual API server whether it would let a Service have these addresses at all; nothing is kept.
    TryAddresses {
        /// The namespace.
        namespace: String,
        /// The part of a Service's spec that is about addresses.
        spec: Value,
    },
    /// Requests service-account tokens from the virtual API and stores them on the host.
    Tokens(TokenSecret),
}

/// A Secret on the host with the tokens of one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenSecret {
    /// The virtual pod.
    pub pod: ObjectKey,
    /// Its uid, to which the tokens are bound.
    pub uid: String,
    /// The virtual service account.
    pub account: String,
    /// What to request.
    pub tokens: Vec<TokenRequest>,
    /// The copy of the pod on the host, which is to own the Secret.
    pub copy: ObjectKey,
    /// The Secret without data and owner; the tokens become its data.
    pub secret: Value,
    /// Whether it is there already and only gets new tokens.
    pub exists: bool,
}

/// One token to request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// Key of the Secret's data.
    pub data_key: String,
    /// Audiences; the API server's own when empty.
    pub audiences: Vec<String>,
}

/// Something that a plan waits for: it is made again when this object changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Awaited {
    /// Where it has to appear.
    pub place: Place,
    /// What.
    pub kind: Kind,
    /// Which.
    pub key: ObjectKey,
}

/// Where an object can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The virtual cluster.
    Virtual,
    /// Our objects on the host.
    Host,
    /// The control plane's own objects on the host.
    ControlPlane,
    /// Objects of the host that are not ours.
    Foreign,
}

/// A message for the owner of a virtual object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `SyncError` or `SyncWarning`.
    pub reason: &'static str,
    /// One sentence.
    pub text: String,
}

impl From<Note> for Vec<Note> {
    fn from(note: Note) -> Self {
        vec![note]
    }
}

impl Note {
    /// Something that keeps the object from being synced.
    pub fn error(text: impl Into<String>) -> Self {
        Self {
            reason: "SyncError",
            text: text.into(),
        }
    }

    /// Whether it keeps the object from being synced.
    pub fn is_error(&self) -> bool {
        self.reason == "SyncError"
    }

    /// Something that was left out or has to be waited for.
    pub fn warning(text: impl Into<String>) -> Self {
        Self {
            reason: "SyncWarning",
            text: text.into(),
        }
    }
}

/// What is to be done about one virtual object, now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The writes, in this order; the first failure ends it.
    pub steps: Vec<Step>,
    /// Events to record on the virtual object.
    pub notes: Vec<Note>,
    /// What has to appear before more can be done.
    pub waits: Vec<Awaited>,
    /// When to look again without being woken.
    pub again_after: Option<Duration>,
    /// The names that the object has and uses; `None` leaves what is recorded.
    pub mapping: Option<Mapping>,
    /// Both sides are gone: what was recorded can be forgotten.
    pub forget: bool,
    /// The host object was only needed for this and need not be kept.
    pub release: bool,
}

impl Plan {
    /// Nothing to do.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// One write.
    pub fn step(step: Step) -> Self {
        Self {
            steps: vec![step],
            ..Self::default()
        }
    }

    /// Only messages; looked at again when something changes, or after a while.
    pub fn refuse(notes: impl Into<Vec<Note>>) -> Self {
        Self {
            notes: notes.into(),
            again_after: Some(Duration::from_secs(15)),
            ..Self::default()
        }
    }

    /// Only waiting.
    pub fn wait(awaited: Awaited) -> Self {
        Self {
            waits: vec![awaited],
            ..Self::default()
        }
    }

    /// The same with more steps, if there are any.
    pub fn and(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }

    /// What another line of the table has to do about the same object, as soon as this is done: every write is followed
    /// by another look.
    pub fn then(self, next: Self) -> Self {
        if !self.steps.is_empty() {
            return self;
        }
        Self {
            notes: [self.notes, next.notes].concat(),
            waits: [self.waits, next.waits].concat(),
            again_after: [self.again_after, next.again_after].into_iter().flatten().min(),
            ..next
        }
    }

    /// The same with a message.
    pub fn note(mut self, note: Note) -> Self {
        self.notes.push(note);
        self
    }
}
