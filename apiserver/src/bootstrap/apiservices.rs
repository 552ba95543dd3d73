//! The APIServices of what this server answers for itself (kubernetes `pkg/controlplane/apiserver/aggregator.go`).

use super::AT_A_TIME;
use super::writer::Writer;
use crate::aggregator::local::SERVICES;
use crate::endpoints::api::Api;
use futures::{StreamExt, TryStreamExt, stream};
use machinery::status::Status;
use serde_json::{Value, json};

/// Who keeps the object: the server, at its start or always.
pub(crate) const AUTO_MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

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
