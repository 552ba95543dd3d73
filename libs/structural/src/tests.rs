//! Whole objects against whole schemas.

use super::*;
use serde_json::json;

fn schema(spec: Value) -> Structural {
    Structural::for_serving(&json!({"type": "object", "properties": {"spec": spec}})).unwrap()
}

fn texts(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn unknown_fields_go() {
    let schema = schema(json!({"type": "object", "properties": {
        "a": {"type": "string"},
        "keep": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "known": {"type": "object", "properties": {"x": {"type": "string"}}}}},
        "arr": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "string"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"n": {"type": "string"}}}},
        "any": {"type": "object", "additionalProperties": true},
        "tpl": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
    }}));
    let mut object = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "x"}, "extra": 1, "spec": {
        "a": "1", "zzz": 1, "keep": {"any": {"thing": 1}, "known": {"x": "1", "y": "2"}},
        "arr": [{"n": "1", "m": 2}, {"m": 3}], "map": {"k": {"n": "1", "m": 2}}, "any": {"k": {"gone": 1}, "l": 2},
        "tpl": {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "b"}}, "spec": {"z": 1}, "status": {}},
    }});
    let unknown = schema.prune(&mut object);
    assert_eq!(
        unknown,
        [
            "extra",
            "spec.any.k.gone",
            "spec.arr[0].m",
            "spec.arr[1].m",
            "spec.keep.known.y",
            "spec.map.k.m",
            "spec.tpl.spec.z",
            "spec.tpl.status",
            "spec.zzz",
        ]
    );
    assert_eq!(
        object,
        json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "x"}, "spec": {
            "a": "1", "keep": {"any": {"thing": 1}, "known": {"x": "1"}}, "arr": [{"n": "1"}, {}],
            "map": {"k": {"n": "1"}}, "any": {"k": {}, "l": 2},
            "tpl": {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "b"}}, "spec": {}}}})
    );
    assert!(schema.prune(&mut object).is_empty());
}

#[test]
fn defaults_fill_what_is_missing_or_wrongly_null() {
    let schema = schema(json!({"type": "object", "default": {"gone": 1}, "properties": {
        "a": {"type": "string", "default": "x"},
        "n": {"type": "string", "default": "x", "nullable": true},
        "plain": {"type": "string"},
        "list": {"type": "array", "items": {"type": "object", "default": {}, "properties": {"p": {"type": "integer", "default": 1}}}},
        "map": {"type": "object", "additionalProperties": {"type": "integer", "default": 7}},
    }}));
    for (mut given, expected) in [
        (json!({}), json!({"spec": {"a": "x", "n": "x"}})),
        (
            json!({"spec": {"a": null, "n": null, "plain": null, "list": [{}, null], "map": {"k": null}}}),
            json!({"spec": {"a": "x", "n": null, "list": [{"p": 1}, {"p": 1}], "map": {"k": 7}}}),
        ),
    ] {
        schema.drop_nulls(&mut given);
        schema.default(&mut given);
        assert_eq!(given, expected);
        let before = given.clone();
        schema.default(&mut given);
        assert_eq!(given, before);
    }
}

