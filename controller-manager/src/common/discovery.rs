//! Which kinds the API server has.

use std::collections::BTreeMap;

use kube::Client;
use kube::api::ApiResource;
use kube::core::discovery::{ApiCapabilities, Scope};
use kube::discovery::Discovery;

/// One kind in its preferred version.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
    verbs: Vec<String>,
}

impl Kind {
    pub(crate) fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }
}

/// All kinds by `group/plural`, one version each.
pub(crate) async fn kinds(client: &Client) -> Result<BTreeMap<(String, String), Kind>, kube::Error> {
    let discovery = match Discovery::new(client.clone()).run_aggregated().await {
        Ok(discovery) => discovery,
        // Older or smaller servers answer one document per group.
        Err(_) => Discovery::new(client.clone()).run().await?,
    };
    let mut kinds = BTreeMap::new();
    for group in discovery.groups() {
        for (resource, ApiCapabilities { scope, operations, .. }) in group.resources_by_stability() {
            let key = (resource.group.clone(), resource.plural.clone());
            let namespaced = scope == Scope::Namespaced;
            kinds.entry(key).or_insert(Kind {
                resource,
                namespaced,
                verbs: operations,
            });
        }
        // The group's own preference wins over stability.
        for (resource, ApiCapabilities { scope, operations, .. }) in group.recommended_resources() {
            let key = (resource.group.clone(), resource.plural.clone());
            let namespaced = scope == Scope::Namespaced;
            kinds.insert(
                key,
                Kind {
                    resource,
                    namespaced,
                    verbs: operations,
                },
            );
        }
    }
    Ok(kinds)
}
