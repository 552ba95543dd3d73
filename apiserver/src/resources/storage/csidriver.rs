//! CSIDrivers: what the drivers of volumes want and can.

use super::GROUP;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use crate::resources::shared::checks::{immutable, one_of_if_set, present, same, text};
use crate::resources::shared::{cells, generation};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SPEC: &str = "io.k8s.api.storage.v1.CSIDriverSpec";
const GROUP_POLICIES: [&str; 3] = ["File", "None", "ReadWriteOnceWithFSType"];
const LIFECYCLES: [&str; 2] = ["Persistent", "Ephemeral"];
const MIN_PERIOD: i64 = 10;
const MIN_EXPIRATION: i64 = 600;
const MAX_EXPIRATION: i64 = 1 << 32;
const TOKENS_IN_SECRETS: &str = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("AttachRequired", "boolean", SPEC, "attachRequired"),
        Column::of_field("PodInfoOnMount", "boolean", SPEC, "podInfoOnMount"),
        Column::of_field("StorageCapacity", "boolean", SPEC, "storageCapacity"),
        Column::of_field("TokenRequests", "string", SPEC, "tokenRequests"),
        Column::of_field("RequiresRepublish", "boolean", SPEC, "requiresRepublish"),
        Column::of_field("Modes", "string", SPEC, "volumeLifecycleModes"),
        cells::AGE,
    ],
    cells: |obj, now| {
        let flag = |field: &str, default| meta::bool_at(obj, &["spec", field]).unwrap_or(default);
        let modes: Vec<&str> = meta::list_at(obj, &["spec", "volumeLifecycleModes"])
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let audiences: Vec<&str> = requests(obj).iter().map(|r| text(r, &["audience"])).collect();
        let unset = meta::at(obj, &["spec", "tokenRequests"]).is_none_or(Value::is_null);
        vec![
            cells::name(obj),
            flag("attachRequired", true).into(),
            flag("podInfoOnMount", false).into(),
            flag("storageCapacity", false).into(),
            if unset {
                cells::UNSET.into()
            } else {
                audiences.join(",").into()
            },
            flag("requiresRepublish", false).into(),
            if modes.is_empty() {
                cells::NONE.into()
            } else {
                modes.join(",").into()
            },
            cells::age(obj, now),
        ]
    },
};

fn requests(obj: &Value) -> &[Value] {
    meta::list_at(obj, &["spec", "tokenRequests"])
}

struct CsiDriver;

impl Strategy for CsiDriver {
    /// `SetDefaults_CSIDriver`.
    fn default(&self, obj: &mut Value) {
        if meta::at(obj, &["spec"]).is_none() {
            return;
        }
        for (field, value) in [
            ("attachRequired", true),
            ("podInfoOnMount", false),
            ("storageCapacity", false),
            ("requiresRepublish", false),
            ("seLinuxMount", false),
        ] {
            meta::set_default(obj, &["spec", field], value);
        }
        meta::set_default(obj, &["spec", "fsGroupPolicy"], "ReadWriteOnceWithFSType");
        if meta::list_at(obj, &["spec", "volumeLifecycleModes"]).is_empty() {
            meta::set(obj, &["spec", "volumeLifecycleModes"], json!(["Persistent"]));
        }
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        generation::follow(new, old, &[&["spec"]]);
    }

