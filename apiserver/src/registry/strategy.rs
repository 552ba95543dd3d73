//! What makes one kind differ from another: every hook the one registry pipeline asks for.
//!
//! The names and the order of the hooks are those of k8s.io/apiserver `pkg/registry/rest`: defaulting, then
//! `prepare_for_*`, then admission, then validation. A hook sees a JSON tree that has already been decoded against the
//! schema, so a field that is present has the right JSON type.

use super::request::Requester;
use machinery::field::{ErrorList, Path};
use serde_json::Value;

/// Facts about the request that a hook may need.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The namespace of the request; empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// The time of the request, RFC 3339 with seconds, as it is written into objects.
    pub now: &'a str,
    /// The user name, for kinds that record who asked.
    pub user: &'a str,
}

/// A field that only means something in namespaces with a certain label.
pub struct Privilege {
    /// The field.
    pub field: Path,
    /// The label, which has to be `true`.
    pub label: &'static str,
    /// What the field gives, for messages.
    pub what: &'static str,
    /// What the refusal says.
    pub refusal: &'static str,
}

/// What happens to dependents when a deletion does not say (apiserver `rest.GarbageCollectionPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GarbageCollection {
    /// Dependents go after the owner.
    DeleteDependents,
    /// Dependents stay.
    OrphanDependents,
    /// The kind never has dependents.
    Unsupported,
}

/// What a kind that supports graceful deletion answers (apiserver `rest.RESTGracefulDeleteStrategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// The object goes at once.
    Immediate,
    /// The object stays, marked as deleting, for this many seconds or until a deletion with 0.
    Seconds(i64),
}

/// The first deletion of an object marks it, and a controller does the rest.
#[derive(Clone, Copy, Debug)]
pub struct ControlledDeletion {
    /// What the mark changes besides the time of the deletion, which is passed.
    pub mark: fn(obj: &mut Value, now: &str),
    /// Whether what is to become of dependents is noted in the finalizers.
    pub notes_propagation: bool,
}

/// Which metadata checks a kind's own update validation repeats, and in which order; see the kind's
/// `Validate…Update` upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataChecks {
    /// None.
    None,
    /// `ValidateObjectMetaUpdate`: most kinds.
    Update,
    /// `ValidateObjectMeta` through the validation of the whole object.
    Whole,
    /// `ValidateObjectMetaUpdate`, then `ValidateObjectMeta` through the validation of the whole object.
    UpdateThenWhole,
    /// `ValidateObjectMeta` through the validation of the whole object, then `ValidateObjectMetaUpdate`.
    WholeThenUpdate,
}

/// The hooks of one kind, or of one of its subresources such as `status`.
pub trait Strategy: Send + Sync + 'static {
    /// Sets the defaults that the schema cannot express (upstream's `SetDefaults_*`). Also applied to what is read from
    /// the store, so it must be idempotent.
    fn default(&self, _obj: &mut Value) {}

    /// Sets what a write counts as having set although it is set later only, before owners are recorded.
    ///
    /// Returns whether there is such a thing.
    fn anticipate(&self, _obj: &mut Value) -> bool {
        false
    }

    /// What is wrong with what the object says it is. Nothing else is checked then.
    fn check_kind(&self, _obj: &Value) -> ErrorList {
        ErrorList::new()
    }

    /// Writes down who made the object, for the few kinds that say so.
    fn record_requester(&self, _who: &Requester<'_>, _obj: &mut Value) {}

    /// Brings an object into the form in which what it needs is reserved for it, and says what speaks against that. It
    /// comes before all other hooks (upstream's `BeginCreate` and `BeginUpdate`).
    fn prepare_reservation(&self, _cx: &Context<'_>, _new: &mut Value, _old: Option<&Value>) -> ErrorList {
        ErrorList::new()
    }

    /// What an object wants that a label of its namespace has to grant.
    fn privilege(&self, _new: &Value, _old: Option<&Value>) -> Option<Privilege> {
        None
    }

    /// Clears or sets what the client may not decide, before validation.
    fn prepare_for_create(&self, _cx: &Context<'_>, _obj: &mut Value) {}

    /// Checks a new object. Metadata has been checked by the pipeline.
    fn validate(&self, _cx: &Context<'_>, _obj: &Value) -> ErrorList {
        ErrorList::new()
    }

    /// Carries over what the client may not change, before validation; also sets `metadata.generation` where the kind
    /// has one.
    fn prepare_for_update(&self, _cx: &Context<'_>, _new: &mut Value, _old: &Value) {}

    /// Whether [`Self::prepare_for_update`] still sees fields that are behind feature gates, which count as changes then.
    fn prepares_with_gated_fields(&self) -> bool {
        false
    }

    /// Checks a changed object. Metadata has been checked by the pipeline.
    fn validate_update(&self, _cx: &Context<'_>, _new: &Value, _old: &Value) -> ErrorList {
        ErrorList::new()
    }

    /// Whether an empty list in place of none is a change, as it is where upstream compares with `reflect.DeepEqual`
    /// instead of `equality.Semantic`.
    fn tells_empty_from_none(&self) -> bool {
        false
    }

    /// Which metadata checks the kind's own update validation repeats.
    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::Update
    }

    /// Warnings for the client, sent as `Warning` headers.
    fn warnings(&self, _cx: &Context<'_>, _new: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }

    /// How `metadata.name` is checked (apimachinery `ValidateNameFunc`): returns the complaints about the name.
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        machinery::names::dns1123_subdomain_for(name, prefix)
    }

    /// Whether an update of an absent object creates it.
    fn allow_create_on_update(&self) -> bool {
        false
    }

    /// Whether an update without a resourceVersion overwrites whatever is there.
    fn allow_unconditional_update(&self) -> bool {
        true
    }

    /// Top-level or nested fields, written `spec` or `metadata.labels`, that this (sub)resource resets and which are
    /// therefore never owned through it.
    fn reset_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// How long a deletion waits; `requested` is the client's `gracePeriodSeconds`.
    fn grace(&self, _obj: &Value, _requested: Option<i64>) -> Grace {
        Grace::Immediate
    }

    /// Warnings about a deletion with or without a propagation policy.
    fn warnings_on_delete(&self, _propagation_policy: Option<&str>) -> Vec<String> {
        Vec::new()
    }

    /// Whether the answer to a deletion that is complete is the object instead of a Status (upstream
    /// `ReturnDeletedObject`).
    fn returns_deleted_object(&self) -> bool {
        false
    }

    /// Whether an update that leaves a deleting object without finalizers removes it. Namespaces have finalizers of
    /// their own in `spec`.
    fn may_be_removed_by_update(&self, _new: &Value) -> bool {
        true
    }

    /// How a deletion begins that a controller completes, as that of a namespace; `None` where it does not need one.
    fn controlled_deletion(&self) -> Option<ControlledDeletion> {
        None
    }

    /// What a deletion without a propagation policy does.
    fn garbage_collection(&self) -> GarbageCollection {
        GarbageCollection::DeleteDependents
    }
}
