//! `errors`: log what went wrong while a query was served.

mod handler;
mod setup;

pub(crate) use setup::setup;