    /// `validateCSIDriverSpec`.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("spec");
        let spec = meta::at(obj, &["spec"]).cloned().unwrap_or_default();
        let mut errors = ErrorList::new();
        if spec.get("attachRequired").is_none_or(Value::is_null) {
            // Upstream's name of the field has a slip.
            errors.push(Error::required(&path.child("attachedRequired"), ""));
        }
        for field in ["podInfoOnMount", "storageCapacity"] {
            errors.extend(present(&spec, field, &path));
        }
        errors.extend(one_of_if_set(&spec, "fsGroupPolicy", &GROUP_POLICIES, &path));
        errors.extend(validate_requests(requests(obj), &path.child("tokenRequests")));
        for mode in meta::list_at(&spec, &["volumeLifecycleModes"]) {
            if !LIFECYCLES.iter().any(|known| mode == known) {
                let path = path.child("volumeLifecycleModes");
                errors.push(Error::not_supported(&path, mode.clone(), &LIFECYCLES));
            }
        }
        errors.extend(present(&spec, "seLinuxMount", &path));
        let in_secrets = meta::at(&spec, &["serviceAccountTokenInSecrets"]).filter(|decided| !decided.is_null());
        if let Some(decided) = in_secrets.filter(|_| requests(obj).is_empty()) {
            let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
            let path = path.child("serviceAccountTokenInSecrets");
            errors.push(Error::invalid(&path, decided.clone(), detail));
        }
        if let Some(period) = meta::i64_at(&spec, &["nodeAllocatableUpdatePeriodSeconds"])
            && period < MIN_PERIOD
        {
            let detail = "must be greater than or equal to 10 seconds";
            let path = path.child("nodeAllocatableUpdatePeriodSeconds");
            errors.push(Error::invalid(&path, period, detail));
        }
        errors
    }

    /// `ValidateCSIDriverUpdate`.
    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        for (field, shown) in [
            ("attachRequired", "attachedRequired"),
            ("volumeLifecycleModes", "volumeLifecycleModes"),
        ] {
            let value = |obj| meta::at(obj, &["spec", field]);
            errors.extend(immutable(value(new), value(old), &Path::new("spec").child(shown)));
        }
        errors
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        let list = |obj| meta::at(obj, &["spec", "tokenRequests"]);
        let changed = old.is_none_or(|old| !same(list(new), list(old)));
        let decided = meta::at(new, &["spec", "serviceAccountTokenInSecrets"]).is_some();
        if changed && !decided && !requests(new).is_empty() {
            vec![TOKENS_IN_SECRETS.to_owned()]
        } else {
            Vec::new()
        }
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

/// `validateTokenRequests`.
fn validate_requests(requests: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, request) in requests.iter().enumerate() {
        let path = path.index(i);
        let audience = text(request, &["audience"]);
        if !seen.insert(audience) {
            errors.push(Error::duplicate(&path.child("audience"), audience));
            continue;
        }
        let Some(seconds) = meta::i64_at(request, &["expirationSeconds"]) else {
            continue;
        };
        let path = path.child("expirationSeconds");
        if seconds < MIN_EXPIRATION {
            let detail = "may not specify a duration less than 10 minutes";
            errors.push(Error::invalid(&path, seconds, detail));
        }
        if seconds > MAX_EXPIRATION {
            let detail = "may not specify a duration larger than 2^32 seconds";
            errors.push(Error::invalid(&path, seconds, detail));
        }
    }
    errors
}

pub(super) fn resource() -> Resource {
    Resource::cluster_kind(
        (GROUP, "v1", "CSIDriver"),
        ("csidrivers", "csidriver"),
        "io.k8s.api.storage.v1.CSIDriver",
        CsiDriver,
        &COLUMNS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_for_different_audiences() {
        for (requests, expected) in [
            (
                json!([{"audience": "a"}, {"audience": "b", "expirationSeconds": 600}]),
                vec![],
            ),
            (
                json!([{"audience": "a"}, {"audience": "a", "expirationSeconds": 1}]),
                vec!["t[1].audience"],
            ),
            (
                json!([{"audience": "a", "expirationSeconds": 1}]),
                vec!["t[0].expirationSeconds"],
            ),
        ] {
            let errors = validate_requests(requests.as_array().unwrap(), &Path::new("t"));
            let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
            assert_eq!(fields, expected, "{requests}");
        }
    }

    #[test]
    fn a_driver_is_told_to_keep_tokens_secret() {
        let cx = Context {
            namespace: "",
            now: "",
            user: "",
        };
        let driver = |spec: Value| json!({"spec": spec});
        let asking = driver(json!({"tokenRequests": [{"audience": "x"}]}));
        assert_eq!(CsiDriver.warnings(&cx, &asking, None).len(), 1);
        assert_eq!(CsiDriver.warnings(&cx, &asking, Some(&asking)).len(), 0);
        let decided = driver(json!({"tokenRequests": [{"audience": "x"}], "serviceAccountTokenInSecrets": false}));
        assert_eq!(CsiDriver.warnings(&cx, &decided, None).len(), 0);
    }
}
