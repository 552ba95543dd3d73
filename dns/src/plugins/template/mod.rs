//! `template CLASS TYPE [ZONES...] { match REGEX; answer RECORD; … }`: records made from the name of the query.

mod handler;
mod setup;
mod text;

pub(crate) use setup::setup;
