use super::*;
use crate::validator::Validator;
use serde_json::json;

fn rules(schema: Value) -> Rules {
    let structural = Structural::parse(&schema).unwrap();
    Rules::compile(&schema, &structural, true).unwrap()
}

fn texts(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn spec(spec: Value) -> Value {
    json!({"type": "object", "properties": {"spec": spec}})
}

#[test]
fn rules_are_about_values_and_what_they_were() {
    let integer = |rule: Value| json!({"type": "integer", "x-kubernetes-validations": [rule]});
    let item = json!({"type": "object", "properties": {"k": {"type": "string"}, "v": integer(json!({"rule": "self >= oldSelf"}))}});
    let rules = rules(spec(json!({"type": "object", "properties": {
        "max": {"type": "integer"}, "min": {"type": "integer"},
        "up": integer(json!({"rule": "self >= oldSelf", "message": "must not go down"})),
        "first": integer(json!({"rule": "oldSelf.hasValue() || self == 1", "optionalOldSelf": true})),
        "odd-name": integer(json!({"rule": "self > 0", "reason": "FieldValueForbidden", "message": "no"})),
        "req": integer(json!({"rule": "self > 0", "reason": "FieldValueRequired"})),
        "dup": integer(json!({"rule": "self > 0", "reason": "FieldValueDuplicate"})),
        "any": {"x-kubernetes-int-or-string": true, "x-kubernetes-validations": [{"rule": "self + 1 > 2"}]},
        "zero": integer(json!({"rule": "1 / self > 0"})),
        "map": {"type": "object", "additionalProperties": integer(json!({"rule": "self < 3"}))},
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item},
    }, "x-kubernetes-validations": [
        {"rule": "!has(self.min) || self.min <= self.max", "fieldPath": ".min",
            "messageExpression": "'min is more than ' + string(self.max)"},
    ]})));
    for (old, new, expected) in [
        (None, json!({"min": 1, "max": 2}), vec![]),
        (
            None,
            json!({"min": 3, "max": 2}),
            vec!["spec.min: Invalid value: min is more than 2"],
        ),
        (
            None,
            json!({"min": 1}),
            vec![
                "spec: Invalid value: \"object\": no such key: max evaluating rule: !has(self.min) || self.min <= self.max",
            ],
        ),
        (None, json!({"up": 1}), vec![]),
        (Some(json!({})), json!({"up": 1}), vec![]),
        (
            Some(json!({"up": 2})),
            json!({"up": 1}),
            vec!["spec.up: Invalid value: 1: must not go down"],
        ),
        (
            None,
            json!({"first": 2}),
            vec!["spec.first: Invalid value: 2: failed rule: oldSelf.hasValue() || self == 1"],
        ),
        (Some(json!({"first": 1})), json!({"first": 2}), vec![]),
        (None, json!({"odd-name": 0}), vec!["spec.odd-name: Forbidden: no"]),
        (
            None,
            json!({"req": 0}),
            vec!["spec.req: Required value: failed rule: self > 0"],
        ),
        (None, json!({"dup": 0}), vec!["spec.dup: Duplicate value: 0"]),
        (
            None,
            json!({"any": "x"}),
            vec![
                "spec.any: Invalid value: \"\": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: self + 1 > 2",
            ],
        ),
        (
            None,
            json!({"zero": 0}),
            vec!["spec.zero: Invalid value: \"integer\": division by zero evaluating rule: 1 / self > 0"],
        ),
        (
            None,
            json!({"map": {"a": 1, "b": 5}}),
            vec!["spec.map[b]: Invalid value: 5: failed rule: self < 3"],
        ),
        (
            Some(json!({"list": [{"k": "a", "v": 5}, {"k": "b", "v": 1}]})),
            json!({"list": [{"k": "b", "v": 2}, {"k": "c", "v": 0}, {"k": "a", "v": 4}]}),
            vec!["spec.list[2].v: Invalid value: 4: failed rule: self >= oldSelf"],
        ),
    ] {
        let (new, old) = (json!({"spec": new}), old.map(|old| json!({"spec": old})));
        let write = match &old {
            None => Write::Create(&new),
            Some(old) => Write::Replace(&new, old),
        };
        let (found, left) = rules.validate(write, &Path::root(), BUDGET);
        assert_eq!(texts(&found.errors), expected, "{old:?} -> {new}");
        assert!(left.is_some());
    }
}

