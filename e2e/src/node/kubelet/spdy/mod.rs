//! The server side of SPDY/3.1 as kubectl and the API server use it: many streams over one upgraded connection.
//!
//! There is no flow control: the Go implementation every Kubernetes client uses neither sends WINDOW_UPDATE nor waits for
//! it, so a sender that kept to the draft's 64 KiB window would stall for ever.

mod dictionary;
mod frame;
mod headers;
mod session;

pub(crate) use session::{Session, Stream, server};

#[cfg(test)]
pub(super) use frame::{Frame, FrameDecoder, FrameEncoder};
#[cfg(test)]
pub(super) use headers::Headers;
