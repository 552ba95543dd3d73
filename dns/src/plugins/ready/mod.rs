//! `ready [ADDRESS]`: `/ready` answers OK once every plugin can answer, else names the ones that cannot.

mod setup;

pub(crate) use setup::setup;
