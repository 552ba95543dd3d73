//! Updates of an object or of a part of it: `PUT`, every kind of `PATCH`, and what subresources do to their object.

use super::admit::Write;
use super::errors::{self, Attempt};
use super::{Reservation, STORAGE_PREFIX, Store};
use crate::admission::Operation;
use crate::registry::request::Request;
use crate::registry::resource::Resource;
use crate::registry::strategy::Strategy;
use crate::registry::{before, codec};
use crate::storage::codec::check;
use crate::storage::interface::{self, Error, Preconditions, Revision};
use machinery::field::{Error as FieldError, Path};
use machinery::gvk::{GroupKind, GroupVersionKind};
use machinery::meta;
use machinery::object::Stored;
use machinery::schema;
use machinery::status::Status;
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The refusal of a write that is based on an older state.
pub const OPTIMISTIC_LOCK: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Computes the new state of an object from the current one; may run more than once.
pub trait Transform: Send + Sync {
    /// The new state; `current` is `None` when the object does not exist.
    ///
    /// # Errors
    /// What the client did wrong.
    fn apply(&self, rq: &Request<'_>, current: Option<&Value>) -> Result<Value, Status>;
}

impl<F> Transform for F
where
    F: Fn(&Request<'_>, Option<&Value>) -> Result<Value, Status> + Send + Sync,
{
    fn apply(&self, rq: &Request<'_>, current: Option<&Value>) -> Result<Value, Status> {
        self(rq, current)
    }
}

/// What a subresource with a kind of its own, such as a Scale, shows of an object and writes into it.
pub trait View: Send + Sync {
    /// The kind of the view.
    fn kind(&self) -> &GroupVersionKind;

    /// The view of an object, with the owners of its fields or without.
    ///
    /// # Errors
    /// 500 for an object that has no such view.
    fn of(&self, object: &Value, owners: bool) -> Result<Value, Status>;

    /// The object as its view wants it to be.
    ///
    /// # Errors
    /// What is wrong with the view.
    fn put(&self, object: &Value, view: &Value) -> Result<Value, Status>;
}

/// One update.
pub struct Update<'a> {
    /// The object.
    pub name: &'a str,
    /// The subresource through which it is changed; empty for the object itself.
    pub subresource: &'a str,
    /// The kind that is validated, and shown to admission where there is no view.
    pub kind: &'a GroupVersionKind,
    /// What is changed and shown to admission in the object's place.
    pub view: Option<&'a dyn View>,
    /// The hooks: the kind's own, or those of the subresource.
    pub strategy: &'a dyn Strategy,
    /// The UID the object must have.
    pub uid: Option<String>,
    /// What changes in the object or in its view.
    pub transform: &'a dyn Transform,
    /// Whether an absent object is created although the kind does not do so (server-side apply).
    pub force_create: bool,
}

/// The state after an update.
#[derive(Debug)]
pub struct Updated {
    /// The object.
    pub object: Stored,
    /// Whether it did not exist before.
    pub created: bool,
}

impl Store {
    /// Changes an object, or creates it where that is allowed.
    ///
    /// # Errors
    /// Whatever the change, admission, validation or the store says.
    pub async fn update(&self, rq: &Request<'_>, update: &Update<'_>) -> Result<Updated, Status> {
        let transaction = Transaction {
            store: self,
            rq,
            update,
            state: Mutex::new(State::default()),
        };
        let result = if rq.dry_run {
            transaction.dry_run().await
        } else {
            transaction.commit().await
        };
        let reservation = transaction.state().reservation.take();
        if let Some(finish) = reservation {
            finish(result.is_ok() && !rq.dry_run).await;
        }
        result
    }
}

/// What the last run of a transaction's step found and decided.
#[derive(Default)]
struct State {
    created: bool,
    /// The new state of the object and the revision it is based on.
    object: Option<(Value, u64)>,
    removed: bool,
    reservation: Option<Reservation>,
}

struct Transaction<'a> {
    store: &'a Store,
    rq: &'a Request<'a>,
    update: &'a Update<'a>,
    state: Mutex<State>,
}

