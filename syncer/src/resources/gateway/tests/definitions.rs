//! Which definitions are needed, and which rights.

use super::super::{definition, known};
use super::*;
use crate::resources::role::{cluster_role, role};

fn definition_of(kind: Kind, versions: &[(&str, bool)]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|(name, served)| json!({"name": name, "served": served, "storage": false, "schema": {"of": name}}))
        .collect();
    let names = json!({"plural": kind.plural(), "kind": kind.name()});
    json!({"metadata": {"name": definition::name(kind)}, "spec": {
        "group": kind.group(), "names": names, "scope": "Namespaced", "versions": versions,
    }})
}

#[test]
fn the_host_has_to_serve_what_is_synced() {
    let mut settings = settings();
    assert!(known(&settings).is_empty());
    settings.to_host.insert(Kind::HttpRoute);
    let needed: Vec<Kind> = known(&settings).into_iter().collect();
    assert_eq!(needed, [Kind::Gateway, Kind::HttpRoute, Kind::ReferenceGrant]);
    let beta = [("v1beta1", true), ("v1alpha2", false)];
    for definition in [None, Some(definition_of(Kind::HttpRoute, &beta))] {
        assert_eq!(
            definition::for_virtual(&settings, Kind::HttpRoute, definition).unwrap_err(),
            "host cluster does not advertise Gateway API resource gateway.networking.k8s.io/v1, Kind=HTTPRoute; install Gateway \
             API CRDs that serve this version on the host cluster or disable sync.toHost.gatewayApi.enabled or \
             sync.toHost.gatewayApi.httpRoutes.enabled"
        );
    }
    let both = definition_of(Kind::HttpRoute, &[("v1", true), ("v1beta1", true)]);
    let shown = definition::for_virtual(&settings, Kind::HttpRoute, Some(both)).unwrap();
    let expected = json!([{"name": "v1", "served": true, "storage": true, "schema": {"of": "v1"}}]);
    assert_eq!(shown["spec"]["versions"], expected);
    // Grants stay in the virtual cluster, whatever the host's version of them is.
    let grants = || Some(definition_of(Kind::ReferenceGrant, &beta));
    let shown = definition::for_virtual(&settings, Kind::ReferenceGrant, grants()).unwrap();
    let expected = json!([{"name": "v1", "served": true, "storage": true, "schema": {"of": "v1beta1"}}]);
    assert_eq!(shown["spec"]["versions"], expected);
    settings.to_host.insert(Kind::ReferenceGrant);
    let problem = definition::for_virtual(&settings, Kind::ReferenceGrant, grants()).unwrap_err();
    assert!(
        problem.ends_with("or disable sync.toHost.gatewayApi.referenceGrants.enabled"),
        "{problem}"
    );
}

#[test]
fn rights_come_with_the_kinds() {
    let mut settings = settings();
    settings.to_host.insert(Kind::TlsRoute);
    let mapping = config::ObjectMapping::parse("infra/edge", "shared/public").unwrap();
    settings.imports.insert(Kind::Gateway, vec![mapping]);
    let own = role("r", &settings);
    assert!(
        own.contains("resources: [tlsroutes]\n    verbs: [create, delete, get, list, patch, watch]"),
        "{own}"
    );
    assert!(!own.contains("gateways") && !own.contains("referencegrants"), "{own}");
    let elsewhere = &resources::role::roles_elsewhere("r", &settings)["infra"];
    assert!(elsewhere.contains("resources: [gateways]\n    resourceNames: [edge]\n    verbs: [list, watch]"));
    let cluster = cluster_role("r", &settings).unwrap();
    assert!(
        cluster.contains("resources: [customresourcedefinitions]\n    resourceNames: [gatewayclasses.gateway.")
            && !cluster.contains("resources: [gateways]"),
        "{cluster}"
    );
}
