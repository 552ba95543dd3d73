//! The objects of a kind as one of its versions sees them, over the storage that has them in the version in which they were
//! written (k8s.io/apiserver `pkg/runtime/serializer/versioning`, for definitions).

use super::convert::Converter;
use super::kind::Kind;
use crate::registry::codec;
use crate::storage::interface::{
    Error, Event, ListOptions, Listed, Preconditions, Revision, Storage, Update, UpdateFn, Watch, WatchOptions,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{StreamExt, future};
use machinery::gvk::GroupVersionKind;
use machinery::object::{Index, Selectable, Stored};
use machinery::selector::field;
use machinery::status::Status;
use serde_json::Value;
use std::sync::Arc;
use structural::Coercion;

/// One version of a kind.
#[derive(Clone)]
pub(super) struct Versioned(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) inner: Arc<dyn Storage>,
    pub(super) kind: Arc<Kind>,
    pub(super) converter: Arc<Converter>,
    /// The version in which objects are seen.
    pub(super) seen: GroupVersionKind,
    /// Group and version in which objects are written.
    pub(super) stored: String,
    pub(super) selectable: Selectable,
}

fn damaged(stored: &Stored, why: impl std::fmt::Display) -> Error {
    Error::Corrupt {
        key: format!("{}/{}", stored.index.namespace, stored.index.name),
        why: why.to_string(),
    }
}

impl Versioned {
    /// Objects from the store, as this version sees them. Those that were written in it stay as they are.
    async fn see(&self, mut objects: Vec<Stored>) -> Result<Vec<Stored>, Error> {
        let shared = &*self.0;
        let (prefix, api_version) = (codec::type_prefix(&shared.seen), shared.seen.api_version());
        let mut others = Vec::new();
        for (place, object) in objects.iter().enumerate() {
            if object.bytes.starts_with(prefix.as_bytes()) {
                continue;
            }
            let value = object.decode().map_err(|why| damaged(object, why))?;
            if value["apiVersion"] != *api_version {
                others.push((place, value));
            }
        }
        let (places, values): (Vec<usize>, Vec<Value>) = others.into_iter().unzip();
        if values.is_empty() {
            return Ok(objects);
        }
        let converted = shared.converter.convert(values, &api_version).await.map_err(Box::new)?;
        for (place, mut value) in places.into_iter().zip(converted) {
            let Some(object) = objects.get_mut(place) else { continue };
            self.clean(&mut value)?;
            object.index = Index::of(&value, &shared.selectable).into();
            object.bytes = codec::to_bytes(&value);
        }
        Ok(objects)
    }

    async fn see_one(&self, object: Stored) -> Result<Stored, Error> {
        let mut seen = self.see(vec![object]).await?;
        seen.pop()
            .ok_or_else(|| Error::Unavailable("the object was lost".to_owned()))
    }

    /// An object of this version as it is written.
    async fn written(&self, value: Bytes) -> Result<Bytes, Error> {
        let shared = &*self.0;
        if shared.seen.api_version() == shared.stored {
            return Ok(value);
        }
        let object: Value = serde_json::from_slice(&value).map_err(|why| Error::Invalid(why.to_string()))?;
        let converted = shared.converter.convert(vec![object], &shared.stored).await;
        let mut converted = converted.map_err(Box::new)?.pop().unwrap_or_default();
        self.clean(&mut converted)?;
        Ok(codec::to_bytes(&converted))
    }

    fn clean(&self, object: &mut Value) -> Result<(), Error> {
        let cleaned = self.0.kind.coerce(object, Coercion::default());
        cleaned
            .map(drop)
            .map_err(|why| Error::Refused(Box::new(Status::internal(why))))
    }

    /// The fields by which only converted objects can be selected: they are taken from what the store is asked.
    fn own_fields(&self, selector: &mut field::Selector) -> field::Selector {
        if self.0.kind.rewrites || self.0.seen.api_version() == self.0.stored {
            return field::Selector::default();
        }
        let (own, rest) = std::mem::take(&mut selector.terms)
            .into_iter()
            .partition(|term| !term.path.starts_with("metadata."));
        selector.terms = rest;
        field::Selector { terms: own }
    }

