//! `reload [INTERVAL [JITTER]]`: use a changed Corefile without a restart.

mod setup;

pub(crate) use setup::setup;