impl Transaction<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn preconditions(&self) -> Preconditions {
        Preconditions {
            uid: self.update.uid.clone(),
            resource_version: None,
        }
    }

    fn resource(&self) -> &Resource {
        &self.store.resource
    }

    async fn commit(&self) -> Result<Updated, Status> {
        let preconditions = self.preconditions();
        let mut step = |existing: Option<&Stored>| -> futures::future::BoxFuture<'_, _> {
            let existing = existing.cloned();
            Box::pin(async move { self.step(existing.as_ref()).await.map_err(Box::new) })
        };
        let result = self
            .store
            .storage
            .update(self.rq.namespace, self.update.name, &preconditions, &mut step)
            .await;
        let (stored, _) = result.map_err(|error| self.failure(error))?;
        let (removed, object) = {
            let mut state = self.state();
            (state.removed, state.object.take())
        };
        match object {
            Some((object, revision)) if removed => {
                if let Some(effects) = &self.store.side_effects {
                    effects.removed(&object).await;
                }
                let object = codec::unstored(self.resource(), object, revision)?;
                Ok(Updated { object, created: false })
            }
            _ => Ok(Updated {
                object: stored,
                created: self.state().created,
            }),
        }
    }

    async fn dry_run(&self) -> Result<Updated, Status> {
        let existing = match self
            .store
            .storage
            .get(self.rq.namespace, self.update.name, Revision::Latest)
            .await
        {
            Ok(existing) => Some(existing),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(self.failure(error)),
        };
        if let Some(existing) = &existing {
            // Upstream's storage for dry runs does not know the prefix of all keys (`dryrun.go`).
            let key = self.store.key(self.rq.namespace, self.update.name);
            let key = key.strip_prefix(STORAGE_PREFIX).unwrap_or(&key);
            check(&self.preconditions(), key, existing).map_err(|error| self.failure(error))?;
        }
        self.step(existing.as_ref()).await?;
        let mut state = self.state();
        match (state.object.take(), existing) {
            (Some((object, revision)), _) => Ok(Updated {
                object: codec::unstored(self.resource(), object, revision)?,
                created: state.created,
            }),
            (None, Some(existing)) => Ok(Updated {
                object: existing,
                created: false,
            }),
            (None, None) => Err(Status::not_found(&self.resource().group_resource(), self.update.name)),
        }
    }

    /// Decides what becomes of the current state.
    async fn step(&self, existing: Option<&Stored>) -> Result<interface::Update, Status> {
        let outdated = std::mem::take(&mut *self.state()).reservation;
        if let Some(finish) = outdated {
            finish(false).await;
        }
        let (store, update, rq) = (self.store, self.update, self.rq);
        let resource = self.resource();
        if existing.is_none() && !(update.force_create || update.strategy.allow_create_on_update()) {
            return Err(Status::not_found(&resource.group_resource(), update.name));
        }
        let mut current = existing.map(|stored| codec::decode(resource, stored)).transpose()?;
        let mut new = match update.view.zip(current.as_ref()) {
            Some((view, current)) => self.change_view(view, current).await?,
            None => update.transform.apply(rq, current.as_ref())?,
        };
        let shares_empty = resource.custom.is_none() && !resource.strategy.tells_empty_from_none();
        if let Some(current) = current.as_mut().filter(|_| shares_empty) {
            schema::empty::share_empty(&new, current, resource.ty()?);
        }
        let write = self.write(update.kind, current.as_ref());
        let shown = created_options(rq.options);
        let rq = &Request {
            options: if current.is_some() { rq.options } else { &shown },
            ..*rq
        };
        if update.view.is_none() {
            store.admit(rq, &write, &mut new).await?;
        }
        before::dedup_owner_references(rq, &mut new, true);
        let Some((old, stored)) = current.as_ref().zip(existing) else {
            return self.create(rq, &write, new).await;
        };
        self.check_resource_version(&mut new, stored.revision)?;
        if update.subresource.is_empty() {
            let reservation = store.reserve(rq, &mut new, Some(old)).await?;
            self.state().reservation = reservation;
        }
        let missing = store.missing_privileges(rq, update.strategy, &new, Some(old)).await?;
        before::before_update(rq, resource, update.kind, update.strategy, &mut new, old, missing)?;
        match update.view {
            Some(view) => {
                let (old, new) = (view.of(old, false)?, view.of(&new, false)?);
                store
                    .validate_admission(rq, &self.write(view.kind(), Some(&old)), &new)
                    .await?;
            }
            None => store.validate_admission(rq, &write, &new).await?,
        }
        if !update.subresource.is_empty() && resource.custom.is_none() {
            // What the subresource does not carry may have defaults that depend on what it leaves alone; upstream finds
            // them when it reads what it has stored.
            codec::default(resource, &mut new);
        }
        // The resource decides, not the subresource that is written: a status write must not remove a namespace either.
        let removed = is_last_update(&new, old) && resource.strategy.may_be_removed_by_update(&new);
        let value = codec::to_storage(resource, new.clone())?;
        let unchanged = !removed
            && same_but_for_times(&value, &codec::to_storage(resource, old.clone())?)
            && value_in_store(stored).is_some_and(|found| same_but_for_times(&value, &found));
        let mut state = self.state();
        state.created = false;
        if removed {
            state.removed = true;
            state.object = Some((new, stored.revision));
            return Ok(interface::Update::Delete);
        }
        if unchanged {
            return Ok(interface::Update::Keep);
        }
        state.object = Some((new, stored.revision));
        Ok(interface::Update::Write(codec::to_bytes(&value)))
    }

    /// The change as admission sees it.
    fn write<'w>(&'w self, kind: &'w GroupVersionKind, old: Option<&'w Value>) -> Write<'w> {
        Write {
            operation: if old.is_some() {
                Operation::Update
            } else {
                Operation::Create
            },
            kind,
            subresource: self.update.subresource,
            name: self.update.name,
            old,
        }
    }

    /// The object after its view was changed and admitted.
    async fn change_view(&self, view: &dyn View, object: &Value) -> Result<Value, Status> {
        let old = view.of(object, true)?;
        let mut new = self.update.transform.apply(self.rq, Some(&old))?;
        let write = self.write(view.kind(), Some(&old));
        self.store.admit(self.rq, &write, &mut new).await?;
        view.put(object, &new)
    }

    async fn create(&self, rq: &Request<'_>, write: &Write<'_>, mut new: Value) -> Result<interface::Update, Status> {
        let store = self.store;
        before::fill_system_fields(rq, &mut new);
        let reservation = store.reserve(rq, &mut new, None).await?;
        self.state().reservation = reservation;
        let (kind, strategy) = (self.update.kind, self.update.strategy);
        let missing = store.missing_privileges(rq, strategy, &new, None).await?;
        before::before_create(rq, self.resource(), kind, strategy, &mut new, missing)?;
        store.validate_admission(rq, write, &new).await?;
        let value = codec::to_bytes(&codec::to_storage(self.resource(), new.clone())?);
        let mut state = self.state();
        state.created = true;
        state.object = Some((new, 0));
        Ok(interface::Update::Write(value))
    }

    /// Without a resourceVersion an update takes whatever is there, unless the kind demands one.
    fn check_resource_version(&self, new: &mut Value, current: u64) -> Result<(), Status> {
        let resource = self.resource().group_resource();
        let sent = meta::str_at(new, &["metadata", "resourceVersion"]).unwrap_or_default();
        let sent = match sent {
            "" => 0,
            text => text.parse::<u64>().map_err(|_| malformed_resource_version(text))?,
        };
        if sent == 0 && self.resource().strategy.allow_unconditional_update() {
            meta::set(new, &["metadata", "resourceVersion"], current.to_string());
            return Ok(());
        }
        if sent == 0 {
            let field = Path::new("metadata").child("resourceVersion");
            let error = FieldError::invalid(&field, 0, "must be specified for an update");
            let kind = GroupKind {
                group: resource.group,
                kind: resource.resource,
            };
            return Err(Status::invalid(&kind, self.update.name, &[error]));
        }
        if sent != current {
            return Err(Status::conflict(&resource, self.update.name, OPTIMISTIC_LOCK));
        }
        Ok(())
    }

    fn failure(&self, error: Error) -> Status {
        let attempt = if self.state().created {
            Attempt::Create
        } else {
            Attempt::Update
        };
        errors::status(error, attempt, &self.resource().group_resource(), self.update.name)
    }
}

