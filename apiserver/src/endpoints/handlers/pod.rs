//! Binding a pod to a node (kubernetes `pkg/registry/core/pod/storage`).

use super::scope::Scope;
use crate::endpoints::negotiation::body_format;
use crate::endpoints::options::{WriteKind, WriteOptions};
use crate::endpoints::{body, respond};
use crate::registry::before;
use crate::registry::codec;
use crate::registry::managers::Managers;
use crate::registry::store::Store;
use crate::registry::store::errors::{self, Attempt};
use crate::server::request::Body;
use crate::storage::interface::{Error as StorageError, Preconditions, Revision, Update};
use bytes::Bytes;
use http::{Response, StatusCode};
use machinery::field::{self, Error, ErrorList, Path, go_quote};
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::meta;
use machinery::object::Stored;
use machinery::status::Status;
use serde_json::{Value, json};
use std::sync::Arc;

/// Assigns a pod to a node. `pods` is the store of pods: the request may be on `bindings`.
///
/// # Errors
/// 409 when the pod has a node, is being deleted or is held back by scheduling gates.
pub async fn bind(scope: &Scope, pods: &Arc<Store>, sent: &Bytes) -> Result<Response<Body>, Status> {
    let options = WriteOptions::read(&scope.query, WriteKind::Create)?;
    let warn = |text: String| scope.cx.warnings.add(text);
    let kind = GroupVersionKind::new("", "v1", "Binding");
    let mut binding = body::object(
        sent,
        body_format(&scope.parts.headers)?,
        &kind,
        options.validation,
        &warn,
    )?;
    if scope.subresource().is_empty() {
        // Only a binding below a pod may say which pod it means by its UID.
        before::wipe_system_fields(&mut binding);
    }
    before::match_namespace(scope.resource(), &scope.route.namespace, &mut binding)?;
    let named = Some(scope.route.name.as_str()).filter(|name| !name.is_empty());
    let name = named.unwrap_or_else(|| meta::name(&binding)).to_owned();
    let manager = scope.field_manager(&options.field_manager);
    let managers = Managers::of_view(&kind, scope.subresource())?;
    let write = scope.creation(&kind, &name);
    let admitted = scope.registry(&options.shown, async |rq| {
        managers.update(rq, None, &mut binding, &manager);
        scope.store().admit(rq, &write, &mut binding).await?;
        check(&name, &binding)?;
        scope.store().validate_admission(rq, &write, &binding).await
    });
    admitted.await?;
    assign(scope, pods, &name, &binding, options.shown.dry_run).await?;
    success(scope)
}

fn check(name: &str, binding: &Value) -> Result<(), Status> {
    if name != meta::name(binding) {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let problems = validate_binding(binding);
    if !problems.is_empty() {
        return Err(Status::failure(500, "", field::aggregate(&problems)));
    }
    Ok(())
}

fn validate_binding(binding: &Value) -> ErrorList {
    let target = Path::new("target");
    let mut errors = ErrorList::new();
    let kind = meta::str_at(binding, &["target", "kind"]).unwrap_or_default();
    if !matches!(kind, "" | "Node") {
        errors.push(Error::not_supported(&target.child("kind"), kind, &["Node", "<empty>"]));
    }
    if meta::str_at(binding, &["target", "name"])
        .unwrap_or_default()
        .is_empty()
    {
        errors.push(Error::required(&target.child("name"), ""));
    }
    errors
}

async fn assign(scope: &Scope, pods: &Store, name: &str, binding: &Value, dry_run: bool) -> Result<(), Status> {
    let resource = pods.resource.group_resource();
    let refused = |why: String| Status::conflict(&GroupResource::new("", "pods/binding"), name, why);
    let now = machinery::time::format(scope.now);
    let bound = |stored: &Stored| -> Result<Value, Status> {
        let mut pod = codec::decode(&pods.resource, stored)?;
        if meta::is_deleting(&pod) {
            return Err(refused(format!(
                "pod {name} is being deleted, cannot be assigned to a host"
            )));
        }
        let node = meta::str_at(&pod, &["spec", "nodeName"]).unwrap_or_default();
        if !node.is_empty() {
            return Err(refused(format!(
                "pod {name} is already assigned to node {}",
                go_quote(node)
            )));
        }
        if !meta::list_at(&pod, &["spec", "schedulingGates"]).is_empty() {
            return Err(refused(format!("pod {name} has non-empty .spec.schedulingGates")));
        }
        bind_to(&mut pod, binding, &now);
        Ok(pod)
    };
    if dry_run {
        let existing = pods.get(&scope.route.namespace, name, Revision::Latest).await?;
        return bound(&existing).map(drop);
    }
    let preconditions = Preconditions {
        uid: Some(meta::uid(binding))
            .filter(|uid| !uid.is_empty())
            .map(str::to_owned),
        resource_version: meta::str_at(binding, &["metadata", "resourceVersion"]).and_then(|v| v.parse().ok()),
    };
    let (bound, missing) = (&bound, || Status::not_found(&resource, name));
    let mut step = |existing: Option<&Stored>| -> futures::future::BoxFuture<'_, _> {
        let existing = existing.cloned();
        Box::pin(async move {
            let existing = existing.ok_or_else(missing).map_err(Box::new)?;
            let pod = bound(&existing).map_err(Box::new)?;
            let value = codec::to_storage(&pods.resource, pod).map_err(Box::new)?;
            Ok(Update::Write(codec::to_bytes(&value)))
        })
    };
    let result = pods
        .storage
        .update(&scope.route.namespace, name, &preconditions, &mut step)
        .await;
    result
        .map(drop)
        .map_err(|error: StorageError| errors::status(error, Attempt::Update, &resource, name))
}

/// Writes the node, the binding's labels and annotations and the condition of a scheduled pod.
fn bind_to(pod: &mut Value, binding: &Value, now: &str) {
    let node = meta::str_at(binding, &["target", "name"]).unwrap_or_default();
    meta::set(pod, &["spec", "nodeName"], node);
    for field in ["annotations", "labels"] {
        for (key, value) in meta::map_at(binding, &["metadata", field]).into_iter().flatten() {
            meta::map_mut(pod, &["metadata", field]).insert(key.clone(), value.clone());
        }
    }
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let conditions = meta::map_mut(pod, &["status"])
        .entry("conditions")
        .or_insert_with(|| json!([]));
    if let Some(conditions) = conditions.as_array_mut() {
        conditions.retain(|c| meta::str_at(c, &["type"]) != Some("PodScheduled"));
        conditions.push(condition);
    }
}

/// What a change that has no object to show is answered with.
pub(super) fn success(scope: &Scope) -> Result<Response<Body>, Status> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(respond::tree(
        StatusCode::CREATED,
        &status,
        &scope.negotiated,
        scope.client(),
    ))
}
