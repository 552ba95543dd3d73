//! The kubelet API of a simulated node: HTTPS, client certificates of the cluster's own CA only.

mod exec;
mod follow;
mod logs;
mod port_forward;
mod route;
mod server;
mod spdy;
mod stats;
mod upgrade;
mod websocket;

#[cfg(test)]
mod tests;

pub(crate) use route::Query;
pub use server::{Kubelet, KubeletTls};
