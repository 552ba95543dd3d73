//! TLS to a database server, as its URL and the flags say.

use std::path::Path;

use chassis::tls::{Trust, load_authorities, load_identity};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

use super::endpoint::{Address, DatastoreOptions, Server, TlsMode};

/// How the connection to `server` is protected: as its URL says; else as the flags make sense only, which is how kine reads
/// them; else if the server can. What stays on this machine is not.
pub(super) fn mode(server: &Server, options: &DatastoreOptions) -> TlsMode {
    if matches!(server.address, Address::Unix(..)) {
        return TlsMode::Disable;
    }
    let has_files = options.ca_file.is_some() || options.cert_file.is_some();
    match server.tls {
        Some(TlsMode::VerifyCa | TlsMode::VerifyFull) if options.skip_verify => TlsMode::Require,
        Some(mode) => mode,
        None if options.skip_verify => TlsMode::Require,
        None if has_files => TlsMode::VerifyFull,
        None => TlsMode::Prefer,
    }
}

/// The client's side of TLS to `server`. Errors are a sentence that names flag and file.
pub(super) fn client_config(
    server: &Server,
    options: &DatastoreOptions,
    mode: TlsMode,
) -> Result<ClientConfig, String> {
    let trust = match mode {
        TlsMode::VerifyFull => Trust::Authorities(authorities(server, options)?),
        TlsMode::VerifyCa => Trust::AnyName(authorities(server, options)?),
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => Trust::Anything,
    };
    let identity = identity_files(server, options)?
        .map(|(certificate, key)| load_identity(certificate, key))
        .transpose();
    identity
        .and_then(|identity| chassis::tls::client_config(trust, identity))
        .map_err(|error| error.to_string())
}

fn authorities(server: &Server, options: &DatastoreOptions) -> Result<RootCertStore, String> {
    match ca_file(server, options) {
        Some((flag, file)) => load_authorities(flag, file).map_err(|error| error.to_string()),
        None => system_authorities(),
    }
}

/// A file, and where it is named.
type Named<'a> = (&'a str, &'a Path);

/// The file with the authorities to trust, and where it is named.
pub(super) fn ca_file<'a>(server: &'a Server, options: &'a DatastoreOptions) -> Option<Named<'a>> {
    file(
        "--endpoint: sslrootcert",
        server.ca_file.as_deref(),
        "--ca-file",
        options.ca_file.as_deref(),
    )
}

/// The files with the client's certificate and its key, and where they are named.
pub(super) fn identity_files<'a>(
    server: &'a Server,
    options: &'a DatastoreOptions,
) -> Result<Option<(Named<'a>, Named<'a>)>, String> {
    let certificate = file(
        "--endpoint: sslcert",
        server.cert_file.as_deref(),
        "--cert-file",
        options.cert_file.as_deref(),
    );
    let key = file(
        "--endpoint: sslkey",
        server.key_file.as_deref(),
        "--key-file",
        options.key_file.as_deref(),
    );
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some((flag, _)), None) | (None, Some((flag, _))) => Err(format!(
            "{flag} names one half of a client certificate; name the certificate and its key"
        )),
    }
}

fn file<'a>(url: &'a str, in_url: Option<&'a Path>, flag: &'a str, in_flag: Option<&'a Path>) -> Option<Named<'a>> {
    in_url.map(|file| (url, file)).or(in_flag.map(|file| (flag, file)))
}

fn system_authorities() -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(system_certificates());
    if store.is_empty() {
        return Err("the system has no certificate authorities; name the server's with --ca-file".into());
    }
    Ok(store)
}

/// The certificate authorities of the system.
pub(super) fn system_certificates() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::endpoint::Endpoint;

    #[test]
    fn the_url_decides_then_the_flags_then_the_server() {
        let plain = DatastoreOptions::default();
        let trusting = DatastoreOptions {
            skip_verify: true,
            ..DatastoreOptions::default()
        };
        let careful = DatastoreOptions {
            ca_file: Some("ca.crt".into()),
            ..DatastoreOptions::default()
        };
        for (url, options, expected) in [
            ("postgres://h/db", &plain, TlsMode::Prefer),
            ("postgres://h/db", &careful, TlsMode::VerifyFull),
            ("postgres://h/db", &trusting, TlsMode::Require),
            ("postgres://h/db?sslmode=disable", &careful, TlsMode::Disable),
            ("postgres://h/db?sslmode=verify-ca", &plain, TlsMode::VerifyCa),
            ("postgres://h/db?sslmode=verify-full", &trusting, TlsMode::Require),
            ("postgres:///db?host=/run/postgresql", &careful, TlsMode::Disable),
        ] {
            let Ok(Endpoint::Postgres(server)) = url.parse() else {
                panic!("{url}");
            };
            assert_eq!(mode(&server, options), expected, "{url}");
        }
    }

    #[test]
    fn half_an_identity_is_refused() {
        let Ok(Endpoint::Postgres(server)) = "postgres://h/db?sslcert=client.crt".parse() else {
            panic!("endpoint");
        };
        let error = client_config(&server, &DatastoreOptions::default(), TlsMode::Require).expect_err("half");
        assert!(error.contains("sslcert"), "{error}");
    }
}
