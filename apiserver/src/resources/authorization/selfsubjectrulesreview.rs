//! SelfSubjectRulesReviews: what the client may do in a namespace.

use super::super::shared::cells;
use super::Unstored;
use crate::registry::resource::{Resource, Review};

pub(super) fn resource() -> Resource {
    Resource::review(
        ("authorization.k8s.io", "v1", "SelfSubjectRulesReview"),
        ("selfsubjectrulesreviews", "selfsubjectrulesreview"),
        "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
        Review::OwnRules,
        Unstored,
        &cells::NAME_AND_CREATION,
    )
}
