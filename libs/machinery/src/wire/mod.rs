//! Encodings other than JSON.

pub(crate) mod raw;
