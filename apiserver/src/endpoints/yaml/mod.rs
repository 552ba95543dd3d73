//! YAML bodies and answers, converted to JSON and back as sigs.k8s.io/yaml does.

mod order;
mod read;
mod resolve;
mod scalar;
mod timestamp;
mod write;

pub use read::to_json;
pub use write::from_json;
