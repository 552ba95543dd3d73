//! StorageObjectInUseProtection: claims, volumes and classes of their attributes stay until nobody uses them
//! (`plugin/pkg/admission/storage/storageobjectinuseprotection`). The finalizer set here is removed by the controller that
//! knows who does.

use crate::admission::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;

pub(super) const NAME: &str = "StorageObjectInUseProtection";

/// What is protected, by group and plural name, and the finalizer that does it.
const PROTECTED: [(&str, &str, &str); 3] = [
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    (
        "storage.k8s.io",
        "volumeattributesclasses",
        "kubernetes.io/vac-protection",
    ),
];

pub(super) struct StorageObjectInUseProtection;

impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit<'a>(
        &'a self,
        _lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        protect(attributes, object);
        Box::pin(async { Ok(()) })
    }
}

fn protect(attributes: &Attributes<'_>, object: &mut Value) {
    let whole = attributes.subresource.is_empty() && attributes.operation == Operation::Create;
    let finalizer = PROTECTED
        .iter()
        .find(|(group, plural, _)| whole && attributes.resource == GroupResource::new(*group, *plural));
    let Some((_, _, finalizer)) = finalizer else { return };
    let mut finalizers = meta::list_at(object, &["metadata", "finalizers"]).to_vec();
    if !finalizers.iter().any(|f| f == finalizer) {
        finalizers.push((*finalizer).into());
        meta::set(object, &["metadata", "finalizers"], finalizers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::attributes;
    use serde_json::json;

    #[test]
    fn new_claims_are_protected() {
        for (operation, plural, given, expected) in [
            (
                Operation::Create,
                "persistentvolumeclaims",
                json!([]),
                json!(["kubernetes.io/pvc-protection"]),
            ),
            (
                Operation::Create,
                "persistentvolumeclaims",
                json!(["kubernetes.io/pvc-protection"]),
                json!(["kubernetes.io/pvc-protection"]),
            ),
            (
                Operation::Create,
                "persistentvolumes",
                json!(["a/b"]),
                json!(["a/b", "kubernetes.io/pv-protection"]),
            ),
            (Operation::Update, "persistentvolumeclaims", json!([]), json!([])),
            (Operation::Create, "configmaps", json!([]), json!([])),
        ] {
            let mut object = json!({"metadata": {"finalizers": given}});
            let mut warnings = Vec::new();
            protect(&attributes(operation, plural, "n", "x", &mut warnings), &mut object);
            assert_eq!(object["metadata"]["finalizers"], expected, "{operation:?} {plural}");
        }
    }
}
