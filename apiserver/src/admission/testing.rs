//! What the plugins' tests share: objects to look up and attributes to ask about.

use super::{Attributes, Lookup, Operation};
use futures::future::BoxFuture;
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;

/// Objects by the plural name of their resource.
pub(crate) struct Objects(Vec<(&'static str, Value)>);

impl Objects {
    pub(crate) fn of(objects: &[(&'static str, Value)]) -> Self {
        Objects(objects.to_vec())
    }

    fn in_namespace<'a>(&'a self, resource: &'a GroupResource, namespace: &'a str) -> impl Iterator<Item = &'a Value> {
        let fits = move |object: &Value| namespace.is_empty() || meta::namespace(object) == namespace;
        self.0
            .iter()
            .filter(move |(plural, object)| *plural == resource.resource && fits(object))
            .map(|(_, object)| object)
    }
}

impl Lookup for Objects {
    fn get<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, Status>> {
        let found = self
            .in_namespace(resource, namespace)
            .find(|o| meta::name(o) == name)
            .cloned();
        Box::pin(async { Ok(found) })
    }

    fn latest<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, Status>> {
        self.get(resource, namespace, name)
    }

    fn list<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Value>, Status>> {
        let found = self.in_namespace(resource, namespace).cloned().collect();
        Box::pin(async { Ok(found) })
    }
}

/// Attributes of a write to a core resource by nobody in particular.
pub(crate) fn attributes<'a>(
    operation: Operation,
    plural: &str,
    namespace: &'a str,
    name: &'a str,
    warnings: &'a mut Vec<String>,
) -> Attributes<'a> {
    Attributes {
        operation,
        resource: GroupResource::new("", plural),
        kind: GroupVersionKind::default(),
        subresource: "",
        namespace,
        name,
        user: "",
        groups: &[],
        dry_run: false,
        old: None,
        warnings,
    }
}
