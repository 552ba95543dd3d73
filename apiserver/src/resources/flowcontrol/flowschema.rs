//! FlowSchemas.

use super::super::shared::cells;
use super::super::shared::checks::text;
use super::super::shared::internal;
use super::{Configuration, validate};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::{Value, json};

const SPEC: &str = "io.k8s.api.flowcontrol.v1.FlowSchemaSpec";
const LEVEL: &str = "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationReference";
const EXEMPT: &str = "exempt";
const MAX_PRECEDENCE: i64 = 10_000;
const DEFAULT_PRECEDENCE: i64 = 1000;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("PriorityLevel", "string", LEVEL, "name"),
        Column::of_field("MatchingPrecedence", "string", SPEC, "matchingPrecedence"),
        Column::of_field("DistinguisherMethod", "string", SPEC, "distinguisherMethod"),
        cells::AGE,
        Column::new(
            "MissingPL",
            "string",
            "references a broken or non-existent PriorityLevelConfiguration",
        ),
    ],
    cells: |obj, now| {
        let dangling = meta::list_at(obj, &["status", "conditions"])
            .iter()
            .find(|condition| condition["type"] == "Dangling")
            .map_or("?", |condition| text(condition, &["status"]));
        vec![
            cells::name(obj),
            text(obj, &["spec", "priorityLevelConfiguration", "name"]).into(),
            cells::number(obj, &["spec", "matchingPrecedence"]).into(),
            cells::text_or_none(obj, &["spec", "distinguisherMethod", "type"]).into(),
            cells::age(obj, now),
            dangling.into(),
        ]
    },
};

fn default(obj: &mut Value) {
    if obj.get("spec").is_some() && cells::number(obj, &["spec", "matchingPrecedence"]) == 0 {
        meta::set(obj, &["spec", "matchingPrecedence"], DEFAULT_PRECEDENCE);
    }
}

/// `ValidateFlowSchemaSpec`, and that what every cluster needs is as it must be.
fn validate_spec(obj: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
    let name = meta::name(obj);
    let precedence = cells::number(spec, &["matchingPrecedence"]);
    let precedence_path = path.child("matchingPrecedence");
    let mut errors = ErrorList::new();
    for (wrong, detail) in [
        (precedence <= 0, "must be a positive value".to_owned()),
        (
            precedence > MAX_PRECEDENCE,
            format!("must not be greater than {MAX_PRECEDENCE}"),
        ),
        (
            precedence == 1 && name != EXEMPT,
            "only the schema named 'exempt' may have matchingPrecedence 1".to_owned(),
        ),
    ] {
        if wrong {
            errors.push(Error::invalid(&precedence_path, precedence, detail));
        }
    }
    const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];
    if let Some(method) = spec.get("distinguisherMethod")
        && !METHODS.contains(&text(method, &["type"]))
    {
        let path = path.child("distinguisherMethod").child("type");
        let shown = internal::show("FlowDistinguisherMethod", method);
        errors.push(Error::not_supported(&path, method.clone(), &METHODS).showing(shown));
    }
    let level_path = path.child("priorityLevelConfiguration").child("name");
    match text(spec, &["priorityLevelConfiguration", "name"]) {
        "" => errors.push(Error::required(&level_path, "must reference a priority level")),
        level => {
            let complaints = names::dns1123_subdomain(level).into_iter();
            errors.extend(complaints.map(|why| Error::invalid(&level_path, level, why)));
        }
    }
    for (i, rule) in meta::list_at(spec, &["rules"]).iter().enumerate() {
        errors.extend(validate::rule(rule, &path.child("rules").index(i)));
    }
    if let Some(fixed) = mandatory(name)
        && *spec != fixed
    {
        let detail = format!("spec of '{name}' must equal the fixed value");
        errors.push(Error::invalid(&path, spec.clone(), detail));
    }
    errors.extend(validate::status(obj));
    errors
}

/// The specs of the schemas that may not be changed (`pkg/apis/flowcontrol/bootstrap`, `MandatoryFlowSchemas`).
fn mandatory(name: &str) -> Option<Value> {
    let group = |name: &str| json!({"kind": "Group", "group": {"name": name}});
    let (precedence, method, groups) = match name {
        EXEMPT => (1, None, vec![group("system:masters")]),
        "catch-all" => (
            MAX_PRECEDENCE,
            Some("ByUser"),
            vec![group("system:unauthenticated"), group("system:authenticated")],
        ),
        _ => return None,
    };
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": name},
        "matchingPrecedence": precedence,
        "rules": [{
            "subjects": groups,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true,
                "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }],
    });
    if let Some(method) = method {
        meta::set(&mut spec, &["distinguisherMethod", "type"], method);
    }
    Some(spec)
}

pub(super) fn resource() -> Resource {
    let schema = Resource::cluster_kind(
        ("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema"),
        ("flowschemas", "flowschema"),
        "io.k8s.api.flowcontrol.v1.FlowSchema",
        Configuration {
            default,
            validate: validate_spec,
        },
        &COLUMNS,
    );
    schema.with_object_subresource("status", super::status(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_name_who_and_what() {
        let mut obj = json!({"metadata": {"name": "f"}, "spec": {"priorityLevelConfiguration": {"name": "x"},
            "rules": [{"subjects": []}]}});
        default(&mut obj);
        let texts: Vec<String> = validate_spec(&obj).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "spec.rules[0].subjects: Required value: subjects must contain at least one value",
                "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
            ]
        );
    }

    #[test]
    fn some_schemas_are_fixed() {
        let mut obj = json!({"metadata": {"name": "catch-all"}, "spec": mandatory("catch-all").unwrap()});
        assert_eq!(validate_spec(&obj), ErrorList::new());
        obj["spec"]["matchingPrecedence"] = json!(5);
        assert!(validate_spec(&obj)[0].detail.contains("must equal the fixed value"));
    }
}
