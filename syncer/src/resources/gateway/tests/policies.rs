//! BackendTLSPolicies and ReferenceGrants.

use super::*;

#[test]
fn policies_name_services_and_certificates_of_their_namespace() {
    let world = world(&[Kind::Gateway, Kind::BackendTlsPolicy]);
    let policy = |target: &str, authority: &str| {
        let spec = json!({
            "targetRefs": [{"group": "", "kind": target, "name": "api", "sectionName": "https"}],
            "validation": {"hostname": "api", "caCertificateRefs": [{"group": "", "kind": authority, "name": "ca"}]},
        });
        put(&world, Kind::BackendTlsPolicy, "team", "tls", spec);
        world.plan(Kind::BackendTlsPolicy, "team", "tls")
    };
    let plan = policy("Pod", "ConfigMap");
    assert!(notes(&plan)[0].ends_with("translate targetRefs[0]: targetRef group \"\" kind \"Pod\" is not supported"));
    let plan = policy("Service", "Pod");
    assert!(notes(&plan)[0].contains("validation.caCertificateRefs[0]: localObjectRef group \"\" kind \"Pod\""));
    let plan = policy("Service", "ConfigMap");
    assert_eq!((plan.steps.len(), plan.waits.len(), plan.notes.len()), (0, 2, 1));
    assert!(
        world
            .mappings()
            .is_referenced(&Reference::new(Kind::ConfigMap, "team", "ca"))
    );
    synced(&world, Kind::Service, "team", "api");
    synced(&world, Kind::ConfigMap, "team", "ca");
    let host = copy(&world, Kind::BackendTlsPolicy, "team", "tls");
    assert_eq!(host["spec"]["targetRefs"][0]["name"], "api-x-team-x-vc");
    assert_eq!(
        host["spec"]["validation"]["caCertificateRefs"][0]["name"],
        "ca-x-team-x-vc"
    );

    synced(&world, Kind::Gateway, "web", "edge");
    let told = json!({"status": {"ancestors": [{"ancestorRef": {"name": "edge-x-web-x-vc", "namespace": "host"}}]}});
    later(&world, Kind::BackendTlsPolicy, host, told);
    let steps = summary(&world.plan(Kind::BackendTlsPolicy, "team", "tls"));
    assert!(
        steps[0].contains(r#""ancestorRef":{"name":"edge","namespace":"web"}"#),
        "{steps:?}"
    );
}

#[test]
fn grants_say_the_same_of_the_one_namespace_of_the_host() {
    let world = world(&[Kind::ReferenceGrant]);
    synced(&world, Kind::Service, "team", "api");
    grant(
        &world,
        "HTTPRoute",
        "web",
        json!({"group": "", "kind": "Service", "name": "api"}),
    );
    let host = copy(&world, Kind::ReferenceGrant, "team", "open");
    assert_eq!(host["spec"]["from"][0]["namespace"], "host");
    assert_eq!(host["spec"]["to"][0]["name"], "api-x-team-x-vc");
    grant(&world, "HTTPRoute", "web", json!({"group": "", "kind": "Service"}));
    let steps = summary(&world.plan(Kind::ReferenceGrant, "team", "open"));
    assert!(
        steps[0].contains(r#""to":[{"group":"","kind":"Service"}]"#),
        "{steps:?}"
    );
    grant(
        &world,
        "HTTPRoute",
        "web",
        json!({"group": "x.io", "kind": "Bucket", "name": "b"}),
    );
    let plan = world.plan(Kind::ReferenceGrant, "team", "open");
    assert_eq!(summary(&plan), ["delete host ReferenceGrant host/open-x-team-x-vc h1"]);
    assert!(notes(&plan)[0].ends_with("referenceGrant to group \"x.io\" kind \"Bucket\" is not supported"));
}
