//! Admission: what may still change or refuse a write after authentication and authorization
//! (k8s.io/apiserver `pkg/admission`). Plugins see objects and a [`Lookup`], never the registry.

mod equivalent;
pub mod escalation;
mod mapped_namespaces;
pub mod plugins;
mod policy;
mod rules;
#[cfg(test)]
pub(crate) mod testing;
pub mod webhook;

pub use equivalent::Equivalent;
pub use mapped_namespaces::MappedNamespaces;

use futures::future::BoxFuture;
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::schema::{self, Type};
use machinery::status::Status;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The kind of write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A changed object.
    Update,
    /// A removed object.
    Delete,
    /// A connection to a subresource such as `exec`.
    Connect,
}

impl Operation {
    /// Upstream's name, as rules and requests have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

/// A plugin may want all plugins to see what it has changed: they are then asked once more (upstream
/// `admission.ReinvocationContext`).
#[derive(Clone, Debug, Default)]
pub struct Reinvocation {
    /// Whether this is the second time.
    pub again: bool,
    /// Whether there should be a second time.
    pub wanted: bool,
    /// What takes part in it of all that its plugin has done the first time, by the plugin's own names.
    pub repeated: BTreeSet<String>,
    /// What is known of the webhooks that were called.
    pub webhooks: webhook::Rounds,
}

/// What an authenticator knows of a user besides name and groups.
pub type Extra = BTreeMap<String, Vec<String>>;

/// A write on its way to the store.
pub struct Attributes<'a> {
    /// What is done.
    pub operation: Operation,
    /// The resource.
    pub resource: GroupResource,
    /// The version of the resource; that of a subresource's kind may be another one.
    pub version: &'a str,
    /// The kind of the object.
    pub kind: GroupVersionKind,
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// The name; may be empty when it is generated.
    pub name: &'a str,
    /// Who asks.
    pub user: &'a str,
    /// The UID of who asks; empty when it is not known.
    pub uid: &'a str,
    /// The groups of who asks.
    pub groups: &'a [String],
    /// What else is known of who asks.
    pub extra: &'a Extra,
    /// Nothing is persisted.
    pub dry_run: bool,
    /// The options of the request, such as `CreateOptions`; null when it has none.
    pub options: &'a Value,
    /// The state before; `None` for creations.
    pub old: Option<&'a Value>,
    /// What is known of the first time when the plugins are asked again.
    pub reinvocation: Reinvocation,
    /// Warnings for the client.
    pub warnings: &'a mut Vec<String>,
}

impl Attributes<'_> {
    /// A refusal that names the object, also when its name is still to be generated (upstream
    /// `admission.NewForbidden`).
    pub fn forbidden(&self, object: &Value, why: impl std::fmt::Display) -> Status {
        let given = |field: &str| machinery::meta::str_at(object, &["metadata", field]).filter(|name| !name.is_empty());
        let name = match self.name {
            "" => given("name").or_else(|| given("generateName")).unwrap_or("Unknown"),
            name => name,
        };
        Status::forbidden(&self.resource, name, why)
    }
}

/// What plugins know of other objects, and the little they do to them.
pub trait Lookup: Send + Sync {
    /// An object by resource, namespace and name, from the cache; `None` when it does not exist.
    fn get<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, Status>>;

    /// The same as the store knows it right now.
    fn latest<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, Status>>;

    /// An object from the cache or, where it is too young for that, from the store.
    fn find<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, Status>> {
        Box::pin(async move {
            match self.get(resource, namespace, name).await? {
                Some(object) => Ok(Some(object)),
                None => self.latest(resource, namespace, name).await,
            }
        })
    }

    /// All objects of a resource in a namespace (empty for all), from the cache.
    fn list<'a>(&'a self, resource: &'a GroupResource, namespace: &'a str)
    -> BoxFuture<'a, Result<Vec<Value>, Status>>;

    /// Sets the defaults of what a plugin added to an object of a kind.
    fn default(&self, _kind: &GroupVersionKind, _object: &mut Value) {}

    /// The other resources and versions in which the objects of a resource are served (upstream
    /// `EquivalentResourceMapper`).
    fn equivalents(&self, _resource: &GroupResource, _version: &str, _subresource: &str) -> Vec<Equivalent> {
        Vec::new()
    }

    /// An object in the form of an equivalent kind; an error says why there is none.
    fn convert<'a>(
        &'a self,
        object: Value,
        _from: &'a GroupVersionKind,
        _to: &'a GroupVersionKind,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(async { Ok(object) })
    }

    /// Shows the type of the objects of a kind, as far as the OpenAPI document of its group and version has one. Shows
    /// nothing where there is no such document.
    fn with_type(&self, kind: &GroupVersionKind, see: &mut dyn FnMut(Option<&Type>)) {
        see(schema::by_gvk(&kind.group, &kind.version, &kind.kind));
    }

    /// The resource of a kind and whether its objects lie in namespaces; `None` when it is not served.
    fn resource_of(&self, _kind: &GroupVersionKind) -> Option<(GroupResource, bool)> {
        None
    }

    /// Changes the status of an object on the server's own behalf, starting from its latest state; `change` may run more
    /// than once, and may refuse. A dry run writes nothing.
    fn change_status<'a>(
        &'a self,
        object: ObjectRef<'a>,
        dry_run: bool,
        change: Change<'a>,
    ) -> BoxFuture<'a, Result<(), Status>>;
}

/// What a plugin does to the status of an object.
pub type Change<'a> = &'a (dyn Fn(&mut Value) -> Result<(), Status> + Send + Sync);

/// Which object is meant.
#[derive(Clone, Copy)]
pub struct ObjectRef<'a> {
    /// The resource.
    pub resource: &'a GroupResource,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// The name.
    pub name: &'a str,
}

/// Answers questions of plugins about rights.
pub trait Rights: Send + Sync {
    /// Whether somebody may do something.
    fn may(&self, user: &str, groups: &[String], question: &cel::Question) -> bool;
}

/// One admission plugin.
pub trait Plugin: Send + Sync {
    /// Upstream's name, as in `--enable-admission-plugins`.
    fn name(&self) -> &'static str;

    /// Tells the plugin, before its first write, whom to ask about rights.
    fn inform(&mut self, _rights: &Arc<dyn Rights>) {}

    /// Tells the plugin, before its first write, how webhooks are called.
    fn connect(&mut self, _webhooks: &Arc<webhook::Webhooks>) {}

    /// May change `object`.
    fn admit<'a>(
        &'a self,
        _lookup: &'a dyn Lookup,
        _attributes: &'a mut Attributes<'_>,
        _object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async { Ok(()) })
    }

    /// May only refuse; sees the final object (`Null` for deletions and connections).
    fn validate<'a>(
        &'a self,
        _lookup: &'a dyn Lookup,
        _attributes: &'a mut Attributes<'_>,
        _object: &'a Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async { Ok(()) })
    }
}

/// The enabled plugins in upstream's order.
pub type Chain = Arc<[Box<dyn Plugin>]>;
