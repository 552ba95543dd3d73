//! Patches of every type, and the owners of fields.

use machinery::apply::{FieldManager, Set, Version, managed::Managed};
use machinery::gvk::GroupVersionKind;
use machinery::patch::{FieldValidation, json, merge, strategic};
use machinery::schema::Type;
use machinery::schema::decode::decode_value;
use serde_json::{Value, json};

use crate::objects::{kind_of, type_of};
use crate::{Target, halves, sample};

/// JSON patches, each after the object that it is for.
pub(crate) const JSON_PATCH: Target = Target {
    name: "json_patch",
    run: |input| {
        let (object, patch) = halves(input);
        let (live, ty) = live(object);
        let _ = json::apply(&live, patch, Some(ty), FieldValidation::Strict);
        let _ = json::apply(&live, patch, None, FieldValidation::Ignore);
    },
    seeds: || {
        let all = r#"[{"op":"test","path":"/kind","value":"Pod"},{"op":"add","path":"/metadata/labels/a~1b","value":"c"},
            {"op":"replace","path":"/spec","value":{}},{"op":"copy","from":"/metadata","path":"/spec/x"},
            {"op":"move","from":"/metadata/name","path":"/metadata/labels"},{"op":"remove","path":"/spec/containers/0"},
            {"op":"add","path":"/spec/containers/-","value":{"name":"a"}}]"#;
        after_objects(|_| all.to_owned())
    },
};

/// Merge patches.
pub(crate) const MERGE_PATCH: Target = Target {
    name: "merge_patch",
    run: |input| {
        let (object, patch) = halves(input);
        let (live, ty) = live(object);
        let _ = merge::apply(&live, patch, Some(ty), FieldValidation::Strict);
        let _ = merge::apply(&live, patch, None, FieldValidation::Ignore);
    },
    seeds: || after_objects(|_| r#"{"metadata":{"labels":{"a":null}},"spec":{"x":[1],"containers":null}}"#.to_owned()),
};

/// Strategic merge patches.
pub(crate) const STRATEGIC_PATCH: Target = Target {
    name: "strategic_patch",
    run: |input| {
        let (object, patch) = halves(input);
        let (live, ty) = live(object);
        let _ = strategic::apply(&live, patch, ty, FieldValidation::Strict);
    },
    seeds: || {
        let directives = r#"{"spec":{"$retainKeys":["type"],"$setElementOrder/containers":[{"name":"b"},{"name":"web"}],
            "containers":[{"name":"web","$patch":"delete"},{"name":"b","image":"x"}],"volumes":[{"$patch":"replace"}],
            "$deleteFromPrimitiveList/finalizers":["a"]}}"#;
        let mut seeds = after_objects(Value::to_string);
        seeds.extend(after_objects(|_| directives.to_owned()).into_iter().take(20));
        seeds
    },
};

/// Configurations that are applied to an object and updates of it.
pub(crate) const APPLY: Target = Target {
    name: "apply",
    run: |input| {
        let (object, configuration) = halves(input);
        let (live, ty) = live(object);
        let Ok(configuration) = serde_json::from_slice::<Value>(configuration) else {
            return;
        };
        let kind = kind_of(object);
        let version = Version {
            api_version: kind.api_version(),
            ty: Some(ty),
            reset: None,
        };
        let manager = FieldManager {
            kind,
            subresource: "",
            versions: &version,
            now: "2026-01-02T03:04:05Z",
        };
        let _ = manager.apply(Some(&live), &configuration, "one", false);
        if let Ok(applied) = manager.apply(None, &configuration, "one", false) {
            // Applying the same again changes nothing.
            let again = manager.apply(Some(&applied.object), &configuration, "one", false);
            assert!(again.is_ok_and(|again| !again.changed), "{configuration}");
            let _ = manager.apply(Some(&applied.object), &configuration, "two", true);
            let _ = manager.update(Some(&applied.object), live, "three");
        }
    },
    seeds: || after_objects(Value::to_string),
};

/// The owners that are noted in an object.
pub(crate) const MANAGED_FIELDS: Target = Target {
    name: "managed_fields",
    run: |input| {
        let Ok(value) = serde_json::from_slice::<Value>(input) else {
            return;
        };
        if let Ok(set) = Set::from_json(&value) {
            let again = Set::from_json(&set.to_json());
            assert!(again.is_ok_and(|again| again == set), "{value}");
        }
        let object = json!({"metadata": {"managedFields": value}});
        if let Ok(managed) = Managed::decode(&object) {
            let _ = managed.encode();
        }
    },
    seeds: || {
        crate::texts(&[
            r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{}},"v:\"x\"":{},"i:3":{}}}}"#,
            r#"[{"manager":"kubectl","operation":"Apply","apiVersion":"v1","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:a":{}}},"subresource":"status"}]"#,
        ])
    },
};

/// The object of a text and its type; an empty pod when there is none.
fn live(text: &[u8]) -> (Value, &'static Type) {
    let kind = kind_of(text);
    let pod = || type_of(&GroupVersionKind::new("", "v1", "Pod")).unwrap_or_else(|| machinery::schema::builtins()[0]);
    let ty = type_of(&kind).unwrap_or_else(pod);
    let object: Value = serde_json::from_slice(text).unwrap_or_default();
    let object = decode_value(&object, ty).map_or_else(|_| json!({}), |decoded| decoded.value);
    (object, ty)
}

/// Each example followed by what changes it.
fn after_objects(change: impl Fn(&Value) -> String) -> Vec<Vec<u8>> {
    let pairs =
        sample::all().map(|(_, object)| [object.to_string().as_bytes(), &[0], change(&object).as_bytes()].concat());
    pairs.collect()
}
