//! Which fields both clusters know, and which of them may be carried from one to the other.
//!
//! Servers of different versions know different fields. One that a server does not know is dropped without a word, so that
//! whoever sends it sends it for ever; one that a server sets by itself is refused, or overwritten, just as often. So of the kinds that
//! are named here, nothing is shown that is not named, too, and nothing goes to a server that is older than the field.
//!
//! The numbers are minor versions in which a field works without a feature gate being set
//! (`pkg/features/kube_features.go`). What is only there with such a gate has no line.

mod sent;
mod shown;

pub(super) use sent::{fit, fit_fields};
pub(super) use shown::{shown, shown_status};

/// Versions that are older than everything here.
const ALWAYS: u32 = 0;

#[cfg(test)]
mod tests;