/// The options of an update that turns out to make the object (apiserver `updateToCreateOptions`).
fn created_options(options: &Value) -> Value {
    let mut options = options.clone();
    if options.is_object() {
        meta::set(&mut options, &["kind"], "CreateOptions");
    }
    options
}

/// A resourceVersion that is no number (apiserver `storage.APIObjectVersioner`).
pub fn malformed_resource_version(text: &str) -> Status {
    let problem = match text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        true => "value out of range",
        false => "invalid syntax",
    };
    let quoted = machinery::field::go_quote(text);
    Status::failure(
        500,
        "",
        format!("resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: {problem}"),
    )
}

/// Whether the object is being deleted and nothing holds it any more (upstream `ShouldDeleteDuringUpdate`).
fn is_last_update(new: &Value, old: &Value) -> bool {
    meta::is_deleting(new)
        && meta::list_at(new, &["metadata", "finalizers"]).is_empty()
        && meta::i64_at(old, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or_default() == 0
}

/// The tree in the store, without its resourceVersion.
fn value_in_store(stored: &Stored) -> Option<Value> {
    let mut value = stored.decode().ok()?;
    value.get_mut("metadata")?.as_object_mut()?.remove("resourceVersion");
    Some(value)
}

/// Whether two trees differ at most in the times of their managedFields (upstream
/// `IgnoreManagedFieldsTimestampsTransformer`).
fn same_but_for_times(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return a == b;
    };
    a.len() == b.len()
        && a.iter().all(|(key, value)| match b.get(key) {
            Some(other) if key == "metadata" => same_metadata(value, other),
            Some(other) => value == other,
            None => false,
        })
}

