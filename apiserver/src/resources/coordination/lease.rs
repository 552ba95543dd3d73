//! Leases: leader election and node heartbeats.

use super::super::shared::cells;
use super::super::shared::checks::{complaints, one_of};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

const SPEC: &str = "io.k8s.api.coordination.v1.LeaseSpec";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Holder", "string", SPEC, "holderIdentity"),
        cells::AGE,
    ],
    cells: |obj, now| {
        let holder = meta::str_at(obj, &["spec", "holderIdentity"]).unwrap_or_default();
        vec![cells::name(obj), holder.into(), cells::age(obj, now)]
    },
};

const STRATEGIES: [&str; 1] = ["OldestEmulationVersion"];

struct Lease;

impl Strategy for Lease {
    /// `ValidateLeaseSpec`.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("spec");
        let mut errors = ErrorList::new();
        if let Some(seconds) = meta::i64_at(obj, &["spec", "leaseDurationSeconds"])
            && seconds <= 0
        {
            errors.push(Error::invalid(
                &path.child("leaseDurationSeconds"),
                seconds,
                "must be greater than 0",
            ));
        }
        if let Some(transitions) = meta::i64_at(obj, &["spec", "leaseTransitions"])
            && transitions < 0
        {
            let path = path.child("leaseTransitions");
            errors.push(Error::invalid(&path, transitions, "must be greater than or equal to 0"));
        }
        if let Some(strategy) = meta::str_at(obj, &["spec", "strategy"]) {
            let path = path.child("strategy");
            if strategy.contains('/') {
                errors.extend(complaints(&path, strategy, names::qualified_name(strategy)));
            } else {
                errors.extend(one_of(strategy, &STRATEGIES, &path));
            }
        }
        if let Some(preferred) = meta::str_at(obj, &["spec", "preferredHolder"])
            && !preferred.is_empty()
            && meta::str_at(obj, &["spec", "strategy"]).unwrap_or_default().is_empty()
        {
            errors.push(Error::forbidden(
                &path.child("preferredHolder"),
                "may only be specified if `strategy` is defined",
            ));
        }
        errors
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, _old: &Value) -> ErrorList {
        self.validate(cx, new)
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

pub(super) fn resource() -> Resource {
    Resource::namespaced_kind(
        ("coordination.k8s.io", "v1", "Lease"),
        ("leases", "lease"),
        "io.k8s.api.coordination.v1.Lease",
        Lease,
        &COLUMNS,
    )
}
