//! All served resources with their stores. Those that are defined at run time come and go.

use super::codec;
use super::frames::Frames;
use super::managers::Managers;
use super::request::{NO_EXTRA, NO_OPTIONS, Request};
use super::resource::Resource;
use super::store::{SideEffects, Store};
use super::structure::Version;
use crate::admission::{Chain, Change, Equivalent, Lookup, ObjectRef};
use crate::storage::interface::{Error, ListOptions, Preconditions, Revision, Scope, Storage, Update};
use bytes::Bytes;
use futures::future::BoxFuture;
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::object::Stored;
use machinery::schema::{self, Type};
use machinery::status::Status;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// The name under which the server itself writes and owns fields.
const OWN_NAME: &str = "kube-apiserver";

/// The resources that are served: the built-in ones, which stay, and those that are defined at run time.
pub struct Catalog {
    builtin: Arc<Part>,
    custom: Mutex<Arc<Part>>,
    directory: Arc<Directory>,
    lookup: Arc<dyn Lookup>,
    admission: Chain,
    frames: Arc<Frames>,
}

/// Resources with their stores, in the order in which they were defined.
#[derive(Default)]
struct Part {
    stores: Vec<Arc<Store>>,
    index: HashMap<(String, String, String), usize>,
}

impl Part {
    fn of(stores: Vec<Arc<Store>>) -> Self {
        let key = |store: &Store| {
            let gvk = &store.resource.gvk;
            (
                gvk.group.clone(),
                gvk.version.clone(),
                store.resource.plural.to_string(),
            )
        };
        let index = stores.iter().enumerate().map(|(i, store)| (key(store), i)).collect();
        Part { stores, index }
    }

    fn store(&self, key: &(String, String, String)) -> Option<&Arc<Store>> {
        self.index.get(key).and_then(|i| self.stores.get(*i))
    }

    fn has_group(&self, group: &str) -> bool {
        self.stores.iter().any(|store| store.resource.gvk.group == group)
    }
}

/// What is served at one moment.
pub struct Served {
    builtin: Arc<Part>,
    custom: Arc<Part>,
}

impl Served {
    /// The store of a resource.
    pub fn store(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Store>> {
        let key = (group.to_owned(), version.to_owned(), plural.to_owned());
        self.builtin.store(&key).or_else(|| self.custom.store(&key))
    }

    /// All stores that discovery shows, the built-in resources first.
    pub fn stores(&self) -> impl Iterator<Item = &Arc<Store>> {
        let announced = |store: &&Arc<Store>| store.resource.custom.as_ref().is_none_or(|custom| custom.announced);
        self.builtin.stores.iter().chain(&self.custom.stores).filter(announced)
    }

    /// Whether a group has built-in resources.
    pub fn is_builtin(&self, group: &str) -> bool {
        self.builtin.has_group(group)
    }

    /// Whether discovery shows a group.
    pub fn has_group(&self, group: &str) -> bool {
        self.stores().any(|store| store.resource.gvk.group == group)
    }

    /// Whether discovery shows a group in this version.
    pub fn has_version(&self, group: &str, version: &str) -> bool {
        self.stores()
            .any(|store| store.resource.gvk.group == group && store.resource.gvk.version == version)
    }
}

impl Catalog {
    /// Builds the stores of all built-in resources. `storage` is asked once per storage key, because versions of one kind
    /// share their objects, and for each resource without one. `side_effects` answers what else a write of the resource with
    /// a storage key involves.
    pub fn new(
        resources: Vec<Resource>,
        mut storage: impl FnMut(&Resource) -> Arc<dyn Storage>,
        admission: &Chain,
        side_effects: impl Fn(&str) -> Option<Arc<dyn SideEffects>>,
    ) -> Self {
        let mut storages: BTreeMap<String, Arc<dyn Storage>> = BTreeMap::new();
        let resources: Vec<(Arc<Resource>, Arc<dyn Storage>)> = resources
            .into_iter()
            .map(|resource| {
                // What is not stored has nothing to share.
                let storage = match &*resource.storage_key {
                    "" => storage(&resource),
                    key => {
                        let shared = storages.entry(key.to_owned());
                        shared.or_insert_with(|| storage(&resource)).clone()
                    }
                };
                (Arc::new(resource), storage)
            })
            .collect();
        let known = resources.iter().map(|(resource, storage)| (resource, storage));
        let directory = Arc::new(Directory {
            builtin: directory(known),
            custom: Mutex::default(),
        });
        let versions = |key: &str| -> Arc<[Arc<Resource>]> {
            let same = resources.iter().filter(|(r, _)| *r.storage_key == *key);
            same.map(|(r, _)| r.clone()).collect()
        };
        let frames = Arc::new(Frames::default());
        let lookup: Arc<dyn Lookup> = directory.clone();
        let stores = resources
            .iter()
            .map(|(resource, storage)| {
                Arc::new(Store {
                    versions: versions(&resource.storage_key),
                    side_effects: side_effects(&resource.storage_key),
                    resource: resource.clone(),
                    storage: storage.clone(),
                    admission: admission.clone(),
                    lookup: lookup.clone(),
                    frames: frames.clone(),
                })
            })
            .collect();
        Catalog {
            builtin: Arc::new(Part::of(stores)),
            custom: Mutex::default(),
            directory,
            lookup,
            admission: admission.clone(),
            frames,
        }
    }

