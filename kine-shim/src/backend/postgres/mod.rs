//! PostgreSQL: a connection that writes, a few that read, and one that listens to peers.
//!
//! A group costs two round trips whatever is in it: one begins it, locks the counters and looks up what it will need, the
//! other writes everything as arrays of columns and commits.

mod connect;
mod errors;
mod peers;
mod reader;
mod rows;
mod schema;
mod session;
mod statements;
mod writer;

use self::{connect::Connector, peers::Listener, reader::Pool, session::Session, writer::Connection};
use super::{
    Backend, Fault,
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
