//! `log [NAMES...] [FORMAT] { class CLASSES... }`: one line per query.

mod handler;
mod setup;

pub(crate) use handler::code_name;
pub(crate) use setup::setup;
