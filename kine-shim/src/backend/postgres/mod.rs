//! PostgreSQL: a connection that writes, a few that read, and one that listens to peers.
//!
//! A group costs two round trips whatever is in it: one begins it, locks the counters and looks up what it will need, the
//! other writes everything as arrays of columns and commits.

mod connect;
mod errors;
mod peers;
mod reader;
mod restore;
mod rows;
mod schema;
mod session;
mod statements;
mod writer;

use self::{connect::Connector, peers::Listener, reader::Pool, session::Session, writer::Connection};
use super::{
    Backend, Fault, NO_STORE,
    contents::Target,
    driver::Readers,
    endpoint::{DatastoreOptions, Server},
    random_id,
};

/// Opens a database, creating it and what is missing in it. Blocks the calling thread.
pub(super) fn open(server: &Server, options: &DatastoreOptions) -> Result<Backend, Fault> {
    let connector = Connector::new(server, options);
    let session = Session::open_or_create(&connector)?;
    let sequence = schema::bring_up_to_date(&session)?;
    // What this store tells its peers carries a name of its own, so that it does not listen to itself.
    let name = format!("{:016x}", random_id());
    let writer = Connection::new(connector.clone(), session, name.clone(), sequence)?;
    Ok(Backend {
        writer: Box::new(writer),
        readers: Box::new(Pool::new(connector.clone())),
        peers: Some(Box::new(Listener::new(connector, name))),
    })
}

/// Opens a database that has a store in it, to be read without changing anything.
pub(super) fn inspect(server: &Server, options: &DatastoreOptions) -> Result<Box<dyn Readers>, Fault> {
    let connector = Connector::new(server, options);
    let session = Session::open(&connector)?;
    let present = session.run(async {
        let found = session.client.query_one(statements::PRESENT, &[]).await;
        rows::column(&found.map_err(|error| errors::fault(&error))?, 0)
    })?;
    if present {
        Ok(Box::new(Pool::new(connector)))
    } else {
        Err(Fault::Other(NO_STORE.into()))
    }
}

/// Starts a new store that is to take the place of the one in the database.
pub(super) fn restore(server: &Server, options: &DatastoreOptions) -> Result<Box<dyn Target>, Fault> {
    Ok(Box::new(restore::Restore::start(server, options)?))
}
