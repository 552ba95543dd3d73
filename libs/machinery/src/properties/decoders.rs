//! Every decoder reads or refuses whatever it is given, without panic and without memory beyond the size of its input.

use proptest::prelude::*;
use serde_json::Value;

use super::objects::Maker;
use crate::apply::fieldset::Set;
use crate::apply::managed::Managed;
use crate::patch::{FieldValidation, json as json_patch, merge, strategic};
use crate::schema::decode::{decode, decode_list, decode_untyped, decode_value};
use crate::schema::{Type, builtins, by_gvk, json, yaml};
use crate::wire::Envelope;

/// What a request's body may hold.
const BODY: usize = 3 << 20;

fn kinds() -> Vec<&'static Type> {
    builtins().iter().copied().filter(|ty| !ty.kinds.is_empty()).collect()
}

/// All decoders of bodies, one after the other.
fn decode_all(text: &[u8], ty: &Type) {
    let _ = json::parse(text);
    let _ = decode(text, ty);
    let _ = decode_list(text, ty);
    let _ = decode_untyped(text);
    let _ = yaml::parse(text);
    let _ = yaml::decode(text, ty);
    let _ = Envelope::parse(text);
    let live = Value::Object(serde_json::Map::new());
    let _ = json_patch::apply(&live, text, Some(ty), FieldValidation::Strict);
    let _ = merge::apply(&live, text, Some(ty), FieldValidation::Strict);
    let _ = strategic::apply(&live, text, ty, FieldValidation::Strict);
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let names = "(f:[a-c]|k:\\{\"a\":1\\}|v:\"x\"|i:[0-9]|\\.|metadata|spec|items|kind|apiVersion|[a-c])";
        prop_oneof![
            proptest::collection::btree_map(names, inner.clone(), 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
            proptest::collection::vec(inner, 0..4).prop_map(Value::Array),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&bytes, by_gvk("", "v1", "Pod").unwrap());
    }

    #[test]
    fn any_tree(tree in tree(), choice in any::<prop::sample::Index>()) {
        let ty = *choice.get(&kinds());
        decode_all(tree.to_string().as_bytes(), ty);
        let _ = decode_value(&tree, ty);
        let _ = Set::from_json(&tree);
        let _ = Managed::decode(&serde_json::json!({"metadata": {"managedFields": tree}}));
    }

    #[test]
    fn objects_with_a_wrong_field(seed in any::<u64>(), wrong in tree()) {
        let mut maker = Maker::new(seed);
        let all = kinds();
        let ty = all[maker.below(all.len())];
        let mut object = maker.object(ty);
        let depth = maker.below(6);
        replace(&mut object, wrong, depth, &mut maker);
        decode_all(object.to_string().as_bytes(), ty);
    }
}

/// Puts something else at a random place below `tree`, at most as deep as told.
fn replace(tree: &mut Value, other: Value, depth: usize, maker: &mut Maker) {
    match tree {
        Value::Object(fields) if depth > 0 && !fields.is_empty() => {
            let at = maker.below(fields.len());
            replace(fields.values_mut().nth(at).unwrap(), other, depth - 1, maker);
        }
        Value::Array(items) if depth > 0 && !items.is_empty() => {
            let at = maker.below(items.len());
            replace(&mut items[at], other, depth - 1, maker);
        }
        place => *place = other,
    }
}

/// Deep and wide texts of the largest size; each ends, most with an error.
#[test]
fn bombs_are_refused() {
    let pod = by_gvk("", "v1", "Pod").unwrap();
    let deep = |open: &str| open.repeat(BODY / open.len());
    for text in [deep("["), deep("{\"a\":"), deep("[{\"a\":"), deep("\n")] {
        assert!(json::parse(text.as_bytes()).is_err());
        decode_all(text.as_bytes(), pod);
    }
    // Nine levels of nine references each: a billion items when they are all written out.
    let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..9 {
        let reference = format!("*a{}", level - 1);
        let references = vec![reference; 9].join(",");
        laughs += &format!("a{level}: &a{level} [{references}]\n");
    }
    assert!(yaml::parse(laughs.as_bytes()).is_err());
    let copies = vec![r#"{"op":"copy","from":"/metadata","path":"/metadata/annotations"}"#; 9_999].join(",");
    let live = serde_json::json!({"metadata": {"name": "x".repeat(1000)}});
    let patch = format!("[{copies}]");
    assert!(json_patch::apply(&live, patch.as_bytes(), None, FieldValidation::Ignore).is_err());
}
