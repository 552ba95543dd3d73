//! A configuration laid over an object without anybody owning anything: what mutating admission policies do
//! (k8s.io/apiserver `pkg/admission/plugin/policy/mutating/patch/smd.go`).

use super::fieldset::{PathElement, show_path};
use super::merge::merge;
use super::view::{Atom, Identity, View};
use super::walk;
use crate::schema::Type;
use serde_json::Value;

/// The object with everything that the configuration says.
///
/// # Errors
/// When the configuration sets what can only be replaced as a whole, or elements of a list cannot be told apart.
pub fn overlay(object: &Value, config: &Value, ty: Option<&Type>) -> Result<Value, String> {
    let view = ty.map_or_else(View::deduced, View::root);
    walk::validate(config, view)
        .map_err(|mismatches| format!("failed to convert patch object to typed object: {mismatches}"))?;
    let mut atomic = Vec::new();
    find_atomic(config, view, &mut Vec::new(), &mut atomic);
    if !atomic.is_empty() {
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            atomic.join(", ")
        ));
    }
    merge(object, config, view)
}

fn find_atomic(value: &Value, view: View<'_>, path: &mut Vec<PathElement>, found: &mut Vec<String>) {
    match (view.atom(Some(value)), value) {
        (Some(Atom::Map(map)), Value::Object(fields)) => {
            if map.atomic {
                found.push(show_path(path));
            }
            for (name, value) in fields {
                if let Some(view) = map.field(name) {
                    path.push(PathElement::Field(name.clone()));
                    find_atomic(value, view, path, found);
                    path.pop();
                }
            }
        }
        (Some(Atom::List(list)), Value::Array(items)) => {
            if matches!(list.identity, Identity::Atomic) {
                found.push(show_path(path));
            }
            for (i, item) in (0..).zip(items) {
                let element = PathElement::Index(i);
                let view = view.child(&element);
                path.push(element);
                find_atomic(item, view, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;
    use serde_json::json;

    #[test]
    fn configurations_are_laid_over_objects() {
        let ty = schema::by_gvk("", "v1", "ConfigMap");
        let object = json!({"metadata": {"name": "a", "labels": {"x": "1"}}, "data": {"k": "v"}});
        let config = json!({"metadata": {"labels": {"y": "2"}}});
        assert_eq!(
            overlay(&object, &config, ty),
            Ok(json!({"metadata": {"name": "a", "labels": {"x": "1", "y": "2"}}, "data": {"k": "v"}}))
        );
    }

    #[test]
    fn what_is_unknown_or_replaced_as_a_whole_is_refused() {
        let ty = schema::by_gvk("", "v1", "Pod");
        assert_eq!(
            overlay(&json!({}), &json!({"nope": 1}), ty).unwrap_err(),
            "failed to convert patch object to typed object: .nope: field not declared in schema"
        );
        let config = json!({"spec": {"tolerations": [{"key": "a"}]}});
        assert_eq!(
            overlay(&json!({}), &config, ty).unwrap_err(),
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.tolerations"
        );
    }
}
