//! The authorization group: questions about what somebody may do.

mod localsubjectaccessreview;
mod selfsubjectaccessreview;
mod selfsubjectrulesreview;
mod subjectaccessreview;

use crate::registry::resource::Resource;
use crate::registry::strategy::Strategy;

/// Nothing is stored, so there is nothing to prepare.
struct Unstored;

impl Strategy for Unstored {}

pub(super) fn all() -> Vec<Resource> {
    vec![
        localsubjectaccessreview::resource(),
        selfsubjectaccessreview::resource(),
        selfsubjectrulesreview::resource(),
        subjectaccessreview::resource(),
    ]
}
