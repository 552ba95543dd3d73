//! What has been allocated to a claim, and to whom (`validateResourceClaimStatusUpdate`).

use super::super::core::pod_template::affinity;
use super::super::shared::checks::{csi_driver_name, immutable, one_of, present, text};
use super::super::shared::{addresses, conditions, internal};
use super::request::Names;
use super::rules::{self, label, list, pool_name, raw_object, set, set_showing};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;
use std::collections::BTreeSet;

const MAX_RESERVATIONS: usize = 256;
const MAX_RESULTS: usize = 32;
const MAX_CONDITIONS: usize = 8;
const MAX_DATA: usize = 10 * 1024;
const MAX_IPS: usize = 16;

/// What tells allocated devices apart.
fn device_id(device: &Value) -> String {
    let part = |field: &str| text(device, &[field]);
    let id = format!("{}/{}/{}", part("driver"), part("pool"), part("device"));
    match part("shareID") {
        "" => id,
        share => format!("{id}/{share}"),
    }
}

/// The same as upstream's messages show it.
fn shown_id(device: &Value) -> String {
    let part = |name: &str, field: &str| format!("\"{name}\":{}", Value::from(text(device, &[field])));
    let parts = [
        ("Driver", "driver"),
        ("Pool", "pool"),
        ("Device", "device"),
        ("ShareID", "shareID"),
    ];
    format!("{{{}}}", parts.map(|(name, field)| part(name, field)).join(","))
}

fn allocated(claim: &Value) -> BTreeSet<String> {
    let results = meta::list_at(claim, &["status", "allocation", "devices", "results"]);
    results.iter().map(device_id).collect()
}

/// Forgets the status of devices that are not allocated any more (`dropDeallocatedStatusDevices`).
pub(super) fn prepare(new: &mut Value, old: &Value) {
    let (before, after) = (allocated(old), allocated(new));
    let gone: BTreeSet<&String> = before.difference(&after).collect();
    let devices = new.pointer_mut("/status/devices").and_then(Value::as_array_mut);
    let Some(devices) = devices.filter(|_| !gone.is_empty()) else {
        return;
    };
    devices.retain(|device| !gone.contains(&device_id(device)));
    if devices.is_empty() {
        meta::remove(new, &["status", "devices"]);
    }
}

/// Checks the status of a claim.
pub(super) fn validate(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("status");
    let status = meta::at(new, &["status"]).unwrap_or(&Value::Null);
    let reserved = meta::list_at(status, &["reservedFor"]);
    let reserved_path = path.child("reservedFor");
    let mut errors = set(
        reserved,
        Some(MAX_RESERVATIONS),
        &reserved_path,
        &|consumer, path| {
            let fields = ["resource", "name", "uid"];
            fields
                .iter()
                .filter_map(|field| present(consumer, field, path))
                .collect()
        },
        &|consumer| text(consumer, &["uid"]).to_owned(),
    );
    let known = allocated(new);
    errors.extend(set_showing(
        meta::list_at(status, &["devices"]),
        None,
        &path.child("devices"),
        &|device, path| validate_device(device, &known, path),
        &device_id,
        Some(&shown_id),
    ));
    let allocation = |obj| meta::at(obj, &["status", "allocation"]);
    if !reserved.is_empty() {
        let before = meta::list_at(old, &["status", "reservedFor"]);
        let added = reserved.iter().any(|consumer| !before.contains(consumer));
        let detail = if allocation(new).is_none() {
            Some("may not be specified when `allocated` is not set")
        } else if meta::is_deleting(new) && added {
            Some("new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set")
        } else {
            None
        };
        errors.extend(detail.map(|detail| Error::forbidden(&reserved_path, detail)));
    }
    let path = path.child("allocation");
    match (allocation(new), allocation(old)) {
        (Some(new), Some(old)) => {
            let shown = || internal::show("AllocationResult", new);
            errors.extend(immutable(Some(new), Some(old), &path).map(|error| error.showing(shown())));
        }
        (Some(allocation), None) => {
            let spec = meta::at(new, &["spec"]).unwrap_or(&Value::Null);
            errors.extend(validate_allocation(allocation, &Names::of(spec), &path));
        }
        (None, _) => {}
    }
    errors
}

