//! The cluster role aggregation controller: roles such as `admin`, `edit` and `view` gather the rules of all roles with
//! certain labels (`pkg/controller/clusterroleaggregation`).

use std::sync::Arc;

use client::{Informer, ObjectKey, WorkQueue};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::common::selector;
use crate::context::{Context, Task};
use crate::error::{During, Result, ignore_not_found};
use crate::workers::{Reconcile, run};

const NAME: &str = "clusterrole-aggregation-controller";

struct Controller {
    client: Client,
    roles: Informer<ClusterRole>,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        roles: context.informers.cluster_roles(),
        queue: WorkQueue::new(),
    });
    let this = controller.clone();
    // Any role may be gathered by any other, and there are few: all that gather are looked at again.
    controller.roles.on_change(move |_| {
        for role in this.roles.list() {
            if role.aggregation_rule.is_some() {
                this.queue.add(ObjectKey::of(&role.metadata));
            }
        }
    });
    run(NAME, context, 1, controller)
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(role) = self.roles.get(&key) else {
            return Ok(());
        };
        let Some(rules) = gathered(&role, &self.roles.list())? else {
            return Ok(());
        };
        let mut wanted = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": { "name": key.name },
        });
        if !rules.is_empty() {
            wanted["rules"] = json!(rules);
        }
        let api: Api<ClusterRole> = Api::all(self.client.clone());
        let params = PatchParams::apply(NAME).force();
        let written = api.patch(&key.name, &params, &Patch::Apply(wanted)).await;
        ignore_not_found(written).during(format_args!("gathering the rules of cluster role {key}"))
    }
}

/// The rules that a role gathers, selector by selector and role by role in the order of their names, each rule once; nothing
/// when the role gathers none or has exactly those.
fn gathered(role: &ClusterRole, roles: &[Arc<ClusterRole>]) -> Result<Option<Vec<PolicyRule>>> {
    let Some(aggregation) = &role.aggregation_rule else {
        return Ok(None);
    };
    let mut rules: Vec<PolicyRule> = Vec::new();
    for labels in aggregation.cluster_role_selectors.iter().flatten() {
        let name = role.metadata.name.as_deref().unwrap_or_default();
        let labels = selector::parse(labels, &format!("cluster role {name}"))?;
        let others = roles.iter().filter(|other| {
            other.metadata.name != role.metadata.name && labels.matches(other.metadata.labels.as_ref())
        });
        for rule in others.flat_map(|other| other.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    let same = role.rules.as_deref().unwrap_or_default() == rules;
    Ok((!same).then_some(rules))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use super::*;

    fn role(name: &str, label: &str, resources: &[&str]) -> ClusterRole {
        let rule = |resource: &&str| json!({ "apiGroups": [""], "resources": [resource], "verbs": ["get"] });
        let rules: Vec<Value> = resources.iter().map(rule).collect();
        let metadata = json!({ "name": name, "labels": { label: "true" } });
        serde_json::from_value(json!({ "metadata": metadata, "rules": rules })).unwrap()
    }

    fn gathering(labels: &[&str]) -> ClusterRole {
        let selectors: Vec<Value> = labels
            .iter()
            .map(|label| json!({ "matchLabels": { *label: "true" } }))
            .collect();
        let aggregation = json!({ "clusterRoleSelectors": selectors });
        serde_json::from_value(
            json!({ "metadata": { "name": "m", "labels": { "a": "true" } }, "aggregationRule": aggregation }),
        )
        .unwrap()
    }

    fn resources(rules: &[PolicyRule]) -> Vec<&str> {
        rules
            .iter()
            .flat_map(|rule| rule.resources.iter().flatten())
            .map(String::as_str)
            .collect()
    }

    /// What was written is not written again.
    pub(crate) fn rests() {
        let mut role_ = gathering(&["a"]);
        let roles = [Arc::new(role("x", "a", &["pods"]))];
        role_.rules = gathered(&role_, &roles).unwrap();
        assert_eq!(gathered(&role_, &roles).unwrap(), None);
    }

    #[test]
    fn rules_come_in_order_and_once() {
        let roles = [
            role("a", "a", &["pods", "services"]),
            role("b", "b", &["pods", "secrets"]),
            role("m", "a", &["never"]),
            role("z", "a", &["services", "nodes"]),
        ]
        .map(Arc::new);
        let rules = gathered(&gathering(&["b", "a"]), &roles).unwrap().unwrap();
        assert_eq!(resources(&rules), ["pods", "secrets", "services", "nodes"]);
        assert_eq!(gathered(&gathering(&["nobody"]), &roles).unwrap(), None);
        let mut stale = gathering(&["nobody"]);
        stale.rules = Some(rules);
        assert_eq!(gathered(&stale, &roles).unwrap(), Some(Vec::new()));
        assert_eq!(gathered(&role("x", "a", &["pods"]), &roles).unwrap(), None);
    }
}
