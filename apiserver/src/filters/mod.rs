//! What every request passes before an endpoint sees it, one filter per file. `server::chain` has the order.

pub mod request_info;
