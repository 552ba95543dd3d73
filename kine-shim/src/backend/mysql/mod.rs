//! MySQL and MariaDB: one connection that writes, a few that read, and one that asks whether other processes have committed.
//!
//! A group locks the rows of table `kine_meta`, which makes the writers of several processes take turns, and is written and
//! committed in as few packets as possible. See [`sql`] for the tables.

mod fault;
mod link;
mod peers;
mod readers;
mod restore;
mod rows;
mod schema;
mod settings;
mod sql;
mod writer;

use std::sync::Arc;

use self::{link::Link, settings::Settings};
use super::{
    Backend, Fault, NO_STORE,
    contents::Target,
    driver,
    endpoint::{DatastoreOptions, Server},
};

/// Opens the database, creating what is missing.
pub fn open(server: &Server, options: &DatastoreOptions) -> Result<Backend, Fault> {
    let settings = Arc::new(Settings::new(server, options));
    let mut link = Link::new(Arc::clone(&settings))?;
    link.create_database()?;
    schema::prepare(&mut link)?;
    Ok(Backend {
        writer: Box::new(writer::Writer::new(link)),
        readers: Box::new(readers::Readers::new(Arc::clone(&settings))),
        peers: Some(Box::new(peers::Peers::new(settings))),
    })
}

/// Opens a database that has a store in it, to be read without changing anything.
pub(super) fn inspect(server: &Server, options: &DatastoreOptions) -> Result<Box<dyn driver::Readers>, Fault> {
    let settings = Arc::new(Settings::new(server, options));
    let mut link = Link::new(Arc::clone(&settings))?;
    match link.ask(sql::PRESENT) {
        Ok(_) => Ok(Box::new(readers::Readers::new(settings))),
        Err(Fault::Other(text)) => Err(Fault::Other(format!("{NO_STORE} ({text})"))),
        Err(fault) => Err(fault),
    }
}

/// Starts a new store that is to take the place of the one in the database.
pub(super) fn restore(server: &Server, options: &DatastoreOptions) -> Result<Box<dyn Target>, Fault> {
    Ok(Box::new(restore::Restore::start(server, options)?))
}
