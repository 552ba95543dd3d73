//! `prometheus [ADDRESS]`: count the queries of a server block and serve all metrics at `/metrics`.

mod handler;
mod setup;

pub(crate) use setup::setup;
