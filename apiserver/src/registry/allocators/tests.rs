use super::*;
use serde_json::json;

#[test]
fn node_ports_are_found_once_each() {
    let service = json!({"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30002,
        "ports": [{"nodePort": 30001}, {"nodePort": 30001, "protocol": "UDP"}, {"port": 1}]}});
    assert_eq!(node_ports(&service), [30001, 30002]);
    assert!(wants_node_ports(&service) && wants_health_check_port(&service));
}

#[test]
fn cluster_ips_fall_back_to_the_single_one() {
    assert_eq!(cluster_ips(&json!({"spec": {"clusterIP": "10.0.0.1"}})), ["10.0.0.1"]);
    assert_eq!(cluster_ips(&json!({"spec": {"clusterIP": ""}})), Vec::<String>::new());
    assert_eq!(
        cluster_ips(&json!({"spec": {"clusterIPs": ["a", "b"], "clusterIP": "a"}})),
        ["a", "b"]
    );
}

#[test]
fn refusals_quote_what_was_asked_for() {
    let service = json!({"metadata": {"name": "b"}});
    let wish = "10.96.0.9".to_owned();
    let failure = Failure::Refused("provided IP is already allocated".to_owned());
    assert_eq!(
        refused_address(&service, std::slice::from_ref(&wish), Some(&wish), failure).message,
        "Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.9\"]: failed to allocate IP 10.96.0.9: provided IP is already allocated"
    );
}

#[test]
fn what_is_no_port_is_not_taken_for_none() {
    for (asked, expected) in [
        (json!(null), Ok(None)),
        (json!(0), Ok(None)),
        (json!(30000), Ok(Some(30000))),
        (json!(65535), Ok(Some(65535))),
        (json!(65536), Err(65536)),
        (json!(-1), Err(-1)),
    ] {
        assert_eq!(wished(&json!({"nodePort": asked}), &["nodePort"]), expected);
    }
}
