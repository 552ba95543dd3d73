//! All served resources with their stores.

use super::codec;
use super::frames::Frames;
use super::managers::Managers;
use super::request::{NO_EXTRA, NO_OPTIONS, Request};
use super::resource::Resource;
use super::store::{SideEffects, Store};
use crate::admission::{Chain, Change, Lookup, ObjectRef};
use crate::storage::interface::{Error, ListOptions, Preconditions, Revision, Scope, Storage, Update};
use bytes::Bytes;
use futures::future::BoxFuture;
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::object::Stored;
use machinery::status::Status;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The name under which the server itself writes and owns fields.
const OWN_NAME: &str = "kube-apiserver";

/// The served resources, in the order in which they were defined.
pub struct Catalog {
    stores: Vec<Arc<Store>>,
    index: HashMap<(String, String, String), usize>,
    lookup: Arc<dyn Lookup>,
}

impl Catalog {
    /// Builds the stores of all resources. `storage` is asked once per storage key, because versions of one kind share
    /// their objects, and for each resource without one. `side_effects` answers what else a write of the resource with a storage key involves.
    pub fn new(
        resources: Vec<Resource>,
        mut storage: impl FnMut(&Resource) -> Arc<dyn Storage>,
        admission: &Chain,
        side_effects: impl Fn(&str) -> Option<Arc<dyn SideEffects>>,
    ) -> Self {
        let mut storages: BTreeMap<&'static str, Arc<dyn Storage>> = BTreeMap::new();
        let resources: Vec<(Arc<Resource>, Arc<dyn Storage>)> = resources
            .into_iter()
            .map(|resource| {
                // What is not stored has nothing to share.
                let storage = match resource.storage_key {
                    "" => storage(&resource),
                    key => storages.entry(key).or_insert_with(|| storage(&resource)).clone(),
                };
                (Arc::new(resource), storage)
            })
            .collect();
        let lookup: Arc<dyn Lookup> = Arc::new(StorageLookup::new(&resources));
        let versions = |key: &str| -> Arc<[Arc<Resource>]> {
            resources
                .iter()
                .filter(|(r, _)| r.storage_key == key)
                .map(|(r, _)| r.clone())
                .collect()
        };
        let frames = Arc::new(Frames::default());
        let stores: Vec<Arc<Store>> = resources
            .iter()
            .map(|(resource, storage)| (resource.clone(), storage.clone()))
            .map(|(resource, storage)| {
                Arc::new(Store {
                    versions: versions(resource.storage_key),
                    side_effects: side_effects(resource.storage_key),
                    resource,
                    storage,
                    admission: admission.clone(),
                    lookup: lookup.clone(),
                    frames: frames.clone(),
                })
            })
            .collect();
        let key = |store: &Store| {
            let gvk = &store.resource.gvk;
            (gvk.group.clone(), gvk.version.clone(), store.resource.plural.to_owned())
        };
        let index = stores.iter().enumerate().map(|(i, store)| (key(store), i)).collect();
        Catalog { stores, index, lookup }
    }

    /// The store of a served resource.
    pub fn store(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Store>> {
        let key = (group.to_owned(), version.to_owned(), plural.to_owned());
        self.index.get(&key).and_then(|i| self.stores.get(*i))
    }

    /// All stores, in the order in which their resources were defined.
    pub fn stores(&self) -> &[Arc<Store>] {
        &self.stores
    }

    /// Whether a group is served in any version.
    pub fn has_group(&self, group: &str) -> bool {
        self.stores.iter().any(|store| store.resource.gvk.group == group)
    }

    /// Whether a group is served in this version.
    pub fn has_version(&self, group: &str, version: &str) -> bool {
        self.stores
            .iter()
            .any(|store| store.resource.gvk.group == group && store.resource.gvk.version == version)
    }

    /// Reads of any object from the cache.
    pub fn lookup(&self) -> &Arc<dyn Lookup> {
        &self.lookup
    }
}

/// Reads and writes through the storages. A resource that is served in several versions is read in the one defined
/// first.
struct StorageLookup(HashMap<GroupResource, Known>);

struct Known {
    resource: Arc<Resource>,
    versions: Vec<Arc<Resource>>,
    storage: Arc<dyn Storage>,
}

impl StorageLookup {
    fn new(resources: &[(Arc<Resource>, Arc<dyn Storage>)]) -> Self {
        let mut map: HashMap<GroupResource, Known> = HashMap::new();
        for (resource, storage) in resources {
            let known = map.entry(resource.group_resource()).or_insert_with(|| Known {
                resource: resource.clone(),
                versions: Vec::new(),
                storage: storage.clone(),
            });
            known.versions.push(resource.clone());
        }
        StorageLookup(map)
    }

