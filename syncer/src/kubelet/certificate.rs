//! The certificate of the kubelet API: the one that flags name, or one that is issued here and follows the addresses of the
//! virtual nodes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use chassis::tls::{Authority, Identity, Profile, load_authorities, load_identity, server_config};
use chassis::usage;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::options::Options;
use crate::resources::nodes::addresses;
use crate::settings::Settings;
use crate::world::World;

/// The user that a kubelet is.
const NAME: &str = "system:node:syncer";
/// A certificate that is issued here is replaced when it is so old, long before it ends.
const RENEWED_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// The TLS side of the server.
pub struct Tls(Source);

enum Source {
    Files(Arc<ServerConfig>),
    Issued(Box<Issuer>),
}

struct Issuer {
    authority: Authority,
    clients: Option<RootCertStore>,
    /// Names that do not change.
    names: Vec<String>,
    current: Mutex<Issued>,
}

#[derive(Clone)]
struct Issued {
    addresses: BTreeSet<IpAddr>,
    at: Instant,
    config: Arc<ServerConfig>,
}

/// What the flags say.
///
/// # Errors
/// A file cannot be used.
pub fn tls(options: &Options, settings: &Settings) -> Result<Tls> {
    let mut clients = match &options.client_ca_file {
        Some(file) => Some(load_authorities("--client-ca-file", file)?),
        None => None,
    };
    // Who of them is a proxy is found out behind the handshake.
    if let Some(file) = &options.requestheader_client_ca_file {
        let proxies = load_authorities("--requestheader-client-ca-file", file)?;
        clients
            .get_or_insert_with(RootCertStore::empty)
            .roots
            .extend(proxies.roots);
    }
    if let (Some(certificate), Some(key)) = (&options.tls_cert_file, &options.tls_private_key_file) {
        let identity = load_identity(("--tls-cert-file", certificate), ("--tls-private-key-file", key))?;
        return Ok(Tls(Source::Files(config(identity, clients)?)));
    }
    let authority = match (&options.tls_signing_cert_file, &options.tls_signing_key_file) {
        (Some(certificate), Some(key)) => {
            let read = |flag: &str, file: &std::path::Path| {
                std::fs::read_to_string(file)
                    .map_err(|error| usage(format!("{flag}: cannot read {}: {error}", file.display())))
            };
            let (certificate, key) = (
                read("--tls-signing-cert-file", certificate)?,
                read("--tls-signing-key-file", key)?,
            );
            Authority::from_pem(&certificate, &key)
                .map_err(|error| usage(format!("--tls-signing-cert-file, --tls-signing-key-file: {error}")))?
        }
        _ => Authority::generate("vcluster-syncer-kubelet").context("cannot make a certificate for the kubelet API")?,
    };
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        settings.nodes.kubelet_address.clone(),
        format!("*.{}", addresses::DOMAIN),
    ];
    if !settings.service_name.is_empty() {
        let service = format!("{}.{}", settings.service_name, settings.host_namespace);
        names.extend([service.clone(), format!("{service}.svc")]);
    }
    names.dedup();
    let none = BTreeSet::new();
    let first = issue(&authority, &clients, &names, none)?;
    Ok(Tls(Source::Issued(Box::new(Issuer {
        authority,
        clients,
        names,
        current: Mutex::new(first),
    }))))
}

fn config(identity: Identity, clients: Option<RootCertStore>) -> Result<Arc<ServerConfig>> {
    let mut config = server_config(identity, clients)?;
    // Sessions are upgrades, which HTTP/2 does not have.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn issue(
    authority: &Authority,
    clients: &Option<RootCertStore>,
    names: &[String],
    addresses: BTreeSet<IpAddr>,
) -> Result<Issued> {
    let failed = "cannot make a certificate for the kubelet API";
    let all = names.iter().cloned().chain(addresses.iter().map(IpAddr::to_string));
    let issued = authority.issue(&Profile::server(NAME, all)).context(failed)?;
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).context(failed)?;
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_str().as_bytes()).context(failed)?;
    let identity = Identity {
        certificates: vec![certificate],
        key,
    };
    Ok(Issued {
        addresses,
        at: Instant::now(),
        config: config(identity, clients.clone())?,
    })
}

