//! The authentication group: questions about identities.

mod selfsubjectreview;
mod tokenreview;

use crate::registry::resource::Resource;
use crate::registry::strategy::Strategy;

/// Nothing is stored, so there is nothing to prepare.
struct Unstored;

impl Strategy for Unstored {}

pub(super) fn all() -> Vec<Resource> {
    vec![selfsubjectreview::resource(), tokenreview::resource()]
}
