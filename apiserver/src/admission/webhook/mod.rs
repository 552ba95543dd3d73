//! Admission webhooks: what others refuse and change over HTTPS (k8s.io/apiserver `pkg/admission/plugin/webhook`).
//!
//! Everything works on objects as they are served, so that the kinds of custom resources need nothing of their own.

mod call;
mod hook;
mod matching;
mod metrics;
mod mutating;
mod patch;
mod response;
mod review;
mod rounds;
#[cfg(test)]
mod tests;
mod validating;

pub use hook::Hook;
pub use rounds::Rounds;

pub(super) use mutating::{Mutating, NAME as MUTATING};
pub(super) use validating::{NAME as VALIDATING, Validating};

use super::Attributes;
use crate::webhook::Client;
use metrics::{Kind, Metrics};
use std::sync::{Arc, PoisonError, RwLock};

/// The group of the configurations, which only webhooks of files look at.
const GROUP: &str = "admissionregistration.k8s.io";
/// The kinds of which webhooks of the cluster see nothing, or a wrong one could never be taken back
/// (`IsExemptAdmissionConfigurationResource`).
const EXEMPT: [&str; 6] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

/// How webhooks are called, and those that no object of the cluster configures.
pub struct Webhooks {
    mutating: Client,
    validating: Client,
    metrics: Metrics,
    fixed: Fixed,
}

/// The webhooks of files, which nobody in the cluster can see or change. They are called before all others.
#[derive(Default)]
pub struct Fixed {
    /// Those that change.
    pub mutating: Hooks,
    /// Those that refuse.
    pub validating: Hooks,
}

/// Webhooks that can be replaced by others while requests are served. Clones share them.
#[derive(Clone, Default)]
pub struct Hooks(Arc<RwLock<Vec<Arc<Hook>>>>);

impl Hooks {
    /// All of them, in their order.
    pub fn all(&self) -> Vec<Arc<Hook>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// There are these now.
    pub fn replace(&self, hooks: Vec<Arc<Hook>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = hooks;
    }
}

impl Webhooks {
    /// Registers the metrics. The two kinds of webhooks are called by clients of their own, which may show them something
    /// else.
    pub fn new((mutating, validating): (Client, Client), fixed: Fixed, metrics: &chassis::Metrics) -> Self {
        Webhooks {
            mutating,
            validating,
            metrics: Metrics::new(metrics),
            fixed,
        }
    }
}

impl Webhooks {
    fn client(&self, kind: Kind) -> &Client {
        match kind {
            Kind::Mutating => &self.mutating,
            Kind::Validating => &self.validating,
        }
    }
}

fn is_exempt(attributes: &Attributes<'_>) -> bool {
    attributes.kind.group == GROUP && EXEMPT.contains(&attributes.kind.kind.as_str())
}
