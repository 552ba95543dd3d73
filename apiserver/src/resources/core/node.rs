//! Nodes.

use super::super::shared::addresses::{self, Cidr};
use super::super::shared::cells::{self, NONE, UNKNOWN};
use super::super::shared::checks::{NEGATIVE, amounts};
use super::super::shared::internal;
use super::super::shared::pod_defaults::round_up;
use super::super::shared::status::Status;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::{Resource, Scope};
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path, go_quote};
use machinery::object::Selectable;
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const TYPE: &str = "io.k8s.api.core.v1.Node";
const STATUS: &str = "io.k8s.api.core.v1.NodeStatus";
const INFO: &str = "io.k8s.api.core.v1.NodeSystemInfo";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new("Status", "string", "The status of the node"),
        Column::new("Roles", "string", "The roles of the node"),
        cells::AGE,
        Column::of_field("Version", "string", INFO, "kubeletVersion"),
        Column::of_field("Internal-IP", "string", STATUS, "addresses").wide(),
        Column::of_field("External-IP", "string", STATUS, "addresses").wide(),
        Column::of_field("OS-Image", "string", INFO, "osImage").wide(),
        Column::of_field("Kernel-Version", "string", INFO, "kernelVersion").wide(),
        Column::of_field("Container-Runtime", "string", INFO, "containerRuntimeVersion").wide(),
    ],
    cells: |obj, now| {
        let info = |field: &str| meta::str_at(obj, &["status", "nodeInfo", field]).unwrap_or_default();
        let kernel = match (or_unknown(info("kernelVersion")), info("architecture")) {
            (kernel, "") => kernel.to_owned(),
            (kernel, architecture) => format!("{kernel} ({architecture})"),
        };
        vec![
            cells::name(obj),
            readiness(obj).into(),
            roles(obj).into(),
            cells::age(obj, now),
            info("kubeletVersion").into(),
            address(obj, "InternalIP").into(),
            address(obj, "ExternalIP").into(),
            or_unknown(info("osImage")).into(),
            kernel.into(),
            or_unknown(info("containerRuntimeVersion")).into(),
        ]
    },
};

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { UNKNOWN } else { text }
}

fn readiness(node: &Value) -> String {
    let ready = meta::list_at(node, &["status", "conditions"])
        .iter()
        .find(|c| c["type"] == "Ready");
    let mut text = match ready {
        Some(condition) if condition["status"] == "True" => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if meta::bool_at(node, &["spec", "unschedulable"]) == Some(true) {
        text.push_str(",SchedulingDisabled");
    }
    text
}

fn roles(node: &Value) -> String {
    let labels = meta::map_at(node, &["metadata", "labels"]);
    let roles: BTreeSet<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() {
        NONE.to_owned()
    } else {
        roles.into_iter().collect::<Vec<_>>().join(",")
    }
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let addresses = meta::list_at(node, &["status", "addresses"]);
    addresses
        .iter()
        .find(|a| a["type"] == kind)
        .and_then(|a| meta::str_at(a, &["address"]))
        .unwrap_or(NONE)
}

fn default(obj: &mut Value) {
    // The older field is the first of the newer (upstream's conversion).
    match meta::str_at(obj, &["spec", "podCIDR"])
        .filter(|cidr| !cidr.is_empty())
        .map(str::to_owned)
    {
        Some(cidr)
            if meta::list_at(obj, &["spec", "podCIDRs"])
                .first()
                .is_none_or(|first| *first != cidr) =>
        {
            meta::set(obj, &["spec", "podCIDRs"], vec![cidr]);
        }
        _ => {}
    }
    if meta::at(obj, &["spec", "podCIDR"]).is_none()
        && let Some(first) = meta::list_at(obj, &["spec", "podCIDRs"]).first().cloned()
    {
        meta::set(obj, &["spec", "podCIDR"], first);
    }
    if meta::at(obj, &["status", "allocatable"]).is_none()
        && let Some(capacity) = meta::at(obj, &["status", "capacity"]).cloned()
    {
        meta::set(obj, &["status", "allocatable"], capacity);
    }
    for list in ["capacity", "allocatable"] {
        round_up(obj, &["status", list]);
    }
}

struct Node;

impl Strategy for Node {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
        drop_config(new, Some(old));
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        drop_config(obj, None);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate(obj)
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        if meta::at(new, &["spec", "configSource"]).is_some() {
            warnings.push("spec.configSource: the feature is removed".to_owned());
        }
        if !meta::str_at(new, &["spec", "externalID"])
            .unwrap_or_default()
            .is_empty()
        {
            warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
        }
        for (i, range) in meta::list_at(new, &["spec", "podCIDRs"]).iter().enumerate() {
            let path = Path::new("spec").child("podCIDRs").index(i);
            warnings.extend(addresses::cidr_warnings(range.as_str().unwrap_or_default(), &path));
        }
        warnings
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = validate(new);
        errors.extend(validate_addresses(new));
        // podCIDRs may be set once; providerID too (`ValidateNodeUpdate`).
        for (field, text) in [
            (
                "podCIDRs",
                "node updates may not change podCIDR except from \"\" to valid",
            ),
            (
                "providerID",
                "node updates may not change providerID except from \"\" to valid",
            ),
        ] {
            let before = meta::at(old, &["spec", field]);
            if before.is_some_and(|v| *v != "" && *v != Value::Array(vec![]))
                && before != meta::at(new, &["spec", field])
            {
                errors.push(Error::forbidden(&Path::new("spec").child(field), text));
            }
        }
        // Upstream looks at the taints of an update once more.
        errors.extend(validate_taints(new));
        let id = |node| meta::str_at(node, &["spec", "externalID"]).unwrap_or_default();
        if id(new) != id(old) {
            let path = Path::new("spec").child("externalID");
            errors.push(Error::forbidden(&path, "may not be updated"));
        }
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }
}