#[test]
fn metadata_are_those_of_every_kind() {
    let schema = schema(json!({"type": "object", "properties": {"tpl": {"type": "object",
        "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}}));
    let given = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "x", "labels": {"a": "b"}, "odd": 1},
        "zzz": 1, "spec": {"tpl": {"kind": "Pod", "metadata": {"name": "p", "odd": 1}, "x": 1}}});
    let mut object = given.clone();
    let unknown = schema.coerce(&mut object, Coercion::default()).unwrap();
    assert_eq!(unknown, ["metadata.odd", "zzz", "spec.tpl.metadata.odd"]);
    assert_eq!(
        object,
        json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "x", "labels": {"a": "b"}},
            "spec": {"tpl": {"kind": "Pod", "metadata": {"name": "p"}, "x": 1}}})
    );
    let malformed = |path: &[&str], value: Value| {
        let mut object = given.clone();
        machinery::meta::set(&mut object, path, value);
        schema.coerce(&mut object, Coercion::default()).unwrap_err().to_string()
    };
    assert_eq!(
        malformed(&["metadata", "labels", "a"], json!(5)),
        "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
    );
    assert_eq!(
        malformed(&["spec", "tpl", "metadata"], json!({"labels": 5})),
        "spec.tpl.metadata: Invalid value: {\"labels\":5}: json: cannot unmarshal number into Go struct field \
         ObjectMeta.labels of type map[string]string"
    );
    assert_eq!(
        malformed(&["spec", "tpl", "kind"], json!(5)),
        "spec.tpl.kind: Invalid value: 5: must be a string"
    );
    assert_eq!(
        malformed(&["kind"], json!(5)),
        ".kind accessor error: 5 is of the type int64, expected string"
    );
    let stored = Coercion {
        drop_malformed: true,
        repair_generation: true,
    };
    let mut object =
        json!({"metadata": {"name": "x", "labels": 5}, "spec": {"tpl": {"kind": 5, "metadata": {"name": 1}}}});
    schema.coerce(&mut object, stored).unwrap();
    assert_eq!(
        object,
        json!({"metadata": {"name": "x", "generation": 1}, "spec": {"tpl": {"metadata": {}}}})
    );
}

