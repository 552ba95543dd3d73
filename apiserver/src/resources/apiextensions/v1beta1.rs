//! The version in which upstream stores definitions: what all versions have in common may stand at the top
//! (`Convert_apiextensions_CustomResourceDefinitionSpec_To_v1_CustomResourceDefinitionSpec`).

use machinery::meta;
use serde_json::{Value, json};

/// The fields at the top that belong to every version, with their names there.
const COMMON: [(&str, &str); 4] = [
    ("subresources", "subresources"),
    ("validation", "schema"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// A stored definition as `v1`.
pub(super) fn to_v1(mut definition: Value) -> Value {
    let Some(spec) = definition.get_mut("spec") else {
        return definition;
    };
    let name = meta::remove(spec, &["version"]);
    if let (Some(name), true) = (name, meta::list_at(spec, &["versions"]).is_empty()) {
        meta::set(
            spec,
            &["versions"],
            json!([{"name": name, "served": true, "storage": true}]),
        );
    }
    for (top, field) in COMMON {
        let Some(common) = meta::remove(spec, &[top]).filter(|common| !common.is_null()) else {
            continue;
        };
        for version in versions(spec) {
            meta::set(version, &[field], common.clone());
        }
    }
    for version in versions(spec) {
        let columns = version
            .get_mut("additionalPrinterColumns")
            .and_then(Value::as_array_mut);
        for column in columns.into_iter().flatten() {
            if let Some(path) = meta::remove(column, &["JSONPath"]) {
                meta::set(column, &["jsonPath"], path);
            }
        }
    }
    for (old, new) in [
        ("webhookClientConfig", "clientConfig"),
        ("conversionReviewVersions", "conversionReviewVersions"),
    ] {
        let value = meta::remove(spec, &["conversion", old]).filter(|value| !value.is_null());
        if let Some(value) = value {
            meta::set(spec, &["conversion", "webhook", new], value);
        }
    }
    definition
}

fn versions(spec: &mut Value) -> impl Iterator<Item = &mut Value> {
    let versions = spec.get_mut("versions").and_then(Value::as_array_mut);
    versions.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_at_the_top_goes_to_every_version() {
        let schema = json!({"openAPIV3Schema": {"type": "object"}});
        let stored = json!({"spec": {"group": "g", "version": "a", "validation": schema,
            "additionalPrinterColumns": [{"name": "N", "type": "string", "JSONPath": ".n"}],
            "versions": [{"name": "a", "subresources": {"status": {}}}, {"name": "b"}],
            "conversion": {"strategy": "Webhook", "conversionReviewVersions": ["v1"], "webhookClientConfig": {"url": "u"}}}});
        let columns = json!([{"name": "N", "type": "string", "jsonPath": ".n"}]);
        assert_eq!(
            to_v1(stored),
            json!({"spec": {"group": "g", "versions": [
                {"name": "a", "subresources": {"status": {}}, "schema": schema, "additionalPrinterColumns": columns},
                {"name": "b", "schema": schema, "additionalPrinterColumns": columns},
            ], "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {"url": "u"}, "conversionReviewVersions": ["v1"]}}}})
        );
    }

    #[test]
    fn a_lone_version_is_served_and_stored() {
        let stored = json!({"spec": {"version": "v1"}});
        let versions = json!([{"name": "v1", "served": true, "storage": true}]);
        assert_eq!(to_v1(stored), json!({"spec": {"versions": versions}}));
        assert_eq!(to_v1(json!({})), json!({}));
    }
}
