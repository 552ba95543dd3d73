//! The storage of resources that store nothing, such as bindings: there is never an object.

use crate::storage::interface::{
    Error, ListOptions, Listed, Preconditions, Revision, Storage, UpdateFn, Watch, WatchOptions,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use machinery::object::Stored;
use machinery::status::Status;

/// Holds nothing and takes nothing.
pub struct Unstored;

fn refuse<'a, T: Send + 'a>(name: &str) -> BoxFuture<'a, Result<T, Error>> {
    let key = name.to_owned();
    Box::pin(async { Err(Error::NotFound { key }) })
}

impl Storage for Unstored {
    fn get<'a>(&'a self, _: &'a str, name: &'a str, _: Revision) -> BoxFuture<'a, Result<Stored, Error>> {
        refuse(name)
    }

    fn list<'a>(&'a self, _: ListOptions) -> BoxFuture<'a, Result<Listed, Error>> {
        let nothing = Listed {
            items: Vec::new(),
            revision: 0,
            continue_token: String::new(),
            remaining: None,
        };
        Box::pin(async { Ok(nothing) })
    }

    fn watch<'a>(&'a self, _: WatchOptions) -> BoxFuture<'a, Result<Watch, Error>> {
        refuse("")
    }

    fn create<'a>(&'a self, _: &'a str, name: &'a str, _: Bytes) -> BoxFuture<'a, Result<Stored, Error>> {
        refuse(name)
    }

    fn update<'a>(
        &'a self,
        _: &'a str,
        name: &'a str,
        _: &'a Preconditions,
        _: &'a mut UpdateFn<'a>,
    ) -> BoxFuture<'a, Result<(Stored, bool), Error>> {
        refuse(name)
    }

    fn delete<'a>(
        &'a self,
        _: &'a str,
        name: &'a str,
        _: &'a Preconditions,
        _: &'a mut (dyn FnMut(&Stored) -> Result<(), Box<Status>> + Send + 'a),
    ) -> BoxFuture<'a, Result<Stored, Error>> {
        refuse(name)
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async { Ok(0) })
    }
}
