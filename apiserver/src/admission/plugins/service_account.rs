//! ServiceAccount: every pod runs as a service account that exists, with that account's token and pull secrets
//! (`plugin/pkg/admission/serviceaccount`).

use crate::admission::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::status::Status;
use machinery::{meta, names};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const NAME: &str = "ServiceAccount";

/// Where containers find their token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// How long the token lives: an hour and the seconds by which clients recognise it as this default.
const EXPIRATION_SECONDS: i64 = 3607;
const MIRROR: &str = "kubernetes.io/config.mirror";
/// An account with this annotation lets its pods use its own secrets only.
const ENFORCE_MOUNTABLE_SECRETS: [&str; 3] = ["metadata", "annotations", "kubernetes.io/enforce-mountable-secrets"];
/// What upstream's `strconv.ParseBool` takes for yes.
const YES: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];
/// The account of pods that name none; the controller makes it a moment after the namespace, so it is waited for.
const DEFAULT: &str = "default";
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct ServiceAccount;

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(admit(lookup, attributes, object))
    }
}

async fn admit(lookup: &dyn Lookup, attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), Status> {
    let pods = attributes.resource == GroupResource::new("", "pods") && attributes.subresource.is_empty();
    if !pods || attributes.operation != Operation::Create {
        return Ok(());
    }
    if meta::at(pod, &["metadata", "annotations", MIRROR]).is_some() {
        return check_mirror(attributes, pod);
    }
    let name = match meta::str_at(pod, &["spec", "serviceAccountName"]).unwrap_or_default() {
        "" => DEFAULT.to_owned(),
        name => name.to_owned(),
    };
    for field in ["serviceAccountName", "serviceAccount"] {
        meta::set(pod, &["spec", field], name.clone());
    }
    let account = find(lookup, attributes.namespace, &name).await?.ok_or_else(|| {
        let namespace = attributes.namespace;
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        attributes.forbidden(pod, why)
    })?;
    if meta::str_at(&account, &ENFORCE_MOUNTABLE_SECRETS).is_some_and(|value| YES.contains(&value)) {
        check_secrets(&account, &name, pod).map_err(|why| attributes.forbidden(pod, why))?;
    }
    if automounts(&account, pod) {
        mount_token(pod);
    }
    if meta::list_at(pod, &["spec", "imagePullSecrets"]).is_empty() {
        let secrets: Vec<Value> = meta::list_at(&account, &["imagePullSecrets"]).to_vec();
        if !secrets.is_empty() {
            meta::set(pod, &["spec", "imagePullSecrets"], secrets);
        }
    }
    Ok(())
}

/// Whether the pod uses secrets of its account only (`limitSecretReferences`).
fn check_secrets(account: &Value, account_name: &str, pod: &Value) -> Result<(), String> {
    let of_account = |list: &str, name: &str| {
        let mut secrets = meta::list_at(account, &[list]).iter();
        secrets.any(|secret| meta::str_at(secret, &["name"]) == Some(name))
    };
    let check = |what: String, name: Option<&str>| match name {
        Some(name) if !of_account("secrets", name) => Err(format!(
            "{what} secret.secretName=\"{name}\" is not allowed because service account {account_name} does not reference that secret"
        )),
        _ => Ok(()),
    };
    for volume in meta::list_at(pod, &["spec", "volumes"]) {
        check(
            "volume with".to_owned(),
            meta::str_at(volume, &["secret", "secretName"]),
        )?;
    }
    for (list, title) in [("initContainers", "init container"), ("containers", "container")] {
        for container in meta::list_at(pod, &["spec", list]) {
            let container_name = meta::str_at(container, &["name"]).unwrap_or_default();
            for variable in meta::list_at(container, &["env"]) {
                let what = format!(
                    "{title} {container_name} with envVar {} referencing",
                    meta::str_at(variable, &["name"]).unwrap_or_default()
                );
                check(what, meta::str_at(variable, &["valueFrom", "secretKeyRef", "name"]))?;
            }
            for from in meta::list_at(container, &["envFrom"]) {
                let what = format!("{title} {container_name} with envFrom referencing");
                check(what, meta::str_at(from, &["secretRef", "name"]))?;
            }
        }
    }
    for (i, secret) in meta::list_at(pod, &["spec", "imagePullSecrets"]).iter().enumerate() {
        let name = meta::str_at(secret, &["name"]).unwrap_or_default();
        if !of_account("imagePullSecrets", name) {
            return Err(format!(
                "imagePullSecrets[{i}].name=\"{name}\" is not allowed because service account {account_name} does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

/// Static pods cannot use what the API would give them.
fn check_mirror(attributes: &Attributes<'_>, pod: &Value) -> Result<(), Status> {
    if !meta::str_at(pod, &["spec", "serviceAccountName"])
        .unwrap_or_default()
        .is_empty()
    {
        return Err(attributes.forbidden(pod, "a mirror pod may not reference service accounts"));
    }
    Ok(())
}

async fn find(lookup: &dyn Lookup, namespace: &str, name: &str) -> Result<Option<Value>, Status> {
    let resource = GroupResource::new("", "serviceaccounts");
    let attempts = if name == DEFAULT { ATTEMPTS } else { 1 };
    for attempt in 0..attempts {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        if let Some(account) = lookup.find(&resource, namespace, name).await? {
            return Ok(Some(account));
        }
    }
    Ok(None)
}

/// The pod decides, then the account, then yes.
fn automounts(account: &Value, pod: &Value) -> bool {
    meta::bool_at(pod, &["spec", "automountServiceAccountToken"])
        .or_else(|| meta::bool_at(account, &["automountServiceAccountToken"]))
        .unwrap_or(true)
}

fn mount_token(pod: &mut Value) {
    let existing = meta::list_at(pod, &["spec", "volumes"])
        .iter()
        .filter_map(|v| meta::str_at(v, &["name"]))
        .find(|name| name.starts_with(VOLUME_PREFIX))
        .map(str::to_owned);
    let is_new = existing.is_none();
    let volume = existing.unwrap_or_else(|| {
        let random = uuid::Uuid::new_v4();
        format!("{VOLUME_PREFIX}{}", names::generated(&random.as_bytes()[..5]))
    });
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        let containers = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mut mounts = meta::list_at(container, &["volumeMounts"]).to_vec();
            if mounts
                .iter()
                .any(|m| meta::str_at(m, &["mountPath"]) == Some(MOUNT_PATH))
            {
                continue;
            }
            mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH}));
            meta::set(container, &["volumeMounts"], mounts);
            needed = true;
        }
    }
    if needed && is_new {
        let mut volumes = meta::list_at(pod, &["spec", "volumes"]).to_vec();
        volumes.push(token_volume(&volume));
        meta::set(pod, &["spec", "volumes"], volumes);
    }
}