#[test]
fn values_fit_their_schema() {
    let spec = json!({"type": "object", "properties": {
        "s": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
        "i": {"type": "integer", "minimum": 1, "maximum": 10, "multipleOf": 2},
        "xi": {"type": "number", "minimum": 0, "exclusiveMinimum": true, "maximum": 5000000},
        "e": {"type": "string", "enum": ["a", "b"]},
        "en": {"type": "integer", "nullable": true, "enum": [1, 2]},
        "arr": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string"}},
        "b": {"type": "boolean"},
        "req": {"type": "object", "required": ["x", "y"], "properties": {"x": {"type": "string"}, "y": {"type": "string"}}},
        "map": {"type": "object", "maxProperties": 1, "minProperties": 1, "additionalProperties": {"type": "integer"}},
        "ios": {"x-kubernetes-int-or-string": true},
        "date": {"type": "string", "format": "date-time"},
        "odd": {"type": "string", "format": "odd"},
        "i32": {"type": "integer", "format": "int32"},
        "one": {"type": "object", "properties": {"p": {"type": "string"}, "q": {"type": "string"}},
            "oneOf": [{"required": ["p"]}, {"required": ["q"]}]},
        "any": {"type": "object", "properties": {"p": {"type": "string"}, "q": {"type": "string"}},
            "anyOf": [{"required": ["p"]}, {"required": ["q"]}]},
        "all": {"type": "string", "allOf": [{"minLength": 2}, {"pattern": "^a"}]},
        "not": {"type": "object", "properties": {"p": {"type": "string"}}, "not": {"required": ["p"]}},
        "half": {"type": "integer", "maximum": 1.5},
        "tenth": {"type": "number", "multipleOf": 0.1},
    }});
    let schema = schema(spec);
    let too_long = "spec.s: Too long: may not be more than 4 bytes";
    for (field, value, expected) in [
        ("s", json!("ab"), vec![]),
        (
            "s",
            json!("a"),
            vec!["spec.s: Invalid value: \"a\": spec.s in body should be at least 2 chars long"],
        ),
        ("s", json!("TOOLONG"), vec![too_long]),
        (
            "s",
            json!("AB"),
            vec!["spec.s: Invalid value: \"AB\": spec.s in body should match '^[a-z]+$'"],
        ),
        (
            "s",
            json!(5),
            vec!["spec.s: Invalid value: \"integer\": spec.s in body must be of type string: \"integer\""],
        ),
        (
            "s",
            json!(null),
            vec!["spec.s: Invalid value: \"null\": spec.s in body must be of type string: \"null\""],
        ),
        (
            "i",
            json!(0),
            vec!["spec.i: Invalid value: 0: spec.i in body should be greater than or equal to 1"],
        ),
        (
            "i",
            json!(12),
            vec!["spec.i: Invalid value: 12: spec.i in body should be less than or equal to 10"],
        ),
        (
            "i",
            json!(3),
            vec!["spec.i: Invalid value: 3: spec.i in body should be a multiple of 2"],
        ),
        ("i", json!(2.0), vec![]),
        (
            "i",
            json!(2.5),
            vec![
                "spec.i: Invalid value: \"number\": spec.i in body must be of type integer: \"number\"",
                "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec.i",
                "spec.i: Invalid value: 2.5: spec.i in body should be a multiple of 2",
            ],
        ),
        (
            "xi",
            json!(0),
            vec!["spec.xi: Invalid value: 0: spec.xi in body should be greater than 0"],
        ),
        (
            "xi",
            json!(6e6),
            vec!["spec.xi: Invalid value: 6e+06: spec.xi in body should be less than or equal to 5e+06"],
        ),
        (
            "e",
            json!("c"),
            vec!["spec.e: Unsupported value: \"c\": supported values: \"a\", \"b\""],
        ),
        (
            "en",
            json!(null),
            vec!["spec.en: Unsupported value: null: supported values: \"1\", \"2\""],
        ),
        ("en", json!(2.0), vec![]),
        (
            "arr",
            json!([]),
            vec!["spec.arr: Invalid value: 0: spec.arr in body should have at least 1 items"],
        ),
        (
            "arr",
            json!(["a", "b", "c"]),
            vec!["spec.arr: Too many: 3: must have at most 2 items"],
        ),
        (
            "arr",
            json!([1]),
            vec!["spec.arr[0]: Invalid value: \"integer\": spec.arr[0] in body must be of type string: \"integer\""],
        ),
        (
            "arr",
            json!("x"),
            vec!["spec.arr: Invalid value: \"string\": spec.arr in body must be of type array: \"string\""],
        ),
        (
            "b",
            json!("true"),
            vec!["spec.b: Invalid value: \"string\": spec.b in body must be of type boolean: \"string\""],
        ),
        (
            "req",
            json!({"x": 1}),
            vec![
                "spec.req.x: Invalid value: \"integer\": spec.req.x in body must be of type string: \"integer\"",
                "spec.req.y: Required value",
            ],
        ),
        (
            "map",
            json!({"a": 1, "b": 2}),
            vec!["spec.map: Too many: 2: must have at most 1 item"],
        ),
        (
            "map",
            json!({}),
            vec!["spec.map: Invalid value: 0: spec.map in body should have at least 1 properties"],
        ),
        (
            "map",
            json!({"a": "x"}),
            vec!["spec.map.a: Invalid value: \"string\": spec.map.a in body must be of type integer: \"string\""],
        ),
        ("ios", json!("5"), vec![]),
        (
            "ios",
            json!(true),
            vec!["spec.ios: Invalid value: \"boolean\": spec.ios in body must be of type integer,string: \"boolean\""],
        ),
        (
            "date",
            json!("nope"),
            vec!["spec.date: Invalid value: \"nope\": spec.date in body must be of type date-time: \"nope\""],
        ),
        (
            "date",
            json!(5),
            vec!["spec.date: Invalid value: \"int64\": spec.date in body must be of type date-time: \"int64\""],
        ),
        ("odd", json!("nope"), vec![]),
        (
            "i32",
            json!(3000000000_i64),
            vec!["<nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in spec.i32"],
        ),
        (
            "one",
            json!({}),
            vec![
                "<nil>: Invalid value: \"\": \"spec.one\" must validate one and only one schema (oneOf). Found none valid",
                "spec.one.p: Required value",
            ],
        ),
        (
            "one",
            json!({"p": "1", "q": "2"}),
            vec![
                "<nil>: Invalid value: \"\": \"spec.one\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ],
        ),
        (
            "any",
            json!({}),
            vec![
                "<nil>: Invalid value: \"\": \"spec.any\" must validate at least one schema (anyOf)",
                "spec.any.p: Required value",
            ],
        ),
        (
            "all",
            json!("b"),
            vec![
                "spec.all: Invalid value: \"b\": spec.all in body should be at least 2 chars long",
                "spec.all: Invalid value: \"b\": spec.all in body should match '^a'",
                "<nil>: Invalid value: \"\": \"spec.all\" must validate all the schemas (allOf). None validated",
            ],
        ),
        (
            "not",
            json!({"p": "1"}),
            vec!["<nil>: Invalid value: \"\": \"spec.not\" must not validate the schema (not)"],
        ),
        (
            "half",
            json!(3),
            vec![
                "<nil>: Invalid value: \"\": Maximum boundary value must be of type integer (default format) in spec.half",
                "spec.half: Invalid value: 3: spec.half in body should be less than or equal to 1.5",
            ],
        ),
        ("tenth", json!(0.3), vec![]),
        (
            "tenth",
            json!(3),
            vec!["spec.tenth: Invalid value: 0: factor MultipleOf declared for spec.tenth must be positive: 0"],
        ),
    ] {
        let object = json!({"spec": {field: value}});
        assert_eq!(texts(&schema.validate(&object, &Path::root())), expected, "{object}");
    }
    let errors = schema.validate(&json!({"spec": [1]}), &Path::root());
    assert_eq!(
        texts(&errors),
        ["spec: Invalid value: \"array\": spec in body must be of type object: \"array\""]
    );
}

#[test]
fn a_status_is_checked_by_itself() {
    let schema = Structural::parse(&json!({"type": "object", "properties": {"status": {"type": "object",
        "required": ["r"], "properties": {"phase": {"type": "string", "enum": ["A"]}}}}}));
    let status = schema.unwrap().property("status").unwrap();
    let path = Path::new("status");
    assert_eq!(
        texts(&status.validate(&json!({"phase": "C"}), &path)),
        [
            "status.phase: Unsupported value: \"C\": supported values: \"A\"",
            "status.r: Required value"
        ]
    );
    assert_eq!(
        texts(&status.validate(&json!([]), &path)),
        ["status: Invalid value: \"array\":  in body must be of type object: \"array\""]
    );
}

#[test]
fn what_did_not_change_is_not_complained_about() {
    let item = json!({"type": "object", "required": ["k"], "properties": {
        "k": {"type": "string"}, "v": {"type": "string", "maxLength": 1}}});
    let schema = schema(json!({"type": "object", "properties": {
        "s": {"type": "string", "maxLength": 2},
        "t": {"type": "string"},
        "o": {"type": "object", "required": ["x"], "properties": {"x": {"type": "string"}, "y": {"type": "string"}}},
        "atomic": {"type": "array", "items": {"type": "string", "maxLength": 1}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item},
        "one": {"type": "string", "allOf": [{"maxLength": 1}]},
    }}));
    for (old, new, expected) in [
        (json!({"s": "abc"}), json!({"s": "abc", "t": "x"}), vec![]),
        (
            json!({"s": "abc"}),
            json!({"s": "xyz"}),
            vec!["spec.s: Too long: may not be more than 2 bytes"],
        ),
        (
            json!({}),
            json!({"s": "abc"}),
            vec!["spec.s: Too long: may not be more than 2 bytes"],
        ),
        (json!({"o": {"y": "1"}}), json!({"o": {"y": "1"}, "t": "1"}), vec![]),
        (
            json!({"o": {"y": "1"}}),
            json!({"o": {"y": "2"}}),
            vec!["spec.o.x: Required value"],
        ),
        (json!({"atomic": ["ab"]}), json!({"atomic": ["ab"], "t": "x"}), vec![]),
        (
            json!({"atomic": ["ab"]}),
            json!({"atomic": ["ab", "c"]}),
            vec!["spec.atomic[0]: Too long: may not be more than 1 byte"],
        ),
        (
            json!({"map": [{"k": "a", "v": "long"}, {"k": "b"}]}),
            json!({"map": [{"k": "c", "v": "much"}, {"k": "a", "v": "long"}]}),
            vec!["spec.map[0].v: Too long: may not be more than 1 byte"],
        ),
        (json!({"one": "ab"}), json!({"one": "ab", "t": "x"}), vec![]),
        (
            json!({"one": "ab"}),
            json!({"one": "cd"}),
            vec![
                "spec.one: Too long: may not be more than 1 byte",
                "<nil>: Invalid value: \"\": \"spec.one\" must validate all the schemas (allOf). None validated",
            ],
        ),
    ] {
        let (old, new) = (json!({"spec": old}), json!({"spec": new}));
        let found = schema.validate_update(&new, &old, &Path::root());
        assert_eq!(texts(&found), expected, "{old} -> {new}");
    }
}

#[test]
fn lists_that_are_sets_or_maps_have_each_item_once() {
    let map = |keys: &[&str]| {
        json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys,
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "l": {"type": "integer"}}}})
    };
    let schema = schema(json!({"type": "object", "properties": {
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "one": map(&["k"]), "two": map(&["k", "l"]),
    }}));
    for (spec, expected) in [
        (
            json!({"set": ["a", "b", "a", "a"]}),
            vec!["spec.set[2]: Duplicate value: \"a\""],
        ),
        (
            json!({"one": [{"k": "a"}, {"k": "a", "l": 1}]}),
            vec!["spec.one[1]: Duplicate value: {\"k\":\"a\"}"],
        ),
        (json!({"one": [{}, {"l": 1}]}), vec!["spec.one[1]: Duplicate value: {}"]),
        (json!({"two": [{"k": "a"}, {"k": "a", "l": 1}]}), vec![]),
        (
            json!({"one": [1]}),
            vec!["spec.one[0]: Invalid value: 1: must be an object for an array of list-type map"],
        ),
    ] {
        let object = json!({"spec": spec});
        assert_eq!(texts(&schema.validate_lists(&object)), expected, "{object}");
    }
}

