//! The admission chain around a write.

use super::Store;
use crate::admission::{Attributes, Operation, Reinvocation};
use crate::registry::request::Request;
use machinery::apply::managed::Managed;
use machinery::gvk::GroupVersionKind;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::sync::Arc;

/// What is written, for admission.
pub struct Write<'a> {
    /// What is done.
    pub operation: Operation,
    /// The kind of what is sent: a subresource may have its own.
    pub kind: &'a GroupVersionKind,
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// The name of the object.
    pub name: &'a str,
    /// The state before; `None` for what is made and for connections.
    pub old: Option<&'a Value>,
}

/// Where the owners of fields are.
const OWNERS: [&str; 2] = ["metadata", "managedFields"];

/// What plugins made of the owners of fields is taken back when it makes no sense (apimachinery
/// `managedFieldsValidatingAdmissionController`).
fn restore_owners(rq: &Request<'_>, obj: &mut Value, owners: Option<Value>) {
    let Err(why) = Managed::decode(obj) else { return };
    match owners {
        Some(owners) => meta::set(obj, &OWNERS, owners),
        None => {
            meta::remove(obj, &OWNERS);
        }
    }
    (rq.warn)(format!(
        ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating \
         admission controller; please fix your requests: {why}"
    ));
}

impl Store {
    /// Lets the plugins change the object.
    ///
    /// # Errors
    /// What the first plugin that refuses says.
    pub async fn admit(&self, rq: &Request<'_>, write: &Write<'_>, obj: &mut Value) -> Result<(), Status> {
        if write.operation == Operation::Create
            && let Some(why) = self.resource.custom.as_ref().and_then(|custom| custom.closed)
        {
            return Err(Status::forbidden(&self.resource.group_resource(), write.name, why));
        }
        let owners = meta::at(obj, &OWNERS).cloned();
        let mut warnings = Vec::new();
        let mut attributes = self.attributes(rq, write, &mut warnings);
        let mut result = self.admit_once(&mut attributes, obj).await;
        if result.is_ok() && attributes.reinvocation.wanted {
            attributes.reinvocation.again = true;
            result = self.admit_once(&mut attributes, obj).await;
        }
        warnings.into_iter().for_each(rq.warn);
        if result.is_ok() && meta::at(obj, &OWNERS) != owners.as_ref() {
            restore_owners(rq, obj, owners);
        }
        result
    }

    async fn admit_once(&self, attributes: &mut Attributes<'_>, obj: &mut Value) -> Result<(), Status> {
        for plugin in self.admission.iter() {
            plugin.admit(self.lookup.as_ref(), attributes, obj).await?;
        }
        Ok(())
    }

    /// Lets the plugins refuse the object in its final form.
    ///
    /// # Errors
    /// What the first plugin that refuses says.
    pub async fn validate_admission(&self, rq: &Request<'_>, write: &Write<'_>, obj: &Value) -> Result<(), Status> {
        let mut warnings = Vec::new();
        let mut attributes = self.attributes(rq, write, &mut warnings);
        let mut result = Ok(());
        for plugin in self.admission.iter() {
            result = plugin.validate(self.lookup.as_ref(), &mut attributes, obj).await;
            if result.is_err() {
                break;
            }
        }
        warnings.into_iter().for_each(rq.warn);
        result
    }

    /// The same store for what the server itself does on the way: nobody is asked.
    pub fn without_admission(&self) -> Store {
        Store {
            resource: self.resource.clone(),
            versions: self.versions.clone(),
            storage: self.storage.clone(),
            admission: Arc::new([]),
            lookup: self.lookup.clone(),
            side_effects: self.side_effects.clone(),
            frames: self.frames.clone(),
        }
    }

    fn attributes<'a>(
        &'a self,
        rq: &'a Request<'_>,
        write: &'a Write<'_>,
        warnings: &'a mut Vec<String>,
    ) -> Attributes<'a> {
        // A namespace is its own namespace: plugins that act on namespaces look there.
        let namespace = if *self.resource.plural == *"namespaces" && self.resource.gvk.group.is_empty() {
            write.name
        } else {
            rq.namespace
        };
        Attributes {
            operation: write.operation,
            resource: self.resource.group_resource(),
            version: &self.resource.gvk.version,
            kind: write.kind.clone(),
            subresource: write.subresource,
            namespace,
            name: write.name,
            user: rq.user,
            uid: rq.uid,
            groups: rq.groups,
            extra: rq.extra,
            dry_run: rq.dry_run,
            options: rq.options,
            old: write.old,
            reinvocation: Reinvocation::default(),
            warnings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::request::{NO_EXTRA, NO_OPTIONS};
    use serde_json::json;
    use std::sync::Mutex;

    #[test]
    fn owners_that_make_no_sense_are_taken_back() {
        let good = json!([{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}]);
        let bad = json!([{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "Nope"}]);
        for (made, left, warned) in [(&good, &good, false), (&bad, &good, true)] {
            let warnings = Mutex::new(Vec::new());
            let warn = |text: String| warnings.lock().unwrap().push(text);
            let rq = Request {
                namespace: "",
                user: "",
                uid: "",
                groups: &[],
                extra: &NO_EXTRA,
                now: jiff::Timestamp::UNIX_EPOCH,
                dry_run: false,
                options: &NO_OPTIONS,
                warn: &warn,
            };
            let mut object = json!({"metadata": {"managedFields": made}});
            restore_owners(&rq, &mut object, Some(good.clone()));
            assert_eq!(object["metadata"]["managedFields"], *left);
            let warnings = warnings.lock().unwrap();
            let expected = "invalid fieldsType \"Nope\" in managed fields entry 0";
            assert_eq!(
                warnings.iter().any(|text| text.ends_with(expected)),
                warned,
                "{warnings:?}"
            );
        }
    }
}