fn validate(node: &Value) -> ErrorList {
    let mut errors = validate_taints(node);
    errors.extend(validate_amounts(node));
    for (i, cidr) in meta::list_at(node, &["spec", "podCIDRs"]).iter().enumerate() {
        let path = Path::new("spec").child("podCIDRs").index(i);
        errors.extend(addresses::cidr(cidr.as_str().unwrap_or_default(), &path));
    }
    errors.extend(validate_families(node));
    errors
}

/// Nodes have one range of addresses for pods per family.
fn validate_families(node: &Value) -> ErrorList {
    let ranges = meta::list_at(node, &["spec", "podCIDRs"]);
    let mut errors = ErrorList::new();
    if ranges.len() < 2 {
        return errors;
    }
    let path = Path::new("spec").child("podCIDRs");
    let read: Vec<Option<Cidr>> = ranges.iter().map(|range| Cidr::read(range.as_str()?)).collect();
    if let Some(bad) = read.iter().position(Option::is_none) {
        let text = ranges[bad].as_str().unwrap_or_default();
        let detail = format!(
            "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{bad}]: <nil> (invalid CIDR \
             address: {text})"
        );
        errors.push(Error::internal(&path, detail));
    }
    let ip = |of: fn(&std::net::IpAddr) -> bool| read.iter().flatten().any(|range| of(&range.ip));
    let both = read.iter().all(Option::is_some) && ip(std::net::IpAddr::is_ipv4) && ip(std::net::IpAddr::is_ipv6);
    if !both || ranges.len() > 2 {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.push(Error::invalid(&path, ranges.to_vec(), detail));
    }
    errors
}

/// Configuration through the API is gone: its fields only stay where they are in use.
fn drop_config(node: &mut Value, old: Option<&Value>) {
    for path in [["spec", "configSource"], ["status", "config"]] {
        if old.is_none_or(|old| meta::at(old, &path).is_none()) {
            meta::remove(node, &path);
        }
    }
}

/// `ValidateNodeResources`.
fn validate_amounts(node: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    for list in ["capacity", "allocatable"] {
        for (name, amount) in amounts(node, &["status", list]) {
            let path = Path::new("status").child(list).child(name);
            if amount.sign() < 0 {
                errors.push(Error::invalid(&path, amount.to_string(), NEGATIVE));
            }
        }
    }
    errors
}

/// No address of one type twice.
fn validate_addresses(node: &Value) -> ErrorList {
    let mut seen = Vec::new();
    let mut errors = ErrorList::new();
    for (i, address) in meta::list_at(node, &["status", "addresses"]).iter().enumerate() {
        if seen.contains(&address) {
            let path = Path::new("status").child("addresses").index(i);
            let shown = internal::show("NodeAddress", address);
            errors.push(Error::duplicate(&path, address.clone()).showing(shown));
        }
        seen.push(address);
    }
    errors
}

/// How long the name of a feature may be.
const MAX_FEATURE: usize = 253;

