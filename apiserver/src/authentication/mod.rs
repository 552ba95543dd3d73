//! Who is asking: client certificates, service account tokens, or nobody (k8s.io/apiserver `pkg/authentication`).

pub mod user;

pub use user::User;
