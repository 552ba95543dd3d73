//! ResourceQuota: what a namespace may hold (`k8s.io/apiserver/pkg/admission/plugin/resourcequota`). Usage grows here;
//! only the controller finds out that it has shrunk.

mod scopes;
mod usage;

use crate::admission::pod_resources::Amounts;
use crate::admission::{Attributes, Lookup, ObjectRef, Operation, Plugin, pod_resources};
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::quantity::Quantity;
use machinery::status::Status;
use serde_json::{Map, Value};
use usage::Evaluator;

pub(super) const NAME: &str = "ResourceQuota";

pub(super) struct ResourceQuota;

impl Plugin for ResourceQuota {
    fn name(&self) -> &'static str {
        NAME
    }

    fn validate<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(charge(lookup, attributes, object))
    }
}

async fn charge(lookup: &dyn Lookup, attributes: &Attributes<'_>, object: &Value) -> Result<(), Status> {
    let namespaces = GroupResource::new("", "namespaces");
    let Some(evaluator) = Evaluator::of(attributes).filter(|_| attributes.resource != namespaces) else {
        return Ok(());
    };
    if attributes.namespace.is_empty() {
        return Ok(());
    }
    let resource = GroupResource::new("", "resourcequotas");
    let quotas = lookup.list(&resource, attributes.namespace).await?;
    let request = Charge {
        attributes,
        object,
        evaluator,
    };
    // With several quotas nothing is charged to one before all others have agreed.
    let passes: &[bool] = match (attributes.dry_run, quotas.len()) {
        (true, _) => &[true],
        (false, 1) => &[false],
        (false, _) => &[true, false],
    };
    for dry_run in passes {
        for quota in &quotas {
            let quota = ObjectRef {
                resource: &resource,
                namespace: attributes.namespace,
                name: meta::name(quota),
            };
            lookup
                .change_status(quota, *dry_run, &|quota| request.to(quota))
                .await?;
        }
    }
    Ok(())
}

/// A write that uses something.
struct Charge<'a> {
    attributes: &'a Attributes<'a>,
    object: &'a Value,
    evaluator: Evaluator,
}

impl Charge<'_> {
    /// Adds the usage to a quota, or refuses it (`CheckRequest`).
    fn to(&self, quota: &mut Value) -> Result<(), Status> {
        let name = meta::name(quota).to_owned();
        let refuse = |why: String| Err(self.attributes.forbidden(self.object, why));
        let hard = pod_resources::amounts(quota, &["status", "hard"]);
        let restricted: Vec<&str> = hard
            .keys()
            .map(String::as_str)
            .filter(|n| self.evaluator.limits(n))
            .collect();
        if restricted.is_empty() || !scopes::match_all(quota, self.object, &self.evaluator) {
            return Ok(());
        }
        if let Some(why) = self.evaluator.missing(&restricted, self.object) {
            return refuse(format!("failed quota: {name}: {why}"));
        }
        let used = pod_resources::amounts(quota, &["status", "used"]);
        if restricted.iter().any(|resource| !used.contains_key(*resource)) {
            let resources = restricted.join(",");
            return refuse(format!("status unknown for quota: {name}, resources: {resources}"));
        }
        let mut requested = self.evaluator.usage(self.object);
        let negative: Vec<&str> = names(requested.iter().filter(|(_, amount)| amount.sign() < 0));
        if !negative.is_empty() {
            let resources = negative.join(",");
            return refuse(format!("quota usage is negative for resource(s): {resources}"));
        }
        if let (Operation::Update, Some(old)) = (self.attributes.operation, self.attributes.old) {
            for (resource, before) in self.evaluator.usage(old) {
                let now = requested
                    .get(&resource)
                    .copied()
                    .unwrap_or_else(|| Quantity::from_units(0));
                requested.insert(resource, now.minus(&before));
            }
        }
        requested.retain(|resource, amount| amount.sign() != 0 && hard.contains_key(resource));
        let mut new = used.clone();
        pod_resources::add(&mut new, &requested);
        let exceeded: Vec<&str> = names(requested.iter().filter(|(resource, _)| {
            new.get(*resource)
                .is_some_and(|total| hard.get(*resource).is_some_and(|limit| total > limit))
        }));
        if !exceeded.is_empty() {
            let (requested, used, hard) = (
                listed(&requested, &exceeded),
                listed(&used, &exceeded),
                listed(&hard, &exceeded),
            );
            return refuse(format!(
                "exceeded quota: {name}, requested: {requested}, used: {used}, limited: {hard}"
            ));
        }
        if !requested.is_empty() {
            let used: Map<String, Value> = new
                .into_iter()
                .map(|(n, amount)| (n, amount.to_string().into()))
                .collect();
            meta::set(quota, &["status", "used"], used);
        }
        Ok(())
    }
}

