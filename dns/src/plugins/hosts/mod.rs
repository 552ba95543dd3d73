//! `hosts [FILE [ZONES...]] { [LINES] ttl SECONDS no_reverse reload DURATION fallthrough [ZONES...] }`: names of a hosts file.

mod file;
mod handler;
mod setup;

pub(crate) use setup::setup;
