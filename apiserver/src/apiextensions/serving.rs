//! Which custom resources are served: every change of a definition takes effect at once.

use super::convert::Converter;
use super::definition::Definition;
use super::kind::Kind;
use super::resource;
use super::versioned::{Shared, Versioned};
use crate::registry::catalog::Catalog;
use crate::registry::resource::Resource;
use crate::registry::store::Store;
use crate::storage::Codec;
use crate::storage::cacher::{Cacher, Hub};
use crate::storage::etcd3::{self, Connection};
use crate::storage::interface::Storage;
use crate::webhook::Client;
use machinery::object::Stored;
use machinery::status::Status;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What custom resources are served from.
pub struct Environment {
    /// The store.
    pub connection: Connection,
    /// What feeds the caches.
    pub hub: Hub,
    /// `--etcd-prefix`.
    pub etcd_prefix: String,
    /// Who calls the webhooks that convert.
    pub webhooks: Client,
}

/// The definitions that are served.
pub struct CustomResources {
    environment: Environment,
    /// By name.
    served: Mutex<BTreeMap<String, Served>>,
}

/// A definition that is served.
struct Served {
    definition: Definition,
    kind: Arc<Kind>,
    objects: Arc<Objects>,
    converter: Arc<Converter>,
    /// One for each version that is served.
    stores: Vec<Arc<Store>>,
    /// That of the stored version.
    own: Option<Arc<Store>>,
}

/// The objects of a definition; when it changes or goes, their watches end.
struct Objects(Arc<Cacher>);

impl Drop for Objects {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl CustomResources {
    /// Serves nothing yet.
    pub fn new(environment: Environment) -> Self {
        CustomResources {
            environment,
            served: Mutex::default(),
        }
    }

    /// Serves these definitions, as they are stored, besides those that are served.
    ///
    /// # Errors
    /// 500 when one is damaged.
    pub fn put<'a>(&self, catalog: &Catalog, definitions: impl IntoIterator<Item = &'a Stored>) -> Result<(), Status> {
        let mut served = chassis::lock(&self.served);
        let mut changed = false;
        for stored in definitions {
            let name = stored.index.name.to_string();
            let object = stored.decode().map_err(Status::internal)?;
            let before = served.remove(&name);
            let was = before
                .as_ref()
                .map(|before| (before.definition.digest, before.definition.state));
            let definition = Definition::read(object, stored.bytes.clone());
            let definition = definition.filter(|definition| !is_builtin(catalog, definition));
            changed |= was != definition.as_ref().map(|after| (after.digest, after.state));
            if let Some(definition) = definition {
                served.insert(name, self.serve(catalog, definition, before));
            }
        }
        if changed {
            publish(catalog, &served);
        }
        Ok(())
    }

    /// Serves a definition no more.
    pub fn remove(&self, catalog: &Catalog, name: &str) {
        let mut served = chassis::lock(&self.served);
        let removed = served.remove(name);
        if removed.is_some() {
            publish(catalog, &served);
        }
    }

    /// The objects of a definition, without anybody who could refuse to let them go; `None` when it is not served.
    pub fn objects(&self, name: &str) -> Option<Store> {
        let served = chassis::lock(&self.served);
        let own = served.get(name)?.own.as_ref()?;
        Some(own.without_admission())
    }

    /// What is served of a definition. As long as spec and names stay the same, its objects stay where they are.
    fn serve(&self, catalog: &Catalog, definition: Definition, before: Option<Served>) -> Served {
        let before = before.filter(|before| before.definition.digest == definition.digest);
        if let Some(before) = &before {
            before.kind.retell(definition.text.clone());
        }
        let (kind, objects, converter) = match before {
            Some(before) if before.definition.state == definition.state => return before,
            Some(before) => (before.kind, before.objects, before.converter),
            None => {
                let kind = Kind::of(&definition);
                let objects = self.objects_of(&definition, &kind);
                let converter = Converter::of(&definition, &self.environment.webhooks);
                (kind, objects, Arc::new(converter))
            }
        };
        let stored = definition.api_version(definition.storage_version());
        let versions = resource::all(&definition, &kind).into_iter();
        let storage = |resource: Resource| {
            let shared = Shared {
                inner: objects.0.clone(),
                kind: kind.clone(),
                converter: converter.clone(),
                seen: resource.gvk.clone(),
                stored: stored.clone(),
                selectable: resource.selectable_fields.clone(),
            };
            (resource, Arc::new(Versioned(Arc::new(shared))) as Arc<dyn Storage>)
        };
        let own = resource::stored(&definition, &kind).map(storage);
        let stores = catalog.custom_stores(versions.map(storage).collect());
        let own = catalog.custom_stores(own.into_iter().collect()).pop();
        Served {
            definition,
            kind,
            objects,
            converter,
            stores,
            own,
        }
    }

    fn objects_of(&self, definition: &Definition, kind: &Arc<Kind>) -> Arc<Objects> {
        let environment = &self.environment;
        let kind = kind.clone();
        let codec = Codec::new(
            &environment.etcd_prefix,
            &resource::storage_key(definition),
            definition.namespaced,
            resource::selectable(&definition.versions),
            Some(Arc::new(move |object| kind.adopt(object))),
        );
        let store = etcd3::Store::new(environment.connection.clone(), codec);
        Arc::new(Objects(Arc::new(Cacher::lazy(store, environment.hub.clone()))))
    }
}

/// Whether the server has a resource of that name by itself, which is the one that is served.
fn is_builtin(catalog: &Catalog, definition: &Definition) -> bool {
    let same = |store: &Arc<Store>| {
        store.resource.gvk.group == definition.group && *store.resource.plural == *definition.named("plural")
    };
    catalog.stores().iter().any(same)
}

fn publish(catalog: &Catalog, served: &BTreeMap<String, Served>) {
    catalog.serve_custom(
        served
            .values()
            .flat_map(|served| served.stores.iter().cloned())
            .collect(),
    );
}