fn same_metadata(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return a == b;
    };
    a.len() == b.len()
        && a.iter().all(|(key, value)| match b.get(key) {
            Some(other) if key == "managedFields" => untimed(value) == untimed(other),
            Some(other) => value == other,
            None => false,
        })
}

fn untimed(managed: &Value) -> Vec<Value> {
    let mut entries = managed.as_array().cloned().unwrap_or_default();
    for entry in &mut entries {
        if let Some(fields) = entry.as_object_mut() {
            fields.remove("time");
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_of_managers_do_not_count_as_a_change() {
        let object = |time: &str, data: &str| json!({"metadata": {"managedFields": [{"manager": "m", "time": time}]}, "data": data});
        assert!(same_but_for_times(&object("1", "a"), &object("2", "a")));
        assert!(!same_but_for_times(&object("1", "a"), &object("1", "b")));
        assert!(!same_but_for_times(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
    }

    #[test]
    fn an_object_goes_with_its_last_finalizer_unless_grace_remains() {
        let deleting = |grace: i64, finalizers: Value| json!({"metadata": {"deletionTimestamp": "t", "deletionGracePeriodSeconds": grace, "finalizers": finalizers}});
        for (new, old, last) in [
            (deleting(0, json!([])), deleting(0, json!(["a/b"])), true),
            (deleting(0, json!(["a/b"])), deleting(0, json!(["a/b"])), false),
            (deleting(0, json!([])), deleting(30, json!(["a/b"])), false),
            (json!({"metadata": {}}), json!({"metadata": {}}), false),
        ] {
            assert_eq!(is_last_update(&new, &old), last, "{new}");
        }
    }

    #[test]
    fn malformed_versions_are_quoted() {
        assert_eq!(
            malformed_resource_version("abc").message,
            "resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax"
        );
        assert!(
            malformed_resource_version("99999999999999999999999")
                .message
                .ends_with("value out of range")
        );
    }
}
