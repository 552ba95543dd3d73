//! The form in which upstream checks a definition: what all versions have in common stands at the top
//! (`Convert_v1_CustomResourceDefinitionSpec_To_apiextensions_CustomResourceDefinitionSpec`).

use machinery::meta;
use serde_json::{Map, Value};

/// The fields of a version that move, with their names at the top.
const MOVED: [(&str, &str); 4] = [
    ("subresources", "subresources"),
    ("schema", "validation"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// The spec of a definition in the form that is checked.
pub(super) fn spec(spec: &Value) -> Value {
    let mut out = spec.clone();
    let versions = meta::list_at(spec, &["versions"]);
    let Some(first) = versions.first() else {
        return out;
    };
    for (field, name) in MOVED {
        if versions.iter().any(|version| version.get(field) != first.get(field)) {
            continue;
        }
        if let Some(common) = first.get(field) {
            meta::set(&mut out, &[name], common.clone());
        }
        let versions = out.get_mut("versions").and_then(Value::as_array_mut);
        for version in versions.into_iter().flatten() {
            meta::remove(version, &[field]);
        }
    }
    if let Some(webhook) = meta::remove(&mut out, &["conversion", "webhook"]) {
        for (field, name) in [
            ("clientConfig", "webhookClientConfig"),
            ("conversionReviewVersions", "conversionReviewVersions"),
        ] {
            if let Some(value) = webhook.get(field) {
                meta::set(&mut out, &["conversion", name], value.clone());
            }
        }
    }
    out
}

/// The fields of an object, none when it is not one.
pub(super) fn fields(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_versions_have_in_common_moves_to_the_top() {
        let schema = json!({"openAPIV3Schema": {"type": "object"}});
        let both = json!({"versions": [
            {"name": "a", "schema": schema, "subresources": {"status": {}}},
            {"name": "b", "schema": schema},
        ], "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"]}}});
        assert_eq!(
            spec(&both),
            json!({"versions": [{"name": "a", "subresources": {"status": {}}}, {"name": "b"}],
                "validation": schema,
                "conversion": {"strategy": "Webhook", "conversionReviewVersions": ["v1"]}})
        );
    }
}
