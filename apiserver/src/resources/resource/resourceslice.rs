//! ResourceSlices.

use super::super::core::pod_template::affinity;
use super::super::shared::checks::{csi_driver_name, immutable, text};
use super::super::shared::pod_defaults::items;
use super::super::shared::{cells, generation, internal};
use super::devices;
use super::rules::{self, pool_name};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::object::Selectable;
use machinery::{meta, names, time};
use serde_json::Value;

const SPEC: &str = "io.k8s.api.resource.v1.ResourceSliceSpec";
const MAX_DEVICES: usize = 128;
/// With taints, counters or attributes that are lists.
const MAX_ADVANCED_DEVICES: usize = 64;
const MAX_COUNTER_SETS: usize = 8;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Node", "string", SPEC, "nodeName"),
        Column::of_field("Driver", "string", SPEC, "driver"),
        Column::of_field("Pool", "string", "io.k8s.api.resource.v1.ResourcePool", "name"),
        cells::AGE,
    ],
    cells: |obj, now| {
        vec![
            cells::name(obj),
            text(obj, &["spec", "nodeName"]).into(),
            text(obj, &["spec", "driver"]).into(),
            text(obj, &["spec", "pool", "name"]).into(),
            cells::age(obj, now),
        ]
    },
};

struct ResourceSlice;

impl Strategy for ResourceSlice {
    /// A taint says since when it is there.
    fn default(&self, obj: &mut Value) {
        for device in items(obj, &["spec", "devices"]) {
            for taint in items(device, &["taints"]) {
                if taint.get("timeAdded").is_none_or(Value::is_null) {
                    meta::set(taint, &["timeAdded"], time::now());
                }
            }
        }
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        generation::follow(new, old, &[&["spec"]]);
    }

