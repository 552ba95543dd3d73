use proptest::prelude::*;

use super::*;
use crate::kinds::Kind;

fn balancer() -> Value {
    json!({
        "metadata": {
            "namespace": "team", "name": "web", "uid": "v", "resourceVersion": "5",
            "annotations": {SOURCE_RANGES: "10.0.0.0/8", "team/owner": "them"},
        },
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 30009, "allocateLoadBalancerNodePorts": true, "loadBalancerClass": "their.cloud/one",
            "loadBalancerSourceRanges": ["10.0.0.0/8"], "ports": [{"port": 80, "nodePort": 30080}],
        },
    })
}

fn body(actual: &Value, changes: Value) -> Option<Value> {
    let item = Reference::new(Kind::Service, "team", "web");
    let Value::Object(changes) = changes else {
        panic!("an object")
    };
    match steps(&item, actual, None, changes).pop()? {
        Step::Patch { body, .. } => Some(body),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_what_may_not_change_goes_the_long_way() {
    let long = |changes: Value| body(&balancer(), changes).expect("a patch")["spec"]["type"] == "ExternalName";
    assert!(long(json!({"clusterIP": "10.0.0.8", "clusterIPs": ["10.0.0.8"]})));
    assert!(long(json!({"healthCheckNodePort": 30010})));
    assert!(long(json!({"ports": [{"port": 80, "nodePort": 30081}]})));
    assert!(!long(json!({"ipFamilyPolicy": "PreferDualStack"})));
    assert_eq!(body(&balancer(), json!({"clusterIP": "10.0.0.9"})), None);
}

#[test]
fn what_a_service_was_survives() {
    let mut service = balancer();
    let first = body(&service, json!({"clusterIP": "10.0.0.8", "clusterIPs": ["10.0.0.8"]})).expect("the first patch");
    assert_eq!(first["metadata"]["resourceVersion"], "5");
    json::merge(&mut service, &first);
    for field in GIVEN_UP {
        assert_eq!(service["spec"].get(field), None, "{field}");
    }
    assert_eq!(service["metadata"]["annotations"].get(SOURCE_RANGES), None);
    assert_eq!(meant(service.clone())["spec"], balancer()["spec"]);
    assert_eq!(
        meant(service.clone())["metadata"]["annotations"],
        balancer()["metadata"]["annotations"]
    );

    let second =
        body(&service, json!({"clusterIP": "10.0.0.8", "clusterIPs": ["10.0.0.8"]})).expect("the second patch");
    json::merge(&mut service, &second);
    let mut expected = balancer();
    expected["spec"]["clusterIP"] = json!("10.0.0.8");
    expected["spec"]["clusterIPs"] = json!(["10.0.0.8"]);
    assert_eq!(service, expected);
}

#[test]
fn an_owner_who_changes_the_type_meanwhile_is_right() {
    let mut service = balancer();
    let first = body(&service, json!({"clusterIP": "10.0.0.8"})).expect("a patch");
    json::merge(&mut service, &first);
    for mine in [
        json!({"type": "ClusterIP", "clusterIP": "10.0.0.7"}),
        json!({"externalName": "example.org"}),
    ] {
        let mut service = service.clone();
        json::merge(&mut service["spec"], &mine);
        assert_eq!(meant(service.clone())["spec"], service["spec"]);
        let next = body(&service, json!({})).expect("the annotation goes");
        assert_eq!(next["metadata"]["annotations"], json!({keys::SERVICE_BETWEEN: null}));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The annotation is in the hands of the owner: whatever it says, nothing but their own Service changes.
    #[test]
    fn the_annotation_may_say_anything(text in prop_oneof![
        ".*",
        Just(r#"{"metadata": {"name": "theirs"}, "spec": {"type": "NodePort"}}"#.to_owned()),
        Just(r#"{"spec": null, "annotations": 1}"#.to_owned()),
    ]) {
        let service = json!({
            "metadata": {"namespace": "team", "name": "web", "annotations": {keys::SERVICE_BETWEEN: text}},
            "spec": {"type": "ExternalName", "externalName": NOWHERE},
        });
        let meant = meant(service);
        prop_assert_eq!(&meant["metadata"]["name"], "web");
        prop_assert!(meant["spec"]["type"] != "ExternalName");
    }
}