impl Tls {
    /// What the next connection is to be met with.
    pub(super) fn config(&self, world: &World) -> Arc<ServerConfig> {
        let issuer = match &self.0 {
            Source::Files(config) => return config.clone(),
            Source::Issued(issuer) => issuer,
        };
        let addresses: BTreeSet<IpAddr> = addresses::of_nodes(world).collect();
        let mut current = issuer.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.addresses != addresses || current.at.elapsed() > RENEWED_AFTER {
            match issue(&issuer.authority, &issuer.clients, &issuer.names, addresses) {
                Ok(issued) => {
                    info!(
                        addresses = issued.addresses.len(),
                        "the kubelet API has a new certificate"
                    );
                    *current = issued;
                }
                Err(error) => warn!("{error:#}"),
            }
        }
        current.config.clone()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rustls::pki_types::ServerName;
    use serde_json::json;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::kinds::{Kind, Side};
    use crate::testing::{settings, world_of};

    /// Whether a client that trusts the authority reaches the server under this name.
    async fn trusted(tls: &Tls, world: &World, authority: &std::path::Path, name: &str) -> bool {
        let authorities = load_authorities("test", authority).expect("an authority");
        let client = chassis::tls::client_config(authorities, None).expect("a client");
        let (near, far) = tokio::io::duplex(1 << 16);
        let server = TlsAcceptor::from(tls.config(world)).accept(far);
        let client =
            TlsConnector::from(Arc::new(client)).connect(ServerName::try_from(name.to_owned()).expect("a name"), near);
        let (client, _) = tokio::join!(client, server);
        client.is_ok()
    }

    #[tokio::test]
    async fn the_certificate_follows_the_addresses_of_nodes() {
        chassis::tls::install_provider();
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::generate("ca").expect("an authority");
        let (certificate, key) = (dir.path().join("ca.crt"), dir.path().join("ca.key"));
        std::fs::write(&certificate, authority.certificate()).expect("written");
        std::fs::write(&key, authority.key().as_str()).expect("written");
        let options = Options::try_parse_from([
            "syncer".to_owned(),
            "--kubeconfig=k".to_owned(),
            "--name=vc".to_owned(),
            "--target-namespace=host".to_owned(),
            "--etcd-servers=unix:///s".to_owned(),
            format!("--tls-signing-cert-file={}", certificate.display()),
            format!("--tls-signing-key-file={}", key.display()),
        ]);
        let options = options.expect("valid");
        let mut settings = settings();
        settings.nodes.by_ip = true;
        let tls = tls(&options, &settings).expect("usable");
        let world = world_of(settings);
        for (name, expected) in [
            ("localhost", true),
            ("n-1.nodes.vcluster.com", true),
            ("vc.host.svc", true),
            ("elsewhere.example", false),
            ("10.0.0.77", false),
        ] {
            assert_eq!(trusted(&tls, &world, &certificate, name).await, expected, "{name}");
        }
        let same = Arc::ptr_eq(&tls.config(&world), &tls.config(&world));
        assert!(same, "nothing is issued anew without a reason");
        world.put(
            Side::Virtual,
            Kind::Node,
            json!({"metadata": {"name": "n-1", "uid": "n"}}),
        );
        let service = json!({
            "metadata": {"namespace": "host", "name": "vc-node-n-1", "uid": "s", "labels": {
                "vcluster.loft.sh/managed-by": "vc", "vcluster.loft.sh/belongs-to": "vc", "vcluster.loft.sh/node": "n-1",
            }},
            "spec": {"clusterIP": "10.0.0.77"},
        });
        world.put(Side::Host, Kind::Service, service);
        assert!(trusted(&tls, &world, &certificate, "10.0.0.77").await);
        assert!(!trusted(&tls, &world, &certificate, "10.0.0.78").await);
    }
}
