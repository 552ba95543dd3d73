//! TLS from PEM files, and the issuing of certificates. Every error names the flag and the file.

mod configs;
mod issue;
mod load;
mod server;
#[cfg(test)]
mod tests;
mod trust;

pub use configs::{Identity, client_config, mutual_config, server_config};
pub use issue::{Authority, IssueError, Pem, Profile, SecretPem, Usages};
pub use load::{TlsError, load_authorities, load_certificates, load_identity, load_private_key};
pub use server::{File, Protocols, Server, ServerFiles};
pub use trust::Trust;

/// Makes ring the process-wide provider of rustls. [`crate::run`] does it; tests and tools call it themselves.
pub fn install_provider() {
    // An error means that one is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