    /// The stores of a resource that was defined at run time, one for each of its versions; they are not served yet.
    pub fn custom_stores(&self, versions: Vec<(Resource, Arc<dyn Storage>)>) -> Vec<Arc<Store>> {
        let (resources, storages): (Vec<Arc<Resource>>, Vec<_>) = versions
            .into_iter()
            .map(|(resource, storage)| (Arc::new(resource), storage))
            .unzip();
        let versions: Arc<[Arc<Resource>]> = resources.iter().cloned().collect();
        let store = |(resource, storage)| {
            Arc::new(Store {
                versions: versions.clone(),
                side_effects: None,
                resource,
                storage,
                admission: self.admission.clone(),
                lookup: self.lookup().clone(),
                frames: self.frames.clone(),
            })
        };
        resources.into_iter().zip(storages).map(store).collect()
    }

    /// Serves these resources besides the built-in ones from now on, and no others.
    pub fn serve_custom(&self, stores: Vec<Arc<Store>>) {
        let known = stores.iter().map(|store| (&store.resource, &store.storage));
        *chassis::lock(&self.directory.custom) = Arc::new(directory(known));
        *chassis::lock(&self.custom) = Arc::new(Part::of(stores));
    }

    /// What is served now.
    pub fn served(&self) -> Served {
        Served {
            builtin: self.builtin.clone(),
            custom: chassis::lock(&self.custom).clone(),
        }
    }

    /// The store of a built-in resource.
    pub fn store(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Store>> {
        let key = (group.to_owned(), version.to_owned(), plural.to_owned());
        self.builtin.store(&key)
    }

    /// The stores of all built-in resources, in the order in which they were defined.
    pub fn stores(&self) -> &[Arc<Store>] {
        &self.builtin.stores
    }

    /// Reads of any object from the cache.
    pub fn lookup(&self) -> &Arc<dyn Lookup> {
        &self.lookup
    }
}

/// What is known of resources whatever their version. One that is served in several versions is read in the one defined
/// first.
type Resources = HashMap<GroupResource, Known>;

/// Reads and writes through the storages.
struct Directory {
    builtin: Resources,
    custom: Mutex<Arc<Resources>>,
}

#[derive(Clone)]
struct Known {
    resource: Arc<Resource>,
    versions: Vec<Arc<Resource>>,
    storage: Arc<dyn Storage>,
}

fn directory<'a>(resources: impl Iterator<Item = (&'a Arc<Resource>, &'a Arc<dyn Storage>)>) -> Resources {
    let mut map = Resources::new();
    for (resource, storage) in resources {
        let known = map.entry(resource.group_resource()).or_insert_with(|| Known {
            resource: resource.clone(),
            versions: Vec::new(),
            storage: storage.clone(),
        });
        known.versions.push(resource.clone());
    }
    map
}

impl Directory {
    fn custom(&self) -> Arc<Resources> {
        chassis::lock(&self.custom).clone()
    }

    fn served(&self, resource: &GroupResource) -> Result<Known, Status> {
        let known = self.builtin.get(resource).cloned();
        known
            .or_else(|| self.custom().get(resource).cloned())
            .ok_or_else(|| Status::internal(format!("resource {resource} is not served")))
    }

