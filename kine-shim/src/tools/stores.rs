//! Opening what the command line names, whatever database it is.

use std::{path::PathBuf, str::FromStr};

use crate::backend::{
    self, Fault, Item, StoredRow,
    contents::{EachItem, Source, Target},
    driver::Readers,
    endpoint::{DatastoreOptions, Endpoint},
    sqlite::{Contents, Unreadable},
};

/// A store named by a file or a URL.
#[derive(Debug, Clone)]
pub struct Place(pub Endpoint);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return text.parse().map(Self);
        }
        Ok(Self(Endpoint::Sqlite(PathBuf::from(text))))
    }
}

/// How the store is named in what is said about it.
pub fn name(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Sqlite(path) => path.display().to_string(),
        Endpoint::Postgres(server) | Endpoint::Mysql(server) => server.to_string(),
    }
}

/// Opens a store for reading.
pub fn open(endpoint: &Endpoint, options: &DatastoreOptions) -> anyhow::Result<Box<dyn Source>> {
    match endpoint {
        Endpoint::Sqlite(path) => Ok(Box::new(Contents::open(path).map_err(|error| match error {
            Unreadable::Failed(fault) => failed(&path.display().to_string(), fault),
            error => chassis::usage(format!("{} {error}", path.display())),
        })?)),
        Endpoint::Postgres(_) | Endpoint::Mysql(_) => {
            let readers = backend::inspect(endpoint, options).map_err(|error| chassis::usage(error.to_string()))?;
            let missing = || chassis::usage(format!("--endpoint: {endpoint} is no database server"));
            Ok(Box::new(OnServer(readers.ok_or_else(missing)?)))
        }
    }
}

/// A store on a database server. The server looks after its storage itself.
struct OnServer(Box<dyn Readers>);

impl Source for OnServer {
    fn integrity(&mut self) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }

    fn dump(&mut self, each: &mut EachItem<'_>) -> Result<(), Fault> {
        self.0.dump(&mut |item: Item<StoredRow>| each(Ok(item)))
    }

    fn recorded_digest(&mut self) -> Result<Option<String>, Fault> {
        Ok(None)
    }
}

/// Starts a new store that is to take the place of the one at `endpoint`.
pub fn create(endpoint: &Endpoint, options: &DatastoreOptions) -> anyhow::Result<Box<dyn Target>> {
    backend::restore(endpoint, options).map_err(|error| chassis::usage(error.to_string()))
}

/// The error for a store that failed while it was worked on.
pub fn failed(name: &str, fault: Fault) -> anyhow::Error {
    anyhow::Error::new(fault).context(name.to_owned())
}
