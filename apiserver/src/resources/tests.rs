//! What holds for the kinds together.

use machinery::meta;
use serde_json::{Value, json};

use crate::registry::before::match_namespace;

#[test]
fn objects_get_the_namespace_of_the_request_or_none() {
    let maps = super::all();
    let resource = |plural: &str| maps.iter().find(|resource| *resource.plural == *plural).unwrap();
    for (plural, namespace, own, expected) in [
        ("configmaps", "n", None, Ok(Some("n"))),
        ("configmaps", "n", Some("n"), Ok(Some("n"))),
        ("configmaps", "n", Some("other"), Err(400)),
        ("configmaps", "", Some("other"), Ok(None)),
        ("nodes", "", Some("other"), Ok(None)),
        ("nodes", "", None, Ok(None)),
        ("namespaces", "x", Some("other"), Ok(None)),
    ] {
        let mut obj = json!({"metadata": {"name": "x"}});
        if let Some(own) = own {
            meta::set(&mut obj, &["metadata", "namespace"], own);
        }
        let found = match_namespace(resource(plural), namespace, &mut obj)
            .map(|()| obj["metadata"].get("namespace").and_then(Value::as_str))
            .map_err(|status| status.code);
        assert_eq!(found, expected, "{plural} {namespace} {own:?}");
    }
}

#[test]
fn an_update_makes_what_is_absent_of_some_kinds() {
    let mut created: Vec<_> = super::all()
        .iter()
        .filter(|resource| resource.strategy.allow_create_on_update())
        .map(|resource| resource.plural.to_string())
        .collect();
    created.sort_unstable();
    created.dedup();
    let expected = [
        "clusterrolebindings",
        "clusterroles",
        "endpoints",
        "events",
        "leases",
        "limitranges",
        "rolebindings",
        "roles",
        "runtimeclasses",
        "services",
    ];
    assert_eq!(created, expected);
}
