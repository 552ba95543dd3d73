//! ResourceQuota: what a namespace may hold (`k8s.io/apiserver/pkg/admission/plugin/resourcequota`). Usage grows here;
//! only the controller finds out that it has shrunk.

use crate::admission::{Attributes, Lookup, ObjectRef, Operation, Plugin};
use futures::future::BoxFuture;
use jiff::Timestamp;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::pod_resources::{self, Amounts};
use machinery::quantity::Quantity;
use machinery::quota::{DeviceClasses, Evaluator, Kind, is_ignored, is_terminating};
use machinery::status::Status;
use serde_json::{Map, Value};

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
    let written = &attributes.resource;
    if attributes.namespace.is_empty() || *written == namespaces || is_ignored(written) {
        return Ok(());
    }
    let mut evaluator = Evaluator::of(written, DeviceClasses::default());
    if !handles(evaluator.kind(), attributes, object) {
        return Ok(());
    }
    let resource = GroupResource::new("", "resourcequotas");
    let quotas = lookup.list(&resource, attributes.namespace).await?;
    if quotas.is_empty() {
        return Ok(());
    }
    if let Kind::DeviceClaims(_) = evaluator.kind() {
        let classes = GroupResource::new("resource.k8s.io", "deviceclasses");
        let classes = lookup.list(&classes, "").await?;
        evaluator = Evaluator::of(written, DeviceClasses::of(&classes));
    }
    let request = Charge {
        attributes,
        object,
        evaluator,
        now: Timestamp::now(),
    };
    // What is missing is said before what is too much.
    for quota in &quotas {
        request.restricted(quota)?;
    }
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

/// Whether a write may change what is used (`Handles` of the evaluators).
fn handles(kind: &Kind, attributes: &Attributes<'_>, object: &Value) -> bool {
    let (create, update) = (
        attributes.operation == Operation::Create,
        attributes.operation == Operation::Update,
    );
    match (kind, attributes.subresource) {
        (Kind::Pods, "resize") => update,
        (Kind::Pods, "") => {
            let before = attributes.old.filter(|_| update);
            create || before.is_some_and(|old| is_terminating(old) != is_terminating(object))
        }
        (Kind::Services | Kind::Claims | Kind::DeviceClaims(_), "") => create || update,
        // Upstream compares two pointers here, so that every status counts as a new one.
        (Kind::Claims, "status") => update,
        (_, "") => create,
        _ => false,
    }
}

/// A write that uses something.
struct Charge<'a> {
    attributes: &'a Attributes<'a>,
    object: &'a Value,
    evaluator: Evaluator,
    now: Timestamp,
}

