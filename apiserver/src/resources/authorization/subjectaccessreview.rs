//! SubjectAccessReviews: whether somebody may do something.

use super::super::shared::cells;
use super::Unstored;
use crate::registry::resource::{Resource, Review};

pub(super) fn resource() -> Resource {
    Resource::review(
        ("authorization.k8s.io", "v1", "SubjectAccessReview"),
        ("subjectaccessreviews", "subjectaccessreview"),
        "io.k8s.api.authorization.v1.SubjectAccessReview",
        Review::Access,
        Unstored,
        &cells::NAME_AND_CREATION,
    )
}
