//! JSON merge patch (RFC 7386) as gopkg.in/evanphx/json-patch.v4 does it.

use serde_json::Value;

use super::{Error, FieldValidation, Patched, Target, finish, read_object};
use crate::schema::tree::Tree;
use crate::schema::{Type, encode};

/// Applies a JSON merge patch to `live` and decodes the result as `ty`; without a type the result stays as it is.
///
/// # Errors
/// When the patch is no JSON object or the result is none of the type.
pub fn apply(live: &Value, patch: &[u8], ty: Option<&Type>, validation: FieldValidation) -> Result<Patched, Error> {
    apply_as(live, patch, ty.into(), validation)
}

/// Applies a JSON merge patch to `live` and decodes the result as `target` says.
///
/// # Errors
/// When the patch is no JSON object or the result is none of the type.
pub fn apply_as(live: &Value, patch: &[u8], target: Target<'_>, validation: FieldValidation) -> Result<Patched, Error> {
    let strict = match read_object(patch) {
        Ok((fields, _)) if fields.is_empty() && is_null(patch) => {
            return Err(Error::Malformed("Invalid JSON Patch".to_owned()));
        }
        Ok((_, strict)) => strict,
        Err(_) if validation == FieldValidation::Ignore => {
            return Err(Error::Malformed("Invalid JSON Patch".to_owned()));
        }
        Err(why) => return Err(Error::Malformed(format!("error decoding patch: {why}"))),
    };
    let patch = Tree::parse(patch).map_err(|error| Error::Malformed(error.to_string()))?;
    let mut patched = Tree::from(live);
    merge(&mut patched, patch.clone());
    let shown = |patched: &Tree| encode::merged_text(live, &patch, patched, target.ty());
    finish(live, patched, target, strict, validation, &shown)
}

fn is_null(patch: &[u8]) -> bool {
    patch.trim_ascii() == b"null"
}

/// Merges `patch` into `target`: objects field by field, `null` removes, everything else replaces. What is new leaves its
/// nulls behind, but for those that are elements of lists.
pub fn merge(target: &mut Tree, mut patch: Tree) {
    match (&mut *target, &mut patch) {
        (Tree::Object(fields), Tree::Object(changes)) => {
            for (key, value) in std::mem::take(changes) {
                match (value, fields.get_mut(&key)) {
                    (Tree::Null, _) => {
                        fields.remove(&key);
                    }
                    (value, Some(current)) => merge(current, value),
                    (mut value, None) => {
                        prune(&mut value);
                        fields.insert(key, value);
                    }
                }
            }
        }
        (Tree::Object(_), _) => *target = patch,
        _ => {
            prune(&mut patch);
            *target = patch;
        }
    }
}

fn prune(tree: &mut Tree) {
    match tree {
        Tree::Object(fields) => {
            fields.retain(|_, value| *value != Tree::Null);
            fields.values_mut().for_each(prune);
        }
        Tree::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::by_gvk;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn merges_as_the_standard_says() {
        // The cases of RFC 7386, appendix A.
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (
                json!({"a": "foo"}),
                json!({"b": {"c": {"d": null}}}),
                json!({"a": "foo", "b": {"c": {}}}),
            ),
            (
                json!({"a": [1], "o": {}}),
                json!({"a": [null, {"b": null}], "c": [{"d": null}], "o": [{"e": null}]}),
                json!({"a": [null, {}], "c": [{}], "o": [{"e": null}]}),
            ),
        ] {
            let mut merged = Tree::from(&target);
            merge(&mut merged, (&patch).into());
            assert_eq!(merged, (&expected).into(), "{target} {patch}");
        }
    }

    #[test]
    fn results_of_the_wrong_type_show_the_whole_object() {
        let config_map = by_gvk("", "v1", "ConfigMap");
        let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n",
            "uid": "u", "labels": {"x": "y"}}, "data": {"a": "1", "b": "2"}});
        let text = r#"{"apiVersion":"v1","data":{"a":5,"b":"2"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"n","uid":"u","labels":{"x":"y"}}}"#;
        for (patch, validation, expected) in [
            (
                r#"{"data":{"a":5}}"#,
                FieldValidation::Ignore,
                Error::Invalid {
                    shown: text.to_owned(),
                    detail: "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
                        .to_owned(),
                },
            ),
            (
                r#"{"foo":1,"foo":1}"#,
                FieldValidation::Strict,
                Error::Invalid {
                    shown: text
                        .replace(":5", ":\"1\"")
                        .replace("},\"kind\"", "},\"foo\":1,\"kind\""),
                    detail: r#"strict decoding error: duplicate field "foo", unknown field "foo""#.to_owned(),
                },
            ),
            (
                r#"{"metadata":{"generation":1000.0}}"#,
                FieldValidation::Warn,
                Error::Invalid {
                    shown: text.replace(":5", ":\"1\"").replace(
                        r#""metadata":{"name":"a","namespace":"n","uid":"u","labels":{"x":"y"}}"#,
                        r#""metadata":{"generation":1000.0,"labels":{"x":"y"},"name":"a","namespace":"n","uid":"u"}"#,
                    ),
                    detail: "json: cannot unmarshal number 1000.0 into Go struct field ObjectMeta.metadata.generation of type int64"
                        .to_owned(),
                },
            ),
            (
                r#"{"data":{"a":1e999}}"#,
                FieldValidation::Warn,
                Error::Malformed(
                    "error decoding patch: json: cannot unmarshal number 1e999 into Go value of type float64".to_owned(),
                ),
            ),
            (
                r#"{"metadata":{"uid":"u"},"data":5}"#,
                FieldValidation::Ignore,
                Error::Invalid {
                    shown: text.replace(r#"{"a":5,"b":"2"}"#, "5").replace(
                        r#"{"name":"a","namespace":"n","uid":"u","labels":{"x":"y"}}"#,
                        r#"{"labels":{"x":"y"},"name":"a","namespace":"n","uid":"u"}"#,
                    ),
                    detail:
                        "json: cannot unmarshal number into Go struct field ConfigMap.data of type map[string]string"
                            .to_owned(),
                },
            ),
            (
                "{",
                FieldValidation::Warn,
                Error::Malformed("error decoding patch: unexpected end of JSON input".to_owned()),
            ),
            (
                "{",
                FieldValidation::Ignore,
                Error::Malformed("Invalid JSON Patch".to_owned()),
            ),
            (
                r#""x""#,
                FieldValidation::Strict,
                Error::Malformed(
                    "error decoding patch: json: cannot unmarshal string into Go value of type map[string]interface {}"
                        .to_owned(),
                ),
            ),
        ] {
            assert_eq!(
                apply(&live, patch.as_bytes(), config_map, validation),
                Err(expected),
                "{patch}"
            );
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0..9).prop_map(Value::from)];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::btree_map("[a-d]", inner.clone(), 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
                proptest::collection::vec(inner, 0..3).prop_map(Value::Array),
            ]
        })
    }

    proptest! {
        #[test]
        fn merging_twice_changes_nothing(from in tree(), patch in tree()) {
            let mut once = Tree::from(&from);
            merge(&mut once, (&patch).into());
            let mut twice = once.clone();
            merge(&mut twice, (&patch).into());
            prop_assert_eq!(once, twice);
        }
    }
}
