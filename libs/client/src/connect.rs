//! From a kubeconfig file to a client that shares one HTTP/2 connection among all its watches and requests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::config::KubeConfigOptions;
use kube::{Client, Config};
use tower::{BoxError, Layer, ServiceExt, util::option_layer};

use crate::kubeconfig;

/// How long a connection may be silent before it is probed, as in client-go's `ReadIdleTimeout`.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
/// How long a probe may stay unanswered before the connection is given up, as in client-go's `PingTimeout`.
const PROBE_TIMEOUT: Duration = Duration::from_secs(15);

/// Why no client could be built; none of these helps to retry without changing the file.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file is missing, unreadable or not a kubeconfig.
    #[error("cannot use kubeconfig {path}: {cause}")]
    Kubeconfig {
        /// The file that was named.
        path: PathBuf,
        /// What is wrong with it, in one line.
        cause: String,
    },
    /// A certificate, key or token of the file is not usable.
    #[error("cannot use the credentials in kubeconfig {path}: {source}")]
    Credentials {
        /// The file that was named.
        path: PathBuf,
        /// What is wrong with them.
        source: Box<kube::Error>,
    },
    /// The server name of the cluster entry is not a valid DNS name or address.
    #[error("kubeconfig {path}: tls-server-name {name:?} is not a valid server name")]
    ServerName {
        /// The file that was named.
        path: PathBuf,
        /// The value of `tls-server-name`.
        name: String,
    },
}

/// Builds a client from a kubeconfig file. `component` is the first word of the user agent, from which the API server
/// derives the field manager. Nothing is dialled yet: an unreachable server is an error of the first request.
///
/// # Errors
/// The file, or the credentials in it, cannot be used.
pub async fn connect(kubeconfig: &Path, component: &str) -> Result<Client, ConnectError> {
    connect_with(configuration(kubeconfig).await?, kubeconfig, component)
}

/// What a kubeconfig file's current context says.
///
/// # Errors
/// The file cannot be used.
pub async fn configuration(kubeconfig: &Path) -> Result<Config, ConnectError> {
    let unusable = |cause| ConnectError::Kubeconfig {
        path: kubeconfig.to_owned(),
        cause,
    };
    let file = kubeconfig::read(kubeconfig).map_err(unusable)?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    config.map_err(|error| unusable(error.to_string()))
}

/// Builds a client from a configuration that came from `source`, which errors name.
///
/// # Errors
/// The credentials in it cannot be used.
pub fn connect_with(mut config: Config, source: &Path, component: &str) -> Result<Client, ConnectError> {
    let agent = format!("{component}/v{} (linux) vcluster-rs", env!("CARGO_PKG_VERSION"));
    if let Ok(agent) = HeaderValue::from_str(&agent) {
        config.headers.push((HeaderName::from_static("user-agent"), agent));
    }
    let path = || source.to_owned();
    let credentials = |source| ConnectError::Credentials {
        path: path(),
        source: Box::new(source),
    };

    let mut tls = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config().map_err(credentials)?)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let server_name = name.clone().try_into().map_err(|_| ConnectError::ServerName {
            path: path(),
            name: name.clone(),
        })?;
        tls = tls.with_server_name_resolver(FixedServerNameResolver::new(server_name));
    }
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(config.connect_timeout);
    let transport = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(PROBE_INTERVAL)
        .http2_keep_alive_timeout(PROBE_TIMEOUT)
        .http2_keep_alive_while_idle(true)
        .build::<_, Body>(tls.enable_all_versions().wrap_connector(http))
        .map_err(BoxError::from);
    let headers = config.extra_headers_layer().map_err(credentials)?;
    let auth = option_layer(config.auth_layer().map_err(credentials)?);
    let service = config.base_uri_layer().layer(auth.layer(headers.layer(transport)));
    Ok(Client::new(service, config.default_namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn errors_name_the_file() {
        let error = connect(Path::new("/does/not/exist.yaml"), "test")
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("cannot use kubeconfig /does/not/exist.yaml: "),
            "{error}"
        );
        let dir = tempfile::tempdir().unwrap();
        let broken = dir.path().join("broken.yaml");
        std::fs::write(&broken, "a: [").unwrap();
        let error = connect(&broken, "test").await.err().unwrap().to_string();
        assert!(
            error.contains("broken.yaml: ") && error.contains("line 2") && !error.contains('\n'),
            "{error}"
        );
    }
}