    /// Upstream compares the specs before it drops what is behind gates.
    fn prepares_with_gated_fields(&self) -> bool {
        true
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate_spec(obj, None)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        validate_spec(new, Some(old))
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

/// `validateResourceSliceSpec`.
fn validate_spec(obj: &Value, old: Option<&Value>) -> ErrorList {
    let path = Path::new("spec");
    let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
    let mut errors = csi_driver_name(text(spec, &["driver"]), &path.child("driver"));
    errors.extend(validate_pool(spec, &path.child("pool")));
    if let Some(old) = old.and_then(|old| meta::at(old, &["spec"])) {
        for field in [&["pool", "name"][..], &["driver"], &["nodeName"]] {
            let path = field.iter().fold(path.clone(), |path, part| path.child(part));
            errors.extend(immutable(meta::at(spec, field), meta::at(old, field), &path));
        }
    }
    let per_device = meta::bool_at(spec, &["perDeviceNodeSelection"]);
    let (mut chosen, found) = validate_nodes(spec, "must be either unset or set to a non-empty string", &path);
    errors.extend(found);
    if let Some(terms) = meta::at(spec, &["nodeSelector", "nodeSelectorTerms"])
        && meta::list_at(spec, &["nodeSelector", "nodeSelectorTerms"]).len() != 1
    {
        let path = path.child("nodeSelector").child("nodeSelectorTerms");
        let detail = "must have exactly one node selector term";
        let shown = match terms.as_array() {
            Some(terms) => internal::list("NodeSelectorTerm", terms),
            None => terms.to_string(),
        };
        errors.push(Error::invalid(&path, terms.clone(), detail).showing(shown));
    }
    match per_device {
        Some(true) => chosen.push("`perDeviceNodeSelection`"),
        Some(false) => {
            let path = path.child("perDeviceNodeSelection");
            errors.push(Error::invalid(&path, false, "must be either unset or set to true"));
        }
        None => {}
    }
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match chosen.len() {
        0 => errors.push(Error::required(&path, ONE)),
        1 => {}
        _ => {
            let value = format!("{{{}}}", chosen.join(", "));
            let detail = format!("{ONE}, but multiple fields are set");
            errors.push(Error::invalid(&path, value, detail));
        }
    }
    if spec.get("sharedCounters").is_some() && spec.get("devices").is_some() {
        let detail = "only one of `sharedCounters` or `devices` is allowed";
        errors.push(Error::invalid(&path, "", detail));
    }
    let all = meta::list_at(spec, &["devices"]);
    let max = if all.iter().any(devices::is_advanced) {
        MAX_ADVANCED_DEVICES
    } else {
        MAX_DEVICES
    };
    let before = old
        .map(|old| meta::list_at(old, &["spec", "devices"]))
        .unwrap_or_default();
    errors.extend(rules::set(
        all,
        Some(max),
        &path.child("devices"),
        &|device, path| {
            let old = before.iter().find(|old| old["name"] == device["name"]);
            devices::validate(device, old, per_device == Some(true), path)
        },
        &rules::name,
    ));
    errors.extend(rules::set(
        meta::list_at(spec, &["sharedCounters"]),
        Some(MAX_COUNTER_SETS),
        &path.child("sharedCounters"),
        &|counters, path| devices::validate_counters(counters, "name", path),
        &rules::name,
    ));
    errors
}

fn validate_pool(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = pool_name(text(spec, &["pool", "name"]), &path.child("name"));
    let number = |field: &str| cells::number(spec, &["pool", field]);
    if number("resourceSliceCount") <= 0 {
        let path = path.child("resourceSliceCount");
        errors.push(Error::invalid(
            &path,
            number("resourceSliceCount"),
            "must be greater than zero",
        ));
    }
    if number("generation") < 0 {
        let detail = "must be greater than or equal to zero";
        errors.push(Error::invalid(&path.child("generation"), number("generation"), detail));
    }
    errors
}

/// Which of the ways to name nodes are used, and what is wrong with them.
pub(super) fn validate_nodes(owner: &Value, empty: &str, path: &Path) -> (Vec<&'static str>, ErrorList) {
    let mut errors = ErrorList::new();
    let mut chosen = Vec::new();
    match meta::str_at(owner, &["nodeName"]) {
        None => {}
        Some("") => errors.push(Error::invalid(&path.child("nodeName"), "", empty)),
        Some(name) => {
            chosen.push("`nodeName`");
            let complaints = names::dns1123_subdomain(name).into_iter();
            errors.extend(complaints.map(|why| Error::invalid(&path.child("nodeName"), name, why)));
        }
    }
    if let Some(selector) = owner.get("nodeSelector") {
        chosen.push("`nodeSelector`");
        errors.extend(affinity::validate_node_selector(selector, &path.child("nodeSelector")));
    }
    match meta::bool_at(owner, &["allNodes"]) {
        Some(true) => chosen.push("`allNodes`"),
        Some(false) => {
            let detail = "must be either unset or set to true";
            errors.push(Error::invalid(&path.child("allNodes"), false, detail));
        }
        None => {}
    }
    (chosen, errors)
}

pub(super) fn resource() -> Resource {
    Resource {
        selectable_fields: Selectable::Builtin(&[
            ("spec.nodeName", |obj| text(obj, &["spec", "nodeName"]).to_owned()),
            ("spec.driver", |obj| text(obj, &["spec", "driver"]).to_owned()),
        ]),
        ..Resource::cluster_kind(
            ("resource.k8s.io", "v1", "ResourceSlice"),
            ("resourceslices", "resourceslice"),
            "io.k8s.api.resource.v1.ResourceSlice",
            ResourceSlice,
            &COLUMNS,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn slices_are_on_one_kind_of_nodes() {
        let pool = json!({"name": "p", "resourceSliceCount": 1});
        for (more, expected) in [
            (json!({"nodeName": "n"}), ""),
            (
                json!({}),
                "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
            ),
            (
                json!({"nodeName": "n", "allNodes": true}),
                "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
            ),
            (
                json!({"nodeName": "n", "devices": [{"name": "d", "attributes": {"a": {"int": 1, "bool": true}}}]}),
                "spec.devices[0].attributes[a]: Invalid value: {\"bool\":true,\"int\":1}: exactly one value must be specified",
            ),
        ] {
            let mut spec = more;
            spec["driver"] = json!("d.example.com");
            spec["pool"] = pool.clone();
            let texts: Vec<String> = validate_spec(&json!({"spec": spec}), None)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(texts.join(", "), expected);
        }
    }

    #[test]
    fn fields_behind_gates_count_before_they_are_dropped() {
        use crate::registry::before::before_update;
        use crate::registry::request::{NO_EXTRA, NO_OPTIONS, Request};
        let rq = Request {
            namespace: "",
            user: "",
            uid: "",
            groups: &[],
            extra: &NO_EXTRA,
            now: jiff::Timestamp::UNIX_EPOCH,
            dry_run: false,
            options: &NO_OPTIONS,
            warn: &|_| {},
        };
        let slice = |attribute: Value| {
            json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice",
                "metadata": {"name": "s", "uid": "u", "resourceVersion": "1", "generation": 1},
                "spec": {"driver": "d.example.com", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
                    "allNodes": true, "devices": [{"name": "d", "attributes": {"a": attribute}}]}})
        };
        let resource = resource();
        let (old, mut new) = (slice(json!({"int": 1})), slice(json!({"int": 1, "ints": [1]})));
        let strategy = resource.strategy.as_ref();
        before_update(&rq, &resource, &resource.gvk, strategy, &mut new, &old, Vec::new()).unwrap();
        assert_eq!(new["metadata"]["generation"], 2);
        assert_eq!(new["spec"], old["spec"]);
    }
}