    fn served(&self, resource: &GroupResource) -> Result<&Known, Status> {
        self.0
            .get(resource)
            .ok_or_else(|| Status::internal(format!("resource {resource} is not served")))
    }

    async fn read(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
        revision: Revision,
    ) -> Result<Option<Value>, Status> {
        let known = self.served(resource)?;
        match known.storage.get(namespace, name, revision).await {
            Ok(stored) => codec::decode(&known.resource, &stored).map(Some),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Status::internal(error)),
        }
    }
}

impl Known {
    /// The object with another status, as this server has written it; `None` when nothing changes.
    fn with_status(&self, namespace: &str, stored: &Stored, change: Change<'_>) -> Result<Option<Bytes>, Status> {
        const SUBRESOURCE: &str = "status";
        let old = codec::decode(&self.resource, stored)?;
        let mut new = old.clone();
        change(&mut new)?;
        if new == old {
            return Ok(None);
        }
        let rq = Request {
            namespace,
            user: OWN_NAME,
            uid: "",
            groups: &[],
            extra: &NO_EXTRA,
            now: jiff::Timestamp::now(),
            dry_run: false,
            options: &NO_OPTIONS,
            warn: &|_| {},
        };
        Managers::of(&self.resource.gvk, &self.versions, SUBRESOURCE)?.update(&rq, Some(&old), &mut new, OWN_NAME);
        codec::to_storage(&self.resource, new).map(|value| Some(codec::to_bytes(&value)))
    }
}

impl Lookup for StorageLookup {
    fn get<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, Status>> {
        Box::pin(self.read(resource, namespace, name, Revision::Any))
    }

    fn latest<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, Status>> {
        Box::pin(self.read(resource, namespace, name, Revision::Latest))
    }

    fn list<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Value>, Status>> {
        Box::pin(async move {
            let known = self.served(resource)?;
            let options = ListOptions {
                scope: Scope {
                    namespace: namespace.to_owned(),
                    ..Scope::default()
                },
                revision: Revision::Any,
                limit: 0,
                continue_token: String::new(),
            };
            let listed = known.storage.list(options).await.map_err(Status::internal)?;
            listed
                .items
                .iter()
                .map(|stored| codec::decode(&known.resource, stored))
                .collect()
        })
    }

    fn default(&self, kind: &GroupVersionKind, object: &mut Value) {
        let versions = self.0.values().flat_map(|known| &known.versions);
        if let Some(resource) = versions.into_iter().find(|version| version.gvk == *kind) {
            codec::default(resource, object);
        }
    }

    fn resource_of(&self, kind: &GroupVersionKind) -> Option<(GroupResource, bool)> {
        let served = |known: &&Known| known.versions.iter().any(|version| version.gvk == *kind);
        let known = self.0.values().find(served)?;
        Some((known.resource.group_resource(), known.resource.namespaced()))
    }

    fn change_status<'a>(
        &'a self,
        object: ObjectRef<'a>,
        dry_run: bool,
        change: Change<'a>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let known = self.served(object.resource)?;
            let (namespace, name) = (object.namespace, object.name);
            let done = if dry_run {
                let found = known.storage.get(namespace, name, Revision::Latest).await;
                match found {
                    Ok(stored) => return known.with_status(namespace, &stored, change).map(drop),
                    Err(error) => Err(error),
                }
            } else {
                let mut step = |stored: Option<&Stored>| -> BoxFuture<'_, Result<Update, Box<Status>>> {
                    let changed = stored
                        .ok_or_else(|| Status::not_found(object.resource, name))
                        .and_then(|stored| known.with_status(namespace, stored, change));
                    let update = changed.map(|changed| changed.map_or(Update::Keep, Update::Write));
                    Box::pin(std::future::ready(update.map_err(Box::new)))
                };
                let anyone = Preconditions::default();
                known
                    .storage
                    .update(namespace, name, &anyone, &mut step)
                    .await
                    .map(drop)
            };
            match done {
                // What is gone has no status any more.
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(Error::Refused(status)) if status.reason == "NotFound" => Ok(()),
                Err(Error::Refused(status)) => Err(*status),
                Err(error) => Err(Status::internal(error)),
            }
        })
    }
}
