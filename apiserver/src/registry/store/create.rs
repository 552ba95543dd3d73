//! Creation.

use super::Store;
use super::admit::Write;
use super::errors::{self, Attempt};
use crate::admission::Operation;
use crate::registry::request::Request;
use crate::registry::{before, codec};
use crate::storage::interface::{Error, Revision};
use machinery::meta;
use machinery::object::Stored;
use machinery::status::Status;
use serde_json::Value;

/// How many generated names are tried (upstream `maxNameGenerationCreateAttempts`).
const NAME_ATTEMPTS: u32 = 8;

impl Store {
    /// Creates an object that has been decoded, defaulted and given its field managers.
    ///
    /// # Errors
    /// Whatever admission, validation or the store says.
    pub async fn create(&self, rq: &Request<'_>, mut obj: Value) -> Result<Stored, Status> {
        let name = meta::name(&obj).to_owned();
        let write = Write {
            operation: Operation::Create,
            kind: &self.resource.gvk,
            subresource: "",
            name: &name,
            old: None,
        };
        self.admit(rq, &write, &mut obj).await?;
        before::dedup_owner_references(rq, &mut obj, true);
        let generates = meta::name(&obj).is_empty() && prefix(&obj).is_some();
        let attempts = if generates { NAME_ATTEMPTS } else { 1 };
        let mut result = Err(Status::already_exists(&self.resource.group_resource(), ""));
        for _ in 0..attempts {
            result = self.create_once(rq, obj.clone()).await;
            if !matches!(&result, Err(status) if status.reason == "AlreadyExists") {
                break;
            }
        }
        result
    }

    async fn create_once(&self, rq: &Request<'_>, mut obj: Value) -> Result<Stored, Status> {
        before::fill_system_fields(rq, &mut obj);
        let generated = match prefix(&obj) {
            Some(prefix) if meta::name(&obj).is_empty() => {
                let name = before::generate_name(prefix);
                meta::set(&mut obj, &["metadata", "name"], name);
                true
            }
            _ => false,
        };
        let reservation = self.reserve(rq, &mut obj, None).await?;
        let result = self.finish_create(rq, obj, generated).await;
        if let Some(finish) = reservation {
            finish(result.is_ok() && !rq.dry_run).await;
        }
        result
    }

    async fn finish_create(&self, rq: &Request<'_>, mut obj: Value, generated: bool) -> Result<Stored, Status> {
        let (kind, strategy) = (&self.resource.gvk, self.resource.strategy.as_ref());
        let missing = self.missing_privileges(rq, strategy, &obj, None).await?;
        before::before_create(rq, &self.resource, kind, strategy, &mut obj, missing)?;
        let name = meta::name(&obj).to_owned();
        let write = Write {
            operation: Operation::Create,
            kind: &self.resource.gvk,
            subresource: "",
            name: &name,
            old: None,
        };
        self.validate_admission(rq, &write, &obj).await?;
        if rq.dry_run {
            return match self.storage.get(rq.namespace, &name, Revision::Latest).await {
                Ok(existing) => Err(self.exists(&existing, &name, generated)),
                Err(Error::NotFound { .. }) => codec::unstored(&self.resource, obj, 0),
                Err(error) => Err(errors::status(
                    error,
                    Attempt::Create,
                    &self.resource.group_resource(),
                    &name,
                )),
            };
        }
        if meta::str_at(&obj, &["metadata", "resourceVersion"]).is_some_and(|v| !v.is_empty()) {
            return Err(Status::failure(
                500,
                "",
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let value = codec::to_bytes(&codec::to_storage(&self.resource, obj)?);
        match self.storage.create(rq.namespace, &name, value).await {
            Ok(stored) => Ok(stored),
            Err(Error::Exists { .. }) => match self.storage.get(rq.namespace, &name, Revision::Latest).await {
                Ok(existing) => Err(self.exists(&existing, &name, generated)),
                Err(_) => Err(Status::already_exists(&self.resource.group_resource(), &name)),
            },
            Err(error) => Err(errors::status(
                error,
                Attempt::Create,
                &self.resource.group_resource(),
                &name,
            )),
        }
    }

    /// The refusal when there is an object of the name already.
    fn exists(&self, existing: &Stored, name: &str, generated: bool) -> Status {
        let resource = self.resource.group_resource();
        let mut status = if generated {
            Status::generate_name_conflict(&resource, name)
        } else {
            Status::already_exists(&resource, name)
        };
        if existing.decode().is_ok_and(|obj| meta::is_deleting(&obj)) {
            status.message = format!("object is being deleted: {}", status.message);
        }
        status
    }
}

/// The prefix of a name to generate.
fn prefix(obj: &Value) -> Option<&str> {
    meta::str_at(obj, &["metadata", "generateName"]).filter(|prefix| !prefix.is_empty())
}
