//! The certificates, keys and kubeconfigs of a control plane: which there are, and the directory that keeps them.
#![warn(missing_docs)]

mod description;
mod directory;
mod validity;

pub use description::{ControlPlane, Service};
pub use directory::{Pki, write_secret};