fn validate_allocation(allocation: &Value, names: &Names<'_>, path: &Path) -> ErrorList {
    let devices = allocation.get("devices").unwrap_or(&Value::Null);
    let devices_path = path.child("devices");
    let results = meta::list_at(devices, &["results"]);
    let mut errors = list(
        results,
        Some(MAX_RESULTS),
        &devices_path.child("results"),
        &|result, path| {
            let mut errors = names.validate(text(result, &["request"]), &path.child("request"));
            errors.extend(validate_place(result, path));
            errors.extend(rules::binding_conditions(result, path));
            if let Some(id) = meta::str_at(result, &["shareID"]) {
                errors.extend(validate_uid(id, &path.child("shareID")));
            }
            errors
        },
    );
    // Those of the class and those of the claim.
    errors.extend(rules::configurations(devices, 2, &devices_path, &|config, path| {
        let source_path = path.child("source");
        let mut errors = ErrorList::new();
        match text(config, &["source"]) {
            "" => errors.push(Error::required(&source_path, "")),
            source => errors.extend(one_of(source, &["FromClaim", "FromClass"], &source_path)),
        }
        errors.extend(names.validate_all(config, path));
        errors
    }));
    if let Some(selector) = allocation.get("nodeSelector") {
        errors.extend(affinity::validate_node_selector(selector, &path.child("nodeSelector")));
    }
    errors
}

/// Driver, pool and name of a device.
fn validate_place(device: &Value, path: &Path) -> ErrorList {
    let mut errors = csi_driver_name(text(device, &["driver"]), &path.child("driver"));
    errors.extend(pool_name(text(device, &["pool"]), &path.child("pool")));
    errors.extend(label(text(device, &["device"]), &path.child("device")));
    errors
}

fn validate_uid(id: &str, path: &Path) -> ErrorList {
    let detail = match uuid::Uuid::try_parse(id) {
        Err(_) if ![32, 36, 38, 45].contains(&id.len()) => {
            format!("error validating uid: invalid UUID length: {}", id.len())
        }
        Err(_) => "error validating uid: invalid UUID format".to_owned(),
        Ok(parsed) if parsed.hyphenated().to_string() != id => {
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters".to_owned()
        }
        Ok(_) => return ErrorList::new(),
    };
    vec![Error::invalid(path, id, detail)]
}

