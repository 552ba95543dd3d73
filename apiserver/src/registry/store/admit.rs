//! The admission chain around a write.

use super::Store;
use crate::admission::{Attributes, Operation};
use crate::registry::request::Request;
use machinery::gvk::GroupVersionKind;
use machinery::status::Status;
use serde_json::Value;

/// What is written, for admission.
pub(super) struct Write<'a> {
    pub(super) operation: Operation,
    pub(super) kind: &'a GroupVersionKind,
    pub(super) subresource: &'a str,
    pub(super) name: &'a str,
    pub(super) old: Option<&'a Value>,
}

impl Store {
    /// Lets the plugins change the object.
    pub(super) async fn admit(&self, rq: &Request<'_>, write: &Write<'_>, obj: &mut Value) -> Result<(), Status> {
        let mut warnings = Vec::new();
        let mut attributes = self.attributes(rq, write, &mut warnings);
        let mut result = Ok(());
        for plugin in self.admission.iter() {
            result = plugin.admit(self.lookup.as_ref(), &mut attributes, obj).await;
            if result.is_err() {
                break;
            }
        }
        warnings.into_iter().for_each(rq.warn);
        result
    }

    /// Lets the plugins refuse the object in its final form.
    pub(super) async fn validate_admission(
        &self,
        rq: &Request<'_>,
        write: &Write<'_>,
        obj: &Value,
    ) -> Result<(), Status> {
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

    /// Asks the plugins about a connection to a subresource.
    ///
    /// # Errors
    /// What the first plugin that refuses says.
    pub async fn admit_connect(&self, rq: &Request<'_>, subresource: &str, name: &str) -> Result<(), Status> {
        let write = Write {
            operation: Operation::Connect,
            kind: &self.resource.gvk,
            subresource,
            name,
            old: None,
        };
        self.admit(rq, &write, &mut Value::Null).await?;
        self.validate_admission(rq, &write, &Value::Null).await
    }

    fn attributes<'a>(
        &'a self,
        rq: &'a Request<'_>,
        write: &'a Write<'_>,
        warnings: &'a mut Vec<String>,
    ) -> Attributes<'a> {
        // A namespace is its own namespace: plugins that act on namespaces look there.
        let namespace = if self.resource.plural == "namespaces" && self.resource.gvk.group.is_empty() {
            write.name
        } else {
            rq.namespace
        };
        Attributes {
            operation: write.operation,
            resource: self.resource.group_resource(),
            kind: write.kind.clone(),
            subresource: write.subresource,
            namespace,
            name: write.name,
            user: rq.user,
            groups: rq.groups,
            dry_run: rq.dry_run,
            old: write.old,
            warnings,
        }
    }
}
