//! LocalSubjectAccessReviews: whether somebody may do something in a namespace.

use super::super::shared::cells;
use super::Unstored;
use crate::registry::resource::{Resource, Review, Scope};

pub(super) fn resource() -> Resource {
    let review = Resource::review(
        ("authorization.k8s.io", "v1", "LocalSubjectAccessReview"),
        ("localsubjectaccessreviews", "localsubjectaccessreview"),
        "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
        Review::LocalAccess,
        Unstored,
        &cells::NAME_AND_CREATION,
    );
    Resource {
        scope: Scope::Namespaced,
        ..review
    }
}
