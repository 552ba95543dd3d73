//! Affinity (`validateAffinity`).

use super::{complaints, validate_label_selector};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const NOT_AN_OPERATOR: &str = "not a valid selector operator";

/// Checks `affinity`.
pub(super) fn validate(affinity: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(node) = meta::at(affinity, &["nodeAffinity"]) {
        errors.extend(validate_node(node, &path.child("nodeAffinity")));
    }
    for field in ["podAffinity", "podAntiAffinity"] {
        if let Some(pods) = meta::at(affinity, &[field]) {
            errors.extend(validate_pods(pods, &path.child(field)));
        }
    }
    errors
}

fn validate_node(affinity: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(selector) = meta::at(affinity, &[REQUIRED]) {
        errors.extend(validate_node_selector(selector, &path.child(REQUIRED)));
    }
    for (i, term) in meta::list_at(affinity, &[PREFERRED]).iter().enumerate() {
        let path = path.child(PREFERRED).index(i);
        errors.extend(validate_weight(term, &path));
        let preference = meta::at(term, &["preference"]).cloned().unwrap_or_default();
        // A preference for a label that cannot exist does no harm, so its values are not checked.
        errors.extend(validate_node_term(&preference, false, &path.child("preference")));
    }
    errors
}

/// `ValidateNodeSelector`.
pub(in super::super::super) fn validate_node_selector(selector: &Value, path: &Path) -> ErrorList {
    let path = path.child("nodeSelectorTerms");
    let terms = meta::list_at(selector, &["nodeSelectorTerms"]);
    let mut errors = ErrorList::new();
    if terms.is_empty() {
        errors.push(Error::required(&path, "must have at least one node selector term"));
    }
    for (i, term) in terms.iter().enumerate() {
        errors.extend(validate_node_term(term, true, &path.index(i)));
    }
    errors
}

/// `ValidateNodeSelectorTerm`.
fn validate_node_term(term: &Value, check_values: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, requirement) in meta::list_at(term, &["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        errors.extend(validate_label_requirement(requirement, check_values, &path));
    }
    for (i, requirement) in meta::list_at(term, &["matchFields"]).iter().enumerate() {
        errors.extend(validate_field_requirement(
            requirement,
            &path.child("matchFields").index(i),
        ));
    }
    errors
}

fn validate_label_requirement(requirement: &Value, check_values: bool, path: &Path) -> ErrorList {
    let values = meta::list_at(requirement, &["values"]);
    let values_path = path.child("values");
    let mut errors = ErrorList::new();
    match meta::str_at(requirement, &["operator"]).unwrap_or_default() {
        "In" | "NotIn" => {
            if values.is_empty() {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(Error::required(&values_path, detail));
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(Error::forbidden(&values_path, detail));
            }
        }
        "Gt" | "Lt" => {
            if values.len() != 1 {
                let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(Error::required(&values_path, detail));
            }
        }
        other => errors.push(Error::invalid(&path.child("operator"), other, NOT_AN_OPERATOR)),
    }
    let key = meta::str_at(requirement, &["key"]).unwrap_or_default();
    errors.extend(complaints(&path.child("key"), key, names::qualified_name(key)));
    for (i, value) in values.iter().enumerate().filter(|_| check_values) {
        let value = value.as_str().unwrap_or_default();
        errors.extend(complaints(&values_path.index(i), value, names::label_value(value)));
    }
    errors
}

fn validate_field_requirement(requirement: &Value, path: &Path) -> ErrorList {
    let values = meta::list_at(requirement, &["values"]);
    let mut errors = ErrorList::new();
    match meta::str_at(requirement, &["operator"]).unwrap_or_default() {
        "In" | "NotIn" => {
            if values.len() != 1 {
                let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(Error::required(&path.child("values"), detail));
            }
        }
        other => errors.push(Error::invalid(&path.child("operator"), other, NOT_AN_OPERATOR)),
    }
    match meta::str_at(requirement, &["key"]).unwrap_or_default() {
        "metadata.name" => {
            for (i, value) in values.iter().enumerate() {
                let value = value.as_str().unwrap_or_default();
                let path = path.child("values").index(i);
                errors.extend(complaints(&path, value, names::dns1123_subdomain(value)));
            }
        }
        key => errors.push(Error::invalid(
            &path.child("key"),
            key,
            "not a valid field selector key",
        )),
    }
    errors
}

