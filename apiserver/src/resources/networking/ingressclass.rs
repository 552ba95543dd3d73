//! IngressClasses: which controller takes care of which Ingresses.

use super::{GROUP, api_group, segment};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use crate::resources::shared::checks::{complaints, domain_prefixed_path, immutable, text};
use crate::resources::shared::{cells, generation};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

const MAX_CONTROLLER: usize = 250;
const SCOPES: [&str; 2] = ["Cluster", "Namespace"];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "Controller",
            "string",
            "Controller that is responsible for handling this class",
        ),
        Column::new(
            "Parameters",
            "string",
            "A reference to a resource with additional parameters",
        ),
        cells::AGE,
    ],
    cells: |obj, now| {
        vec![
            cells::name(obj),
            text(obj, &["spec", "controller"]).into(),
            parameters(obj).into(),
            cells::age(obj, now),
        ]
    },
};

fn parameters(obj: &Value) -> String {
    let Some(parameters) = meta::at(obj, &["spec", "parameters"]).filter(|p| !p.is_null()) else {
        return cells::NONE.to_owned();
    };
    let (kind, name) = (text(parameters, &["kind"]), text(parameters, &["name"]));
    match meta::str_at(parameters, &["apiGroup"]) {
        Some(group) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

struct IngressClass;

impl Strategy for IngressClass {
    fn default(&self, obj: &mut Value) {
        if meta::map_at(obj, &["spec", "parameters"]).is_some() {
            meta::set_default(obj, &["spec", "parameters", "scope"], "Cluster");
        }
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        generation::follow(new, old, &[&["spec"]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("spec");
        let mut errors = validate_controller(text(obj, &["spec", "controller"]), &path.child("controller"));
        if let Some(parameters) = meta::at(obj, &["spec", "parameters"]).filter(|p| !p.is_null()) {
            errors.extend(validate_parameters(parameters, &path.child("parameters")));
        }
        errors
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let controller = |obj| Value::from(text(obj, &["spec", "controller"]));
        let path = Path::new("spec").child("controller");
        let (is, was) = (controller(new), controller(old));
        let mut errors: ErrorList = immutable(Some(&is), Some(&was), &path).into_iter().collect();
        errors.extend(self.validate(cx, new));
        errors
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::UpdateThenWhole
    }
}

fn validate_controller(controller: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if controller.is_empty() {
        errors.push(Error::required(path, ""));
        return errors;
    }
    if controller.len() > MAX_CONTROLLER {
        errors.push(Error::too_long(path, MAX_CONTROLLER));
    }
    errors.extend(domain_prefixed_path(controller, path));
    errors
}

/// `validateIngressClassParametersReference`.
fn validate_parameters(parameters: &Value, path: &Path) -> ErrorList {
    let mut errors = api_group(parameters, path);
    for field in ["kind", "name"] {
        if text(parameters, &[field]).is_empty() {
            errors.push(Error::required(&path.child(field), ""));
        } else {
            errors.extend(segment(parameters, field, path));
        }
    }
    let namespace = meta::str_at(parameters, &["namespace"]);
    let at = path.child("namespace");
    match (meta::str_at(parameters, &["scope"]), namespace) {
        (None, _) => errors.push(Error::required(&path.child("scope"), "")),
        (Some("Namespace"), None) => {
            errors.push(Error::required(&at, "`parameters.scope` is set to 'Namespace'"));
        }
        (Some("Namespace"), Some(name)) => errors.extend(complaints(&at, name, names::dns1123_label(name))),
        (Some("Cluster"), Some(_)) => errors.push(Error::forbidden(&at, "`parameters.scope` is set to 'Cluster'")),
        (Some("Cluster"), None) => {}
        (Some(other), _) => errors.push(Error::not_supported(&path.child("scope"), other, &SCOPES)),
    }
    errors
}

pub(super) fn resource() -> Resource {
    Resource::cluster_kind(
        (GROUP, "v1", "IngressClass"),
        ("ingressclasses", "ingressclass"),
        "io.k8s.api.networking.v1.IngressClass",
        IngressClass,
        &COLUMNS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn controllers_are_prefixed_by_a_domain() {
        for (controller, fine) in [
            ("example.com/ctl", true),
            ("noslash", false),
            ("a_b/c", false),
            ("a.b/c d", false),
        ] {
            assert_eq!(
                validate_controller(controller, &Path::new("c")).is_empty(),
                fine,
                "{controller}"
            );
        }
    }

    #[test]
    fn the_scope_of_parameters_asks_for_a_namespace() {
        let parameters =
            |scope: &str, namespace: Value| json!({"kind": "K", "name": "n", "scope": scope, "namespace": namespace});
        for (parameters, fine) in [
            (parameters("Cluster", Value::Null), true),
            (parameters("Cluster", json!("n")), false),
            (parameters("Namespace", json!("n")), true),
            (parameters("Namespace", Value::Null), false),
            (parameters("Foo", Value::Null), false),
        ] {
            assert_eq!(
                validate_parameters(&parameters, &Path::new("p")).is_empty(),
                fine,
                "{parameters}"
            );
        }
    }
}
