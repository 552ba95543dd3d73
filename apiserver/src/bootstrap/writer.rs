//! Writes that the server makes by itself, through the same pipeline as everybody's.

use crate::endpoints::api::Api;
use crate::registry::codec;
use crate::registry::managers::Managers;
use crate::registry::request::{NO_EXTRA, NO_OPTIONS, Request};
use crate::registry::resource::Action;
use crate::registry::store::Store;
use crate::registry::store::options::DeleteOptions;
use crate::registry::store::update::{Transform, Update};
use crate::storage::interface::{ListOptions, Revision, Scope};
use machinery::schema::decode::decode_value;
use machinery::status::Status;
use serde_json::Value;
use std::sync::Arc;

/// The name under which the server writes and owns fields.
const MANAGER: &str = "kube-apiserver";
/// As whom the server asks itself (k8s.io/apiserver `user.APIServerUser`).
const USER: &str = "system:apiserver";
/// The group of those who may do everything.
const MASTERS: &str = "system:masters";

/// What is done to an object; it may be done more than once, each time to a newer state.
pub(crate) type Change<'a> = dyn Fn(&mut Value) + Send + Sync + 'a;

/// Writes the objects of one resource.
pub(crate) struct Writer<'a> {
    store: &'a Arc<Store>,
    managers: Managers,
    groups: Vec<String>,
}

impl<'a> Writer<'a> {
    /// A writer of a resource that is served in version `v1`.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn new(api: &'a Api, group: &str, plural: &str) -> Result<Self, Status> {
        let store = api.catalog.store(group, "v1", plural);
        let store = store.ok_or_else(|| Status::internal(format!("{plural} are not served")))?;
        Ok(Writer {
            store,
            managers: store.managers("")?,
            groups: vec![MASTERS.to_owned()],
        })
    }

    fn request<'r>(&'r self, namespace: &'r str) -> Request<'r> {
        Request {
            namespace,
            user: USER,
            uid: "",
            groups: &self.groups,
            extra: &NO_EXTRA,
            now: jiff::Timestamp::now(),
            dry_run: false,
            options: &NO_OPTIONS,
            warn: &|_| {},
        }
    }

    /// All objects.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn all(&self) -> Result<Vec<Value>, Status> {
        let everything = ListOptions {
            scope: Scope::default(),
            revision: Revision::Latest,
            limit: 0,
            continue_token: String::new(),
        };
        let listed = self.store.list(everything).await?;
        let decode = |stored| codec::decode(&self.store.resource, stored);
        listed.items.iter().map(decode).collect()
    }

    /// The object of a name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn get(&self, namespace: &str, name: &str) -> Result<Option<Value>, Status> {
        match self.store.get(namespace, name, Revision::Latest).await {
            Ok(stored) => codec::decode(&self.store.resource, &stored).map(Some),
            Err(status) if status.reason == "NotFound" => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// Makes an object; it is fine when another server was faster.
    ///
    /// # Errors
    /// Whatever admission, validation or the store says.
    pub(crate) async fn create(&self, namespace: &str, wanted: &Value) -> Result<(), Status> {
        self.create_as(MANAGER, namespace, wanted).await
    }

    /// The same under the name of another manager.
    ///
    /// # Errors
    /// Whatever admission, validation or the store says.
    pub(crate) async fn create_as(&self, manager: &str, namespace: &str, wanted: &Value) -> Result<(), Status> {
        let rq = self.request(namespace);
        let mut new = wanted.clone();
        codec::set_kind(&mut new, &self.store.resource.gvk);
        codec::default(&self.store.resource, &mut new);
        self.managers.update(&rq, None, &mut new, manager);
        match self.store.create(&rq, new).await {
            Err(status) if status.reason != "AlreadyExists" => Err(status),
            _ => Ok(()),
        }
    }

    /// Changes an object.
    ///
    /// # Errors
    /// Whatever admission, validation or the store says.
    pub(crate) async fn change(&self, namespace: &str, name: &str, change: &Change<'_>) -> Result<(), Status> {
        self.change_in("", namespace, name, change).await
    }

    /// Changes an object through one of its subresources; an empty one means the object itself.
    ///
    /// # Errors
    /// Whatever admission, validation or the store says.
    pub(crate) async fn change_in(
        &self,
        subresource: &'static str,
        namespace: &str,
        name: &str,
        change: &Change<'_>,
    ) -> Result<(), Status> {
        let managers = self.store.managers(subresource)?;
        let transform = |rq: &Request<'_>, current: Option<&Value>| {
            let mut new = current.cloned().unwrap_or_default();
            change(&mut new);
            managers.update(rq, current, &mut new, MANAGER);
            Ok(new)
        };
        self.update(namespace, name, subresource, &transform).await
    }

    /// Applies a configuration to the status of an object, as `manager`.
    ///
    /// # Errors
    /// Whatever admission, validation or the store says.
    pub(crate) async fn apply_status(&self, name: &str, config: &Value, manager: &str) -> Result<(), Status> {
        let managers = self.store.managers("status")?;
        let resource = &self.store.resource;
        let mut config = config.clone();
        codec::set_kind(&mut config, &resource.gvk);
        let transform = |rq: &Request<'_>, current: Option<&Value>| {
            let applied = managers.apply(rq, current, &config, manager, true)?;
            let decoded = decode_value(&applied.object, codec::type_of(&resource.gvk)?);
            let mut new = decoded.map_err(Status::internal)?.value;
            codec::default(resource, &mut new);
            Ok(new)
        };
        self.update("", name, "status", &transform).await
    }

    async fn update(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        transform: &dyn Transform,
    ) -> Result<(), Status> {
        let resource = &self.store.resource;
        let strategy = match resource.subresource(subresource).map(|s| &s.action) {
            Some(Action::Object(strategy)) => strategy,
            _ => &resource.strategy,
        };
        let update = Update {
            name,
            subresource,
            kind: &resource.gvk,
            view: None,
            strategy: strategy.as_ref(),
            uid: None,
            transform,
            force_create: false,
        };
        self.store.update(&self.request(namespace), &update).await.map(drop)
    }

    /// Removes an object.
    ///
    /// # Errors
    /// Whatever admission or the store says.
    pub(crate) async fn delete(&self, namespace: &str, name: &str) -> Result<(), Status> {
        let (rq, options) = (self.request(namespace), DeleteOptions::default());
        match self.store.delete(&rq, name, &options).await {
            Err(status) if status.reason != "NotFound" => Err(status),
            _ => Ok(()),
        }
    }
}