    /// What `f` finds among all resources.
    fn find<T>(&self, f: impl Fn(&Known) -> Option<T>) -> Option<T> {
        self.builtin
            .values()
            .find_map(&f)
            .or_else(|| self.custom().values().find_map(&f))
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
    /// The kind in another version.
    fn kind(&self, version: &str) -> GroupVersionKind {
        GroupVersionKind {
            version: version.to_owned(),
            ..self.resource.gvk.clone()
        }
    }

    /// Whether a definition has a version of that kind, which need not be served.
    fn has(&self, kind: &GroupVersionKind) -> bool {
        let own = &self.resource.gvk;
        let versions = self.resource.custom.as_ref().map(|custom| &custom.versions);
        own.group == kind.group
            && own.kind == kind.kind
            && versions.is_some_and(|versions| versions.iter().any(|version| version.name == kind.version))
    }

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

impl Lookup for Directory {
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
        let version = |known: &Known| match known.has(kind) {
            // The hooks of any version of a definition set the defaults of all.
            true => Some(known.resource.clone()),
            false => known.versions.iter().find(|version| version.gvk == *kind).cloned(),
        };
        if let Some(resource) = self.find(version) {
            codec::default(&resource, object);
        }
    }

    fn equivalents(&self, resource: &GroupResource, version: &str, subresource: &str) -> Vec<Equivalent> {
        let Ok(known) = self.served(resource) else {
            return Vec::new();
        };
        if let Some(custom) = &known.resource.custom {
            let others = custom.versions.iter().filter(|other| other.name != version);
            let form = |other: &Version| {
                let kind = match subresource {
                    "" => known.kind(&other.name),
                    name => other.below.iter().find(|(below, _)| *below == name)?.1.clone(),
                };
                Some(Equivalent {
                    resource: resource.clone(),
                    version: other.name.clone(),
                    kind,
                })
            };
            return others.filter_map(form).collect();
        }
        let other = |served: &Arc<Resource>| -> Option<Equivalent> {
            let name = served.group_resource();
            let kind = match subresource {
                "" => &served.gvk,
                below => &served.subresource(below)?.gvk,
            };
            let same = name == *resource && served.gvk.version == version;
            (!same).then(|| Equivalent {
                resource: name,
                version: served.gvk.version.clone(),
                kind: kind.clone(),
            })
        };
        let key = &known.resource.storage_key;
        if key.is_empty() {
            return known.versions.iter().filter_map(other).collect();
        }
        let mut same: Vec<(&GroupResource, &Known)> = self
            .builtin
            .iter()
            .filter(|(_, known)| known.resource.storage_key == *key)
            .collect();
        same.sort_by(|(a, _), (b, _)| (&a.group, &a.resource).cmp(&(&b.group, &b.resource)));
        let versions = same.into_iter().flat_map(|(_, known)| &known.versions);
        versions.filter_map(other).collect()
    }

    fn convert<'a>(
        &'a self,
        object: Value,
        from: &'a GroupVersionKind,
        to: &'a GroupVersionKind,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(async move {
            if from == to {
                return Ok(object);
            }
            let custom = self.find(|known| (known.has(from) && known.has(to)).then(|| known.storage.clone()));
            if let Some(storage) = custom {
                let converted = storage.convert(object, &to.api_version()).await;
                return converted.map_err(|error| match error {
                    Error::Refused(status) => status.message,
                    error => error.to_string(),
                });
            }
            let served = |kind: &GroupVersionKind| {
                self.find(|known| {
                    let version = known.versions.iter().find(|version| version.gvk == *kind)?;
                    Some(version.clone())
                })
            };
            let (Some(from), Some(to)) = (served(from), served(to)) else {
                return Err(format!("there is no conversion from {from} to {to}"));
            };
            codec::convert(&from, &to, object).map_err(|status| status.message)
        })
    }

    fn with_type(&self, kind: &GroupVersionKind, see: &mut dyn FnMut(Option<&Type>)) {
        let here = |gvk: &GroupVersionKind| gvk.group == kind.group && gvk.version == kind.version;
        let find = |known: &Known| known.versions.iter().find(|version| here(&version.gvk)).cloned();
        if self.find(find).is_none() {
            return;
        }
        // A document has the kinds of the paths in it, so that of a subresource may be missing in its own version's.
        let shown = |known: &Known| {
            let mut versions = known.versions.iter().filter(|version| here(&version.gvk));
            let shows = |version: &&Arc<Resource>| {
                version.gvk == *kind || version.subresources.iter().any(|below| below.gvk == *kind)
            };
            versions.find(shows).cloned()
        };
        match self.find(shown) {
            None => see(None),
            Some(resource) => match &resource.custom {
                Some(custom) => see(Some(custom.structure.ty())),
                None => see(schema::by_gvk(&kind.group, &kind.version, &kind.kind)),
            },
        }
    }

    fn resource_of(&self, kind: &GroupVersionKind) -> Option<(GroupResource, bool)> {
        self.find(|known| {
            let served = known.versions.iter().any(|version| version.gvk == *kind);
            served.then(|| (known.resource.group_resource(), known.resource.namespaced()))
        })
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
