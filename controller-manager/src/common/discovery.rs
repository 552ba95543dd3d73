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
    /// Whether it has the subresource `scale`.
    pub(crate) scalable: bool,
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
        for (resource, capabilities) in group.resources_by_stability() {
            kinds
                .entry(key(&resource))
                .or_insert_with(|| kind(resource, capabilities));
        }
        // The group's own preference wins over stability.
        for (resource, capabilities) in group.recommended_resources() {
            kinds.insert(key(&resource), kind(resource, capabilities));
        }
    }
    Ok(kinds)
}

fn key(resource: &ApiResource) -> (String, String) {
    (resource.group.clone(), resource.plural.clone())
}

fn kind(resource: ApiResource, capabilities: ApiCapabilities) -> Kind {
    Kind {
        resource,
        namespaced: capabilities.scope == Scope::Namespaced,
        scalable: capabilities.subresources.iter().any(|(sub, _)| sub.plural == "scale"),
        verbs: capabilities.operations,
    }
}
