//! The parameters that operations of an OpenAPI 2.0 document share by reference (kube-openapi `pkg/builder/parameters.go`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The order in which upstream writes what a parameter has.
const ORDER: &[&str] = &["uniqueItems", "type", "description", "name", "in", "required", "schema"];

/// The name under which a parameter is shared; `None` for those that stay where they are: names and bodies, which tell of the kind,
/// and two that kubectl once looked for in operations to learn what a server can do.
pub(super) fn name(parameter: &Value) -> Option<String> {
    let text = |name: &str| parameter[name].as_str().unwrap_or_default();
    let reference = parameter["schema"]["$ref"].as_str().unwrap_or_default();
    match (text("in"), text("name")) {
        ("query" | "path", "name") | ("query", "fieldValidation" | "dryRun") => None,
        ("body", _) if !reference.starts_with("#/definitions/io.k8s.apimachinery") => None,
        (_, name) => Some(format!("{name}-{}", hash(parameter))),
    }
}

/// The parameter, or the reference that stands for it.
pub(super) fn refer(parameter: Value) -> Value {
    match name(&parameter) {
        Some(name) => json!({"$ref": format!("#/parameters/{name}")}),
        None => parameter,
    }
}

/// The first 48 bits of the FNV-1 hash of the JSON text.
fn hash(parameter: &Value) -> String {
    let present = ORDER.iter().filter_map(|name| Some((name, parameter.get(name)?)));
    let fields: Vec<String> = present.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let text = format!("{{{}}}", fields.join(","));
    let step = |hash: u64, byte: u8| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    URL_SAFE_NO_PAD.encode(&hash.to_be_bytes()[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_upstream() {
        let body =
            |kind: &str| json!({"in": "body", "name": "body", "schema": {"$ref": format!("#/definitions/{kind}")}});
        let options = body("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
        assert_eq!(name(&options).as_deref(), Some("body-2Y1dVQaQ"));
        assert_eq!(refer(options), json!({"$ref": "#/parameters/body-2Y1dVQaQ"}));
        let mut patch = body("io.k8s.apimachinery.pkg.apis.meta.v1.Patch");
        patch["required"] = json!(true);
        assert_eq!(name(&patch).as_deref(), Some("body-78PwaGsr"));
        for own in [
            body("io.k8s.api.core.v1.Pod"),
            json!({"in": "path", "name": "name"}),
            json!({"in": "query", "name": "dryRun"}),
            json!({"in": "query", "name": "fieldValidation"}),
        ] {
            assert_eq!(refer(own.clone()), own);
        }
    }
}
