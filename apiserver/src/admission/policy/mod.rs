//! Admission policies: expressions that refuse or change what is written (k8s.io/apiserver `pkg/admission/plugin/policy`).
//!
//! Policies and bindings are read from the cache on every write; what was compiled is kept as long as the policy stays the
//! same.

mod bound;
pub(super) mod compiled;
pub(super) mod facts;
mod hooks;
mod matching;
mod mutating;
mod parameters;
#[cfg(test)]
mod tests;
mod validating;

pub(super) use mutating::{Mutating, NAME as MUTATING};
pub(super) use validating::{NAME as VALIDATING, Validating};

/// The group of policies and bindings, which policies never look at.
const GROUP: &str = "admissionregistration.k8s.io";
/// What all expressions of a policy may cost together when they are evaluated for one write.
const BUDGET: u64 = 10_000_000;
/// The same for its match conditions.
const CONDITIONS_BUDGET: u64 = BUDGET / 4;
/// What one expression may cost.
const CALL_LIMIT: u64 = 1_000_000;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";
