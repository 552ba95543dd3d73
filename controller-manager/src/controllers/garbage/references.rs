//! What the state of its owners means for an object. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PropagationPolicy;

use super::graph::{FOREGROUND, ORPHAN};
use super::has_finalizer;

/// An owner as the API server has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Solid,
    Absent,
    /// It is being deleted and waits for its dependents.
    WaitsForDependents,
}

/// The owner references of an object with what became of the owners.
#[derive(Debug, Default)]
pub(crate) struct Owners(Vec<(OwnerReference, Standing)>);

impl Owners {
    pub(crate) fn push(&mut self, reference: OwnerReference, standing: Standing) {
        self.0.push((reference, standing));
    }

    fn any(&self, standing: Standing) -> bool {
        self.0.iter().any(|(_, one)| *one == standing)
    }

    /// The references worth keeping.
    pub(crate) fn solid(&self) -> Vec<OwnerReference> {
        let solid = self.0.iter().filter(|(_, standing)| *standing == Standing::Solid);
        solid.map(|(reference, _)| reference.clone()).collect()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fate {
    Stay,
    /// An owner is left; the references to the others go.
    DropReferences,
    Delete(PropagationPolicy),
}

/// The rule of `attemptToDeleteItem`.
pub(crate) fn decide(object: &ObjectMeta, owners: &Owners, has_dependents: bool) -> Fate {
    let waiting = owners.any(Standing::WaitsForDependents);
    if owners.any(Standing::Solid) {
        let lost = waiting || owners.any(Standing::Absent);
        return if lost { Fate::DropReferences } else { Fate::Stay };
    }
    if waiting && has_dependents {
        return Fate::Delete(PropagationPolicy::Foreground);
    }
    Fate::Delete(if has_finalizer(object, ORPHAN) {
        PropagationPolicy::Orphan
    } else if has_finalizer(object, FOREGROUND) {
        PropagationPolicy::Foreground
    } else {
        PropagationPolicy::Background
    })
}
