//! `loadbalance [round_robin]`: change the order of addresses from answer to answer.

mod handler;
mod setup;

pub(crate) use setup::setup;
