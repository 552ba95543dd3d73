//! CSINodes: the drivers that are installed on a node.

use super::GROUP;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use crate::resources::shared::checks::{complaints, csi_driver_name, non_negative, text};
use crate::resources::shared::{cells, internal};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const MAX_NODE_ID: usize = 256;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "Drivers",
            "integer",
            "Drivers indicates the number of CSI drivers registered on the node",
        ),
        cells::AGE,
    ],
    cells: |obj, now| vec![cells::name(obj), drivers(obj).len().into(), cells::age(obj, now)],
};

fn drivers(obj: &Value) -> &[Value] {
    meta::list_at(obj, &["spec", "drivers"])
}

struct CsiNode;

impl Strategy for CsiNode {
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("spec").child("drivers");
        let mut errors = ErrorList::new();
        let mut seen = BTreeSet::new();
        for (i, driver) in drivers(obj).iter().enumerate() {
            errors.extend(validate_driver(driver, &mut seen, &path.index(i)));
        }
        errors
    }

    /// `ValidateCSINodeUpdate`: of a driver that stays, only the number of volumes may change.
    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        let path = Path::new("spec").child("drivers");
        let fixed = |driver: &Value| {
            let mut driver = driver.clone();
            meta::remove(&mut driver, &["allocatable"]);
            driver
        };
        for old in drivers(old) {
            let same_name = |new: &&Value| text(new, &["name"]) == text(old, &["name"]);
            for new in drivers(new).iter().filter(same_name).map(fixed) {
                if new != fixed(old) {
                    let shown = internal::show("CSINodeDriver", &new);
                    errors.push(Error::invalid(&path, new, "field is immutable").showing(shown));
                }
            }
        }
        errors
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::Whole
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

/// `validateCSINodeDriver`.
fn validate_driver<'a>(driver: &'a Value, seen: &mut BTreeSet<&'a str>, path: &Path) -> ErrorList {
    let (name, id) = (text(driver, &["name"]), text(driver, &["nodeID"]));
    let mut errors = csi_driver_name(name, &path.child("name"));
    if id.is_empty() {
        errors.push(Error::required(&path.child("nodeID"), ""));
    }
    if id.len() > MAX_NODE_ID {
        let detail = format!("must be {MAX_NODE_ID} characters or less");
        errors.push(Error::invalid(&path.child("nodeID"), id, detail));
    }
    if let Some(allocatable) = driver.get("allocatable") {
        errors.extend(non_negative(allocatable, "count", &path.child("allocatable")));
    }
    if !seen.insert(name) {
        errors.push(Error::duplicate(&path.child("name"), name));
    }
    let mut keys = BTreeSet::new();
    for key in meta::list_at(driver, &["topologyKeys"]) {
        let key = key.as_str().unwrap_or_default();
        if key.is_empty() {
            errors.push(Error::required(path, ""));
        }
        if !keys.insert(key) {
            errors.push(Error::duplicate(path, key));
        }
        errors.extend(complaints(path, key, names::qualified_name(key)));
    }
    errors
}

pub(super) fn resource() -> Resource {
    Resource::cluster_kind(
        (GROUP, "v1", "CSINode"),
        ("csinodes", "csinode"),
        "io.k8s.api.storage.v1.CSINode",
        CsiNode,
        &COLUMNS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_driver_keeps_its_identity() {
        let cx = Context {
            namespace: "",
            now: "",
            user: "",
        };
        let node = |id: &str, count: i64| json!({"spec": {"drivers": [{"name": "d.example.com", "nodeID": id, "allocatable": {"count": count}}]}});
        assert!(CsiNode.validate_update(&cx, &node("a", 2), &node("a", 1)).is_empty());
        let errors = CsiNode.validate_update(&cx, &node("b", 1), &node("a", 1));
        assert_eq!(
            errors[0].to_string(),
            r#"spec.drivers: Invalid value: {"Name":"d.example.com","NodeID":"b","TopologyKeys":null,"Allocatable":null}: field is immutable"#
        );
    }

    #[test]
    fn keys_are_unique_per_driver() {
        let driver = json!({"name": "d", "nodeID": "n", "topologyKeys": ["zone", "zone"]});
        let errors = validate_driver(&driver, &mut BTreeSet::new(), &Path::new("d"));
        assert_eq!(errors.len(), 1, "{errors:?}");
    }
}
