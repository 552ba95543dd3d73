use super::*;
use serde_json::json;

#[test]
fn node_ports_are_found_once_each() {
    let service = json!({"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30002,
        "ports": [{"nodePort": 30001}, {"nodePort": 30001, "protocol": "UDP"}, {"port": 1}]}});
    assert_eq!(node_ports(&service), [30001, 30002]);
    assert!(gets_node_ports(&service) && wants_health_check_port(&service));
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

/// An allocator over a store in which nothing can be kept, for dry runs and refusals.
fn allocator() -> ServiceAllocator {
    let nowhere: Arc<dyn crate::storage::interface::Storage> = Arc::new(crate::registry::unstored::Unstored);
    let network = Network {
        address: "10.0.0.0".parse().unwrap(),
        prefix: 24,
    };
    let addresses = Addresses::new(vec![network], nowhere.clone(), nowhere.clone());
    ServiceAllocator::new(addresses, Ports::new(30000, 30100, nowhere))
}

#[tokio::test]
async fn what_is_no_port_is_outside_of_the_range() {
    let allocator = allocator();
    for asked in [-1, 65536, 99999, 1] {
        let refused = allocator.reserve_port(asked, false, &mut Changes::default()).await;
        let Err(Failure::Refused(why)) = refused else {
            panic!("{asked}: {refused:?}");
        };
        assert_eq!(
            why,
            "provided port is not in the valid range. The range of valid ports is 30000-30100"
        );
        let dry = allocator.reserve_port(asked, true, &mut Changes::default()).await;
        assert_eq!(dry.unwrap(), asked);
    }
    let health = allocator
        .reserve_health_check(70000, false, &mut Changes::default())
        .await;
    assert!(health.unwrap_err().message.ends_with(
        "failed to allocate requested HealthCheck NodePort 70000: provided port is not in the valid range. The range of valid ports is 30000-30100"
    ));
}

#[tokio::test]
async fn updates_reserve_addresses_only_for_another_type_or_family() {
    let allocator = allocator();
    let service = |kind: &str, ips: Value| json!({"metadata": {"name": "s"}, "spec": {"type": kind, "clusterIPs": ips, "ipFamilies": ["IPv4"]}});
    let had = service("ClusterIP", json!(["10.0.0.1"]));
    for (new, old, expected, freed) in [
        (
            service("NodePort", json!(["10.0.0.9"])),
            &had,
            json!(["10.0.0.9"]),
            &[][..],
        ),
        (
            service("ExternalName", Value::Null),
            &had,
            Value::Null,
            &["10.0.0.1"][..],
        ),
        (
            service("ClusterIP", json!(["None"])),
            &service("ClusterIP", json!(["None"])),
            json!(["None"]),
            &[][..],
        ),
    ] {
        let (mut new, mut changes) = (new, Changes::default());
        allocator
            .reserve_addresses(&mut new, Some(old), true, &mut changes)
            .await
            .unwrap();
        assert_eq!(new["spec"]["clusterIPs"], expected);
        assert_eq!(changes.old_addresses, freed);
    }
}

#[tokio::test]
async fn ports_of_one_number_share_their_node_port() {
    let allocator = allocator();
    let service = |ports: Value| json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": ports}});
    // Numbers that are no ports of the range need no store in a dry run.
    let new = service(json!([{"port": 80, "protocol": "TCP"}, {"port": 80, "nodePort": 7, "protocol": "UDP"}]));
    let first = allocator.first_node_ports(&new, true, &mut Changes::default()).await;
    assert_eq!(first.unwrap(), [7, 7]);
    let twice = service(json!([{"port": 80, "nodePort": 7}, {"port": 80, "nodePort": 7}]));
    let first = allocator.first_node_ports(&twice, true, &mut Changes::default()).await;
    assert_eq!(first.unwrap(), [7, 7]);
    let twice = service(
        json!([{"port": 80, "nodePort": 7, "protocol": "TCP"}, {"port": 81, "nodePort": 7, "protocol": "TCP"}]),
    );
    let next = allocator
        .next_node_ports(&twice, &new, true, &mut Changes::default())
        .await;
    assert_eq!(next.unwrap_err().message, "duplicate nodePort: {TCP 7}");
    let mut quiet = service(json!([{"port": 80}, {"port": 81, "nodePort": 7}]));
    quiet["spec"]["type"] = json!("LoadBalancer");
    quiet["spec"]["allocateLoadBalancerNodePorts"] = json!(false);
    let first = allocator.first_node_ports(&quiet, true, &mut Changes::default()).await;
    assert_eq!(first.unwrap(), [0, 7]);
}

#[tokio::test]
async fn a_dry_run_looks_for_no_address() {
    let allocator = allocator();
    let outside = "the provided IP (11.0.0.1) is not in the valid range. The range of valid IPs is 10.0.0.0/24";
    for (wish, expected) in [
        (None, Ok("10.0.0.0")),
        (Some("10.0.0.9"), Ok("10.0.0.9")),
        (Some("11.0.0.1"), Err(outside)),
    ] {
        let found = allocator.addresses().reserve("IPv4", wish, ("n", "s"), true).await;
        let found = found.map_err(|failure| match failure {
            Failure::Refused(why) => why,
            Failure::Store(status) => status.message,
        });
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{wish:?}");
    }
}
