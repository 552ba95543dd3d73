use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::schema::{builtins, by_gvk, decode as typed, empty};

fn round_trip(group: &str, version: &str, kind: &str, mut object: Value) {
    let ty = by_gvk(group, version, kind).unwrap();
    object["apiVersion"] = json!(crate::gvk::GroupVersion::new(group, version).to_string());
    object["kind"] = json!(kind);
    let canonical = typed::decode_value(&object, ty).unwrap().value;
    let bytes = encode(&canonical, ty).unwrap();
    let envelope = Envelope::parse(&bytes).unwrap();
    assert_eq!((&*envelope.kind, decode(&envelope, ty)), (kind, Ok(canonical)));
}

#[test]
fn objects_survive_both_ways() {
    round_trip(
        "",
        "v1",
        "Pod",
        json!({"metadata": {"name": "p", "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": {"a": "", "b": "c"}, "managedFields": [{"fieldsV1": {"f:a": {}}, "manager": "m"}]},
        "spec": {"priority": 0, "hostUsers": false, "containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": "web"},
            "periodSeconds": 3}, "resources": {"limits": {"cpu": "500m"}}, "ports": [{"containerPort": 80}],
            "env": [{"name": "e", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k", "optional": false}}}]}],
            "volumes": [{"name": "v", "emptyDir": {}}], "tolerations": [{"tolerationSeconds": -1}]},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null}]}}),
    );
    round_trip(
        "coordination.k8s.io",
        "v1",
        "Lease",
        json!({"spec": {"renewTime": "2026-01-02T03:04:05.123456Z"}}),
    );
    round_trip(
        "apps",
        "v1",
        "ControllerRevision",
        json!({"data": {"x": [1, 2.5]}, "revision": 3}),
    );
    round_trip("", "v1", "Secret", json!({"data": {"a": "aGk=", "b": ""}}));
    round_trip(
        "authentication.k8s.io",
        "v1",
        "TokenReview",
        json!({"status": {"user": {"extra": {"k": ["a", "b"]}}}}),
    );
    round_trip(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
        json!({"webhooks": [{"name": "w",
        "clientConfig": {"url": "u"}, "rules": [{"apiGroups": [""], "operations": ["CREATE"], "scope": "*"}]}]}),
    );
    round_trip(
        "",
        "v1",
        "Service",
        json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}),
    );
    round_trip(
        "",
        "v1",
        "PodList",
        json!({"metadata": {"resourceVersion": "5"}, "items": [{"metadata": {"name": "a"}}]}),
    );
}

#[test]
fn bytes_are_those_of_go() {
    let status = by_gvk("", "v1", "Status").unwrap();
    let object = json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "message": "no",
        "reason": "NotAcceptable", "code": 406});
    let bytes = encode(&object, status).unwrap();
    let message = b"\x0a\x06\x0a\x00\x12\x00\x1a\x00\x12\x07Failure\x1a\x02no\"\x0dNotAcceptable0\x96\x03";
    let mut expected = b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status\x12".to_vec();
    expected.push(message.len() as u8);
    expected.extend_from_slice(message);
    expected.extend_from_slice(b"\x1a\x00\"\x00");
    assert_eq!(bytes, expected);
    assert_eq!(watch_frame("ADDED", b"x"), b"\0\0\0\x0c\x0a\x05ADDED\x12\x03\x0a\x01x");
}

#[test]
fn lists_are_the_same_item_by_item() {
    let (list, map) = (
        by_gvk("", "v1", "ConfigMapList").unwrap(),
        by_gvk("", "v1", "ConfigMap").unwrap(),
    );
    for names in [&[][..], &["a"], &["a", "b"]] {
        let items: Vec<Value> = names
            .iter()
            .map(|name| json!({"metadata": {"name": name}, "data": {"k": "v".repeat(200)}}))
            .collect();
        let head = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "7"}});
        let mut whole = head.clone();
        whole["items"] = items.clone().into();
        let encoded = items.iter().map(|item| encode_item(item, map).unwrap()).collect();
        let pieces = encode_list(&head, list, encoded).unwrap();
        let together: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
        assert_eq!(together, encode(&whole, list).unwrap());
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let pod = by_gvk("", "v1", "Pod").unwrap();
    let parse = |bytes: &[u8]| Envelope::parse(bytes).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        parse(b"{}"),
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    );
    assert_eq!(parse(b"k8s\0\x0a\x05"), "unexpected EOF");
    let envelope = Envelope {
        api_version: "v1".into(),
        kind: "Pod".into(),
        raw: b"\x08\x01"[..].into(),
    };
    assert_eq!(
        decode(&envelope, pod).unwrap_err().to_string(),
        "proto: wrong wireType for field metadata"
    );
    let crd = by_gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
    assert!(matches!(encode(&json!({}), crd), Err(Error::Unsupported(_))));
}

#[test]
fn every_type_with_a_protobuf_form_survives_empty() {
    for ty in builtins().iter().filter(|ty| ty.message && !ty.kinds.is_empty()) {
        let mut object = empty::zero_object(ty);
        object["apiVersion"] = json!("v1");
        object["kind"] = json!(ty.struct_name());
        let bytes = encode(&object, ty).unwrap();
        assert_eq!(decode(&Envelope::parse(&bytes).unwrap(), ty), Ok(object), "{ty:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        for kind in ["Pod", "Status", "ConfigMap"] {
            let ty = by_gvk("", "v1", kind).unwrap();
            let envelope = Envelope { api_version: "v1".into(), kind: kind.into(), raw: (&bytes[..]).into() };
            let _ = decode(&envelope, ty);
        }
    }
}
