//! What every request passes before an endpoint sees it, one filter per file. `server::chain` has the order.

pub mod audit_id;
pub mod authentication;
pub mod authorization;
pub mod body_room;
pub mod deadline;
pub mod denied_requests;
pub mod headers;
pub mod impersonation;
pub mod max_in_flight;
pub mod refusal;
pub mod request_info;
pub mod warnings;

pub use denied_requests::DeniedRequests;
pub use refusal::{Asker, Refusal};
