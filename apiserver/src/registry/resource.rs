//! The runtime definition of a served resource. Built-in resources are built from their file under `resources/`;
//! custom resources are built from a CustomResourceDefinition into the same form.

use super::codec;
use super::columns::{Columns, Table};
use super::strategy::Strategy;
use super::structure::{Custom, Structure};
use crate::storage::foreign::Upgrade;
use machinery::gvk::{GroupResource, GroupVersion, GroupVersionKind};
use machinery::object::Selectable;
use machinery::schema::{Held, Text, Type};
use machinery::status::Status;
use serde_json::Value;
use std::sync::Arc;

/// Whether objects live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One object per name in the whole cluster.
    Cluster,
    /// One object per name and namespace.
    Namespaced,
}

/// The verbs a resource or subresource answers, in discovery's spelling.
pub type Verbs = &'static [&'static str];

/// What most resources answer.
pub const ALL_VERBS: Verbs = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// Turns objects between the served and the stored version of one kind.
pub struct Conversion {
    /// From the served version into the stored one.
    pub to_storage: fn(Value) -> Value,
    /// From the stored version into the served one.
    pub from_storage: fn(Value) -> Value,
}

/// Short names or categories.
#[derive(Clone, Debug, Default)]
pub struct Words(Box<[Text]>);

impl Words {
    /// The words as JSON; `None` when there are none.
    pub fn to_json(&self) -> Option<Value> {
        (!self.0.is_empty()).then(|| self.0.iter().map(|word| Value::from(&**word)).collect())
    }
}

impl<const N: usize> From<[&'static str; N]> for Words {
    fn from(words: [&'static str; N]) -> Self {
        Words(words.map(Held::Static).into())
    }
}

impl From<&[Value]> for Words {
    fn from(words: &[Value]) -> Self {
        Words(words.iter().filter_map(Value::as_str).map(Text::from).collect())
    }
}

/// One served version of one resource.
pub struct Resource {
    /// Group, version and kind as served.
    pub gvk: GroupVersionKind,
    /// The plural name: the path segment.
    pub plural: Text,
    /// The singular name.
    pub singular: Text,
    /// The kind of a list of them.
    pub list_kind: Text,
    /// Short names such as `po`.
    pub short_names: Words,
    /// Categories such as `all`.
    pub categories: Words,
    /// Whether objects live in namespaces.
    pub scope: Scope,
    /// The verbs of the resource itself.
    pub verbs: Verbs,
    /// The name of its type in the schema, such as `io.k8s.api.core.v1.Pod`; empty for kinds that are defined at run time.
    pub type_name: &'static str,
    /// What only kinds have that are defined at run time; `None` for the built-in ones.
    pub custom: Option<Custom>,
    /// The key below the store's prefix, such as `pods` or `services/specs`: upstream's. Empty when nothing is stored: a
    /// `POST` is then what the subresource with the empty name does.
    pub storage_key: Text,
    /// The version that is stored, when it is not the served one.
    pub storage: Option<(GroupVersionKind, &'static Conversion)>,
    /// Versions that are not served, but that other API servers store, and how they become the stored one.
    pub foreign: &'static [(&'static str, Upgrade)],
    /// The hooks of the main resource.
    pub strategy: Arc<dyn Strategy>,
    /// The fields a field selector may use besides `metadata.name` and `metadata.namespace`.
    pub selectable_fields: Selectable,
    /// The names that this version has for those fields, with the names above, where a version has names of its own.
    /// Then only these may be used.
    pub field_names: &'static [(&'static str, &'static str)],
    /// The columns of server-side tables.
    pub columns: Held<dyn Table>,
    /// Annotations that are fields of the internal version, of which tables and metadata-only answers are made: they do
    /// not show them.
    pub internal_annotations: &'static [&'static str],
    /// What every request for it warns of.
    pub deprecation: Option<Text>,
    /// Everything below the object's path.
    pub subresources: Vec<Subresource>,
}

/// A path below an object.
pub struct Subresource {
    /// The path segment, such as `status`.
    pub name: &'static str,
    /// The kind that it reads and writes, such as `Scale`; the resource's own kind for `status`.
    pub gvk: GroupVersionKind,
    /// Its verbs.
    pub verbs: Verbs,
    /// What it does.
    pub action: Action,
    /// Whether it answers with tables, too.
    pub tables: bool,
}

/// What a subresource does.
pub enum Action {
    /// Reads and writes the object itself through other hooks (`status`, `ephemeralcontainers`, `resize`).
    Object(Arc<dyn Strategy>),
    /// `autoscaling/v1.Scale` over the object: JSON paths of replicas, status replicas and selector.
    Scale(Held<ScalePaths>),
    /// `POST pods/binding`.
    Binding,
    /// `POST serviceaccounts/token`.
    Token,
    /// A question that is answered and not stored.
    Review(Review),
    /// `POST pods/eviction`.
    Eviction,
    /// `GET pods/log`: proxied to the kubelet.
    Log,
    /// An upgraded connection that is tunnelled to the kubelet: `exec`, `attach` or `portforward`.
    Connect,
    /// Requests of any method that are passed on, with the path behind the subresource.
    Proxy,
}

/// What a review asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    /// Whose token it is.
    Token,
    /// Who the client is.
    Oneself,
    /// Whether somebody may do something.
    Access,
    /// The same within one namespace.
    LocalAccess,
    /// Whether the client may do something.
    OwnAccess,
    /// What the client may do in a namespace.
    OwnRules,
}