impl Charge<'_> {
    /// The limits of a quota that an object falls under.
    fn limits_of<'q>(&self, hard: &'q Amounts, quota: &Value, object: &Value) -> Vec<&'q str> {
        let names = hard.keys().map(String::as_str);
        let restricted: Vec<&str> = names.filter(|name| self.evaluator.limits(name)).collect();
        match restricted.is_empty() || self.evaluator.within_scopes(quota, object) {
            true => restricted,
            false => Vec::new(),
        }
    }

    /// The limits of a quota if the write falls under any. Refuses it if it does not say enough, or the quota does not yet.
    fn restricted(&self, quota: &Value) -> Result<Option<Amounts>, Status> {
        let name = meta::name(quota);
        let refuse = |why: String| Err(self.attributes.forbidden(self.object, why));
        let hard = pod_resources::amounts(quota, &["status", "hard"]);
        let restricted = self.limits_of(&hard, quota, self.object);
        if restricted.is_empty() {
            return Ok(None);
        }
        if let Some(why) = self.evaluator.missing(&restricted, self.object) {
            return refuse(format!("failed quota: {name}: {why}"));
        }
        let used = pod_resources::amounts(quota, &["status", "used"]);
        if restricted.iter().any(|resource| !used.contains_key(*resource)) {
            let resources = restricted.join(",");
            return refuse(format!("status unknown for quota: {name}, resources: {resources}"));
        }
        Ok(Some(hard))
    }

    /// What the write uses of a quota; what is used less does not count before the controller has seen it.
    fn requested(&self, quota: &Value, hard: &Amounts) -> Result<Amounts, Status> {
        let mut requested = self.evaluator.usage(self.object, self.now);
        let negative: Vec<&str> = names(requested.iter().filter(|(_, amount)| amount.sign() < 0));
        if !negative.is_empty() {
            let resources = negative.join(",");
            let why = format!("quota usage is negative for resource(s): {resources}");
            return Err(self.attributes.forbidden(self.object, why));
        }
        let old = self
            .attributes
            .old
            .filter(|_| self.attributes.operation == Operation::Update);
        if let Some(old) = old.filter(|old| !self.limits_of(hard, quota, old).is_empty()) {
            let before = self.evaluator.usage(old, self.now);
            for (resource, amount) in &mut requested {
                if let Some(before) = before.get(resource) {
                    *amount = amount.minus(before);
                }
            }
        }
        requested.retain(|resource, amount| amount.sign() > 0 && hard.contains_key(resource));
        Ok(requested)
    }

    /// Adds the usage to a quota, or refuses it (`CheckRequest`).
    fn to(&self, quota: &mut Value) -> Result<(), Status> {
        let Some(hard) = self.restricted(quota)? else {
            return Ok(());
        };
        let requested = self.requested(quota, &hard)?;
        if requested.is_empty() {
            return Ok(());
        }
        let name = meta::name(quota);
        let used = pod_resources::amounts(quota, &["status", "used"]);
        let mut new = used.clone();
        pod_resources::add(&mut new, &requested);
        let exceeded: Vec<&str> = names(requested.iter().filter(|(resource, _)| {
            new.get(*resource)
                .is_some_and(|total| hard.get(*resource).is_some_and(|limit| total > limit))
        }));
        // A status says what has happened already.
        if !exceeded.is_empty() && self.attributes.subresource != "status" {
            let (requested, used, hard) = (
                listed(&requested, &exceeded),
                listed(&used, &exceeded),
                listed(&hard, &exceeded),
            );
            let why = format!("exceeded quota: {name}, requested: {requested}, used: {used}, limited: {hard}");
            return Err(self.attributes.forbidden(self.object, why));
        }
        let used: Map<String, Value> = new
            .into_iter()
            .map(|(n, amount)| (n, amount.to_string().into()))
            .collect();
        meta::set(quota, &["status", "used"], used);
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
    #[tokio::test]
    async fn updates_are_charged_for_what_they_use_more() {
        let hard = json!({"services.nodeports": "5", "services.loadbalancers": "1"});
        let lookup = quota(json!({"hard": hard, "used": {"services.nodeports": "2", "services.loadbalancers": "0"}}));
        let service = |kind: &str, ports: usize| {
            json!({"metadata": {"resourceVersion": "1"},
            "spec": {"type": kind, "ports": vec![json!({"port": 1}); ports]}})
        };
        let update = async |old: Value, new: Value| {
            let mut warnings = Vec::new();
            let mut asked = attributes(Operation::Update, "services", "n", "x", &mut warnings);
            asked.old = Some(&old);
            ResourceQuota
                .validate(&lookup, &mut asked, &new)
                .await
                .map_err(|status| status.message)
        };
        let used = || lookup.in_namespace("resourcequotas", "n")[0]["status"]["used"].clone();
        assert_eq!(update(service("NodePort", 2), service("NodePort", 4)).await, Ok(()));
        assert_eq!(used()["services.nodeports"], "4");
        assert_eq!(update(service("NodePort", 4), service("ClusterIP", 4)).await, Ok(()));
        assert_eq!(
            used()["services.nodeports"],
            "4",
            "only the controller finds out that less is used"
        );
        let refused = update(service("ClusterIP", 1), service("LoadBalancer", 2))
            .await
            .unwrap_err();
        assert_eq!(
            refused,
            "services \"x\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=4, \
             limited: services.nodeports=5"
        );
    }

    #[tokio::test]
    async fn pods_that_begin_to_terminate_fall_under_other_quotas() {
        let spec = json!({"hard": {"pods": "1"}, "scopes": ["Terminating"]});
        let status = json!({"hard": {"pods": "1"}, "used": {"pods": "0"}});
        let lookup = Objects::of(&[(
            "resourcequotas",
            json!({"metadata": {"name": "q", "namespace": "n"}, "spec": spec, "status": status}),
        )]);
        let (old, new) = (json!({"spec": {}}), json!({"spec": {"activeDeadlineSeconds": 5}}));
        for (new, used) in [(&old, "0"), (&new, "1")] {
            let mut warnings = Vec::new();
            let mut asked = attributes(Operation::Update, "pods", "n", "x", &mut warnings);
            asked.old = Some(&old);
            ResourceQuota.validate(&lookup, &mut asked, new).await.unwrap();
            assert_eq!(
                lookup.in_namespace("resourcequotas", "n")[0]["status"]["used"]["pods"],
                used
            );
        }
    }
}