    async fn event(self, event: Event, fields: Arc<field::Selector>) -> Option<Event> {
        let seen = |stored| self.see_one(stored);
        let kept = |stored: &Stored| fields.matches(|path| stored.index.field(path));
        let result = match event {
            Event::Added(stored) => seen(stored).await.map(|s| kept(&s).then_some(Event::Added(s))),
            Event::Deleted(stored) => seen(stored).await.map(|s| kept(&s).then_some(Event::Deleted(s))),
            Event::Modified(stored) => seen(stored).await.map(|stored| match kept(&stored) {
                true => Some(Event::Modified(stored)),
                false => Some(Event::Deleted(stored)),
            }),
            other => Ok(Some(other)),
        };
        result.unwrap_or_else(|error| Some(Event::Error(error)))
    }
}

impl Storage for Versioned {
    fn get<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        revision: Revision,
    ) -> BoxFuture<'a, Result<Stored, Error>> {
        Box::pin(async move { self.see_one(self.0.inner.get(namespace, name, revision).await?).await })
    }

    fn list<'a>(&'a self, mut options: ListOptions) -> BoxFuture<'a, Result<Listed, Error>> {
        Box::pin(async move {
            let fields = self.own_fields(&mut options.scope.selector.fields);
            let mut listed = self.0.inner.list(options).await?;
            listed.items = self.see(listed.items).await?;
            listed
                .items
                .retain(|stored| fields.matches(|path| stored.index.field(path)));
            Ok(listed)
        })
    }

    fn watch<'a>(&'a self, mut options: WatchOptions) -> BoxFuture<'a, Result<Watch, Error>> {
        Box::pin(async move {
            let fields = Arc::new(self.own_fields(&mut options.scope.selector.fields));
            let events = self.0.inner.watch(options).await?;
            let this = self.clone();
            let seen = events
                .then(move |event| this.clone().event(event, fields.clone()))
                .filter_map(future::ready);
            Ok(seen.boxed())
        })
    }

    fn create<'a>(&'a self, namespace: &'a str, name: &'a str, value: Bytes) -> BoxFuture<'a, Result<Stored, Error>> {
        Box::pin(async move {
            let written = self.written(value).await?;
            self.see_one(self.0.inner.create(namespace, name, written).await?).await
        })
    }

    fn update<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        preconditions: &'a Preconditions,
        update: &'a mut UpdateFn<'a>,
    ) -> BoxFuture<'a, Result<(Stored, bool), Error>> {
        Box::pin(async move {
            let update = tokio::sync::Mutex::new(update);
            let (this, update) = (self, &update);
            let mut step = |existing: Option<&Stored>| -> BoxFuture<'_, Result<Update, Box<Status>>> {
                let existing = existing.cloned();
                Box::pin(async move {
                    let existing = match existing {
                        Some(stored) => Some(this.see_one(stored).await.map_err(refusal)?),
                        None => None,
                    };
                    let decided = (update.lock().await)(existing.as_ref());
                    match decided.await? {
                        Update::Write(value) => this.written(value).await.map(Update::Write).map_err(refusal),
                        other => Ok(other),
                    }
                })
            };
            let updated = self.0.inner.update(namespace, name, preconditions, &mut step).await;
            let (stored, changed) = updated?;
            Ok((self.see_one(stored).await?, changed))
        })
    }

    fn delete<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        preconditions: &'a Preconditions,
        check: &'a mut (dyn FnMut(&Stored) -> Result<(), Box<Status>> + Send + 'a),
    ) -> BoxFuture<'a, Result<Stored, Error>> {
        Box::pin(async move {
            loop {
                let stored = self.0.inner.get(namespace, name, Revision::Latest).await?;
                let revision = stored.revision;
                let known = self.see_one(stored).await?;
                let mut moved = false;
                let mut checked = |stored: &Stored| {
                    moved = stored.revision != revision;
                    if moved {
                        Err(Box::new(Status::internal("the object has changed")))
                    } else {
                        check(&known)
                    }
                };
                let result = self.0.inner.delete(namespace, name, preconditions, &mut checked).await;
                if !(moved && result.is_err()) {
                    return self.see_one(result?).await;
                }
            }
        })
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.0.inner.count()
    }

    fn convert<'a>(&'a self, object: Value, to: &'a str) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(async move {
            let converted = self.0.converter.convert(vec![object], to).await;
            Ok(converted.map_err(Box::new)?.pop().unwrap_or_default())
        })
    }
}

/// An error of a conversion within an update.
fn refusal(error: Error) -> Box<Status> {
    match error {
        Error::Refused(status) => status,
        other => Box::new(Status::internal(other)),
    }
}
