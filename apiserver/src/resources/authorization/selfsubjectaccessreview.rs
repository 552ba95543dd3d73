//! SelfSubjectAccessReviews: whether the client may do something.

use super::super::shared::cells;
use super::Unstored;
use crate::registry::resource::{Resource, Review};

pub(super) fn resource() -> Resource {
    Resource::review(
        ("authorization.k8s.io", "v1", "SelfSubjectAccessReview"),
        ("selfsubjectaccessreviews", "selfsubjectaccessreview"),
        "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
        Review::OwnAccess,
        Unstored,
        &cells::NAME_AND_CREATION,
    )
}