fn names<'a>(amounts: impl Iterator<Item = (&'a String, &'a Quantity)>) -> Vec<&'a str> {
    amounts.map(|(name, _)| name.as_str()).collect()
}

fn listed(amounts: &Amounts, names: &[&str]) -> String {
    let pair = |name: &&str| amounts.get(*name).map(|amount| format!("{name}={amount}"));
    names.iter().filter_map(pair).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::{Objects, attributes};
    use serde_json::json;

    fn quota(status: Value) -> Objects {
        let spec = json!({"hard": {"configmaps": "1"}});
        Objects::of(&[(
            "resourcequotas",
            json!({"metadata": {"name": "q", "namespace": "n"}, "spec": spec, "status": status}),
        )])
    }

    async fn create(lookup: &Objects, plural: &str, object: &Value) -> Result<(), String> {
        let mut warnings = Vec::new();
        let mut attributes = attributes(Operation::Create, plural, "n", "x", &mut warnings);
        let result = ResourceQuota.validate(lookup, &mut attributes, object).await;
        result.map_err(|status| status.message)
    }

    #[tokio::test]
    async fn usage_grows_until_the_limit() {
        let lookup = quota(json!({"hard": {"configmaps": "1"}, "used": {"configmaps": "0"}}));
        assert_eq!(create(&lookup, "configmaps", &json!({})).await, Ok(()));
        assert_eq!(
            lookup.in_namespace("resourcequotas", "n")[0]["status"]["used"]["configmaps"],
            "1"
        );
        assert_eq!(create(&lookup, "secrets", &json!({})).await, Ok(()));
        assert_eq!(
            create(&lookup, "configmaps", &json!({})).await.unwrap_err(),
            "configmaps \"x\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1"
        );
    }

    #[tokio::test]
    async fn nothing_counts_before_the_controller_has() {
        assert_eq!(create(&quota(json!({})), "configmaps", &json!({})).await, Ok(()));
        let lookup = quota(json!({"hard": {"configmaps": "1"}}));
        assert_eq!(
            create(&lookup, "configmaps", &json!({})).await.unwrap_err(),
            "configmaps \"x\" is forbidden: status unknown for quota: q, resources: configmaps"
        );
    }

    #[tokio::test]
    async fn pods_say_what_they_request() {
        let hard = json!({"pods": "2", "requests.cpu": "1"});
        let lookup = quota(json!({"hard": hard, "used": {"pods": "0", "requests.cpu": "0"}}));
        let pod = |resources: Value| json!({"spec": {"containers": [{"name": "c", "resources": resources}]}});
        assert_eq!(
            create(&lookup, "pods", &pod(json!({}))).await.unwrap_err(),
            "pods \"x\" is forbidden: failed quota: q: must specify requests.cpu for: c"
        );
        let with_request = pod(json!({"requests": {"cpu": "600m"}}));
        assert_eq!(create(&lookup, "pods", &with_request).await, Ok(()));
        assert_eq!(
            create(&lookup, "pods", &with_request).await.unwrap_err(),
            "pods \"x\" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1"
        );
    }
}
