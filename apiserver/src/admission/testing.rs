//! What the plugins' tests share: objects to look up and attributes to ask about.

use super::{Attributes, Change, Extra, Lookup, ObjectRef, Operation, Reinvocation};
use futures::future::BoxFuture;
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::sync::Mutex;

static NO_EXTRA: Extra = Extra::new();
static NO_OPTIONS: Value = Value::Null;

/// Objects by the plural name of their resource.
pub(crate) struct Objects(Mutex<Vec<(&'static str, Value)>>);

impl Objects {
    pub(crate) fn of(objects: &[(&'static str, Value)]) -> Self {
        Objects(Mutex::new(objects.to_vec()))
    }

    /// The objects of a resource in a namespace (empty for all).
    pub(crate) fn in_namespace(&self, plural: &str, namespace: &str) -> Vec<Value> {
        let fits = |object: &Value| namespace.is_empty() || meta::namespace(object) == namespace;
        let objects = self.0.lock().unwrap();
        let found = objects.iter().filter(|(p, object)| *p == plural && fits(object));
        found.map(|(_, object)| object.clone()).collect()
    }
}

impl Lookup for Objects {
    fn get<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, Status>> {
        let objects = self.in_namespace(&resource.resource, namespace);
        let found = objects.into_iter().find(|o| meta::name(o) == name);
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
        let found = self.in_namespace(&resource.resource, namespace);
        Box::pin(async { Ok(found) })
    }

    fn change_status<'a>(
        &'a self,
        object: ObjectRef<'a>,
        dry_run: bool,
        change: Change<'a>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let mut objects = self.0.lock().unwrap();
        let found = objects.iter_mut().find(|(plural, found)| {
            *plural == object.resource.resource
                && meta::namespace(found) == object.namespace
                && meta::name(found) == object.name
        });
        let result = found.map_or(Ok(()), |(_, found)| {
            let mut changed = found.clone();
            change(&mut changed)?;
            if !dry_run {
                *found = changed;
            }
            Ok(())
        });
        Box::pin(async { result })
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
        version: "v1",
        kind: GroupVersionKind::default(),
        subresource: "",
        namespace,
        name,
        user: "",
        uid: "",
        groups: &[],
        extra: &NO_EXTRA,
        dry_run: false,
        options: &NO_OPTIONS,
        old: None,
        reinvocation: Reinvocation::default(),
        warnings,
    }
}
