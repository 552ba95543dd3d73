//! PersistentVolumeClaimResize: claims grow only where their class lets them
//! (`plugin/pkg/admission/storage/persistentvolume/resize`).

use crate::admission::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::quantity::Quantity;
use machinery::status::Status;
use serde_json::Value;

pub(super) const NAME: &str = "PersistentVolumeClaimResize";

/// The predecessor of `spec.storageClassName`.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const UNBOUND: &str = "Only bound persistent volume claims can be expanded";
const FIXED: &str =
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";

pub(super) struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        NAME
    }

    fn validate<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(check(lookup, attributes, object))
    }
}

async fn check(lookup: &dyn Lookup, attributes: &Attributes<'_>, claim: &Value) -> Result<(), Status> {
    let concerned = attributes.operation == Operation::Update
        && attributes.subresource.is_empty()
        && attributes.resource == GroupResource::new("", "persistentvolumeclaims");
    let Some(old) = attributes.old.filter(|_| concerned) else {
        return Ok(());
    };
    let size = |claim: &Value| {
        let text = meta::str_at(claim, &["spec", "resources", "requests", "storage"]);
        text.and_then(|text| Quantity::parse(text).ok())
            .unwrap_or_else(|| Quantity::from_units(0))
    };
    if size(claim).minus(&size(old)).sign() <= 0 {
        return Ok(());
    }
    if meta::str_at(old, &["status", "phase"]) != Some("Bound") {
        return Err(attributes.forbidden(claim, UNBOUND));
    }
    let class = class_of(claim);
    let grows = if class.is_empty() || class != class_of(old) {
        false
    } else {
        let classes = GroupResource::new("storage.k8s.io", "storageclasses");
        let class = lookup.find(&classes, "", class).await?;
        class.is_some_and(|class| meta::bool_at(&class, &["allowVolumeExpansion"]) == Some(true))
    };
    if grows {
        Ok(())
    } else {
        Err(attributes.forbidden(claim, FIXED))
    }
}

fn class_of(claim: &Value) -> &str {
    let annotated = meta::str_at(claim, &["metadata", "annotations", CLASS_ANNOTATION]);
    annotated
        .or_else(|| meta::str_at(claim, &["spec", "storageClassName"]))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::{Objects, attributes};
    use serde_json::json;

    #[tokio::test]
    async fn claims_grow_where_their_class_lets_them() {
        let class = |name: &str, grows: bool| {
            (
                "storageclasses",
                json!({"metadata": {"name": name}, "allowVolumeExpansion": grows}),
            )
        };
        let lookup = Objects::of(&[class("elastic", true), class("stiff", false)]);
        let claim = |class: &str, size: &str, phase: &str| json!({"spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}}, "status": {"phase": phase}});
        for (class, size, phase, refused) in [
            ("elastic", "2Gi", "Bound", None),
            ("stiff", "1Gi", "Bound", None),
            ("stiff", "2Gi", "Bound", Some(FIXED)),
            ("", "2Gi", "Bound", Some(FIXED)),
            ("gone", "2Gi", "Bound", Some(FIXED)),
            ("elastic", "2Gi", "Pending", Some(UNBOUND)),
        ] {
            let old = claim(class, "1Gi", phase);
            let mut warnings = Vec::new();
            let mut attributes = attributes(Operation::Update, "persistentvolumeclaims", "n", "c", &mut warnings);
            attributes.old = Some(&old);
            let result = check(&lookup, &attributes, &claim(class, size, phase)).await;
            let expected = refused.map(|why| format!("persistentvolumeclaims \"c\" is forbidden: {why}"));
            assert_eq!(result.err().map(|s| s.message), expected, "{class} {size} {phase}");
        }
    }
}
