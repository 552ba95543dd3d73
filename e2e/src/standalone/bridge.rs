//! The syncer between two API servers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Program, Site, Store};
use crate::process::is_ready;

/// Whose port the kubelets of its nodes have.
pub(super) const KUBELET: &str = "syncer/kubelet";

/// A running syncer.
#[derive(Debug)]
pub struct Bridge {
    /// The process.
    pub program: Program,
    admin: SocketAddr,
}

impl Bridge {
    /// Starts a syncer for the virtual cluster `name` of `site`, whose objects lie in a namespace of the host. Clusters are
    /// given by kubeconfigs. `extra` are flags that come last.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(
        site: &mut Site,
        binary: &Path,
        name: &str,
        (virtual_, store): (&Path, &Store),
        (host, namespace): (&Path, &str),
        extra: &[String],
    ) -> Result<Self> {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, site.port("syncer/admin")?));
        let own = [
            format!("--kubeconfig={}", virtual_.display()),
            format!("--host-kubeconfig={}", host.display()),
            format!("--name={name}"),
            format!("--target-namespace={namespace}"),
            format!("--etcd-servers={}", store.endpoint),
            "--kubelet-address=127.0.0.1".to_string(),
            format!("--kubelet-port={}", site.port(KUBELET)?),
            format!("--client-ca-file={}", site.path("pki/ca.crt").display()),
            format!("--tls-signing-cert-file={}", site.path("pki/ca.crt").display()),
            format!("--tls-signing-key-file={}", site.path("pki/ca.key").display()),
            format!("--admin-bind-address={admin}"),
            "--grpc-bind-address=0".to_string(),
        ];
        let program = site.program("syncer", binary, &[&own, extra].concat())?;
        Ok(Self { program, admin })
    }

    /// Waits until it has seen both clusters.
    ///
    /// # Errors
    /// It is not ready in time.
    pub async fn ready(&mut self) -> Result<()> {
        let admin = self.admin;
        let ready = async || {
            ensure!(is_ready(admin).await?, "/readyz does not say that it is ready");
            Ok(())
        };
        self.program.works(ready).await
    }

    /// One counter, by its labels as they are written.
    ///
    /// # Errors
    /// The syncer does not show its metrics.
    pub async fn counter(&self, name: &str) -> Result<BTreeMap<String, f64>> {
        let mut stream = TcpStream::connect(self.admin).await.context("no metrics")?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        Ok(lines
            .filter_map(|(labels, count)| Some((labels.to_string(), count.parse().ok()?)))
            .collect())
    }
}
