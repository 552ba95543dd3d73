use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::empty::{leave_out_empty, share_empty};
use crate::schema::{builtins, by_gvk};

fn pod() -> &'static Type {
    by_gvk("", "v1", "Pod").unwrap()
}

#[test]
fn zero_values_stay_or_go_as_in_go() {
    let text = br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{},"creationTimestamp":null,
        "annotations":{"n":null}},"spec":{"priority":0,"hostNetwork":false,"nodeName":"","containers":[{"name":"c","tty":false,
        "ports":[{"containerPort":80}],"livenessProbe":{"httpGet":{"path":"/"}}}]}}"#;
    let decoded = decode(text, pod()).unwrap();
    assert_eq!(decoded.strict, Vec::<String>::new());
    let expected = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {}, "annotations": {"n": ""}},
        "spec": {"priority": 0, "containers": [{"name": "c", "resources": {}, "ports": [{"containerPort": 80}],
        "livenessProbe": {"httpGet": {"path": "/", "port": 0}}}]}, "status": {}});
    assert_eq!(decoded.value, expected);
}

#[test]
fn empty_lists_and_maps_stay_until_they_are_encoded() {
    let given = json!({"metadata": {"labels": {}, "finalizers": []},
        "spec": {"containers": [{"name": "c", "args": [], "resources": {"limits": {}}}], "tolerations": null}, "status": {}});
    let encoded = json!({"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {}}]}, "status": {}});
    let mut decoded = decode(given.to_string().as_bytes(), pod()).unwrap().value;
    assert_eq!(assign(&given, pod()).unwrap().value, decoded);
    assert_eq!(decoded["metadata"], given["metadata"]);
    assert_eq!(decoded["spec"]["containers"], given["spec"]["containers"]);
    assert_eq!(encoded_form(&decoded, pod()).unwrap(), encoded);

    let mut old = encoded.clone();
    share_empty(&decoded, &mut old, pod());
    assert_eq!(old, decoded);
    leave_out_empty(&mut decoded, pod());
    assert_eq!(decoded, encoded);
    share_empty(
        &json!({"metadata": {"labels": {"a": "b"}}, "spec": {"affinity": {}}}),
        &mut old,
        pod(),
    );
    assert_eq!(
        encoded_form(&old, pod()).unwrap(),
        encoded,
        "only what is empty is shared"
    );
}

#[test]
fn nil_lists_that_are_not_omitted_are_null() {
    let role = by_gvk("rbac.authorization.k8s.io", "v1", "Role").unwrap();
    let (null, empty) = (
        json!({"metadata": {}, "rules": null}),
        json!({"metadata": {}, "rules": []}),
    );
    for (text, read) in [
        (r#"{"metadata":{}}"#, &null),
        (r#"{"rules":null}"#, &null),
        (r#"{"rules":[]}"#, &empty),
    ] {
        let decoded = decode(text.as_bytes(), role).unwrap().value;
        assert_eq!(decoded, *read, "{text}");
        assert_eq!(stored_form(&decoded, role).unwrap(), null, "{text} once stored");
    }
}

#[test]
fn scalars_take_their_canonical_form() {
    let quota = by_gvk("", "v1", "ResourceQuota").unwrap();
    let decoded = decode(br#"{"spec":{"hard":{"cpu":"1000m","memory":1024,"pods":null}}}"#, quota).unwrap();
    assert_eq!(
        decoded.value["spec"]["hard"],
        json!({"cpu": "1", "memory": "1024", "pods": "0"})
    );
    let lease = by_gvk("coordination.k8s.io", "v1", "Lease").unwrap();
    let decoded = decode(br#"{"spec":{"renewTime":"2026-01-02T03:04:05.000000+01:00"}}"#, lease).unwrap();
    assert_eq!(
        decoded.value["spec"],
        json!({"renewTime": "2026-01-02T02:04:05.000000Z"})
    );
    let secret = by_gvk("", "v1", "Secret").unwrap();
    assert_eq!(
        decode(br#"{"data":{"a":"aG\nk=","b":[104,105],"c":null}}"#, secret)
            .unwrap()
            .value["data"],
        json!({"a": "aGk=", "b": "aGk=", "c": null})
    );
    let stored = stored_form(&json!({"data": {"c": null}}), secret).unwrap();
    assert_eq!(stored["data"], json!({"c": ""}));
    let claims = by_gvk("apps", "v1", "StatefulSet").unwrap();
    for (text, ty, expected) in [
        (
            r#"{"data":{"a":[256]}}"#,
            secret,
            "json: cannot unmarshal number 256 into Go struct field Secret.data of type uint8",
        ),
        (
            r#"{"spec":{"volumeClaimTemplates":[{"kind":1}]}}"#,
            claims,
            "json: cannot unmarshal number into Go struct field PersistentVolumeClaim.spec.volumeClaimTemplates.TypeMeta.kind of type string",
        ),
    ] {
        assert_eq!(decode(text.as_bytes(), ty).unwrap_err().to_string(), expected);
    }
    let event = by_gvk("", "v1", "Event").unwrap();
    for (text, expected) in [
        (
            r#"{"message":1,"count":"x"}"#,
            "json: cannot unmarshal number into Go struct field Event.message of type string",
        ),
        (
            r#"{"count":{},"firstTimestamp":"x"}"#,
            r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#,
        ),
    ] {
        assert_eq!(decode(text.as_bytes(), event).unwrap_err().to_string(), expected);
    }
}

#[test]
fn errors_name_the_go_field() {
    let deployment = by_gvk("apps", "v1", "Deployment").unwrap();
    let service = by_gvk("", "v1", "Service").unwrap();
    let config_map = by_gvk("", "v1", "ConfigMap").unwrap();
    let secret = by_gvk("", "v1", "Secret").unwrap();
    let options = by_gvk("", "v1", "DeleteOptions").unwrap();
    for (ty, text, expected) in [
        (
            deployment,
            r#"{"spec":{"replicas":"x"}}"#,
            "string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            deployment,
            r#"{"spec":{"replicas":3.5}}"#,
            "number 3.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            pod(),
            r#"{"spec":{"containers":[{"ports":[{"containerPort":"x"}]}]}}"#,
            "string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            pod(),
            r#"{"spec":{"volumes":[{"hostPath":{"path":1}}]}}"#,
            "number into Go struct field HostPathVolumeSource.spec.volumes.VolumeSource.hostPath.path of type string",
        ),
        (
            pod(),
            r#"{"spec":{"containers":{}}}"#,
            "object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            pod(),
            r#"{"spec":{"restartPolicy":1}}"#,
            "number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            config_map,
            r#"{"metadata":"x"}"#,
            "string into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
        ),
        (
            config_map,
            r#"{"metadata":{"name":1}}"#,
            "number into Go struct field ObjectMeta.metadata.name of type string",
        ),
        (
            config_map,
            r#"{"data":{"a":1}}"#,
            "number into Go struct field ConfigMap.data of type string",
        ),
        (config_map, r#"[]"#, "array into Go value of type v1.ConfigMap"),
        (
            service,
            r#"{"spec":{"ports":[{"targetPort":1.5}]}}"#,
            "number 1.5 into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
        (
            options,
            r#"{"gracePeriodSeconds":"x"}"#,
            "string into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
        ),
    ] {
        assert_eq!(
            decode(text.as_bytes(), ty).unwrap_err().to_string(),
            format!("json: cannot unmarshal {expected}")
        );
    }
    let broken = decode(br#"{"data":{"a":"!"}}"#, secret).unwrap_err().to_string();
    assert_eq!(broken, "illegal base64 data at input byte 0");
}

#[test]
fn strict_findings_come_in_written_order() {
    let text =
        br#"{"spec":{"containers":[{"foo":1,"resources":{"limit":{}}}],"bar":1,"bar":2,"hostIPC":true,"hostIPC":true},
        "metadata":{"labels":{"a":"1","a":"2"}}}"#;
    let decoded = decode(text, pod()).unwrap();
    let expected = [
        r#"unknown field "spec.containers[0].foo""#,
        r#"unknown field "spec.containers[0].resources.limit""#,
        r#"unknown field "spec.bar""#,
        r#"duplicate field "spec.hostIPC""#,
        r#"duplicate field "metadata.labels.a""#,
    ];
    assert_eq!(decoded.strict, expected);
    assert_eq!(
        decode_untyped(br#"{"a":{"b":1,"b":2}}"#).unwrap().strict,
        [r#"duplicate field "a.b""#]
    );
}

#[test]
fn every_type_decodes_its_own_zero() {
    for ty in builtins() {
        let once = decode(b"{}", ty).unwrap().value;
        assert_eq!(
            decode_value(&once, ty).unwrap(),
            Decoded {
                value: once,
                strict: Vec::new()
            },
            "{ty:?}"
        );
    }
}

proptest! {
    #[test]
    fn decoding_twice_changes_nothing(replicas in any::<Option<i32>>(), paused in any::<bool>(), name in "[a-z]{0,3}") {
        let deployment = by_gvk("apps", "v1", "Deployment").unwrap();
        let object = json!({"metadata": {"name": name}, "spec": {"replicas": replicas, "paused": paused}});
        let once = decode_value(&object, deployment).unwrap().value;
        let twice = decode_value(&once, deployment).unwrap().value;
        prop_assert_eq!(&once, &twice);
        prop_assert_eq!(once["spec"].get("replicas").is_some(), replicas.is_some());
    }
}

#[test]
fn repeated_fields_add_to_what_is_set() {
    let rows = [
        // Structs, pointers to structs, and maps keep what the second one does not name.
        (
            r#"{"metadata":{"name":"a","labels":{"a":"1","b":"2"}},"metadata":{"namespace":"n","labels":{"b":"3"}}}"#,
            json!({"metadata": {"name": "a", "namespace": "n", "labels": {"a": "1", "b": "3"}}}),
        ),
        (
            r#"{"spec":{"securityContext":{"runAsUser":1},"securityContext":{"runAsGroup":2}}}"#,
            json!({"spec": {"securityContext": {"runAsUser": 1, "runAsGroup": 2}, "containers": null}}),
        ),
        // Lists have as many elements as the last one, decoded on those of the first.
        (
            r#"{"spec":{"containers":[{"name":"a","image":"i"},{"name":"b"}],"containers":[{"name":"c"}]}}"#,
            json!({"spec": {"containers": [{"name": "c", "image": "i", "resources": {}}]}}),
        ),
        (
            r#"{"spec":{"containers":[{"name":"a"}],"containers":[null,{"name":"b"}]}}"#,
            json!({"spec": {"containers": [{"name": "a", "resources": {}}, {"name": "b", "resources": {}}]}}),
        ),
        (
            r#"{"spec":{"containers":[{"name":"a"}],"containers":[]}}"#,
            json!({"spec": {"containers": []}}),
        ),
        // Null takes away pointers, lists and maps, but neither structs nor plain values.
        (
            r#"{"metadata":{"name":"a","labels":{"a":"1"},"labels":null,"name":null},"metadata":null}"#,
            json!({"metadata": {"name": "a"}}),
        ),
        (
            r#"{"spec":{"priority":1,"priority":null,"nodeSelector":{"a":"b"},"nodeSelector":null,"containers":null}}"#,
            json!({"spec": {"containers": null}}),
        ),
    ];
    for (text, expected) in rows {
        let whole = decode_value(&expected, pod()).unwrap().value;
        assert_eq!(decode(text.as_bytes(), pod()).unwrap().value, whole, "{text}");
    }
    // Only what one object repeats is reported.
    let text = r#"{"metadata":{"labels":{"a":"1"}},"metadata":{"labels":{"a":"2","a":"3"},"name":"x"}}"#;
    let reported = [
        r#"duplicate field "metadata""#,
        r#"duplicate field "metadata.labels.a""#,
    ];
    assert_eq!(decode(text.as_bytes(), pod()).unwrap().strict, reported);
}
