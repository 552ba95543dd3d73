//! Deleting exactly the object that was looked at, never another one of the same name.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Preconditions};

/// Limits a deletion to the object with this UID.
pub(crate) fn only(meta: &ObjectMeta, params: DeleteParams) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            uid: meta.uid.clone(),
            resource_version: None,
        }),
        ..params
    }
}
