//! Reads and writes of one resource in one served version (k8s.io/apiserver `pkg/registry/generic/registry/store.go`).

pub mod admit;
pub mod create;
pub mod delete;
pub mod delete_collection;
pub mod errors;
mod namespace;
pub mod options;
pub mod read;
pub mod update;

use super::before;
use super::frames::Frames;
use super::managers::Managers;
use super::request::Request;
use super::resource::Resource;
use super::strategy::Strategy;
use crate::admission::{Chain, Lookup};
use crate::storage::interface::Storage;
use futures::future::BoxFuture;
use machinery::field::{Error, ErrorList};
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::sync::Arc;

/// What all keys begin with.
const STORAGE_PREFIX: &str = "/registry";

/// The pipeline of one resource in one served version. Versions of one kind share `storage`.
pub struct Store {
    /// The definition.
    pub resource: Arc<Resource>,
    /// The definitions of all versions in which the objects are served, this one included.
    pub versions: Arc<[Arc<Resource>]>,
    /// Where the objects are.
    pub storage: Arc<dyn Storage>,
    /// What a write has to pass.
    pub admission: Chain,
    /// What admission plugins may read.
    pub lookup: Arc<dyn Lookup>,
    /// What else a write of this resource involves, such as cluster IPs.
    pub side_effects: Option<Arc<dyn SideEffects>>,
    /// What watchers share.
    pub frames: Arc<Frames>,
}

/// Something outside the object that a write reserves or frees, such as the addresses of a Service.
pub trait SideEffects: Send + Sync {
    /// Reserves what an object needs and writes it into the object; `old` is `None` for a new one. A dry run reserves
    /// nothing but fills the object all the same.
    fn begin<'a>(
        &'a self,
        new: &'a mut Value,
        old: Option<&'a Value>,
        dry_run: bool,
    ) -> BoxFuture<'a, Result<Reservation, Status>>;

    /// Frees what a removed object had.
    fn removed<'a>(&'a self, obj: &'a Value) -> BoxFuture<'a, ()>;
}

/// What [`SideEffects::begin`] did; it must be finished once the outcome of the write is known.
pub type Reservation = Box<dyn FnOnce(bool) -> BoxFuture<'static, ()> + Send>;

impl Store {
    /// The rules of ownership for writes to the objects through a subresource; empty for the object itself.
    ///
    /// # Errors
    /// 500 for a kind that has no schema.
    pub fn managers(&self, subresource: &'static str) -> Result<Managers, Status> {
        Managers::of(&self.resource.gvk, &self.versions, subresource)
    }

    /// Reserves what an object needs besides its place in the store; the answer has to be finished once the outcome of the
    /// write is known.
    async fn reserve(
        &self,
        rq: &Request<'_>,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Result<Option<Reservation>, Status> {
        before::before_reservation(rq, &self.resource, self.resource.strategy.as_ref(), new, old)?;
        match &self.side_effects {
            Some(effects) => effects.begin(new, old, rq.dry_run).await.map(Some),
            None => Ok(None),
        }
    }

    /// What an object wants that its namespace does not grant (kubernetes `pkg/registry/resource/utils.go`).
    async fn missing_privileges(
        &self,
        rq: &Request<'_>,
        strategy: &dyn Strategy,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<ErrorList, Status> {
        let Some(wanted) = strategy.privilege(new, old) else {
            return Ok(ErrorList::new());
        };
        let namespaces = GroupResource::new("", "namespaces");
        let error = match self.lookup.latest(&namespaces, "", rq.namespace).await? {
            None => {
                let why = Status::not_found(&namespaces, rq.namespace).message;
                let what = wanted.what;
                let detail = format!("could not retrieve namespace to verify {what}: {why}");
                Error::internal(&wanted.field, detail)
            }
            Some(namespace) => {
                if meta::str_at(&namespace, &["metadata", "labels", wanted.label]) == Some("true") {
                    return Ok(ErrorList::new());
                }
                Error::forbidden(&wanted.field, wanted.refusal)
            }
        };
        Ok(vec![error])
    }

    /// The store's key of an object, as error messages show it.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        let base = format!("{STORAGE_PREFIX}/{}", &*self.resource.storage_key);
        if namespace.is_empty() {
            format!("{base}/{name}")
        } else {
            format!("{base}/{namespace}/{name}")
        }
    }
}
