//! What holds for all schemas and objects.

use super::*;
use crate::rules::{BUDGET, Rules, Write};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, json};

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[abk]", Just("metadata".to_owned()), Just("kind".to_owned())]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..300_i64).prop_map(Value::from),
        (-1e3..1e3).prop_map(Value::from),
        "[a-c0-9]{0,3}".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map(name(), inner, 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A schema of one type with some limits, which need not make sense.
fn part() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![
        Just("string"),
        Just("integer"),
        Just("number"),
        Just("boolean"),
        Just("object"),
        Just("")
    ];
    let limits = (0..4_i64, 0..6_i64, any::<[bool; 6]>(), leaf());
    (kind, limits).prop_map(|(kind, (low, high, on, default))| {
        let mut schema = json!({"type": kind});
        for (set, field, value) in [
            (on[0], "minLength", json!(low)),
            (on[0], "maximum", json!(high)),
            (on[1], "maxProperties", json!(high)),
            (on[1], "multipleOf", json!(low)),
            (on[2], "pattern", json!("^[a-b]")),
            (on[2], "format", json!("date")),
            (on[3], "nullable", json!(true)),
            (on[4], "default", default.clone()),
            (on[4], "x-kubernetes-embedded-resource", json!(kind == "object")),
            (on[5], "x-kubernetes-int-or-string", json!(kind.is_empty())),
            (on[5], "enum", json!([default, 1, "a"])),
        ] {
            if set {
                schema[field] = value;
            }
        }
        schema
    })
}

fn schema() -> impl Strategy<Value = Value> {
    let nested = part().prop_recursive(3, 24, 3, |inner| {
        let list_type = prop_oneof![Just("atomic"), Just("set"), Just("map")];
        prop_oneof![
            (inner.clone(), list_type).prop_map(|(items, of)| json!({"type": "array", "items": items,
                "x-kubernetes-list-type": of, "x-kubernetes-list-map-keys": ["k"]})),
            inner
                .clone()
                .prop_map(|of| json!({"type": "object", "additionalProperties": of})),
            (btree_map(name(), inner.clone(), 0..4), any::<bool>()).prop_map(|(properties, open)| {
                let mut schema = json!({"type": "object", "properties": properties, "required": ["a"],
                    "x-kubernetes-validations": [{"rule": "!has(self.a) || self.a == self.a"}]});
                if open {
                    schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
                }
                schema
            }),
            (part(), vec(inner, 1..3)).prop_map(|(mut schema, parts)| {
                schema["anyOf"] = json!(parts);
                schema["not"] = parts[0].clone();
                schema
            }),
        ]
    });
    btree_map("[abk]", nested, 0..4).prop_map(|properties| json!({"type": "object", "properties": properties}))
}

fn object() -> impl Strategy<Value = Value> {
    btree_map(name(), value(), 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()))
}

proptest! {
    #[test]
    fn what_is_done_once_is_done(written in schema(), given in object()) {
        let schema = Structural::for_serving(&written).unwrap();
        let mut object = given;
        schema.prune(&mut object);
        prop_assert_eq!(schema.prune(&mut object), Vec::<String>::new());
        schema.drop_nulls(&mut object);
        schema.default(&mut object);
        let before = object.clone();
        schema.default(&mut object);
        prop_assert_eq!(&object, &before);
        if schema.coerce(&mut object, Coercion::default()).is_ok() {
            let before = object.clone();
            prop_assert_eq!(schema.coerce(&mut object, Coercion::default()), Ok(Vec::new()));
            prop_assert_eq!(object, before);
        }
    }

    #[test]
    fn everything_is_checked_and_what_is_the_same_is_forgiven(written in schema(), new in object(), old in object()) {
        let schema = Structural::parse(&written).unwrap();
        let metadata = |_: &Value, _: bool| ErrorList::new();
        let validator = Validator::new(&written, schema.clone(), None);
        let created = schema.validate(&new, &Path::root());
        let updated = schema.validate_update(&new, &old, &Path::root());
        prop_assert!(updated.iter().all(|error| created.contains(error)), "{:?} {:?}", created, updated);
        let _ = validator.create(&new, &metadata, ErrorList::new());
        let _ = validator.update(&new, &old, &metadata, ErrorList::new());
        if let Some(rules) = Rules::compile(&written, &schema, true) {
            let (found, _) = rules.validate(Write::Create(&new), &Path::root(), BUDGET);
            let (same, _) = rules.validate(Write::Update(&new, &new), &Path::root(), BUDGET);
            prop_assert!(same.errors.iter().all(|error| found.errors.contains(error)));
        }
        let _ = validate_defaults(&written, &schema, &Path::new("s"), &metadata);
    }
}
