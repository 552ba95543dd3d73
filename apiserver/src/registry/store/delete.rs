//! Deletion: grace periods, finalizers and what becomes of dependents (upstream `Store.Delete`, `rest.BeforeDelete`).

use super::Store;
use super::admit::Write;
use super::errors::{self, Attempt};
use super::options::{DeleteOptions, Propagation};
use crate::admission::Operation;
use crate::registry::object_meta::{FOREGROUND, ORPHAN, strings};
use crate::registry::request::Request;
use crate::registry::strategy::{GarbageCollection, Grace, Strategy};
use crate::registry::{codec, object_meta};
use crate::storage::interface::{Error, Revision, Update};
use jiff::{SignedDuration, Timestamp};
use machinery::gvk::GroupResource;
use machinery::object::Stored;
use machinery::status::Status;
use machinery::{meta, time};
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

/// What a deletion came to.
#[derive(Debug)]
pub struct Deleted {
    /// The object in its last or current state.
    pub object: Stored,
    /// Whether it is gone.
    pub gone: bool,
    /// Whether the client gets the object instead of a Status.
    pub shows_object: bool,
}

/// What [`plan`] decides about an object that is to be deleted.
#[derive(Debug, PartialEq)]
pub(super) enum Plan {
    /// It is already being deleted and need not be touched.
    Pending,
    /// It can be removed at once.
    Remove,
    /// It is updated to this first; `remove` when it can go right after that.
    Mark { object: Value, remove: bool },
}

impl Store {
    /// Deletes an object, or marks it as deleting.
    ///
    /// # Errors
    /// 404, 409 for preconditions, or what admission says.
    pub async fn delete(&self, rq: &Request<'_>, name: &str, options: &DeleteOptions) -> Result<Deleted, Status> {
        let existing = self.read_for_deletion(rq, name).await?;
        let object = codec::decode(&self.resource, &existing)?;
        if let Some(controlled) = self.resource.strategy.controlled_deletion()
            && let Some(deleted) = self
                .begin_controlled_deletion(rq, name, &existing, &object, options, controlled)
                .await?
        {
            return Ok(deleted);
        }
        self.delete_as_any(rq, name, options, existing, &object).await
    }

    /// Deletes one of many: upstream takes no notice there of controllers that complete deletions.
    pub(super) async fn delete_of_many(
        &self,
        rq: &Request<'_>,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        let existing = self.read_for_deletion(rq, name).await?;
        let object = codec::decode(&self.resource, &existing)?;
        let options = DeleteOptions {
            unnamed: true,
            ..options.clone()
        };
        self.delete_as_any(rq, name, &options, existing, &object).await
    }

    async fn delete_as_any(
        &self,
        rq: &Request<'_>,
        name: &str,
        options: &DeleteOptions,
        existing: Stored,
        object: &Value,
    ) -> Result<Deleted, Status> {
        match self.plan(rq, object, options)? {
            Plan::Pending => Ok(Deleted {
                object: existing,
                gone: false,
                shows_object: true,
            }),
            Plan::Remove => self.remove(rq, name, options, None).await,
            Plan::Mark { .. } => self.mark_and_remove(rq, name, &existing, options).await,
        }
    }

    pub(super) async fn read_for_deletion(&self, rq: &Request<'_>, name: &str) -> Result<Stored, Status> {
        let result = self.storage.get(rq.namespace, name, Revision::Latest).await;
        result.map_err(|error| self.deletion_failure(error, name))
    }

    fn deletion_failure(&self, error: Error, name: &str) -> Status {
        errors::status(error, Attempt::Delete, &self.resource.group_resource(), name)
    }

    fn plan(&self, rq: &Request<'_>, object: &Value, options: &DeleteOptions) -> Result<Plan, Status> {
        let kind = &self.resource.gvk;
        let resource = GroupResource::new(kind.group.clone(), kind.kind.clone());
        check_preconditions(&resource, object, options)?;
        Ok(plan(self.resource.strategy.as_ref(), rq.now, object.clone(), options))
    }

