//! The syncer between two API servers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Program, Server, Site, Store};
use crate::process::is_ready;

/// A running syncer.
#[derive(Debug)]
pub struct Bridge {
    /// The process.
    pub program: Program,
    admin: SocketAddr,
}

impl Bridge {
    /// Starts a syncer for the virtual cluster `name` of `site`, whose objects lie in a namespace of the host's server, and
    /// waits until it has seen both. `extra` are flags that come last.
    ///
    /// # Errors
    /// It does not start, or is not ready in time.
    pub async fn start(
        site: &mut Site,
        binary: &Path,
        name: &str,
        (virtual_, store): (&Server, &Store),
        (host, namespace): (&Server, &str),
        extra: &[String],
    ) -> Result<Self> {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, site.port("syncer/admin")?));
        let own = [
            format!("--kubeconfig={}", virtual_.kubeconfig.display()),
            format!("--host-kubeconfig={}", host.kubeconfig.display()),
            format!("--name={name}"),
            format!("--target-namespace={namespace}"),
            format!("--etcd-servers={}", store.endpoint),
            "--kubelet-address=127.0.0.1".to_string(),
            "--kubelet-port=0".to_string(),
            format!("--admin-bind-address={admin}"),
            "--grpc-bind-address=0".to_string(),
        ];
        let mut program = site.program("syncer", binary, &[&own, extra].concat())?;
        let ready = async || {
            ensure!(is_ready(admin).await?, "/readyz does not say that it is ready");
            Ok(())
        };
        program.works(ready).await?;
        Ok(Self { program, admin })
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
