//! Issued certificates in real handshakes.

use super::{Authority, Identity, Profile, Trust, client_config, server_config};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn identity(pem: &super::Pem) -> Identity {
    Identity {
        certificates: vec![CertificateDer::from_pem_slice(pem.certificate.as_bytes()).unwrap()],
        key: PrivateKeyDer::from_pem_slice(pem.key.as_str().as_bytes()).unwrap(),
    }
}

fn trust(authority: &Authority) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store
        .add(CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap())
        .unwrap();
    store
}

/// Returns the client certificate the server saw, or why the handshake failed.
async fn handshake(
    server: rustls::ServerConfig,
    client: rustls::ClientConfig,
    name: &str,
) -> Result<Option<Vec<u8>>, String> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let accept = async {
        let mut stream = TlsAcceptor::from(Arc::new(server))
            .accept(near)
            .await
            .map_err(|error| error.to_string())?;
        stream.write_all(b"ok").await.map_err(|error| error.to_string())?;
        let peer = stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec());
        stream.shutdown().await.map_err(|error| error.to_string())?;
        Ok::<_, String>(peer)
    };
    let connect = async {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut stream = TlsConnector::from(Arc::new(client))
            .connect(name, far)
            .await
            .map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .await
            .map_err(|error| error.to_string())?;
        Ok::<_, String>(answer)
    };
    let (peer, answer) = tokio::join!(accept, connect);
    assert_eq!(answer?, b"ok");
    peer
}

#[tokio::test]
async fn issued_certificates_serve_and_identify() {
    let authority = Authority::generate("test-ca").unwrap();
    // What is written to files must come back as the same authority.
    let authority = Authority::from_pem(authority.certificate(), authority.key().as_str()).unwrap();
    let server = authority
        .issue(&Profile::server("kube-apiserver", ["localhost", "127.0.0.1"]))
        .unwrap();
    let client = authority
        .issue(&Profile::client("system:kube-scheduler", ["system:masters"]))
        .unwrap();
    let config = || server_config(identity(&server), Some(trust(&authority))).unwrap();

    let seen = handshake(
        config(),
        client_config(trust(&authority), Some(identity(&client))).unwrap(),
        "127.0.0.1",
    )
    .await;
    let certificate = seen.unwrap().expect("the server asked for a client certificate");
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
    assert_eq!(
        parsed.subject().to_string(),
        "O=system:masters, CN=system:kube-scheduler"
    );

    let anonymous = handshake(config(), client_config(trust(&authority), None).unwrap(), "localhost").await;
    assert_eq!(anonymous.unwrap(), None);

    let misnamed = handshake(config(), client_config(trust(&authority), None).unwrap(), "example.com").await;
    assert!(
        misnamed.unwrap_err().contains("not valid for name"),
        "the name must be checked"
    );

    let stranger = Authority::generate("other-ca").unwrap();
    let untrusted = handshake(config(), client_config(trust(&stranger), None).unwrap(), "localhost").await;
    assert!(
        untrusted.unwrap_err().contains("UnknownIssuer"),
        "the issuer must be checked"
    );
}

#[tokio::test]
async fn a_lenient_client_takes_what_it_was_told_to() {
    let [authority, stranger] = ["test-ca", "other-ca"].map(|name| Authority::generate(name).unwrap());
    let server = authority.issue(&Profile::server("server", ["localhost"])).unwrap();
    for (trust, name, expected) in [
        (Trust::AnyName(trust(&authority)), "example.com", Ok(None)),
        (Trust::AnyName(trust(&stranger)), "localhost", Err("UnknownIssuer")),
        (Trust::Anything, "example.com", Ok(None)),
    ] {
        let case = format!("{trust:?} {name}");
        let config = server_config(identity(&server), None).unwrap();
        let seen = handshake(config, client_config(trust, None).unwrap(), name).await;
        match (seen, expected) {
            (Ok(seen), Ok(expected)) => assert_eq!(seen, expected, "{case}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{case}: {error}"),
            (seen, _) => panic!("{case}: {seen:?}"),
        }
    }
}

#[test]
fn names_that_cannot_be_are_refused() {
    let error = Profile::server("x", ["bücher.example"]).self_signed().unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"bücher.example\" cannot be a DNS name of a certificate"
    );
}