    /// Marks the object as deleting and removes it when nothing holds it.
    async fn mark_and_remove(
        &self,
        rq: &Request<'_>,
        name: &str,
        first: &Stored,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        let decided: Mutex<Option<Plan>> = Mutex::new(None);
        let step = async |stored: &Stored| -> Result<Update, Status> {
            let object = codec::decode(&self.resource, stored)?;
            let shown = if options.unnamed { "" } else { name };
            self.validate_deletion(rq, shown, &object).await?;
            let plan = self.plan(rq, &object, options)?;
            let update = match &plan {
                Plan::Pending | Plan::Remove => Update::Keep,
                Plan::Mark { object: marked, .. } if *marked == object => Update::Keep,
                Plan::Mark { object: marked, .. } => {
                    Update::Write(codec::to_bytes(&codec::to_storage(&self.resource, marked.clone())?))
                }
            };
            *decided.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
            Ok(update)
        };
        let marked = if rq.dry_run {
            let update = step(first).await?;
            (update, first.clone())
        } else {
            let preconditions = options.preconditions();
            let missing = || Status::not_found(&self.resource.group_resource(), name);
            let step = &step;
            let mut run = |existing: Option<&Stored>| -> futures::future::BoxFuture<'_, _> {
                let existing = existing.cloned();
                Box::pin(async move {
                    let existing = existing.ok_or_else(missing).map_err(Box::new)?;
                    step(&existing).await.map_err(Box::new)
                })
            };
            let result = self.storage.update(rq.namespace, name, &preconditions, &mut run).await;
            (
                Update::Keep,
                result.map_err(|error| self.deletion_failure(error, name))?.0,
            )
        };
        let plan = decided.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (plan, marked) {
            (Some(Plan::Mark { object, remove }), (_, stored)) => {
                let shown = if rq.dry_run {
                    codec::unstored(&self.resource, object, stored.revision)?
                } else {
                    stored
                };
                if !remove {
                    return Ok(Deleted {
                        object: shown,
                        gone: false,
                        shows_object: true,
                    });
                }
                if rq.dry_run {
                    return Ok(self.finished(shown));
                }
                let mut options = options.clone();
                if options.resource_version.is_some() {
                    options.resource_version = Some(shown.revision.to_string());
                }
                self.remove(rq, name, &options, Some(shown)).await
            }
            (Some(Plan::Remove), _) => self.remove(rq, name, options, None).await,
            (_, (_, stored)) => Ok(Deleted {
                object: stored,
                gone: false,
                shows_object: true,
            }),
        }
    }

    /// Takes the object out of the store. When it has been marked before (`last`), somebody else may win.
    async fn remove(
        &self,
        rq: &Request<'_>,
        name: &str,
        options: &DeleteOptions,
        last: Option<Stored>,
    ) -> Result<Deleted, Status> {
        let existing = match self.storage.get(rq.namespace, name, Revision::Latest).await {
            Ok(existing) => existing,
            Err(Error::NotFound { .. }) if last.is_some() => {
                return last
                    .map(|l| self.finished(l))
                    .ok_or_else(|| Status::not_found(&self.resource.group_resource(), name));
            }
            Err(error) => return Err(self.deletion_failure(error, name)),
        };
        let object = codec::decode(&self.resource, &existing)?;
        let shown = if options.unnamed { "" } else { name };
        self.validate_deletion(rq, shown, &object).await?;
        if rq.dry_run {
            return Ok(self.finished(existing));
        }
        let preconditions = options.preconditions();
        let result = self
            .storage
            .delete(rq.namespace, name, &preconditions, &mut |_| Ok(()))
            .await;
        match (result, last) {
            (Ok(gone), _) => {
                if let Some(effects) = &self.side_effects {
                    effects.removed(&object).await;
                }
                Ok(self.finished(gone))
            }
            (Err(Error::NotFound { .. }), Some(last)) => Ok(self.finished(last)),
            (Err(error), _) => Err(self.deletion_failure(error, name)),
        }
    }

    fn finished(&self, object: Stored) -> Deleted {
        Deleted {
            object,
            gone: true,
            shows_object: self.resource.strategy.returns_deleted_object(),
        }
    }

    pub(super) async fn validate_deletion(&self, rq: &Request<'_>, name: &str, old: &Value) -> Result<(), Status> {
        let write = Write {
            operation: Operation::Delete,
            kind: &self.resource.gvk,
            subresource: "",
            name,
            old: Some(old),
        };
        self.admit(rq, &write, &mut Value::Null).await?;
        self.validate_admission(rq, &write, &Value::Null).await
    }
}

/// Compares the conditions of the client with the object. Upstream names the kind here where it means the resource.
fn check_preconditions(resource: &GroupResource, object: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let name = meta::name(object);
    let field = |name: &str| meta::str_at(object, &["metadata", name]).unwrap_or_default();
    if let Some(wanted) = options.uid.as_deref().filter(|uid| *uid != field("uid")) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            field("uid")
        );
        return Err(Status::conflict(resource, name, why));
    }
    if let Some(wanted) = options
        .resource_version
        .as_deref()
        .filter(|rv| *rv != field("resourceVersion"))
    {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({}). The object might have been modified",
            field("resourceVersion")
        );
        return Err(Status::conflict(resource, name, why));
    }
    Ok(())
}