/// The token, the certificate it is used with and the namespace (upstream `TokenVolumeSource`).
fn token_volume(name: &str) -> Value {
    let namespace = json!({"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}});
    json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": EXPIRATION_SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::{Objects, attributes};

    async fn run(account: Value, spec: Value) -> Result<Value, String> {
        let lookup = Objects::of(&[("serviceaccounts", account)]);
        let mut pod = json!({"spec": spec});
        let mut warnings = Vec::new();
        let attributes = attributes(Operation::Create, "pods", "n", "p", &mut warnings);
        admit(&lookup, &attributes, &mut pod)
            .await
            .map(|()| pod)
            .map_err(|s| s.message)
    }

    #[tokio::test]
    async fn pods_get_account_token_and_pull_secrets() {
        let account = json!({"metadata": {"name": "default", "namespace": "n"}, "imagePullSecrets": [{"name": "s"}]});
        let pod = run(account, json!({"containers": [{"name": "c"}]})).await.unwrap();
        assert_eq!(pod["spec"]["serviceAccountName"], "default");
        assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "s"}]));
        let mount = &pod["spec"]["containers"][0]["volumeMounts"][0];
        assert_eq!(mount["mountPath"], MOUNT_PATH);
        assert_eq!(mount["name"], pod["spec"]["volumes"][0]["name"]);
    }

    #[tokio::test]
    async fn automounting_can_be_refused_by_account_or_pod() {
        let account =
            |mount: bool| json!({"metadata": {"name": "a", "namespace": "n"}, "automountServiceAccountToken": mount});
        let spec = json!({"serviceAccountName": "a", "containers": [{"name": "c"}]});
        let pod = run(account(false), spec.clone()).await.unwrap();
        assert_eq!(pod["spec"].get("volumes"), None);
        let mut stubborn = spec;
        stubborn["automountServiceAccountToken"] = json!(true);
        let pod = run(account(false), stubborn).await.unwrap();
        assert!(pod["spec"].get("volumes").is_some());
    }

    #[tokio::test]
    async fn an_account_may_keep_its_pods_to_its_own_secrets() {
        let account = json!({"metadata": {"name": "a", "namespace": "n",
            "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
            "secrets": [{"name": "own"}], "imagePullSecrets": [{"name": "pull"}]});
        let variable = |secret: &str| json!({"name": "V", "valueFrom": {"secretKeyRef": {"name": secret, "key": "k"}}});
        for (spec, refused) in [
            (
                json!({"volumes": [{"name": "v", "secret": {"secretName": "own"}}], "imagePullSecrets": [{"name": "pull"}],
                    "containers": [{"name": "c", "env": [variable("own")]}]}),
                None,
            ),
            (
                json!({"volumes": [{"name": "v", "secret": {"secretName": "other"}}]}),
                Some(
                    "volume with secret.secretName=\"other\" is not allowed because service account a does not reference that secret",
                ),
            ),
            (
                json!({"initContainers": [{"name": "c", "env": [variable("other")]}]}),
                Some(
                    "init container c with envVar V referencing secret.secretName=\"other\" is not allowed because service account a does not reference that secret",
                ),
            ),
            (
                json!({"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "other"}}]}]}),
                Some(
                    "container c with envFrom referencing secret.secretName=\"other\" is not allowed because service account a does not reference that secret",
                ),
            ),
            (
                json!({"imagePullSecrets": [{"name": "own"}]}),
                Some(
                    "imagePullSecrets[0].name=\"own\" is not allowed because service account a does not reference that imagePullSecret",
                ),
            ),
        ] {
            let mut spec = spec;
            spec["serviceAccountName"] = json!("a");
            let result = run(account.clone(), spec).await.err();
            assert_eq!(result, refused.map(|why| format!("pods \"p\" is forbidden: {why}")));
        }
    }

    #[tokio::test]
    async fn an_unknown_account_is_refused() {
        let account = json!({"metadata": {"name": "default", "namespace": "n"}});
        assert_eq!(
            run(account, json!({"serviceAccountName": "x"})).await.unwrap_err(),
            "pods \"p\" is forbidden: error looking up service account n/x: serviceaccount \"x\" not found"
        );
    }
}
