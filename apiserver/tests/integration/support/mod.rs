//! What the tests share.

pub(crate) mod https;
pub(crate) mod store;
