//! The HTTP server: connections, the order of the filters, and what they hand over to the endpoints.

pub mod chain;
pub mod health;
pub mod listener;
pub mod request;
mod slis;
pub mod tls;
pub mod version;

pub use request::{Body, BodyError, Dispatch, RequestContext};
