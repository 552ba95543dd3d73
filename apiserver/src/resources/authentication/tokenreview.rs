//! TokenReviews: whose token it is.

use super::super::shared::cells;
use super::Unstored;
use crate::registry::resource::{Resource, Review};

pub(super) fn resource() -> Resource {
    Resource::review(
        ("authentication.k8s.io", "v1", "TokenReview"),
        ("tokenreviews", "tokenreview"),
        "io.k8s.api.authentication.v1.TokenReview",
        Review::Token,
        Unstored,
        &cells::NAME_AND_CREATION,
    )
}
