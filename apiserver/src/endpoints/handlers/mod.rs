//! What each verb does with a request (k8s.io/apiserver `pkg/endpoints/handlers`).

mod connect_options;
pub mod create;
pub mod delete;
pub mod eviction;
pub mod get;
pub mod list;
pub mod node;
pub mod patch;
pub mod pod;
pub mod review;
pub mod scale;
pub mod scope;
mod selectors;
pub mod token;
pub mod update;
pub mod watch;
pub mod websocket;

pub use scope::Scope;
