//! One store and any API servers on it, ours or upstream's in every combination: what is compared and measured.

mod bridge;
mod connection;
mod program;
mod server;
mod store;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use chassis::tls::Profile;
use pki::Pki;
use tempfile::TempDir;

use crate::faulty::Proxy;
use crate::process::Ports;

pub use bridge::Bridge;
pub use connection::{Answer, Connection, Dialer};
pub use program::Program;
pub use server::{Server, ServerKind, kube_apiserver};
pub use store::{Store, StoreKind, compact};

/// How long a program may take until it answers; upstream's server needs a while on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Who the administrator is: user and group.
const ADMINISTRATOR: (&str, &str) = ("admin", "system:masters");

/// A directory with keys and ports, in which stores and servers are started. Dropping it leaves no file behind; the
/// programs end with their own values.
#[derive(Debug)]
pub struct Site {
    dir: TempDir,
    pki: Pki,
    ports: Ports,
}

impl Site {
    /// Makes the directory below that for temporary files.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    /// Makes the directory below `parent`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn below(parent: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("vc")
            .tempdir_in(parent)
            .with_context(|| format!("no directory can be made in {}", parent.display()))?;
        let pki = Pki::open(&dir.path().join("pki"), "standalone-ca")?;
        let names = ["localhost", "127.0.0.1", "kubernetes.default.svc"];
        pki.issue("apiserver", &Profile::server("kube-apiserver", names))?;
        let (user, group) = ADMINISTRATOR;
        pki.issue(user, &Profile::client(user, [group]))?;
        let ports = Ports::open(&dir.path().join("ports.json"))?;
        Ok(Self { dir, pki, ports })
    }

    /// The administrator's certificate and key.
    pub fn administrator(&self) -> (PathBuf, PathBuf) {
        let file = |end: &str| self.pki.path(&format!("{}.{end}", ADMINISTRATOR.0));
        (file("crt"), file("key"))
    }

    /// A file of the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts a store that is empty unless one of this name was here before.
    ///
    /// # Errors
    /// It does not start.
    pub async fn store(&mut self, name: &str, kind: &StoreKind) -> Result<Store> {
        Store::start(self, name, kind).await
    }

    /// Starts an API server on a store and waits until it is ready. `extra` are flags that come last.
    ///
    /// # Errors
    /// It does not start, or is not ready in time.
    pub async fn server(&mut self, name: &str, kind: &ServerKind, store: &Store, extra: &[String]) -> Result<Server> {
        Server::start(self, name, kind, store, extra).await
    }

    /// Connections to a server as the administrator.
    ///
    /// # Errors
    /// The keys cannot be read.
    pub fn dialer(&self, server: &Server) -> Result<Dialer> {
        let (certificate, key) = self.administrator();
        Dialer::new(server.port, &self.path("pki/ca.crt"), &certificate, &key)
    }

    /// Starts a proxy in front of a server, through which nothing goes wrong yet.
    ///
    /// # Errors
    /// It does not start.
    pub async fn proxy(&mut self, server: &Server) -> Result<Proxy> {
        let (user, group) = ADMINISTRATOR;
        self.proxy_as(server, user, &[group]).await
    }

    /// The same for a user, in whose name everything reaches the server.
    ///
    /// # Errors
    /// It does not start.
    pub async fn proxy_as(&mut self, server: &Server, user: &str, groups: &[&str]) -> Result<Proxy> {
        let port = self.port(&format!("{}/{user}", server.port))?;
        proxied(&self.pki, port, (&self.pki, server.port), user, groups).await
    }

    /// The same in front of an API server that others have started: the keys of its cluster, and its port.
    ///
    /// # Errors
    /// It does not start.
    pub async fn proxy_to(&mut self, server: (&Pki, u16), user: &str, groups: &[&str]) -> Result<Proxy> {
        let port = self.port(&format!("{}/{user}", server.1))?;
        proxied(&self.pki, port, server, user, groups).await
    }

    /// The flags with which an API server of this directory reaches the kubelets that a [`Bridge`] serves.
    ///
    /// # Errors
    /// No port is free.
    pub fn kubelet_flags(&mut self) -> Result<Vec<String>> {
        let port = self.port(bridge::KUBELET)?;
        let administrator = self.administrator();
        Ok(vec![
            format!("--kubelet-client-certificate={}", administrator.0.display()),
            format!("--kubelet-client-key={}", administrator.1.display()),
            format!("--kubelet-certificate-authority={}", self.path("pki/ca.crt").display()),
            "--kubelet-preferred-address-types=VirtualKubelet,InternalIP,Hostname".to_string(),
            format!("--loopback-kubelet-ports={port}"),
        ])
    }

    /// The flags with which an API server of this directory asks servers behind APIServices in its users' names, and those with
    /// which a [`Bridge`] believes it.
    ///
    /// # Errors
    /// The certificate cannot be issued.
    pub fn front_proxy_flags(&self) -> Result<(Vec<String>, Vec<String>)> {
        const NAME: &str = "front-proxy-client";
        self.pki.issue_front_proxy(NAME, &Profile::client(NAME, [""; 0]))?;
        let file = |name: &str| self.pki.path(name).display().to_string();
        let believed = vec![
            format!("--requestheader-client-ca-file={}", file("front-proxy-ca.crt")),
            format!("--requestheader-allowed-names={NAME}"),
        ];
        let own = [
            format!("--proxy-client-cert-file={}", file(&format!("{NAME}.crt"))),
            format!("--proxy-client-key-file={}", file(&format!("{NAME}.key"))),
            "--requestheader-username-headers=X-Remote-User".to_string(),
            "--requestheader-group-headers=X-Remote-Group".to_string(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_string(),
        ];
        Ok(([&believed[..], &own].concat(), believed))
    }

    fn program(&self, name: &str, binary: &Path, arguments: &[String]) -> Result<Program> {
        Program::start(
            name,
            binary,
            arguments,
            &self.path(&format!("{name}.log")),
            self.dir.path(),
        )
    }

    /// A port of 127.0.0.1 that stays the one of `name`.
    fn port(&mut self, name: &str) -> Result<u16> {
        self.ports.get(name)
    }

    fn url(&mut self, scheme: &str, name: &str) -> Result<String> {
        Ok(format!("{scheme}://{}:{}", Ipv4Addr::LOCALHOST, self.port(name)?))
    }
}

/// Starts a proxy with own keys that listens on a port, in front of a server with others.
async fn proxied(own: &Pki, port: u16, server: (&Pki, u16), user: &str, groups: &[&str]) -> Result<Proxy> {
    let name = format!("proxy-{port}");
    let kubeconfig = format!("{name}.conf");
    let url = format!("https://127.0.0.1:{port}");
    own.kubeconfig(&kubeconfig, &url, "proxied", user, groups)?;
    let (theirs, target) = server;
    theirs.issue(&name, &Profile::client(user, groups.iter().copied()))?;
    let path = |pki: &Pki, name: &str, end: &str| pki.path(&format!("{name}.{end}"));
    let dialer = Dialer::new(
        target,
        &theirs.path("ca.crt"),
        &path(theirs, &name, "crt"),
        &path(theirs, &name, "key"),
    )?;
    let serving = (path(own, "apiserver", "crt"), path(own, "apiserver", "key"));
    Proxy::start(port, (&serving.0, &serving.1), dialer, own.path(&kubeconfig)).await
}