fn validate_pods(affinity: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, term) in meta::list_at(affinity, &[REQUIRED]).iter().enumerate() {
        errors.extend(validate_pod_term(term, &path.child(REQUIRED).index(i)));
    }
    for (i, weighted) in meta::list_at(affinity, &[PREFERRED]).iter().enumerate() {
        let path = path.child(PREFERRED).index(i);
        errors.extend(validate_weight(weighted, &path));
        let term = meta::at(weighted, &["podAffinityTerm"]).cloned().unwrap_or_default();
        errors.extend(validate_pod_term(&term, &path.child("podAffinityTerm")));
    }
    errors
}

fn validate_weight(term: &Value, path: &Path) -> Option<Error> {
    let weight = meta::i64_at(term, &["weight"]).unwrap_or_default();
    let fits = (1..=100).contains(&weight);
    (!fits).then(|| Error::invalid(&path.child("weight"), weight, "must be in the range 1-100"))
}

/// Keys whose values in the pod's own labels select or exclude (`ValidateMatchLabelKeysAndMismatchLabelKeys`). The
/// selectors for the first kind have been added to the selector already.
pub(super) fn validate_label_keys(owner: &Value, path: &Path) -> ErrorList {
    let selector = meta::at(owner, &["labelSelector"]);
    let keys = |field: &str| meta::list_at(owner, &[field]).iter().filter_map(Value::as_str);
    let mut errors = ErrorList::new();
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let path = path.child(field);
        if selector.is_none() && keys(field).next().is_some() {
            let detail = "must not be specified when labelSelector is not set";
            errors.push(Error::forbidden(&path, detail));
            continue;
        }
        for (i, key) in keys(field).enumerate() {
            errors.extend(complaints(&path.index(i), key, names::qualified_name(key)));
        }
    }
    if let Some(selector) = selector {
        let labels = meta::map_at(selector, &["matchLabels"]).into_iter().flatten();
        let mut selected: BTreeSet<&str> = labels.map(|(key, _)| key.as_str()).collect();
        for expression in meta::list_at(selector, &["matchExpressions"]) {
            let key = meta::str_at(expression, &["key"]).unwrap_or_default();
            if !selected.insert(key)
                && let Some(i) = keys("matchLabelKeys").position(|own| own == key)
            {
                let detail = "exists in both matchLabelKeys and labelSelector";
                errors.push(Error::invalid(&path.index(i), key, detail));
            }
        }
    }
    for (i, key) in keys("matchLabelKeys").enumerate() {
        if keys("mismatchLabelKeys").any(|other| other == key) {
            let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.push(Error::invalid(&path.child("matchLabelKeys").index(i), key, detail));
        }
    }
    errors
}

fn validate_pod_term(term: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in ["labelSelector", "namespaceSelector"] {
        if let Some(selector) = meta::at(term, &[field]) {
            errors.extend(validate_label_selector(selector, &path.child(field)));
        }
    }
    for name in meta::list_at(term, &["namespaces"]) {
        let name = name.as_str().unwrap_or_default();
        // Upstream's path really is singular and without an index.
        errors.extend(complaints(&path.child("namespace"), name, names::dns1123_label(name)));
    }
    errors.extend(validate_label_keys(term, path));
    let key = meta::str_at(term, &["topologyKey"]).unwrap_or_default();
    let path = path.child("topologyKey");
    if key.is_empty() {
        errors.push(Error::required(&path, "can not be empty"));
    }
    errors.extend(complaints(&path, key, names::qualified_name(key)));
    errors
}
