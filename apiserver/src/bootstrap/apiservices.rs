//! The APIServices of what this server answers for itself (kubernetes `pkg/controlplane/apiserver/aggregator.go`).

use super::AT_A_TIME;
use super::writer::Writer;
use crate::endpoints::api::Api;
use futures::{StreamExt, TryStreamExt, stream};
use machinery::status::Status;
use serde_json::{Value, json};

/// Who keeps the object: the server, at its start.
const AUTO_MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Group, version and their priorities in discovery.
const SERVICES: [(&str, &str, i64, i64); 21] = [
    ("", "v1", 18_000, 1),
    ("admissionregistration.k8s.io", "v1", 16_700, 15),
    ("apiextensions.k8s.io", "v1", 16_700, 15),
    ("apps", "v1", 17_800, 15),
    ("authentication.k8s.io", "v1", 17_700, 15),
    ("authorization.k8s.io", "v1", 17_600, 15),
    ("autoscaling", "v1", 17_500, 15),
    ("autoscaling", "v2", 17_500, 30),
    ("batch", "v1", 17_400, 15),
    ("certificates.k8s.io", "v1", 17_300, 15),
    ("coordination.k8s.io", "v1", 16_500, 15),
    ("discovery.k8s.io", "v1", 16_200, 15),
    ("events.k8s.io", "v1", 17_750, 15),
    ("flowcontrol.apiserver.k8s.io", "v1", 16_100, 21),
    ("networking.k8s.io", "v1", 17_200, 15),
    ("node.k8s.io", "v1", 16_300, 15),
    ("policy", "v1", 17_100, 15),
    ("rbac.authorization.k8s.io", "v1", 17_000, 15),
    ("resource.k8s.io", "v1", 16_200, 21),
    ("scheduling.k8s.io", "v1", 16_600, 15),
    ("storage.k8s.io", "v1", 16_800, 15),
];

/// Makes what is missing.
///
/// # Errors
/// When the store cannot be read or written.
pub(super) async fn ensure(api: &Api) -> Result<(), Status> {
    let writer = &Writer::new(api, "apiregistration.k8s.io", "apiservices")?;
    let existing = &writer.all().await?;
    let write = |wanted: Value| async move {
        let name = machinery::meta::name(&wanted);
        if existing.iter().any(|found| machinery::meta::name(found) == name) {
            return Ok(());
        }
        writer.create("", &wanted).await
    };
    stream::iter(SERVICES.map(object))
        .map(write)
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await
}

fn object((group, version, group_priority, version_priority): (&str, &str, i64, i64)) -> Value {
    let mut object = json!({
        "metadata": {"name": format!("{version}.{group}"), "labels": {AUTO_MANAGED: "onstart"}},
        "spec": {
            "version": version,
            "groupPriorityMinimum": group_priority,
            "versionPriority": version_priority,
        },
    });
    if !group.is_empty() {
        object["spec"]["group"] = group.into();
    }
    object
}
