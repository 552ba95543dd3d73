//! Administrative access to devices, which only some namespaces may ask for (kubernetes `pkg/registry/resource/utils.go`).

use crate::registry::strategy::Privilege;
use machinery::field::Path;
use machinery::meta;
use serde_json::Value;

const FIELD: &str = "adminAccess";

fn privilege(list: &Path, index: usize) -> Privilege {
    Privilege {
        field: list.index(index).child(FIELD),
        label: "resource.kubernetes.io/admin-access",
        what: "admin access",
        refusal: "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace",
    }
}

fn wants(owner: &Value) -> bool {
    meta::bool_at(owner, &[FIELD]) == Some(true)
}

/// What the spec of a new claim, or of a template's, asks for. Upstream names the field as it was in former versions, and as
/// if it were that of a claim.
pub(super) fn of_requests(spec: &Value) -> Option<Privilege> {
    let requests = meta::list_at(spec, &["devices", "requests"]);
    let found = requests
        .iter()
        .position(|request| request.get("exactly").is_some_and(wants))?;
    let list = Path::new("spec").child("devices").child("requests");
    Some(privilege(&list, found))
}

/// What the status of a claim gives for the first time.
pub(super) fn of_results(new: &Value, old: Option<&Value>) -> Option<Privilege> {
    let given = |claim: &Value| {
        let results = meta::list_at(claim, &["status", "allocation", "devices", "results"]);
        results.iter().position(wants)
    };
    if old.is_some_and(|old| given(old).is_some()) {
        return None;
    }
    let list = Path::new("status")
        .child("allocation")
        .child("devices")
        .child("results");
    given(new).map(|index| privilege(&list, index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(privilege: Option<Privilege>) -> Option<String> {
        privilege.map(|privilege| privilege.field.as_str().to_owned())
    }

    #[test]
    fn requests_for_administrators_are_found() {
        let exactly = |access: Value| json!({"exactly": {"adminAccess": access}});
        for (requests, expected) in [
            (json!([]), None),
            (json!([exactly(json!(false)), exactly(Value::Null)]), None),
            (json!([{"firstAvailable": [{"name": "a"}]}]), None),
            (
                json!([{"name": "a"}, exactly(json!(true)), exactly(json!(true))]),
                Some("spec.devices.requests[1].adminAccess"),
            ),
        ] {
            let found = of_requests(&json!({"devices": {"requests": requests}}));
            assert_eq!(field(found).as_deref(), expected);
        }
    }

    #[test]
    fn results_count_once() {
        let claim =
            |access: bool| json!({"status": {"allocation": {"devices": {"results": [{"adminAccess": access}]}}}});
        for (new, old, expected) in [
            (
                true,
                Some(false),
                Some("status.allocation.devices.results[0].adminAccess"),
            ),
            (true, None, Some("status.allocation.devices.results[0].adminAccess")),
            (true, Some(true), None),
            (false, Some(false), None),
        ] {
            let found = of_results(&claim(new), old.map(claim).as_ref());
            assert_eq!(field(found).as_deref(), expected, "{new} {old:?}");
        }
    }
}
