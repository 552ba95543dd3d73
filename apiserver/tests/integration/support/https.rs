//! A small HTTPS client: one connection per request, HTTP/1.1, with or without a client certificate.

use bytes::Bytes;
use chassis::tls::{Authority, Identity, Pem, Profile, client_config};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// The certificate and key of a client.
pub(crate) fn identity(authority: &Authority, user: &str, group: &str) -> Identity {
    of_pem(&authority.issue(&Profile::client(user, [group])).unwrap())
}

/// A PEM pair as rustls wants it.
pub(crate) fn of_pem(pem: &Pem) -> Identity {
    Identity {
        certificates: vec![CertificateDer::from_pem_slice(pem.certificate.as_bytes()).unwrap()],
        key: PrivateKeyDer::from_pem_slice(pem.key.as_str().as_bytes()).unwrap(),
    }
}

/// Trusts one authority.
pub(crate) fn trust(certificate: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap())
        .unwrap();
    roots
}

/// Writes a certificate and its key.
pub(crate) fn write(dir: &Path, name: &str, pem: &Pem) -> (PathBuf, PathBuf) {
    let (certificate, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
    std::fs::write(&certificate, &pem.certificate).unwrap();
    std::fs::write(&key, pem.key.as_str()).unwrap();
    (certificate, key)
}

/// A client of one server.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, roots: RootCertStore, identity: Option<Identity>) -> Self {
        Client {
            address,
            tls: Arc::new(client_config(roots, identity).unwrap()).into(),
        }
    }

    /// Sends a request and leaves the answer's body, or the connection it upgrades to, to the caller.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = self.tls.connect(name, stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.unwrap()
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn text(&self, request: Request<Full<Bytes>>) -> (u16, String) {
        let response = self.send(request).await;
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    /// `GET`.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.text(Request::get(path).header("host", "test").body(Full::default()).unwrap())
            .await
    }

    /// `DELETE`.
    pub(crate) async fn delete(&self, path: &str) -> (u16, String) {
        let request = Request::delete(path).header("host", "test");
        self.text(request.body(Full::default()).unwrap()).await
    }

    /// `POST` of JSON.
    pub(crate) async fn post(&self, path: &str, body: serde_json::Value) -> (u16, String) {
        let request = Request::post(path)
            .header("host", "test")
            .header("content-type", "application/json");
        self.text(request.body(Full::new(body.to_string().into())).unwrap())
            .await
    }
}
