//! ResourceClaims.

use super::super::shared::checks::same;
use super::super::shared::status::{Metadata, Status};
use super::super::shared::{cells, internal};
use super::{admin_access, request, status};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Privilege, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::{Value, json};

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "State",
            "string",
            "A summary of the current state (allocated, pending, reserved, etc.).",
        ),
        cells::AGE,
    ],
    cells: |obj, now| vec![cells::name(obj), state(obj).into(), cells::age(obj, now)],
};

fn state(obj: &Value) -> String {
    let deleted = meta::is_deleting(obj);
    let allocated = meta::at(obj, &["status", "allocation"]).is_some();
    let reserved = allocated && !meta::list_at(obj, &["status", "reservedFor"]).is_empty();
    let states = [
        (deleted, "deleted"),
        (!allocated && !deleted, "pending"),
        (allocated, "allocated"),
        (reserved, "reserved"),
    ];
    let states: Vec<&str> = states
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, name)| name)
        .collect();
    states.join(",")
}

fn default(obj: &mut Value) {
    if let Some(spec) = obj.get_mut("spec") {
        request::default(spec);
    }
}

struct ResourceClaim;

impl Strategy for ResourceClaim {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn privilege(&self, new: &Value, old: Option<&Value>) -> Option<Privilege> {
        // The spec is immutable.
        let spec = meta::at(new, &["spec"]).filter(|_| old.is_none())?;
        admin_access::of_requests(spec)
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({}));
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
        request::validate(spec, &Path::new("spec"))
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        immutable_spec(new, old, |spec| internal::show("ResourceClaimSpec", spec))
            .into_iter()
            .collect()
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

/// A complaint about a spec that has changed; `show` writes it as upstream's messages do.
pub(super) fn immutable_spec(new: &Value, old: &Value, show: fn(&Value) -> String) -> Option<Error> {
    let spec = |obj| meta::at(obj, &["spec"]);
    let value = spec(new).cloned().unwrap_or_default();
    (!same(spec(new), spec(old))).then(|| {
        let shown = show(&value);
        Error::invalid(&Path::new("spec"), value, "field is immutable").showing(shown)
    })
}

pub(super) fn resource() -> Resource {
    let claim = Resource::namespaced_kind(
        ("resource.k8s.io", "v1", "ResourceClaim"),
        ("resourceclaims", "resourceclaim"),
        "io.k8s.api.resource.v1.ResourceClaim",
        ResourceClaim,
        &COLUMNS,
    );
    claim.with_plain_status(Status {
        metadata: Metadata::Reset,
        prepare: status::prepare,
        privilege: admin_access::of_results,
        validate: status::validate,
        ..Status::plain(default)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_follow_the_allocation() {
        for (status, expected) in [
            (json!({}), "pending"),
            (json!({"allocation": {}}), "allocated"),
            (
                json!({"allocation": {}, "reservedFor": [{"uid": "u"}]}),
                "allocated,reserved",
            ),
        ] {
            assert_eq!(state(&json!({"status": status})), expected);
        }
    }
}
