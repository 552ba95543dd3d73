//! Single faults and the sentences they must produce.

use super::*;
use crate::resources::shared::pod_defaults;
use serde_json::json;

fn complaints(change: impl Fn(&mut Value)) -> Vec<String> {
    let mut spec = json!({"containers": [{"name": "c", "image": "a:1"}]});
    change(&mut spec);
    pod_defaults::pod_spec(&mut spec);
    validate_pod_spec(&spec, &Path::new("spec"))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_minimal_spec_is_fine() {
    assert_eq!(complaints(|_| {}), Vec::<String>::new());
}

#[test]
fn each_fault_is_named() {
    let container = |field: &'static str, value: Value| {
        move |spec: &mut Value| {
            spec["containers"][0][field] = value.clone();
        }
    };
    let spec = |field: &'static str, value: Value| {
        move |spec: &mut Value| {
            spec[field] = value.clone();
        }
    };
    for (found, expected) in [
        (
            complaints(|s| s["containers"] = json!([])),
            "spec.containers: Required value",
        ),
        (
            complaints(container("image", json!(""))),
            "spec.containers[0].image: Required value",
        ),
        (
            complaints(container("image", json!(" a"))),
            "spec.containers[0].image: Invalid value: \" a\": must not have leading or trailing whitespace",
        ),
        (
            complaints(container("volumeMounts", json!([{"name": "nope", "mountPath": "/x"}]))),
            "spec.containers[0].volumeMounts[0].name: Not found: \"nope\"",
        ),
        (
            complaints(container(
                "resources",
                json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
            )),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            complaints(container("ports", json!([{"containerPort": 70000}]))),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            complaints(spec("restartPolicy", json!("Foo"))),
            "spec.restartPolicy: Unsupported value: \"Foo\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ),
        (
            complaints(spec("volumes", json!([{"name": "v", "hostPath": {}}]))),
            "spec.volumes[0].hostPath.path: Required value",
        ),
        (
            complaints(spec("tolerations", json!([{"operator": "Exists", "value": "x"}]))),
            "spec.tolerations[0].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
        ),
    ] {
        assert_eq!(found, [expected]);
    }
}
