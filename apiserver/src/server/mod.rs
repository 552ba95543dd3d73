//! The HTTP server: connections, the order of the filters, and what they hand over to the endpoints.

pub mod request;

pub use request::{Body, BodyError, Dispatch, RequestContext};
