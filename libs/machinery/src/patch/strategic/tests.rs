use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::by_gvk;

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "finalizers": ["a/x", "b/x"]},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
        "template": {"metadata": {}, "spec": {"containers": [{"name": "a", "image": "a:1", "resources": {}, "args": ["x", "y"]},
            {"name": "b", "image": "b:1", "resources": {}}], "volumes": [{"name": "v", "emptyDir": {}}],
            "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "k"}]}}}})
}

fn patched(patch: Value) -> Result<Value, Error> {
    let ty = by_gvk("apps", "v1", "Deployment").unwrap();
    apply(&deployment(), patch.to_string().as_bytes(), ty, FieldValidation::Strict).map(|p| p.value)
}

fn in_pod(patch: Value) -> Value {
    json!({"spec": {"template": {"spec": patch}}})
}

#[test]
fn lists_and_maps_merge_by_their_directions() {
    let names = |v: &Value| -> Vec<String> {
        v["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| format!("{}={}", c["name"].as_str().unwrap(), c["image"].as_str().unwrap_or("-")))
            .collect()
    };
    for (patch, expected) in [
        (
            json!({"containers": [{"name": "b", "image": "b:2"}]}),
            vec!["a=a:1", "b=b:2"],
        ),
        (
            json!({"containers": [{"name": "c", "image": "c:1"}]}),
            vec!["c=c:1", "a=a:1", "b=b:1"],
        ),
        (
            json!({"containers": [{"name": "a", "$patch": "delete"}]}),
            vec!["b=b:1"],
        ),
        (
            json!({"containers": [{"$patch": "replace"}, {"name": "z", "image": "z:1"}]}),
            vec!["z=z:1"],
        ),
        (
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            vec!["b=b:1", "a=a:1"],
        ),
        (
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}],
                "containers": [{"name": "c", "image": "c:1"}]}),
            vec!["b=b:1", "c=c:1", "a=a:1"],
        ),
        (
            json!({"containers": [{"name": "a", "image": null}]}),
            vec!["a=-", "b=b:1"],
        ),
    ] {
        let done = patched(in_pod(patch.clone())).unwrap();
        assert_eq!(names(&done), expected, "{patch}");
    }
}

#[test]
fn atomic_lists_primitives_and_retained_keys() {
    for (patch, pointer, expected) in [
        (
            in_pod(json!({"containers": [{"name": "a", "args": ["z"]}]})),
            "/spec/template/spec/containers/0/args",
            json!(["z"]),
        ),
        (
            in_pod(json!({"tolerations": [{"key": "l"}]})),
            "/spec/template/spec/tolerations",
            json!([{"key": "l"}]),
        ),
        (
            in_pod(json!({"nodeSelector": {"zone": "1"}})),
            "/spec/template/spec/nodeSelector",
            json!({"disk": "ssd", "zone": "1"}),
        ),
        (
            in_pod(json!({"nodeSelector": {"$patch": "replace", "zone": "1"}})),
            "/spec/template/spec/nodeSelector",
            json!({"zone": "1"}),
        ),
        (
            in_pod(
                json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}),
            ),
            "/spec/template/spec/volumes/0",
            json!({"name": "v", "hostPath": {"path": "/x"}}),
        ),
        (
            json!({"metadata": {"finalizers": ["c/x"]}}),
            "/metadata/finalizers",
            json!(["c/x", "a/x", "b/x"]),
        ),
        (
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/x"]}}),
            "/metadata/finalizers",
            json!(["b/x"]),
        ),
        (
            json!({"metadata": {"$setElementOrder/finalizers": ["b/x", "a/x"]}}),
            "/metadata/finalizers",
            json!(["b/x", "a/x"]),
        ),
        (
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            "/spec/strategy",
            json!({"type": "Recreate"}),
        ),
        (json!({"spec": {"strategy": null}}), "/spec/strategy", json!({})),
        (
            json!({"metadata": {"labels": {"a": null, "b": "c"}}}),
            "/metadata/labels",
            json!({"b": "c"}),
        ),
        (
            json!({"metadata": {"labels": {"$patch": "delete"}}}),
            "/metadata/name",
            json!("d"),
        ),
    ] {
        assert_eq!(
            patched(patch.clone()).unwrap().pointer(pointer),
            Some(&expected),
            "{patch}"
        );
    }
}

#[test]
fn complaints_are_upstreams() {
    for (patch, expected) in [
        (
            in_pod(json!({"$setElementOrder/containers": [{"name": "b"}], "containers": [{"image": "a:3", "name": "a"}]})),
            Error::Failed(
                "The order in patch list:\n[map[image:a:3 name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n"
                    .to_owned(),
            ),
        ),
        (
            in_pod(json!({"containers": [{"image": "nokey"}]})),
            Error::Failed("map: map[image:nokey] does not contain declared merge key: name".to_owned()),
        ),
        (
            in_pod(json!({"containers": "x"})),
            Error::Invalid {
                shown: "map[spec:map[template:map[spec:map[containers:x]]]]".to_owned(),
                detail: "cannot restore slice from string".to_owned(),
            },
        ),
        (
            json!({"foo": 1, "bar": 2}),
            Error::Invalid {
                shown: "map[bar:2 foo:1]".to_owned(),
                detail: r#"strict decoding error: unknown field "bar", unknown field "foo""#.to_owned(),
            },
        ),
        (
            json!({"spec": {"replicas": "x"}}),
            Error::Invalid {
                shown: "map[spec:map[replicas:x]]".to_owned(),
                detail: "unrecognized type: int32".to_owned(),
            },
        ),
        (
            json!({"spec": {"$patch": "frob"}}),
            Error::Failed("unknown patch type: frob in map: map[$patch:frob]".to_owned()),
        ),
        (
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}),
            Error::Malformed("invalid patch format of retainKeys".to_owned()),
        ),
    ] {
        assert_eq!(patched(patch.clone()), Err(expected), "{patch}");
    }
}

proptest! {
    #[test]
    fn an_object_patched_with_itself_stays(replicas in 0..5, image in "[a-z]{1,3}") {
        let mut object = deployment();
        object["spec"]["replicas"] = json!(replicas);
        object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        let ty = by_gvk("apps", "v1", "Deployment").unwrap();
        let normal = decode::decode_value(&object, ty).unwrap().value;
        let done = apply(&normal, normal.to_string().as_bytes(), ty, FieldValidation::Strict).unwrap();
        prop_assert_eq!(done.value, normal);
    }
}
