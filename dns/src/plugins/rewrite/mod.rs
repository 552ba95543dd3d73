//! `rewrite [continue|stop] name|type|class …`: serve a query as another one.

mod handler;
mod rule;
mod setup;
#[cfg(test)]
mod tests;

pub(crate) use setup::setup;
