//! `bind ADDRESS...`: listen on these IP addresses instead of all.

mod setup;

pub(crate) use setup::setup;
