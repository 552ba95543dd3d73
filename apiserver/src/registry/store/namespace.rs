//! Deletion of kinds that a controller empties first: the object is marked and stays until its finalizers, those in `spec`
//! included, are gone (kubernetes `pkg/registry/core/namespace/storage`, apiextensions-apiserver
//! `pkg/registry/customresourcedefinition`).

use super::Store;
use super::delete::Deleted;
use super::errors::{self, Attempt};
use super::options::{DeleteOptions, Propagation};
use crate::registry::codec;
use crate::registry::object_meta::{FOREGROUND, ORPHAN, strings};
use crate::registry::request::Request;
use crate::registry::strategy::ControlledDeletion;
use crate::storage::interface::{Preconditions, Update};
use machinery::meta;
use machinery::object::Stored;
use machinery::status::Status;
use serde_json::Value;

impl Store {
    /// Marks the object as terminating, or answers `None` when the rest is like any other deletion.
    pub(super) async fn begin_controlled_deletion(
        &self,
        rq: &Request<'_>,
        name: &str,
        existing: &Stored,
        object: &Value,
        options: &DeleteOptions,
        controlled: ControlledDeletion,
    ) -> Result<Option<Deleted>, Status> {
        self.check_controlled_preconditions(name, object, options)?;
        if meta::is_deleting(object) {
            let held = !meta::list_at(object, &["spec", "finalizers"]).is_empty();
            return Ok(held.then(|| Deleted {
                object: existing.clone(),
                gone: false,
                shows_object: true,
            }));
        }
        let resource = self.resource.group_resource();
        // Upstream deletes the very object that it has found, and admission sees that it does.
        let mut shown = rq.options.clone();
        if shown.is_object() {
            meta::set_default(&mut shown, &["preconditions", "uid"], meta::uid(object));
        }
        let rq = &Request { options: &shown, ..*rq };
        let step = async |stored: &Stored| -> Result<(Value, Update), Status> {
            let current = codec::decode(&self.resource, stored)?;
            self.validate_deletion(rq, name, &current).await?;
            let mut marked = current.clone();
            terminate(&mut marked, &rq.now_text(), options, controlled);
            let update = if marked == current {
                Update::Keep
            } else {
                Update::Write(codec::to_bytes(&codec::to_storage(&self.resource, marked.clone())?))
            };
            Ok((marked, update))
        };
        if rq.dry_run {
            let (marked, _) = step(existing).await?;
            let object = codec::unstored(&self.resource, marked, existing.revision)?;
            return Ok(Some(Deleted {
                object,
                gone: false,
                shows_object: true,
            }));
        }
        let preconditions = Preconditions {
            uid: Some(meta::uid(object).to_owned()),
            ..options.preconditions()
        };
        let (step, missing) = (&step, || Status::not_found(&resource, name));
        let mut run = |existing: Option<&Stored>| -> futures::future::BoxFuture<'_, _> {
            let existing = existing.cloned();
            Box::pin(async move {
                let existing = existing.ok_or_else(missing).map_err(Box::new)?;
                step(&existing).await.map(|(_, update)| update).map_err(Box::new)
            })
        };
        let result = self.storage.update(rq.namespace, name, &preconditions, &mut run).await;
        let (object, _) = result.map_err(|error| errors::status(error, Attempt::Update, &resource, name))?;
        Ok(Some(Deleted {
            object,
            gone: false,
            shows_object: true,
        }))
    }

    fn check_controlled_preconditions(
        &self,
        name: &str,
        object: &Value,
        options: &DeleteOptions,
    ) -> Result<(), Status> {
        for (label, wanted, field) in [
            ("UID", &options.uid, "uid"),
            ("ResourceVersion", &options.resource_version, "resourceVersion"),
        ] {
            let found = meta::str_at(object, &["metadata", field]).unwrap_or_default();
            if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != found) {
                let why =
                    format!("Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {found}");
                return Err(Status::conflict(&self.resource.group_resource(), name, why));
            }
        }
        Ok(())
    }
}

fn terminate(object: &mut Value, now: &str, options: &DeleteOptions, controlled: ControlledDeletion) {
    meta::set_default(object, &["metadata", "deletionTimestamp"], now);
    (controlled.mark)(object, now);
    if !controlled.notes_propagation {
        return;
    }
    let current = strings(object, "finalizers");
    let wanted = |finalizer: &str, propagation: Propagation| match (options.orphan_dependents, options.propagation) {
        (Some(orphan), _) => orphan && finalizer == ORPHAN,
        (None, Some(asked)) => asked == propagation,
        (None, None) => current.contains(&finalizer),
    };
    let mut finalizers: Vec<String> = current
        .iter()
        .filter(|f| **f != ORPHAN && **f != FOREGROUND)
        .map(|f| (*f).to_owned())
        .collect();
    for (finalizer, propagation) in [(ORPHAN, Propagation::Orphan), (FOREGROUND, Propagation::Foreground)] {
        if wanted(finalizer, propagation) {
            finalizers.push(finalizer.to_owned());
        }
    }
    let metadata = meta::map_mut(object, &["metadata"]);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), Value::from(finalizers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_namespace_terminates_with_the_finalizers_asked_for() {
        let mut namespace = json!({"metadata": {"finalizers": ["a/b", "orphan"]}, "status": {"phase": "Active"}});
        let options = DeleteOptions {
            propagation: Some(Propagation::Foreground),
            ..DeleteOptions::default()
        };
        let controlled = ControlledDeletion {
            mark: |obj, _| meta::set(obj, &["status", "phase"], "Terminating"),
            notes_propagation: true,
        };
        terminate(&mut namespace, "t", &options, controlled);
        assert_eq!(
            namespace,
            json!({"metadata": {"finalizers": ["a/b", "foregroundDeletion"], "deletionTimestamp": "t"},
                "status": {"phase": "Terminating"}})
        );
        let again = namespace.clone();
        terminate(&mut namespace, "later", &DeleteOptions::default(), controlled);
        assert_eq!(namespace, again);
    }
}
