//! The kubelet API of a simulated node: HTTPS, client certificates of the cluster's own CA only.

mod exec;
mod logs;
mod port_forward;
mod route;
mod server;
mod spdy;
mod stats;
mod upgrade;
mod websocket;

pub use server::{Kubelet, KubeletTls};
