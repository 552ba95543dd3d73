//! JSON patch (RFC 6902) as gopkg.in/evanphx/json-patch.v4 does it, which is looser than the standard in places:
//! `replace` may name a missing key, and negative indices count from the end.

use serde_json::Value;

use super::{Error, FieldValidation, Patched, Target, finish};
use crate::schema::decode::{self, DecodeError, Decoded};
use crate::schema::model::{Details, Held, Patch, Property, Scalar, TypeRef};
use crate::schema::tree::Tree;
use crate::schema::{Type, encode};

/// More operations in one patch are refused.
const MAX_OPERATIONS: usize = 10_000;

/// What the library that upstream uses says at the end of many complaints.
const MISSING: &str = "missing value";

/// The total size of what a patch may copy, in bytes of JSON: without a limit, copies of copies grow without bounds.
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// Applies a JSON patch to `live` and decodes the result as `ty`; without a type the result stays as it is.
///
/// # Errors
/// When the patch is malformed, does not fit the object, or the result is none of the type.
pub fn apply(live: &Value, patch: &[u8], ty: Option<&Type>, validation: FieldValidation) -> Result<Patched, Error> {
    apply_as(live, patch, ty.into(), validation)
}

/// Applies a JSON patch to `live` and decodes the result as `target` says.
///
/// # Errors
/// When the patch is malformed, does not fit the object, or the result is none of the type.
pub fn apply_as(live: &Value, patch: &[u8], target: Target<'_>, validation: FieldValidation) -> Result<Patched, Error> {
    let (operations, strict) = read(patch, validation)?;
    if operations.len() > MAX_OPERATIONS {
        return Err(Error::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let mut patched = Tree::from(live);
    let mut copied = 0;
    for operation in &operations {
        step(&mut patched, operation, &mut copied).map_err(Error::Rejected)?;
    }
    let shown = |patched: &Tree| encode::patched_text(live, patched, target.ty());
    finish(live, patched, target, strict, validation, &shown)
}

static NO_DETAILS: Details = Details {
    go_type: None,
    default: None,
    allowed: Held::Static(&[]),
    map_type: None,
    atomic_bytes: false,
    patch: Patch {
        merge: false,
        replace: false,
        retain_keys: false,
        merge_key: None,
    },
    via: Held::Static(&[]),
};

const fn member(name: &'static str, ty: TypeRef, position: u8) -> Property {
    Property {
        name: Held::Static(name),
        description: Held::Static(""),
        ty,
        details: Held::Static(&NO_DETAILS),
        pointer: false,
        omit_empty: true,
        omit_zero: false,
        required: false,
        position,
        number: 0,
    }
}

/// One operation, as a schema: so its errors read like those of any other object.
static OPERATION: Type = Type {
    name: Held::Static("handlers.jsonPatchOp"),
    description: Held::Static(""),
    properties: Held::Static(&[
        member("from", TypeRef::Scalar(Scalar::String), 2),
        member("op", TypeRef::Scalar(Scalar::String), 0),
        member("path", TypeRef::Scalar(Scalar::String), 1),
        member("value", TypeRef::Any(None), 3),
    ]),
    kinds: Held::Static(&[]),
    any_version: false,
    atomic: false,
    open: false,
    hidden: true,
    message: false,
    json_type: None,
    format: None,
    unions: Held::Static(&[]),
};

/// One operation as it was sent.
#[derive(Default)]
struct Operation {
    op: String,
    path: String,
    from: String,
    value: Tree,
}

impl Operation {
    /// `fields` has passed the check against the schema.
    fn of(fields: &Tree) -> Operation {
        let text = |name: &str| fields.get(name).and_then(Tree::as_str).unwrap_or_default().to_owned();
        Operation {
            op: text("op"),
            path: text("path"),
            from: text("from"),
            value: fields.get("value").cloned().unwrap_or_default(),
        }
    }
}

fn read(patch: &[u8], validation: FieldValidation) -> Result<(Vec<Operation>, Vec<String>), Error> {
    let prefix = if validation == FieldValidation::Ignore {
        ""
    } else {
        "error decoding patch: "
    };
    let malformed = |error: DecodeError| Error::Malformed(format!("{prefix}{error}"));
    let Decoded { strict, .. } = decode::decode_list(patch, &OPERATION).map_err(malformed)?;
    let strict = strict
        .into_iter()
        .map(|finding| format!("json patch {finding}"))
        .collect();
    match Tree::parse(patch).map_err(|error| malformed(error.into()))? {
        Tree::Array(operations) => Ok((operations.iter().map(Operation::of).collect(), strict)),
        _ => Ok((Vec::new(), strict)),
    }
}

/// Applies one operation. `copied` is the size of everything copied so far.
fn step(document: &mut Tree, operation: &Operation, copied: &mut usize) -> Result<(), String> {
    let Operation { op, path, from, value } = operation;
    match op.as_str() {
        "add" => add(document, path, value.clone()),
        "remove" => remove(document, path).map(drop),
        "replace" => replace(document, path, value.clone()),
        "move" => {
            let missing = |_| format!("move operation does not apply: doc is missing from path: {from}: {MISSING}");
            let moved = remove(document, from).map_err(missing)?;
            add(document, path, moved)
        }
        "copy" => {
            let value = find(document, from)?.unwrap_or(&Tree::Null);
            *copied += value.to_string().len();
            if *copied > MAX_COPIED {
                return Err(format!("the patch copies more than {MAX_COPIED} bytes"));
            }
            let value = value.clone();
            add(document, path, value)
        }
        "test" => {
            let missing = |_| format!("test operation does not apply: is missing path: {path}: {MISSING}");
            let found = find(document, path).map_err(missing)?.unwrap_or(&Tree::Null);
            if found == value {
                Ok(())
            } else {
                Err(format!("testing value {path} failed"))
            }
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

/// The container of the path's last segment, and that segment without its escapes.
fn container<'a>(document: &'a mut Tree, path: &str) -> Result<(&'a mut Tree, String), String> {
    let mut segments = path.split('/');
    segments.next();
    let mut segments: Vec<String> = segments.map(|s| s.replace("~1", "/").replace("~0", "~")).collect();
    let last = segments.pop().ok_or_else(|| format!("doc is missing path: {path:?}"))?;
    let mut at = document;
    for segment in segments {
        let next = match at {
            Tree::Object(map) => map.get_mut(&segment),
            Tree::Array(items) => existing(&segment, items.len()).and_then(|i| items.get_mut(i)),
            _ => None,
        };
        at = next.ok_or_else(|| format!("doc is missing path: {path:?}"))?;
    }
    Ok((at, last))
}

/// The index of an element that has to exist; negative ones count from the end.
fn existing(segment: &str, length: usize) -> Option<usize> {
    let index: i64 = segment.parse().ok()?;
    let index = if index < 0 {
        index.checked_add(i64::try_from(length).ok()?)?
    } else {
        index
    };
    usize::try_from(index).ok().filter(|i| *i < length)
}

fn add(document: &mut Tree, path: &str, value: Tree) -> Result<(), String> {
    let missing = |_| format!("add operation does not apply: doc is missing path: {path:?}: {MISSING}");
    let (container, key) = container(document, path).map_err(missing)?;
    match container {
        Tree::Object(map) => {
            map.insert(key, value);
            Ok(())
        }
        Tree::Array(items) if key == "-" => {
            items.push(value);
            Ok(())
        }
        Tree::Array(items) => {
            let index = existing(&key, items.len() + 1).ok_or_else(|| format!("invalid index {key} in {path}"))?;
            items.insert(index, value);
            Ok(())
        }
        _ => Err(format!("doc is missing path: {path:?}")),
    }
}

fn remove(document: &mut Tree, path: &str) -> Result<Tree, String> {
    let missing = |_| format!("remove operation does not apply: doc is missing path: {path:?}: {MISSING}");
    let (container, key) = container(document, path).map_err(missing)?;
    let removed = match container {
        Tree::Object(map) => map.remove(&key),
        Tree::Array(items) => existing(&key, items.len()).map(|index| items.remove(index)),
        _ => None,
    };
    removed.ok_or_else(|| {
        format!("error in remove for path: '{path}': Unable to remove nonexistent key: {key}: {MISSING}")
    })
}

fn replace(document: &mut Tree, path: &str, value: Tree) -> Result<(), String> {
    if path.is_empty() {
        if !matches!(value, Tree::Object(_) | Tree::Array(_)) {
            return Err("replace operation value must be object or array".to_owned());
        }
        *document = value;
        return Ok(());
    }
    let missing = |_| format!("replace operation does not apply: doc is missing path: {path}: {MISSING}");
    let (container, key) = container(document, path).map_err(missing)?;
    match container {
        Tree::Object(map) => {
            map.insert(key, value);
            Ok(())
        }
        Tree::Array(items) => {
            let index = existing(&key, items.len()).ok_or_else(|| format!("invalid index {key} in {path}"))?;
            items[index] = value;
            Ok(())
        }
        _ => Err(format!("doc is missing path: {path:?}")),
    }
}

/// The value at a path; `None` for a missing key of an object that exists.
fn find<'a>(document: &'a mut Tree, path: &str) -> Result<Option<&'a Tree>, String> {
    if path.is_empty() {
        return Ok(Some(document));
    }
    let (container, key) = container(document, path)?;
    match container {
        Tree::Object(map) => Ok(map.get(&key)),
        Tree::Array(items) => match existing(&key, items.len()) {
            Some(index) => Ok(items.get(index)),
            None => Err(format!("invalid index {key} in {path}")),
        },
        _ => Err(format!("doc is missing path: {path:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::by_gvk;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn operations_do_what_upstream_does() {
        let live = json!({"data": {"a": "1", "s/l~t": "x"}, "list": [1, 2, 3], "deep": {"x": [{"y": 1}]}});
        for (patch, expected) in [
            (
                json!([{"op": "add", "path": "/data/b", "value": "2"}]),
                Some(("/data/b", json!("2"))),
            ),
            (
                json!([{"op": "add", "path": "/list/0", "value": 0}]),
                Some(("/list", json!([0, 1, 2, 3]))),
            ),
            (
                json!([{"op": "add", "path": "/list/-", "value": 4}]),
                Some(("/list", json!([1, 2, 3, 4]))),
            ),
            (
                json!([{"op": "add", "path": "/list/-1", "value": 4}]),
                Some(("/list", json!([1, 2, 3, 4]))),
            ),
            (json!([{"op": "add", "path": "/list/5", "value": 4}]), None),
            (json!([{"op": "add", "path": "/no/where", "value": 4}]), None),
            (
                json!([{"op": "remove", "path": "/list/-1"}]),
                Some(("/list", json!([1, 2]))),
            ),
            (json!([{"op": "remove", "path": "/list/9"}]), None),
            (json!([{"op": "remove", "path": "/data/no"}]), None),
            (
                json!([{"op": "replace", "path": "/data/no", "value": "x"}]),
                Some(("/data/no", json!("x"))),
            ),
            (json!([{"op": "replace", "path": "/list/3", "value": 1}]), None),
            (
                json!([{"op": "replace", "path": "/data/s~1l~0t", "value": "y"}]),
                Some(("/data/s~1l~0t", json!("y"))),
            ),
            (
                json!([{"op": "move", "from": "/data/a", "path": "/data/z"}]),
                Some(("/data/z", json!("1"))),
            ),
            (
                json!([{"op": "copy", "from": "/deep/x/0", "path": "/deep/x/-"}]),
                Some(("/deep/x/1/y", json!(1))),
            ),
            (
                json!([{"op": "test", "path": "/data/no", "value": null}]),
                Some(("/data/a", json!("1"))),
            ),
            (json!([{"op": "test", "path": "/data/a", "value": "no"}]), None),
            (json!([{"op": "test", "path": "/list/0", "value": 1.5}]), None),
            (json!([{"op": "frob", "path": "/data/a"}]), None),
        ] {
            let done = apply(&live, patch.to_string().as_bytes(), None, FieldValidation::Warn);
            match (done, expected) {
                (Ok(done), Some((path, value))) => assert_eq!(done.value.pointer(path), Some(&value), "{patch}"),
                (Err(Error::Rejected(_)), None) => {}
                (other, expected) => panic!("{patch}: {other:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn numbers_are_moved_as_they_are_written() {
        let deployment = by_gvk("apps", "v1", "Deployment");
        let live = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 1}});
        let patch = |value: &str| format!(r#"[{{"op":"replace","path":"/spec/replicas","value":{value}}}]"#);
        for value in ["2.0", "2e0", "18446744073709551616", "4294967296"] {
            let error = apply(&live, patch(value).as_bytes(), deployment, FieldValidation::Warn).unwrap_err();
            let Error::Invalid { shown, detail } = error else {
                panic!("{error:?}");
            };
            assert_eq!(
                detail,
                format!(
                    "json: cannot unmarshal number {value} into Go struct field DeploymentSpec.spec.replicas of type int32"
                )
            );
            assert!(shown.contains(&format!(r#""replicas":{value}"#)), "{shown}");
        }
        let test = br#"[{"op":"test","path":"/spec/replicas","value":1.0}]"#;
        assert!(apply(&live, test, deployment, FieldValidation::Warn).is_err());
        let done = apply(&live, patch("-0").as_bytes(), deployment, FieldValidation::Warn).unwrap();
        assert_eq!(done.value["spec"]["replicas"], 0);
    }

    #[test]
    fn malformed_patches_are_told_apart() {
        let config_map = by_gvk("", "v1", "ConfigMap");
        let live = json!({"metadata": {"name": "a"}});
        for (patch, expected) in [
            ("[{", "error decoding patch: unexpected end of JSON input"),
            (
                "{}",
                "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
            ),
            (
                r#"[{"op":"add","path":"/a","value":1e999}]"#,
                "error decoding patch: json: cannot unmarshal number 1e999 into Go struct field jsonPatchOp.value of type float64",
            ),
            (
                r#"[{"op":1}]"#,
                "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
            ),
        ] {
            let error = apply(&live, patch.as_bytes(), config_map, FieldValidation::Warn);
            assert_eq!(error, Err(Error::Malformed(expected.to_owned())), "{patch}");
        }
        let patch = br#"[{"op":"add","path":"/foo","value":1,"nope":1}]"#;
        let warned = apply(&live, patch, config_map, FieldValidation::Warn).unwrap();
        assert_eq!(
            warned.warnings,
            [r#"json patch unknown field "[0].nope""#, r#"unknown field "foo""#]
        );
        let many = format!("[{}]", vec![r#"{"op":"test","path":"/x"}"#; 10_001].join(","));
        let doubling = vec![r#"{"op":"copy","from":"/a","path":"/a/-"}"#; 64];
        let bomb = format!(r#"[{{"op":"add","path":"/a","value":[1]}},{}]"#, doubling.join(","));
        assert!(matches!(
            apply(&live, bomb.as_bytes(), None, FieldValidation::Warn),
            Err(Error::Rejected(_))
        ));
        assert!(matches!(
            apply(&live, many.as_bytes(), None, FieldValidation::Warn),
            Err(Error::TooLarge(_))
        ));
    }

    proptest! {
        #[test]
        fn nothing_panics(op in "add|remove|replace|move|copy|test", path in "(/([a-c]|-?[0-3]|-)){0,3}", from in "(/[a-c0]){0,2}") {
            let live = json!({"a": {"b": [1, {"c": null}]}, "b": [], "c": "x"});
            let patch = json!([{"op": op, "path": path, "from": from, "value": 1}]);
            let _ = apply(&live, patch.to_string().as_bytes(), None, FieldValidation::Strict);
        }

        #[test]
        fn what_is_added_is_found_and_can_be_removed(key in "[a-z/~]{1,4}", value in 0..9) {
            let path = format!("/data/{}", key.replace('~', "~0").replace('/', "~1"));
            let live = json!({"data": {}});
            let patch = json!([{"op": "add", "path": path, "value": value}, {"op": "test", "path": path, "value": value},
                {"op": "remove", "path": path}]);
            let done = apply(&live, patch.to_string().as_bytes(), None, FieldValidation::Warn);
            prop_assert_eq!(done.map(|d| d.value), Ok(live));
        }
    }
}
