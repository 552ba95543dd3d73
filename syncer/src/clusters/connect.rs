//! From a kubeconfig, or the pod's own service account, to clients of one cluster.

use std::path::Path;

use kube::{Client, Config};

/// Two ways to the same API server.
#[derive(Clone)]
pub struct Connection {
    /// For objects: one HTTP/2 connection carries all requests and watches.
    pub shared: Client,
    /// For exec, attach and port-forward: HTTP/1.1, which can be upgraded, one connection per session.
    pub upgradable: Client,
}

/// Why no client could be made; trying again without changing the file does not help.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be used.
    #[error("{flag}: {cause}")]
    Kubeconfig {
        /// The flag that names the file.
        flag: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// There is neither a kubeconfig nor a service account.
    #[error("{flag} is not set and this is no pod of a cluster: {cause}")]
    NotInCluster {
        /// The flag that would name the file.
        flag: &'static str,
        /// What is missing.
        cause: String,
    },
}

/// Connects with the kubeconfig that `flag` names, or with the pod's service account when it names none. Nothing is
/// dialled yet: an API server that is away is met, and waited for, by the first request.
///
/// # Errors
/// The kubeconfig or the credentials cannot be used.
pub async fn connect(flag: &'static str, kubeconfig: Option<&Path>) -> Result<Connection, ConnectError> {
    let (config, source) = match kubeconfig {
        Some(path) => {
            let config = client::configuration(path).await;
            let unusable = |error: client::connect::ConnectError| ConnectError::Kubeconfig {
                flag,
                cause: error.to_string(),
            };
            (config.map_err(unusable)?, path)
        }
        None => {
            let missing = |error: kube::config::InClusterError| ConnectError::NotInCluster {
                flag,
                cause: error.to_string(),
            };
            (
                Config::incluster().map_err(missing)?,
                Path::new("of the pod's service account"),
            )
        }
    };
    let unusable = |cause: String| ConnectError::Kubeconfig { flag, cause };
    Ok(Connection {
        shared: client::connect_with(config.clone(), source, "syncer").map_err(|error| unusable(error.to_string()))?,
        upgradable: Client::try_from(config).map_err(|error| unusable(error.to_string()))?,
    })
}
