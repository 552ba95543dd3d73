//! `cache [TTL] [ZONES...] { success CAPACITY [TTL] [MINTTL] … }`: answers that were given before.

mod handler;
mod message;
mod setup;
#[cfg(test)]
mod tests;

pub(crate) use setup::setup;
