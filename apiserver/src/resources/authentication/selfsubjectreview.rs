//! SelfSubjectReviews: who the client is.

use super::super::shared::cells;
use super::Unstored;
use crate::registry::resource::{Resource, Review};

pub(super) fn resource() -> Resource {
    Resource::review(
        ("authentication.k8s.io", "v1", "SelfSubjectReview"),
        ("selfsubjectreviews", "selfsubjectreview"),
        "io.k8s.api.authentication.v1.SelfSubjectReview",
        Review::Oneself,
        Unstored,
        &cells::NAME_AND_CREATION,
    )
}
