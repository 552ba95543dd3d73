//! `health [ADDRESS] { lameduck DURATION }`: `/health` answers OK while the process lives.

mod setup;

pub(crate) use setup::setup;
