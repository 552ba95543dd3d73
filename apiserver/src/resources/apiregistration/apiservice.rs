//! APIServices.

use super::super::shared::cells;
use super::super::shared::checks::{complaints, one_of, text};
use super::super::shared::status::{Metadata, Status};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::{Value, json};

const STATUSES: [&str; 3] = ["True", "False", "Unknown"];
const DEFAULT_PORT: i64 = 443;
const MAX_GROUP_PRIORITY: i64 = 20_000;
const MAX_VERSION_PRIORITY: i64 = 1000;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "Service",
            "string",
            "The reference to the service that hosts this API endpoint.",
        ),
        Column::new("Available", "string", "Whether this service is available."),
        cells::AGE,
    ],
    cells: |obj, now| {
        let service = match meta::at(obj, &["spec", "service"]) {
            Some(service) => format!("{}/{}", text(service, &["namespace"]), text(service, &["name"])),
            None => "Local".to_owned(),
        };
        vec![cells::name(obj), service.into(), available(obj), cells::age(obj, now)]
    },
};

fn available(obj: &Value) -> Value {
    let conditions = meta::list_at(obj, &["status", "conditions"]);
    let Some(condition) = conditions.iter().find(|c| c["type"] == "Available") else {
        return "Unknown".into();
    };
    match (text(condition, &["status"]), text(condition, &["reason"])) {
        (status @ "True", _) | (status, "") => status.into(),
        (status, reason) => format!("{status} ({reason})").into(),
    }
}

fn default(obj: &mut Value) {
    if meta::at(obj, &["spec", "service"]).is_some_and(Value::is_object) {
        meta::set_default(obj, &["spec", "service", "port"], DEFAULT_PORT);
    }
}

struct ApiService;