/// `validateDeviceStatus`.
fn validate_device(device: &Value, known: &BTreeSet<String>, path: &Path) -> ErrorList {
    let mut errors = validate_place(device, path);
    if let Some(id) = meta::str_at(device, &["shareID"]) {
        errors.extend(validate_uid(id, &path.child("shareID")));
    }
    let id = device_id(device);
    if !known.contains(&id) {
        let detail = "must be an allocated device in the claim";
        errors.push(Error::invalid(path, id, detail).showing(shown_id(device)));
    }
    let conditions = meta::list_at(device, &["conditions"]);
    let conditions_path = path.child("conditions");
    if conditions.len() > MAX_CONDITIONS {
        errors.push(Error::too_many(&conditions_path, conditions.len(), MAX_CONDITIONS));
    }
    errors.extend(conditions::validate(conditions, &conditions_path));
    if let Some(data) = device.get("data") {
        errors.extend(raw_object(Some(data), MAX_DATA, &path.child("data")));
    }
    if let Some(network) = device.get("networkData") {
        let path = path.child("networkData");
        for (field, max) in [("interfaceName", 256), ("hardwareAddress", 128)] {
            if text(network, &[field]).len() > max {
                errors.push(Error::too_long(&path.child(field), max));
            }
        }
        errors.extend(set(
            meta::list_at(network, &["ips"]),
            Some(MAX_IPS),
            &path.child("ips"),
            &|ip, path| {
                addresses::interface_address(ip.as_str().unwrap_or_default(), path)
                    .into_iter()
                    .collect()
            },
            &|ip| ip.as_str().unwrap_or_default().to_owned(),
        ));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reservations_need_an_allocation() {
        let claim = |status: Value| json!({"spec": {"devices": {"requests": [{"name": "r", "exactly": {}}]}}, "status": status});
        let consumer = json!({"resource": "pods", "name": "p", "uid": "u"});
        let errors = validate(&claim(json!({"reservedFor": [consumer]})), &claim(json!({})));
        assert_eq!(
            errors[0].to_string(),
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"
        );
        let result = json!({"request": "r", "driver": "d.example.com", "pool": "p", "device": "x"});
        let allocation = json!({"devices": {"results": [result]}});
        let new = claim(json!({"allocation": allocation, "reservedFor": [consumer]}));
        assert_eq!(validate(&new, &claim(json!({}))), ErrorList::new());
    }

    #[test]
    fn the_status_of_devices_goes_with_their_allocation() {
        let device = json!({"driver": "d", "pool": "p", "device": "x"});
        let old = json!({"status": {"allocation": {"devices": {"results": [device]}}, "devices": [device]}});
        let mut new = json!({"status": {"devices": [device]}});
        prepare(&mut new, &old);
        assert_eq!(new, json!({"status": {}}));
    }

    #[test]
    fn allocations_are_checked_as_upstream_does() {
        let claim = |status: Value| json!({"spec": {"devices": {"requests": [{"name": "r", "exactly": {}}]}}, "status": status});
        let result = |change: Value| {
            let mut result = json!({"request": "r", "driver": "d.example.com", "pool": "p", "device": "x"});
            result
                .as_object_mut()
                .unwrap()
                .extend(change.as_object().cloned().unwrap_or_default());
            result
        };
        let allocation = |change: Value| json!({"devices": {"results": [result(change)]}});
        let consumer = |name: &str| json!({"resource": name, "name": name, "uid": "u"});
        for (status, old, expected) in [
            (
                json!({"allocation": allocation(json!({"request": "no"}))}),
                json!({}),
                "status.allocation.devices.results[0].request: Invalid value: \"no\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
            ),
            (
                json!({"allocation": allocation(json!({"driver": ""}))}),
                json!({}),
                "status.allocation.devices.results[0].driver: Required value",
            ),
            (
                json!({"allocation": allocation(json!({"shareID": "x"}))}),
                json!({}),
                "status.allocation.devices.results[0].shareID: Invalid value: \"x\": error validating uid: invalid UUID length: 1",
            ),
            (
                json!({"allocation": {"devices": {"results": []}, "nodeSelector": {"nodeSelectorTerms": []}}}),
                json!({}),
                "status.allocation.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term",
            ),
            (
                json!({"allocation": allocation(json!({})), "reservedFor": [consumer(""), consumer("p")]}),
                json!({}),
                "status.reservedFor[0].resource: Required value, status.reservedFor[0].name: Required value, status.reservedFor[1]: Duplicate value: \"u\"",
            ),
            (
                json!({"allocation": allocation(json!({})), "devices": [result(json!({"device": "y"}))]}),
                json!({}),
                "status.devices[0]: Invalid value: {\"Driver\":\"d.example.com\",\"Pool\":\"p\",\"Device\":\"y\",\"ShareID\":\"\"}: must be an allocated device in the claim",
            ),
            (
                json!({"allocation": allocation(json!({})), "devices": [result(json!({})), result(json!({}))]}),
                json!({}),
                "status.devices[1]: Duplicate value: {\"Driver\":\"d.example.com\",\"Pool\":\"p\",\"Device\":\"x\",\"ShareID\":\"\"}",
            ),
            (
                json!({"reservedFor": [consumer("p")]}),
                json!({"allocation": allocation(json!({}))}),
                "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
            ),
        ] {
            let found = validate(&claim(status), &claim(old))
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>();
            assert_eq!(found.join(", "), expected);
        }
        let (new, old) = (allocation(json!({"device": "z"})), allocation(json!({})));
        let changed = validate(&claim(json!({"allocation": new})), &claim(json!({"allocation": old})));
        assert_eq!((changed.len(), changed[0].field.as_str()), (1, "status.allocation"));
        assert_eq!(
            changed[0].to_string(),
            r#"status.allocation: Invalid value: {"Devices":{"Results":[{"Request":"r","Driver":"d.example.com","Pool":"p","Device":"z","AdminAccess":null,"Tolerations":null,"BindingConditions":null,"BindingFailureConditions":null,"ShareID":null,"ConsumedCapacity":null}],"Config":null},"NodeSelector":null,"AllocationTimestamp":null}: field is immutable"#
        );
    }
}