/// Where the fields of a Scale are found in the object: dotted paths.
pub struct ScalePaths {
    /// The wanted number, such as `spec.replicas`.
    pub spec_replicas: Text,
    /// The observed number, such as `status.replicas`.
    pub status_replicas: Text,
    /// The label selector, such as `spec.selector`.
    pub selector: Text,
}

impl Resource {
    /// A namespaced resource with every verb, stored under its plural name, without any of the optional parts.
    pub fn namespaced_kind(
        (group, version, kind): (&'static str, &'static str, &'static str),
        (plural, singular): (&'static str, &'static str),
        type_name: &'static str,
        strategy: impl Strategy,
        columns: &'static Columns,
    ) -> Self {
        Resource {
            gvk: GroupVersionKind::new(group, version, kind),
            plural: Held::Static(plural),
            singular: Held::Static(singular),
            list_kind: format!("{kind}List").as_str().into(),
            short_names: Words::default(),
            categories: Words::default(),
            scope: Scope::Namespaced,
            verbs: ALL_VERBS,
            type_name,
            custom: None,
            storage_key: Held::Static(plural),
            storage: None,
            foreign: &[],
            strategy: Arc::new(strategy),
            selectable_fields: Selectable::NONE,
            field_names: &[],
            columns: Held::Static(columns),
            internal_annotations: &[],
            deprecation: None,
            subresources: Vec::new(),
        }
    }

    /// The same for a kind whose objects live outside of namespaces.
    pub fn cluster_kind(
        kind: (&'static str, &'static str, &'static str),
        names: (&'static str, &'static str),
        type_name: &'static str,
        strategy: impl Strategy,
        columns: &'static Columns,
    ) -> Self {
        Resource {
            scope: Scope::Cluster,
            ..Self::namespaced_kind(kind, names, type_name, strategy, columns)
        }
    }

    /// Adds a subresource that reads and writes the object itself, such as `status`.
    #[must_use]
    pub fn with_object_subresource(mut self, name: &'static str, strategy: impl Strategy) -> Self {
        let gvk = self.gvk.clone();
        let action = Action::Object(Arc::new(strategy));
        self.subresources.push(Subresource {
            name,
            gvk,
            verbs: &["get", "patch", "update"],
            action,
            tables: name == "status",
        });
        self
    }

    /// Adds the `status` subresource of a kind that has no tables for it.
    #[must_use]
    pub fn with_plain_status(self, strategy: impl Strategy) -> Self {
        let mut resource = self.with_object_subresource("status", strategy);
        for subresource in &mut resource.subresources {
            subresource.tables &= subresource.name != "status";
        }
        resource
    }

    /// Adds the `scale` subresource.
    #[must_use]
    pub fn with_scale(mut self, paths: &'static ScalePaths) -> Self {
        let gvk = GroupVersionKind::new("autoscaling", "v1", "Scale");
        let action = Action::Scale(Held::Static(paths));
        self.subresources.push(Subresource {
            name: "scale",
            gvk,
            verbs: &["get", "patch", "update"],
            action,
            tables: true,
        });
        self
    }

    /// A kind of which nothing is stored: a `POST` is a question.
    pub fn review(
        kind: (&'static str, &'static str, &'static str),
        names: (&'static str, &'static str),
        type_name: &'static str,
        review: Review,
        strategy: impl Strategy,
        columns: &'static Columns,
    ) -> Self {
        let resource = Resource {
            verbs: &["create"],
            storage_key: Held::Static(""),
            ..Self::cluster_kind(kind, names, type_name, strategy, columns)
        };
        resource.with_subresource("", kind, &["create"], Action::Review(review))
    }

    /// Adds any other subresource.
    #[must_use]
    pub fn with_subresource(
        mut self,
        name: &'static str,
        (group, version, kind): (&'static str, &'static str, &'static str),
        verbs: Verbs,
        action: Action,
    ) -> Self {
        self.subresources.push(Subresource {
            name,
            gvk: GroupVersionKind::new(group, version, kind),
            verbs,
            action,
            tables: false,
        });
        self
    }

    /// Adds the `proxy` subresource, whose options are of this kind.
    #[must_use]
    pub fn with_proxy(self, options: &'static str) -> Self {
        const VERBS: Verbs = &["create", "delete", "get", "patch", "update"];
        self.with_subresource("proxy", ("", "v1", options), VERBS, Action::Proxy)
    }

    /// Group and plural name, for messages.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.gvk.group.clone(), &*self.plural)
    }

    /// Group and version as served.
    pub fn group_version(&self) -> GroupVersion {
        self.gvk.group_version()
    }

    /// Whether objects live in namespaces.
    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// How objects of a kind that is defined at run time are understood.
    pub fn structure(&self) -> Option<&dyn Structure> {
        self.custom.as_ref().map(|custom| custom.structure.as_ref())
    }

    /// The type of its objects.
    ///
    /// # Errors
    /// 500 for a kind that has no schema.
    pub fn ty(&self) -> Result<&Type, Status> {
        match self.structure() {
            Some(structure) => Ok(structure.ty()),
            None => codec::type_of(&self.gvk),
        }
    }

    /// The version in which objects are stored.
    pub fn storage_gvk(&self) -> &GroupVersionKind {
        self.storage.as_ref().map_or(&self.gvk, |(gvk, _)| gvk)
    }

    /// A subresource by its path segment.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }
}