impl Strategy for ApiService {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    /// What this server answers for itself is available at once.
    fn prepare_for_create(&self, cx: &Context<'_>, obj: &mut Value) {
        let mut status = json!({});
        if meta::at(obj, &["spec", "service"]).is_none() {
            status["conditions"] = json!([{
                "type": "Available",
                "status": "True",
                "reason": "Local",
                "message": "Local APIServices are always available",
                "lastTransitionTime": cx.now,
            }]);
        }
        meta::set(obj, &["status"], status);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate(obj)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, _old: &Value) -> ErrorList {
        validate(new)
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::UpdateThenWhole
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// `ValidateAPIService`.
fn validate(obj: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
    let (group, version) = (text(spec, &["group"]), text(spec, &["version"]));
    let (name, wanted) = (meta::name(obj), format!("{version}.{group}"));
    let mut errors = ErrorList::new();
    if name != wanted && names::path_segment(name, false).is_empty() {
        let detail = format!("must be `spec.version+\".\"+spec.group`: \"{wanted}\"");
        errors.push(Error::invalid(&Path::new("metadata").child("name"), name, detail));
    }
    let group_path = path.child("group");
    if !group.is_empty() {
        errors.extend(complaints(&group_path, group, names::dns1123_subdomain(group)));
    } else if version != "v1" {
        let detail = "only v1 may have an empty group and it better be legacy kube";
        errors.push(Error::required(&group_path, detail));
    }
    errors.extend(complaints(
        &path.child("version"),
        version,
        names::dns1035_label(version),
    ));
    for (field, max) in [
        ("groupPriorityMinimum", MAX_GROUP_PRIORITY),
        ("versionPriority", MAX_VERSION_PRIORITY),
    ] {
        let number = cells::number(spec, &[field]);
        if !(1..=max).contains(&number) {
            let detail = format!("must be positive and less than {max}");
            errors.push(Error::invalid(&path.child(field), number, detail));
        }
    }
    errors.extend(validate_service(spec, &path));
    errors
}

fn validate_service(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let insecure = meta::bool_at(spec, &["insecureSkipTLSVerify"]).unwrap_or_default();
    let insecure_path = path.child("insecureSkipTLSVerify");
    let bundle = text(spec, &["caBundle"]);
    let Some(service) = spec.get("service") else {
        if !bundle.is_empty() {
            let bytes = bundle.trim_end_matches('=').len() * 3 / 4;
            let detail = "local APIServices may not have a caBundle";
            errors.push(Error::invalid(
                &path.child("caBundle"),
                format!("{bytes} bytes"),
                detail,
            ));
        }
        if insecure {
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(Error::invalid(&insecure_path, true, detail));
        }
        return errors;
    };
    let service_path = path.child("service");
    for field in ["namespace", "name"] {
        if text(service, &[field]).is_empty() {
            errors.push(Error::required(&service_path.child(field), ""));
        }
    }
    let port = cells::number(service, &["port"]);
    let found = names::port_number(port);
    if !found.is_empty() {
        let detail = format!("port is not valid: {}", found.join(", "));
        errors.push(Error::invalid(&service_path.child("port"), port, detail));
    }
    if insecure && !bundle.is_empty() {
        let detail = "may not be true if caBundle is present";
        errors.push(Error::invalid(&insecure_path, true, detail));
    }
    errors
}

/// `ValidateAPIServiceStatus`.
fn validate_status(obj: &Value) -> ErrorList {
    let path = Path::new("status").child("conditions");
    meta::list_at(obj, &["status", "conditions"])
        .iter()
        .enumerate()
        .filter_map(|(i, condition)| {
            let path = path.index(i).child("status");
            one_of(text(condition, &["status"]), &STATUSES, &path)
        })
        .collect()
}

pub(super) fn resource() -> Resource {
    let status = Status {
        metadata: Metadata::Reset,
        validate: |new, _| validate_status(new),
        ..Status::plain(default)
    };
    let kind = Resource::cluster_kind(
        ("apiregistration.k8s.io", "v1", "APIService"),
        ("apiservices", "apiservice"),
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
        ApiService,
        &COLUMNS,
    );
    Resource {
        categories: ["api-extensions"].into(),
        storage_key: "apiregistration.k8s.io/apiservices".into(),
        ..kind.with_plain_status(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_named_after_what_they_answer_for() {
        let good =
            json!({"group": "v.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10});
        for (name, change, expected) in [
            ("v1.v.example.com", json!({}), vec![]),
            (
                "bad.name",
                json!({}),
                vec![
                    "metadata.name: Invalid value: \"bad.name\": must be `spec.version+\".\"+spec.group`: \"v1.v.example.com\"",
                ],
            ),
            (
                "v1.v.example.com",
                json!({"caBundle": "eA==", "insecureSkipTLSVerify": true, "versionPriority": 0}),
                vec![
                    "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
                    "spec.caBundle: Invalid value: \"1 bytes\": local APIServices may not have a caBundle",
                    "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
                ],
            ),
            (
                "v1.v.example.com",
                json!({"caBundle": "eA==", "insecureSkipTLSVerify": true, "service": {}}),
                vec![
                    "spec.service.namespace: Required value",
                    "spec.service.name: Required value",
                    "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
                ],
            ),
        ] {
            let mut spec = good.clone();
            for (field, value) in change.as_object().unwrap() {
                spec[field] = value.clone();
            }
            let mut obj = json!({"metadata": {"name": name}, "spec": spec});
            default(&mut obj);
            let texts: Vec<String> = validate(&obj).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{obj}");
        }
    }

    #[test]
    fn the_table_says_why_a_service_is_not_available() {
        let with = |condition: Value| available(&json!({"status": {"conditions": [condition]}}));
        assert_eq!(available(&json!({})), "Unknown");
        assert_eq!(
            with(json!({"type": "Available", "status": "True", "reason": "Local"})),
            "True"
        );
        assert_eq!(
            with(json!({"type": "Available", "status": "False", "reason": "ServiceNotFound"})),
            "False (ServiceNotFound)"
        );
    }
}