#[test]
fn what_did_not_change_is_only_warned_of() {
    let rules = rules(spec(json!({"type": "object", "properties": {
        "a": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 9"}]},
        "b": {"type": "integer"},
        "list": {"type": "array", "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 9"}]}},
    }})));
    let warning = "spec.a: Invalid value: 1: failed rule: self > 9";
    for (old, new, errors, warnings) in [
        (json!({"a": 1}), json!({"a": 1, "b": 1}), vec![], vec![warning]),
        (json!({"a": 2}), json!({"a": 1}), vec![warning], vec![]),
        (json!({}), json!({"a": 1}), vec![warning], vec![]),
        (
            json!({"list": [1]}),
            json!({"list": [1], "b": 1}),
            vec![],
            vec!["spec.list[0]: Invalid value: 1: failed rule: self > 9"],
        ),
        (
            json!({"list": [1]}),
            json!({"list": [1, 10]}),
            vec!["spec.list[0]: Invalid value: 1: failed rule: self > 9"],
            vec![],
        ),
    ] {
        let (old, new) = (json!({"spec": old}), json!({"spec": new}));
        let (found, _) = rules.validate(Write::Update(&new, &old), &Path::root(), BUDGET);
        assert_eq!(
            (texts(&found.errors), found.warnings),
            (
                errors.iter().map(|e| (*e).to_owned()).collect(),
                warnings.iter().map(|w| (*w).to_owned()).collect()
            ),
            "{old} -> {new}"
        );
    }
}

#[test]
fn rules_may_not_cost_too_much() {
    let list = |rule: &str| {
        json!({"type": "object", "properties": {"l": {"type": "array", "maxItems": 1000,
        "items": {"type": "integer"}, "x-kubernetes-validations": [{"rule": rule}, {"rule": "true"}]}}})
    };
    let object = json!({"spec": {"l": (0..300).collect::<Vec<i32>>()}});
    let expensive = "self.all(x, self.all(y, self.all(z, x + y + z >= 0)))";
    let (found, left) = rules(spec(list(expensive))).validate(Write::Create(&object), &Path::root(), BUDGET);
    assert_eq!(
        texts(&found.errors),
        [format!(
            "spec.l: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules \
             will be run due to call cost exceeds limit for rule: {expensive}"
        )]
    );
    assert_eq!(left, None);
    let exceeded = "spec.l: Invalid value: \"array\": validation failed due to running out of cost budget, no further validation rules will be run";
    let rules = rules(spec(list("self.all(x, x >= 0)")));
    let (found, left) = rules.validate(Write::Create(&object), &Path::root(), 100);
    assert_eq!((texts(&found.errors), left), (vec![exceeded.to_owned()], None));
    assert_eq!(
        rules.validate(Write::Create(&object), &Path::root(), BUDGET).0,
        Findings::default()
    );
}

#[test]
fn whole_objects_are_checked_in_order() {
    let written = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"a": {"type": "integer"}, "set": {"type": "array",
            "x-kubernetes-list-type": "set", "items": {"type": "string"}}, "replicas": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "!has(self.a) || self.a > 0", "message": "a must be positive"}]},
        "status": {"type": "object", "properties": {"phase": {"type": "string", "enum": ["A"]}}},
    }, "x-kubernetes-validations": [{"rule": "self.metadata.name != 'bad'"}]});
    let schema = Structural::for_serving(&written).unwrap();
    let subresources = json!({"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}});
    let validator = Validator::new(&written, schema, Some(&subresources));
    let metadata = |_: &Value, _: bool| ErrorList::new();
    let object = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let blocked = format!("<nil>: Invalid value: null: {NOT_CHECKED}");
    for (given, expected) in [
        (object("x", json!({"a": 1})), vec![]),
        (
            object("bad", json!({"a": 1})),
            vec!["<nil>: Invalid value: failed rule: self.metadata.name != 'bad'"],
        ),
        (
            object("x", json!({"a": 0, "set": ["a", "a"], "replicas": -1})),
            vec![
                ".spec.replicas: Invalid value: -1: should be a non-negative integer",
                "spec.set[1]: Duplicate value: \"a\"",
                "spec: Invalid value: a must be positive",
            ],
        ),
        (
            object("x", json!({"a": "x"})),
            vec![
                "spec.a: Invalid value: \"string\": spec.a in body must be of type integer: \"string\"",
                &blocked,
            ],
        ),
    ] {
        let found = validator.create(&given, &metadata, ErrorList::new());
        assert_eq!(texts(&found.errors), expected, "{given}");
    }
    let old = object("x", json!({"a": 0, "set": ["a", "a"]}));
    let mut new = old.clone();
    new["status"] = json!({"phase": "B"});
    let found = validator.update_status(&new, &old, ErrorList::new());
    assert_eq!(
        texts(&found.errors),
        [
            "status.phase: Unsupported value: \"B\": supported values: \"A\"",
            &blocked
        ]
    );
    new["status"] = json!({"phase": "A"});
    let found = validator.update(&new, &old, &metadata, ErrorList::new());
    assert_eq!(found.errors, []);
    assert_eq!(found.warnings, ["spec: Invalid value: a must be positive"]);
}
