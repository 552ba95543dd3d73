//! Claims of devices: what pods name, and who consumes them.

use serde_json::{Value, json};

use super::*;

fn world_with_claims() -> World {
    let mut world = super::small_world();
    world
        .settings
        .to_host
        .extend([Kind::ResourceClaim, Kind::ResourceClaimTemplate]);
    world
}

fn claim(version: &str) -> Value {
    json!({
        "metadata": {"namespace": "team", "name": "gpu", "uid": "c1", "resourceVersion": version},
        "spec": {"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": "gpu"}}]}},
    })
}

fn pod_with_claims() -> Value {
    let entries =
        json!([{"name": "a", "resourceClaimName": "gpu"}, {"name": "b", "resourceClaimTemplateName": "each"}]);
    let spec = json!({"resourceClaims": entries, "containers": [{"name": "c", "image": "i"}]});
    json!({"metadata": {"namespace": "team", "name": "web", "uid": "v1", "resourceVersion": "5"}, "spec": spec})
}

#[test]
fn a_pod_waits_for_its_claims_and_names_those_of_the_host() {
    let world = world_with_claims();
    let short = world.names.short_host_name("gpu", "team");
    world.put(Side::Virtual, Kind::ResourceClaim, claim("5"));
    world.put(Side::Virtual, Kind::Pod, pod_with_claims());
    let plan = world.plan(Kind::Pod, "team", "web");
    assert!(plan.steps.is_empty());
    assert_eq!(plan.waits[0].key.to_string(), format!("host/{short}"));
    let host = world.create(&world.plan(Kind::ResourceClaim, "team", "gpu"), "hc");
    assert_eq!(host["spec"], claim("5")["spec"]);
    let pod = world.create(&world.plan(Kind::Pod, "team", "web"), "hp");
    let expected = json!([
        {"name": "a", "resourceClaimName": short},
        {"name": "b", "resourceClaimTemplateName": world.names.short_host_name("each", "team")},
    ]);
    assert_eq!(pod["spec"]["resourceClaims"], expected);

    let consumer = |name: &str, uid: &str| json!({"resource": "pods", "name": name, "uid": uid});
    let status = |name: &str| {
        let claims =
            json!([{"name": "a", "resourceClaimName": name}, {"name": "b", "resourceClaimName": "made-by-the-host"}]);
        json!({"phase": "Pending", "resourceClaimStatuses": claims})
    };
    let mut pod = pod;
    pod["metadata"]["resourceVersion"] = json!("101");
    pod["status"] = status(&short);
    world.put(Side::Host, Kind::Pod, pod);
    let steps = summary(&world.plan(Kind::Pod, "team", "web"));
    assert!(
        steps[0].contains(r#""resourceClaimStatuses":[{"name":"a","resourceClaimName":"gpu"}]"#),
        "{steps:?}"
    );

    let mut host = host;
    host["metadata"]["resourceVersion"] = json!("101");
    host["status"] = json!({
        "allocation": {"devices": {}},
        "reservedFor": [consumer("web-x-team-x-vc", "hp"), consumer("stranger", "x")],
    });
    world.put(Side::Host, Kind::ResourceClaim, host);
    let status = json!({"allocation": {"devices": {}}, "reservedFor": [consumer("web", "v1")]});
    let expected = format!(
        "patch virtual ResourceClaim team/gpu status{}",
        json!({"metadata": {}, "status": status})
    );
    assert_eq!(summary(&world.plan(Kind::ResourceClaim, "team", "gpu")), [expected]);
}

#[test]
fn claims_that_are_not_synced_are_told() {
    let world = super::small_world();
    world.put(Side::Virtual, Kind::Pod, pod_with_claims());
    let plan = world.plan(Kind::Pod, "team", "web");
    assert!(plan.steps.is_empty());
    assert!(
        plan.notes[0]
            .text
            .ends_with("set sync.toHost.resourceClaims.enabled to true"),
        "{:?}",
        plan.notes
    );
}
