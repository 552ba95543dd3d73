//! StorageClasses: how volumes are made.

use super::GROUP;
use super::class::{self, validate_parameters, validate_provisioner};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use crate::resources::core::pod_template::warnings::deprecated_node_label;
use crate::resources::shared::cells;
use crate::resources::shared::checks::{complaints, immutable, one_of, text};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const TYPE: &str = "io.k8s.api.storage.v1.StorageClass";
const RECLAIM_POLICIES: [&str; 2] = ["Delete", "Retain"];
const BINDING_MODES: [&str; 2] = ["Immediate", "WaitForFirstConsumer"];
/// What makes a class the default.
const DEFAULT: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Provisioner", "string", TYPE, "provisioner"),
        Column::of_field("ReclaimPolicy", "string", TYPE, "reclaimPolicy"),
        Column::of_field("VolumeBindingMode", "string", TYPE, "volumeBindingMode"),
        Column::of_field("AllowVolumeExpansion", "string", TYPE, "allowVolumeExpansion"),
        cells::AGE,
    ],
    cells: |obj, now| {
        vec![
            class::name(obj, &DEFAULT),
            text(obj, &["provisioner"]).into(),
            text(obj, &["reclaimPolicy"]).into(),
            text(obj, &["volumeBindingMode"]).into(),
            meta::bool_at(obj, &["allowVolumeExpansion"]).unwrap_or_default().into(),
            cells::age(obj, now),
        ]
    },
};

struct StorageClass;

impl Strategy for StorageClass {
    fn default(&self, obj: &mut Value) {
        meta::set_default(obj, &["reclaimPolicy"], "Delete");
        meta::set_default(obj, &["volumeBindingMode"], "Immediate");
    }

    /// `ValidateStorageClass`.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let field = |name: &str| (text(obj, &[name]), Path::new(name));
        let (provisioner, path) = field("provisioner");
        let mut errors = validate_provisioner(provisioner, &path);
        errors.extend(validate_parameters(obj, true));
        let (policy, path) = field("reclaimPolicy");
        if !policy.is_empty() {
            errors.extend(one_of(policy, &RECLAIM_POLICIES, &path));
        }
        let (mode, path) = field("volumeBindingMode");
        errors.extend(one_of(mode, &BINDING_MODES, &path));
        errors.extend(validate_topologies(meta::list_at(obj, &["allowedTopologies"])));
        errors
    }

    /// `ValidateStorageClassUpdate`.
    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            errors.extend(immutable(new.get(field), old.get(field), &Path::new(field)));
        }
        errors
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        for (i, term) in meta::list_at(new, &["allowedTopologies"]).iter().enumerate() {
            let path = Path::new("allowedTopologies").index(i).child("matchLabelExpressions");
            for (j, expression) in meta::list_at(term, &["matchLabelExpressions"]).iter().enumerate() {
                if let Some(why) = deprecated_node_label(text(expression, &["key"])) {
                    warnings.push(format!("{}: {why}", path.index(j).child("key")));
                }
            }
        }
        warnings
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

/// `validateAllowedTopologies`.
fn validate_topologies(terms: &[Value]) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen: Vec<BTreeMap<&str, BTreeSet<&str>>> = Vec::new();
    for (i, term) in terms.iter().enumerate() {
        let path = Path::new("allowedTopologies").index(i).child("matchLabelExpressions");
        let mut values_of = BTreeMap::new();
        for (j, expression) in meta::list_at(term, &["matchLabelExpressions"]).iter().enumerate() {
            let (values, complaints) = validate_expression(expression, &path.index(j));
            errors.extend(complaints);
            let key = text(expression, &["key"]);
            if values_of.insert(key, values).is_some() {
                errors.push(Error::duplicate(&path.index(j).child("key"), key));
            }
        }
        // Upstream begins with one empty term for every term that there is.
        let empty = if values_of.is_empty() { terms.len() } else { 0 };
        let equal = empty + seen.iter().filter(|other| **other == values_of).count();
        errors.extend((0..equal).map(|_| Error::duplicate(&path, "")));
        seen.push(values_of);
    }
    errors
}

/// `validateTopologySelectorLabelRequirement`: the values, and what is wrong with them.
fn validate_expression<'a>(expression: &'a Value, path: &Path) -> (BTreeSet<&'a str>, ErrorList) {
    let mut errors = ErrorList::new();
    let mut values = BTreeSet::new();
    let given = meta::list_at(expression, &["values"]);
    let at = path.child("values");
    if given.is_empty() {
        errors.push(Error::required(&at, ""));
    }
    for (i, value) in given.iter().enumerate() {
        let value = value.as_str().unwrap_or_default();
        if !values.insert(value) {
            errors.push(Error::duplicate(&at.index(i), value));
        }
    }
    let key = text(expression, &["key"]);
    errors.extend(complaints(&path.child("key"), key, names::qualified_name(key)));
    (values, errors)
}

pub(super) fn resource() -> Resource {
    Resource {
        short_names: ["sc"].into(),
        ..Resource::cluster_kind(
            (GROUP, "v1", "StorageClass"),
            ("storageclasses", "storageclass"),
            TYPE,
            StorageClass,
            &COLUMNS,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn topologies_are_told_apart() {
        let term = |key: &str, values: &[&str]| json!({"matchLabelExpressions": [{"key": key, "values": values}]});
        for (terms, expected) in [
            (json!([term("zone", &["a"]), term("zone", &["b"])]), vec![]),
            (
                json!([term("zone", &["a"]), term("zone", &["a"])]),
                vec!["allowedTopologies[1].matchLabelExpressions"],
            ),
            (json!([{}]), vec!["allowedTopologies[0].matchLabelExpressions"]),
            (
                json!([term("zone", &[])]),
                vec!["allowedTopologies[0].matchLabelExpressions[0].values"],
            ),
            (
                json!([term("", &["a"])]),
                vec!["allowedTopologies[0].matchLabelExpressions[0].key"; 2],
            ),
        ] {
            let errors = validate_topologies(terms.as_array().unwrap());
            let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
            assert_eq!(fields, expected, "{terms}");
        }
    }
}
