//! `loop`: end the process when queries that are forwarded come back.

mod handler;
mod setup;

pub(crate) use setup::setup;