/// The status of a node (`ValidateNodeUpdate` without what only its spec can violate).
fn validate_status(new: &Value, _old: &Value) -> ErrorList {
    let path = Path::new("status").child("declaredFeatures");
    let features: Vec<&str> = meta::list_at(new, &["status", "declaredFeatures"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut errors = ErrorList::new();
    for (i, feature) in features.iter().enumerate() {
        if feature.len() > MAX_FEATURE {
            let name = go_quote(feature);
            let detail = format!("invalid feature name {name}: must be no more than {MAX_FEATURE} characters");
            errors.push(Error::invalid(&path.index(i), *feature, detail));
        } else if !is_feature(feature) {
            let detail = format!(
                "invalid feature name {}: must start with an UpperCamelCase segment, with subsequent segments separated \
                 by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes",
                go_quote(feature)
            );
            errors.push(Error::invalid(&path.index(i), *feature, detail));
        }
        match features.get(i + 1) {
            Some(next) if next == feature => errors.push(Error::duplicate(&path.index(i + 1), *next)),
            Some(next) if feature > next => {
                let detail = "list must be sorted alphabetically";
                errors.push(Error::invalid(&path.index(i + 1), *next, detail));
            }
            _ => {}
        }
    }
    let mut all = validate_amounts(new);
    all.append(&mut errors);
    all.extend(validate_addresses(new));
    all
}

fn is_feature(name: &str) -> bool {
    let alphanumeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.split('/').all(alphanumeric)
}

/// `ValidateTaintsInNodeAddOrUpdate`; upstream's path really starts with `metadata`.
fn validate_taints(node: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("metadata").child("taints");
    let mut seen = BTreeSet::new();
    for (i, taint) in meta::list_at(node, &["spec", "taints"]).iter().enumerate() {
        let path = path.index(i);
        let text = |field: &str| meta::str_at(taint, &[field]).unwrap_or_default();
        let complain = |field: &str, complaints: Vec<String>| {
            (!complaints.is_empty()).then(|| Error::invalid(&path.child(field), text(field), complaints.join(";")))
        };
        errors.extend(
            names::qualified_name(text("key"))
                .into_iter()
                .map(|e| Error::invalid(&path.child("key"), text("key"), e)),
        );
        errors.extend(complain("value", names::label_value(text("value"))));
        match text("effect") {
            "" => errors.push(Error::required(&path.child("effect"), "")),
            "NoSchedule" | "PreferNoSchedule" | "NoExecute" => {}
            other => errors.push(Error::not_supported(
                &path.child("effect"),
                other,
                &["NoSchedule", "PreferNoSchedule", "NoExecute"],
            )),
        }
        if !seen.insert((text("key"), text("effect"))) {
            let shown = internal::show("Taint", taint);
            let mut duplicate = Error::duplicate(&path, taint.clone()).showing(shown);
            duplicate.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(duplicate);
        }
    }
    errors
}

pub(super) fn resource() -> Resource {
    let node = Resource {
        short_names: ["no"].into(),
        scope: Scope::Cluster,
        storage_key: "minions".into(),
        selectable_fields: Selectable::Builtin(&[("spec.unschedulable", |obj| {
            meta::bool_at(obj, &["spec", "unschedulable"])
                .unwrap_or_default()
                .to_string()
        })]),
        ..Resource::namespaced_kind(("", "v1", "Node"), ("nodes", "node"), TYPE, Node, &COLUMNS)
    };
    let status = Status {
        prepare: |new, old| {
            if meta::at(old, &["status", "config"]).is_none() {
                meta::remove(new, &["status", "config"]);
            }
        },
        validate: validate_status,
        ..Status::plain(default)
    };
    node.with_proxy("NodeProxyOptions")
        .with_object_subresource("status", status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(errors: ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn some_fields_are_set_once() {
        let cx = Context {
            namespace: "",
            now: "",
            user: "",
        };
        let node = |spec: Value| json!({"metadata": {"name": "n"}, "spec": spec});
        let old = node(json!({"podCIDRs": ["10.0.0.0/24"], "providerID": "x"}));
        for (spec, expected) in [
            (json!({"podCIDRs": ["10.0.0.0/24"], "providerID": "x"}), vec![]),
            (
                json!({"podCIDRs": ["10.1.0.0/24"], "providerID": "x"}),
                vec!["spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"],
            ),
            (
                json!({"podCIDRs": ["10.0.0.0/24"], "providerID": "y"}),
                vec!["spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid"],
            ),
            (
                json!({"podCIDRs": ["10.0.0.0/24"], "providerID": "x", "externalID": "q"}),
                vec!["spec.externalID: Forbidden: may not be updated"],
            ),
        ] {
            assert_eq!(texts(Node.validate_update(&cx, &node(spec), &old)), expected);
        }
        let unset = node(json!({}));
        assert_eq!(texts(Node.validate_update(&cx, &old, &unset)), [""; 0]);
        let twice = json!({"key": "a", "effect": "NoSchedule"});
        let tainted = node(json!({"taints": [twice, twice]}));
        assert_eq!(
            texts(validate_taints(&tainted)),
            [
                r#"metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair"#
            ]
        );
    }

    #[test]
    fn a_status_is_checked_as_upstream_does() {
        let address = json!({"type": "a", "address": "b"});
        for (status, expected) in [
            (
                json!({"conditions": [{"type": "", "status": "x"}], "images": [{}]}),
                vec![],
            ),
            (
                json!({"capacity": {"cpu": "-1"}}),
                vec!["status.capacity.cpu: Invalid value: \"-1\": must be greater than or equal to 0"],
            ),
            (
                json!({"addresses": [address, address]}),
                vec![r#"status.addresses[1]: Duplicate value: {"Type":"a","Address":"b"}"#],
            ),
            (
                json!({"declaredFeatures": ["B", "A"]}),
                vec![r#"status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically"#],
            ),
            (
                json!({"declaredFeatures": ["A", "A"]}),
                vec![r#"status.declaredFeatures[1]: Duplicate value: "A""#],
            ),
            (
                json!({"declaredFeatures": ["b"]}),
                vec![
                    r#"status.declaredFeatures[0]: Invalid value: "b": invalid feature name "b": must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"#,
                ],
            ),
        ] {
            assert_eq!(texts(validate_status(&json!({"status": status}), &json!({}))), expected);
        }
    }
}
