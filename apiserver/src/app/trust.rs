//! Whom the server trusts and what it shows to others, from the flags.

use crate::authentication::request_header::RequestHeader;
use crate::bootstrap::ClusterTrust;
use crate::options::{Aggregation, Options};
use crate::server::tls;
use anyhow::Result;
use chassis::tls::{Identity, load_authorities, load_identity};
use chassis::usage;
use machinery::remote_user::Names;
use rustls::RootCertStore;
use rustls::server::danger::ClientCertVerifier;
use std::path::Path;
use std::sync::Arc;

const USERS: &str = "--client-ca-file";
const PROXIES: &str = "--requestheader-client-ca-file";

/// The authorities of those who connect.
pub(super) struct Authorities {
    /// Those of users.
    pub(super) users: Option<Arc<dyn ClientCertVerifier>>,
    /// Those of users and proxies.
    pub(super) all: Option<Arc<dyn ClientCertVerifier>>,
}

fn load(flag: &str, path: Option<&Path>) -> Result<Option<RootCertStore>> {
    Ok(path.map(|path| load_authorities(flag, path)).transpose()?)
}

/// The authorities of client certificates.
///
/// # Errors
/// When a file cannot be used.
pub(super) fn of_clients(options: &Options) -> Result<Authorities> {
    let users = load(USERS, options.client_ca_file.as_deref())?;
    let proxies = load(PROXIES, options.aggregation.requestheader_client_ca_file.as_deref())?;
    let mut all = users.clone();
    if let Some(proxies) = proxies {
        all.get_or_insert_with(RootCertStore::empty).roots.extend(proxies.roots);
    }
    let verifier = |roots: Option<RootCertStore>| roots.map(|roots| tls::client_verifier(USERS, roots)).transpose();
    Ok(Authorities {
        users: verifier(users)?,
        all: verifier(all)?,
    })
}

/// The proxies that say who asks; `None` without authorities for them.
///
/// # Errors
/// When the file cannot be used.
pub(super) fn proxies(flags: &Aggregation) -> Result<Option<RequestHeader>> {
    let Some(authorities) = load(PROXIES, flags.requestheader_client_ca_file.as_deref())? else {
        return Ok(None);
    };
    let lower = |texts: &[String]| texts.iter().map(|text| text.to_ascii_lowercase()).collect();
    Ok(Some(RequestHeader {
        verifier: tls::client_verifier(PROXIES, authorities)?,
        allowed_names: flags.requestheader_allowed_names.clone(),
        names: Names {
            user: lower(&flags.requestheader_username_headers),
            uid: lower(&flags.requestheader_uid_headers),
            group: lower(&flags.requestheader_group_headers),
            extra_prefix: lower(&flags.requestheader_extra_headers_prefix),
        },
    }))
}

/// What this server shows to servers behind APIServices.
///
/// # Errors
/// When a file cannot be used.
pub(super) fn front_proxy(flags: &Aggregation) -> Result<Option<Identity>> {
    match (&flags.proxy_client_cert_file, &flags.proxy_client_key_file) {
        (Some(certificate), Some(key)) => Ok(Some(load_identity(
            ("--proxy-client-cert-file", certificate),
            ("--proxy-client-key-file", key),
        )?)),
        _ => Ok(None),
    }
}

/// What is published about it in the cluster.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn published(options: &Options) -> Result<ClusterTrust> {
    let read = |flag: &str, path: Option<&Path>| -> Result<Option<String>> {
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|error| usage(format!("{flag} {}: cannot be read: {error}", path.display())))
        };
        path.map(read).transpose()
    };
    let flags = &options.aggregation;
    Ok(ClusterTrust {
        users: read(USERS, options.client_ca_file.as_deref())?,
        proxies: read(PROXIES, flags.requestheader_client_ca_file.as_deref())?,
        lists: [
            ("requestheader-allowed-names", flags.requestheader_allowed_names.clone()),
            (
                "requestheader-username-headers",
                flags.requestheader_username_headers.clone(),
            ),
            ("requestheader-uid-headers", flags.requestheader_uid_headers.clone()),
            ("requestheader-group-headers", flags.requestheader_group_headers.clone()),
            (
                "requestheader-extra-headers-prefix",
                flags.requestheader_extra_headers_prefix.clone(),
            ),
        ],
    })
}
