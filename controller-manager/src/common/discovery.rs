//! Which kinds the API server has.

use std::collections::{BTreeMap, BTreeSet};

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

/// The groups and versions, as objects name them, of which the API server does not know whether what it says is still true:
/// those of extensions that do not answer. Servers without aggregated discovery know of none.
pub(crate) async fn stale(client: &Client) -> Result<BTreeSet<String>, kube::Error> {
    let groups = match client.list_api_groups_aggregated().await {
        Ok(groups) => groups.items,
        Err(kube::Error::SerdeError(_)) => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let each = groups.into_iter().flat_map(|group| {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        let stale = group
            .versions
            .into_iter()
            .filter(|version| version.freshness.as_deref() == Some("Stale"));
        stale.map(move |version| format!("{name}/{}", version.version.unwrap_or_default()))
    });
    Ok(each.collect())
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
