//! The network that vcluster.yaml says Services have, and the one that the virtual API server gives them addresses from.

use std::time::Duration;

use http::Method;
use tracing::warn;

use crate::clusters::Api;
use crate::json;

/// Where an API server says it.
const SERVICE_CIDR: &str = "/apis/networking.k8s.io/v1/servicecidrs/kubernetes";
/// Pause between attempts.
const RETRY: Duration = Duration::from_secs(2);

/// Warns when both are not the same, which only somebody who starts the API server can change.
pub async fn compare(api: &Api, said: &str) {
    let found = loop {
        match api.any("get", Method::GET, SERVICE_CIDR, None).await {
            Ok(found) => break found,
            Err(error) if error.code() == 0 || error.code() == 429 || error.code() >= 500 => {
                tokio::time::sleep(RETRY).await;
            }
            // An older server does not tell.
            Err(_) => return,
        }
    };
    let networks = json::items(&found, &["spec", "cidrs"]).iter();
    let networks: Vec<&str> = networks.filter_map(|network| network.as_str()).collect();
    if !networks.is_empty() && networks.join(",") != said {
        warn!(
            networking.serviceCIDR = said,
            found = networks.join(","),
            "the API server has been started with another --service-cluster-ip-range than vcluster.yaml says"
        );
    }
}
