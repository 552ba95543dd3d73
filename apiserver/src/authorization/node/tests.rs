use super::*;
use serde_json::json;

fn node() -> Node {
    let rules = json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["services"]}]});
    let node = Node::new(Rule::of_role(&rules));
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "nodeName": "a",
        "serviceAccountName": "default",
        "volumes": [{"secret": {"secretName": "s"}}, {"persistentVolumeClaim": {"claimName": "c"}}],
    }});
    node.set_pod("n", "p", Some(&pod));
    let volume =
        json!({"spec": {"claimRef": {"namespace": "n", "name": "c"}, "cephfs": {"secretRef": {"name": "driver"}}}});
    node.set_volume("v", Some(&volume));
    node.set_of_node(Kind::ResourceSlice, "slice", Some(&json!({"spec": {"nodeName": "a"}})));
    node
}

/// Verb, `group:resource/subresource`, `namespace/name`.
type Asked = (&'static str, &'static str, &'static str);

fn decide(node: &Node, user: &str, (verb, what, whom): Asked, field_selector: &str) -> Decision {
    let (group, rest) = what.split_once(':').unwrap();
    let (resource, subresource) = rest.split_once('/').unwrap_or((rest, ""));
    let (namespace, name) = whom.split_once('/').unwrap();
    node.decide(&Attributes {
        user,
        groups: &["system:nodes".to_owned()],
        verb,
        is_resource: true,
        group,
        resource,
        subresource,
        namespace,
        name,
        field_selector,
        ..Attributes::default()
    })
}

#[test]
fn kubelets_reach_what_belongs_to_their_node() {
    let node = node();
    for asked in [
        ("get", ":secrets", "n/s"),
        ("watch", ":secrets", "n/driver"),
        ("get", ":pods", "n/p"),
        ("get", ":serviceaccounts", "n/default"),
        ("create", ":serviceaccounts/token", "n/default"),
        ("get", ":persistentvolumes", "/v"),
        ("patch", ":persistentvolumeclaims/status", "n/c"),
        ("delete", "resource.k8s.io:resourceslices", "/slice"),
    ] {
        assert!(decide(&node, "system:node:a", asked, "").allowed, "{asked:?}");
        let other = decide(&node, "system:node:b", asked, "");
        let expected = Decision::no_opinion("no relationship found between node 'b' and this object");
        assert_eq!(other, expected, "{asked:?}");
    }
    node.set_pod("n", "p", None);
    assert!(!decide(&node, "system:node:a", ("get", ":secrets", "n/s"), "").allowed);
}

#[test]
fn selectors_stand_for_names() {
    let node = node();
    let asked = ("list", ":pods", "/");
    assert!(decide(&node, "system:node:a", asked, "spec.nodeName=a,status.phase!=Failed").allowed);
    for selector in ["", "spec.nodeName=b", "spec.nodeName!=a", "spec.nodeName=a="] {
        let refused = decide(&node, "system:node:a", asked, selector);
        let expected = Decision::no_opinion("can only list/watch pods with spec.nodeName field selector");
        assert_eq!(refused, expected, "{selector}");
    }
}

#[test]
fn refusals_say_why() {
    let node = node();
    for (asked, expected) in [
        (("update", ":secrets", "n/s"), "can only read resources of this type"),
        (
            ("list", ":secrets", "/s"),
            "can only read namespaced object of this type",
        ),
        (("list", ":secrets", "n/"), "No Object name found"),
        (
            ("list", ":persistentvolumes", "/v"),
            "can only get individual resources of this type",
        ),
        (
            ("get", "coordination.k8s.io:leases", "n/a"),
            "can only access leases in the \"kube-node-lease\" system namespace",
        ),
        (
            ("get", "storage.k8s.io:csinodes", "/b"),
            "can only access CSINode with the same name as the requesting node",
        ),
        (
            ("list", ":nodes", "/"),
            "node 'a' cannot read all nodes, only its own Node object",
        ),
        (("delete", ":nodes", "/a"), ""),
        (("list", "apps:deployments", "/"), ""),
    ] {
        assert_eq!(
            decide(&node, "system:node:a", asked, ""),
            Decision::no_opinion(expected),
            "{asked:?}"
        );
    }
    assert!(decide(&node, "system:node:a", ("get", ":services", "n/x"), "").allowed);
    let nameless = decide(&node, "system:node:", ("get", ":services", "n/x"), "");
    assert_eq!(nameless.reason, "unknown node for user \"system:node:\"");
    assert_eq!(
        decide(&node, "jane", ("get", ":services", "n/x"), ""),
        Decision::no_opinion("")
    );
}
