//! `forward FROM TO... { … }`: hand queries to other name servers.

mod exchange;
mod handler;
mod resolv_conf;
mod setup;
#[cfg(test)]
mod tests;
mod upstream;

pub(crate) use setup::setup;
