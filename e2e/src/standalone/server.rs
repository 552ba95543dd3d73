//! API servers: ours, or upstream's kube-apiserver.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use client::connect;
use kube::Client;

use super::{ADMINISTRATOR, Program, Site, Store};

/// Network of Service addresses.
const SERVICE_NETWORK: &str = "10.96.0.0/16";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Which server, and its binary.
#[derive(Debug, Clone)]
pub enum ServerKind {
    /// Our own.
    Ours(PathBuf),
    /// kube-apiserver, storing JSON or, as it does by itself, protobuf.
    Upstream {
        /// The binary.
        binary: PathBuf,
        /// Whether it writes JSON.
        json: bool,
    },
}

/// A running API server.
#[derive(Debug)]
pub struct Server {
    /// The process.
    pub program: Program,
    /// Its URL.
    pub url: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Port of 127.0.0.1.
    pub port: u16,
}

impl Server {
    pub(super) async fn start(
        site: &mut Site,
        name: &str,
        kind: &ServerKind,
        store: &Store,
        extra: &[String],
    ) -> Result<Self> {
        let port = site.port(&format!("{name}/secure"))?;
        let url = format!("https://127.0.0.1:{port}");
        let (user, group) = ADMINISTRATOR;
        let file = format!("{name}.conf");
        site.pki.kubeconfig(&file, &url, name, user, &[group])?;
        let kubeconfig = site.pki.path(&file);
        let (binary, own) = match kind {
            ServerKind::Ours(binary) => (binary, Vec::new()),
            ServerKind::Upstream { binary, json } => (binary, upstream(site, *json)),
        };
        let arguments = [&common(site, port, store), &own, extra].concat();
        let mut program = site.program(name, binary, &arguments)?;
        let client = connect(&kubeconfig, "standalone").await?;
        program.works(async || ready(&client).await).await?;
        Ok(Self {
            program,
            url,
            kubeconfig,
            port,
        })
    }

    /// A client of the administrator.
    ///
    /// # Errors
    /// The kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client> {
        Ok(connect(&self.kubeconfig, "standalone").await?)
    }
}

async fn ready(client: &Client) -> Result<()> {
    let request = http::Request::get("/readyz").body(Vec::new())?;
    let answer = client.request_text(request).await.context("/readyz")?;
    ensure!(answer == "ok", "/readyz says {answer}");
    Ok(())
}

/// What both servers take.
fn common(site: &Site, port: u16, store: &Store) -> Vec<String> {
    let key = |name: &str| site.pki.path(name).display().to_string();
    vec![
        format!("--etcd-servers={}", store.endpoint),
        "--bind-address=127.0.0.1".to_string(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", key("apiserver.crt")),
        format!("--tls-private-key-file={}", key("apiserver.key")),
        format!("--client-ca-file={}", key("ca.crt")),
        format!("--service-account-key-file={}", key("sa.pub")),
        format!("--service-account-signing-key-file={}", key("sa.key")),
        format!("--service-account-issuer={ISSUER}"),
        format!("--service-cluster-ip-range={SERVICE_NETWORK}"),
        "--authorization-mode=Node,RBAC".to_string(),
        "--allow-privileged=true".to_string(),
    ]
}

fn upstream(site: &Site, json: bool) -> Vec<String> {
    let media_type = if json {
        "application/json"
    } else {
        "application/vnd.kubernetes.protobuf"
    };
    vec![
        format!("--storage-media-type={media_type}"),
        format!("--cert-dir={}", site.path("certificates").display()),
    ]
}

/// The binary of a kube-apiserver that the environment variable KUBE_APISERVER names; none when it is not set.
///
/// # Errors
/// It names no file.
pub fn kube_apiserver() -> Result<Option<PathBuf>> {
    let Some(path) = std::env::var_os("KUBE_APISERVER").filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    ensure!(
        path.is_file(),
        "KUBE_APISERVER={}: there is no such file",
        path.display()
    );
    Ok(Some(path))
}