#[test]
fn embedded_objects_are_objects() {
    let schema = schema(json!({"type": "object", "properties": {"tpl": {"type": "object",
        "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}}));
    let rules = |object: &Value, _: bool| match machinery::meta::name(object) {
        "bad" => vec![machinery::field::Error::invalid(
            &Path::new("metadata").child("name"),
            "bad",
            "no",
        )],
        _ => Vec::new(),
    };
    for (tpl, expected) in [
        (json!({"apiVersion": "v1", "kind": "Pod"}), vec![]),
        (
            json!({}),
            vec!["spec.tpl.apiVersion: Required value", "spec.tpl.kind: Required value"],
        ),
        (
            json!({"apiVersion": "a/b/c", "kind": "", "metadata": {"name": "bad"}}),
            vec![
                "spec.tpl.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                "spec.tpl.kind: Invalid value: \"\": must not be empty",
                "spec.tpl.metadata.name: Invalid value: \"bad\": no",
            ],
        ),
    ] {
        let object = json!({"spec": {"tpl": tpl}});
        assert_eq!(texts(&schema.validate_embedded(&object, &rules)), expected, "{object}");
    }
}

#[test]
fn scales_are_numbers_of_replicas() {
    let scale = Scale::parse(
        &json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector"}),
    );
    for (object, expected) in [
        (json!({"spec": {"replicas": 1}}), vec![]),
        (
            json!({"spec": {"replicas": -1}}),
            vec![".spec.replicas: Invalid value: -1: should be a non-negative integer"],
        ),
        (
            json!({"spec": {"replicas": 3000000000_i64}}),
            vec![".spec.replicas: Invalid value: 3000000000: should be less than or equal to 2147483647"],
        ),
        (
            json!({"spec": 5, "status": {"replicas": "x", "selector": {"a": 1}}}),
            vec![
                ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: 5 is of the type int64, expected map[string]interface{}",
                ".status.replicas: Invalid value: 0: .status.replicas accessor error: x is of the type string, expected int64",
                ".status.selector: Invalid value: \"\": .status.selector accessor error: map[a:1] is of the type map[string]interface {}, expected string",
            ],
        ),
    ] {
        let mut errors = scale.validate_spec(&object);
        errors.extend(scale.validate_status(&object));
        assert_eq!(texts(&errors), expected, "{object}");
    }
}
