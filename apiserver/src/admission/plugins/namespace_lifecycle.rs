//! NamespaceLifecycle: nothing is created in a namespace that does not exist or is going away, and the namespaces that
//! the cluster needs stay (k8s.io/apiserver `pkg/admission/plugin/namespace/lifecycle`).

use crate::admission::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;

pub(super) const NAME: &str = "NamespaceLifecycle";

/// Namespaces that may not be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(check(lookup, attributes, object))
    }
}

async fn check(lookup: &dyn Lookup, attributes: &Attributes<'_>, object: &Value) -> Result<(), Status> {
    let namespaces = GroupResource::new("", "namespaces");
    let about_namespace = attributes.resource == namespaces;
    if attributes.operation == Operation::Delete {
        if about_namespace && IMMORTAL.contains(&attributes.name) {
            return Err(attributes.forbidden(object, "this namespace may not be deleted"));
        }
        return Ok(()); // what is there may always go
    }
    let question = attributes.resource == GroupResource::new("authorization.k8s.io", "localsubjectaccessreviews");
    if question || attributes.operation == Operation::Connect || attributes.namespace.is_empty() || about_namespace {
        return Ok(()); // connections only reach what is there, and questions may be asked about anything
    }
    // It may have been made a moment ago.
    let Some(namespace) = lookup.find(&namespaces, "", attributes.namespace).await? else {
        return Err(Status::not_found(&namespaces, attributes.namespace));
    };
    let terminating = meta::str_at(&namespace, &["status", "phase"]) == Some("Terminating");
    if attributes.operation == Operation::Create && terminating {
        let name = attributes.namespace;
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        let status = attributes.forbidden(object, why);
        return Err(status.with_cause(
            "NamespaceTerminating",
            format!("namespace {name} is being terminated"),
            "metadata.namespace",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::{Objects, attributes};
    use serde_json::json;

    #[tokio::test]
    async fn content_needs_a_living_namespace() {
        let lookup = Objects::of(&[
            (
                "namespaces",
                json!({"metadata": {"name": "live"}, "status": {"phase": "Active"}}),
            ),
            (
                "namespaces",
                json!({"metadata": {"name": "dying"}, "status": {"phase": "Terminating"}}),
            ),
        ]);
        for (namespace, operation, expected) in [
            ("live", Operation::Create, None),
            ("dying", Operation::Update, None),
            ("dying", Operation::Delete, None),
            ("gone", Operation::Delete, None),
            ("gone", Operation::Connect, None),
            ("gone", Operation::Create, Some("namespaces \"gone\" not found")),
            (
                "dying",
                Operation::Create,
                Some(
                    "pods \"p\" is forbidden: unable to create new content in namespace dying because it is being terminated",
                ),
            ),
        ] {
            let mut warnings = Vec::new();
            let attributes = attributes(operation, "pods", namespace, "p", &mut warnings);
            let result = check(&lookup, &attributes, &json!({})).await;
            assert_eq!(
                result.err().map(|s| s.message).as_deref(),
                expected,
                "{operation:?} in {namespace}"
            );
        }
    }

    #[tokio::test]
    async fn the_default_namespace_stays() {
        let lookup = Objects::of(&[]);
        let mut warnings = Vec::new();
        let attributes = attributes(Operation::Delete, "namespaces", "default", "default", &mut warnings);
        let status = check(&lookup, &attributes, &Value::Null).await.unwrap_err();
        assert_eq!(
            status.message,
            "namespaces \"default\" is forbidden: this namespace may not be deleted"
        );
    }
}