/// Decides what a deletion does to an object.
fn plan(strategy: &dyn Strategy, now: Timestamp, mut object: Value, options: &DeleteOptions) -> Plan {
    // Negative grace periods mean one second.
    let requested = options
        .grace_period_seconds
        .map(|seconds| if seconds < 0 { 1 } else { seconds });
    let graceful = match begin_grace(strategy, now, &mut object, requested) {
        None => return Plan::Pending,
        Some(graceful) => graceful,
    };
    let finalizers = deletion_finalizers(strategy, &object, options);
    if let Some(finalizers) = &finalizers {
        let metadata = meta::map_mut(&mut object, &["metadata"]);
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), Value::from(finalizers.clone()));
        }
    }
    let held = !meta::list_at(&object, &["metadata", "finalizers"]).is_empty();
    match (graceful, held) {
        (Some(seconds), _) => Plan::Mark {
            object,
            remove: seconds == 0 && !held,
        },
        (None, true) => {
            mark_as_deleting(now, &mut object);
            Plan::Mark { object, remove: false }
        }
        (None, false) => Plan::Remove,
    }
}

/// Sets the grace period of an object that ends gracefully and answers it; `Some(None)` for one that does not, `None` for
/// one that is ending already and whose time is not shortened.
fn begin_grace(
    strategy: &dyn Strategy,
    now: Timestamp,
    object: &mut Value,
    requested: Option<i64>,
) -> Option<Option<i64>> {
    let grace_path = ["metadata", "deletionGracePeriodSeconds"];
    if meta::is_deleting(object) {
        let current = meta::i64_at(object, &grace_path).unwrap_or_default();
        if current == 0 {
            return Some(None);
        }
        let mut period = requested.filter(|requested| *requested < current)?;
        let timestamp = meta::str_at(object, &["metadata", "deletionTimestamp"])
            .and_then(time::parse)
            .unwrap_or(now);
        let moved = timestamp + SignedDuration::from_secs(period.saturating_sub(current));
        let moved = if moved < now {
            // The whole period has passed; somebody else still ends it unless 0 was asked for.
            period = period.min(1);
            now
        } else {
            moved
        };
        meta::set(object, &["metadata", "deletionTimestamp"], time::format(moved));
        meta::set(object, &grace_path, period);
        return Some(Some(period));
    }
    match strategy.grace(object, requested) {
        Grace::Immediate => Some(None),
        Grace::Seconds(seconds) => {
            let seconds = seconds.max(0);
            let end = now
                .checked_add(SignedDuration::from_secs(seconds))
                .unwrap_or(Timestamp::MAX);
            meta::set(object, &["metadata", "deletionTimestamp"], time::format(end));
            meta::set(object, &grace_path, seconds);
            bump_generation(object);
            Some(Some(seconds))
        }
    }
}

/// Marks an object that only waits for its finalizers (upstream `markAsDeleting`).
fn mark_as_deleting(now: Timestamp, object: &mut Value) {
    let existing = meta::str_at(object, &["metadata", "deletionTimestamp"]).and_then(time::parse);
    if existing.is_none() {
        bump_generation(object);
    }
    if existing.is_none_or(|t| t > now) {
        meta::set(object, &["metadata", "deletionTimestamp"], time::format(now));
    }
    meta::set(object, &["metadata", "deletionGracePeriodSeconds"], 0);
}

fn bump_generation(object: &mut Value) {
    if let Some(generation) = meta::i64_at(object, &["metadata", "generation"]).filter(|g| *g > 0) {
        meta::set(object, &["metadata", "generation"], generation + 1);
    }
}

/// The finalizers of an object once the propagation of its deletion is settled; `None` when they stay as they are.
fn deletion_finalizers(strategy: &dyn Strategy, object: &Value, options: &DeleteOptions) -> Option<Vec<String>> {
    let current = strings(object, "finalizers");
    let (orphan, foreground) = propagation(strategy.garbage_collection(), &current, options);
    let mut wanted: Vec<&str> = current
        .iter()
        .copied()
        .filter(|f| *f != ORPHAN && *f != FOREGROUND)
        .collect();
    if orphan {
        wanted.push(object_meta::ORPHAN);
    }
    if foreground {
        wanted.push(object_meta::FOREGROUND);
    }
    let same = wanted.len() == current.len() && wanted.iter().all(|f| current.contains(f));
    (!same).then(|| wanted.into_iter().map(str::to_owned).collect())
}

/// Whether dependents are orphaned, and whether they are deleted first. Options decide, then finalizers that are already
/// there, then the kind.
fn propagation(policy: GarbageCollection, finalizers: &[&str], options: &DeleteOptions) -> (bool, bool) {
    if policy == GarbageCollection::Unsupported {
        return (false, false);
    }
    if let Some(orphan) = options.orphan_dependents {
        return (orphan, false);
    }
    if let Some(propagation) = options.propagation {
        return (
            propagation == Propagation::Orphan,
            propagation == Propagation::Foreground,
        );
    }
    match finalizers.iter().find(|f| **f == ORPHAN || **f == FOREGROUND) {
        Some(found) => (*found == ORPHAN, *found == FOREGROUND),
        None => (policy == GarbageCollection::OrphanDependents, false),
    }
}

#[cfg(test)]
mod tests;
