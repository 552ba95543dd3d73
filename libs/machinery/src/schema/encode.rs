//! JSON text in the order in which Go encodes: struct fields by their place in the struct, map keys sorted.
//! Error messages that quote a whole object show it so.

use serde_json::Value;
use std::fmt::Write;

use super::model::{Type, TypeRef};
use super::tree::Tree;

/// The object as Go's encoder writes it.
pub fn go_text(value: &Value, ty: &Type) -> String {
    let mut out = String::new();
    object(&value.into(), ty, &mut out);
    out
}

/// A value of any type as Go's encoder writes it.
pub fn go_value(value: &Value, ty: &TypeRef) -> String {
    let mut out = String::new();
    any(&value.into(), ty, &mut out);
    out
}

/// An object that a JSON patch made, as upstream's JSON patch library writes it: what the patch went into has sorted keys,
/// what it left alone is still in Go's order.
pub fn patched_text(live: &Value, patched: &Tree, ty: Option<&Type>) -> String {
    let Some(ty) = ty else {
        return patched.to_string();
    };
    let mut out = String::new();
    touched(&live.into(), patched, &TypeView::Object(ty), &mut out);
    out
}

/// The same for a merge patch, which goes into all that it names, whether it changes it or not.
pub fn merged_text(live: &Value, patch: &Tree, patched: &Tree, ty: Option<&Type>) -> String {
    let Some(ty) = ty else {
        return patched.to_string();
    };
    let mut out = String::new();
    merged(&live.into(), patch, patched, &TypeView::Object(ty), &mut out);
    out
}

/// A type to look into, whichever way it is held.
enum TypeView<'a> {
    Object(&'a Type),
    Ref(&'a TypeRef),
    Unknown,
}

impl<'a> TypeView<'a> {
    fn of(ty: &'a TypeRef) -> Self {
        match ty {
            TypeRef::Object(ty) => TypeView::Object(ty),
            other => TypeView::Ref(other),
        }
    }

    fn child(&self, key: &str) -> TypeView<'a> {
        match self {
            TypeView::Object(ty) => ty.property(key).map_or(TypeView::Unknown, |p| TypeView::of(&p.ty)),
            TypeView::Ref(TypeRef::Map(values)) => TypeView::of(values),
            _ => TypeView::Unknown,
        }
    }

    fn item(&self) -> TypeView<'a> {
        match self {
            TypeView::Ref(TypeRef::Array(array)) => TypeView::of(&array.items),
            _ => TypeView::Unknown,
        }
    }
}

fn merged(live: &Tree, patch: &Tree, patched: &Tree, ty: &TypeView<'_>, out: &mut String) {
    let (Tree::Object(live), Tree::Object(patch), Tree::Object(fields)) = (live, patch, patched) else {
        return write(patched, out);
    };
    out.push('{');
    for (i, (key, value)) in fields.iter().enumerate() {
        separator(i, key, out);
        let child = ty.child(key);
        match (live.get(key), patch.get(key)) {
            (Some(_), None) => untouched(value, &child, out),
            (Some(live), Some(patch)) => merged(live, patch, value, &child, out),
            (None, _) => write(value, out),
        }
    }
    out.push('}');
}

fn touched(live: &Tree, patched: &Tree, ty: &TypeView<'_>, out: &mut String) {
    let fields = match (live, patched) {
        (_, Tree::Object(fields)) => fields,
        (Tree::Array(before), Tree::Array(items)) => return touched_list(before, items, &ty.item(), out),
        _ => return untouched(patched, ty, out),
    };
    out.push('{');
    for (i, (key, value)) in fields.iter().enumerate() {
        separator(i, key, out);
        let child = ty.child(key);
        match live.get(key) {
            Some(before) if before == value => untouched(value, &child, out),
            Some(before) => touched(before, value, &child, out),
            None => write(value, out),
        }
    }
    out.push('}');
}

/// Elements are touched where a list kept its length; otherwise elements have come or gone.
fn touched_list(before: &[Tree], items: &[Tree], ty: &TypeView<'_>, out: &mut String) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        match before.get(i).filter(|_| before.len() == items.len()) {
            _ if before.contains(item) => untouched(item, ty, out),
            Some(before) => touched(before, item, ty, out),
            None => write(item, out),
        }
    }
    out.push(']');
}

fn untouched(value: &Tree, ty: &TypeView<'_>, out: &mut String) {
    match ty {
        TypeView::Object(ty) => object(value, ty, out),
        TypeView::Ref(ty) => any(value, ty, out),
        TypeView::Unknown => write(value, out),
    }
}

fn any(value: &Tree, ty: &TypeRef, out: &mut String) {
    match (ty, value) {
        (TypeRef::Object(ty), value) => object(value, ty, out),
        (TypeRef::Array(array), Tree::Array(items)) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                any(item, &array.items, out);
            }
            out.push(']');
        }
        (TypeRef::Map(values), Tree::Object(fields)) => {
            out.push('{');
            for (i, (key, value)) in fields.iter().enumerate() {
                separator(i, key, out);
                any(value, values, out);
            }
            out.push('}');
        }
        (_, value) => write(value, out),
    }
}

fn object(value: &Tree, ty: &Type, out: &mut String) {
    let Tree::Object(fields) = value else {
        write(value, out);
        return;
    };
    let mut ordered: Vec<_> = fields
        .iter()
        .map(|(key, value)| (ty.property(key), key, value))
        .collect();
    ordered.sort_by_key(|(property, key, _)| (property.map_or(u8::MAX, |p| p.position), *key));
    out.push('{');
    for (i, (property, key, value)) in ordered.into_iter().enumerate() {
        separator(i, key, out);
        match property {
            Some(property) => any(value, &property.ty, out),
            None => write(value, out),
        }
    }
    out.push('}');
}

/// Compact JSON text with sorted keys and with the characters escaped that Go escapes for the sake of HTML.
pub fn escaped(value: &Value) -> String {
    Tree::from(value).to_string()
}

fn write(value: &Tree, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{value}");
}

fn separator(index: usize, key: &str, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
    write(&Tree::String(key.to_owned()), out);
    out.push(':');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::by_gvk;
    use serde_json::json;

    #[test]
    fn elements_of_lists_are_sorted_where_a_patch_reached() {
        let pod = by_gvk("", "v1", "Pod").unwrap();
        let container = |image: &str| json!({"name": "c", "image": image});
        let object = |containers: Value| json!({"spec": {"containers": containers}});
        let live = object(json!([container("a"), container("b")]));
        let changed = object(json!([container("a"), container("x")]));
        let longer = object(json!([container("a"), container("b"), container("x")]));
        let (a, b) = (r#"{"name":"c","image":"a"}"#, r#"{"name":"c","image":"b"}"#);
        let sorted = r#"{"image":"x","name":"c"}"#;
        for (patched, expected) in [
            (&changed, format!("{a},{sorted}")),
            (&longer, format!("{a},{b},{sorted}")),
        ] {
            let text = patched_text(&live, &patched.into(), Some(pod));
            assert_eq!(text, format!(r#"{{"spec":{{"containers":[{expected}]}}}}"#));
        }
        let sorted_a = r#"{"image":"a","name":"c"}"#;
        for (patch, expected) in [
            (json!({"metadata": {}}), format!("{a},{b}")),
            (
                json!({"spec": {"containers": [container("a"), container("x")]}}),
                format!("{sorted_a},{sorted}"),
            ),
        ] {
            let patch = Tree::from(&patch);
            let mut patched = Tree::from(&live);
            crate::patch::merge::merge(&mut patched, patch.clone());
            if let Tree::Object(fields) = &mut patched {
                fields.remove("metadata");
            }
            let text = merged_text(&live, &patch, &patched, Some(pod));
            assert_eq!(text, format!(r#"{{"spec":{{"containers":[{expected}]}}}}"#));
        }
    }

    #[test]
    fn struct_fields_keep_their_place() {
        let pod = by_gvk("", "v1", "Pod").unwrap();
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"b": "1", "a": "<"}, "name": "p"},
            "spec": {"containers": [{"image": "i", "name": "c"}], "volumes": []}});
        assert_eq!(
            go_text(&object, pod),
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":"\u003c","b":"1"}},"spec":{"volumes":[],"containers":[{"name":"c","image":"i"}]}}"#
        );
        let mut patched = object.clone();
        patched["spec"]["containers"] = json!([]);
        assert_eq!(
            patched_text(&object, &(&patched).into(), Some(pod)),
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"a":"\u003c","b":"1"}},"spec":{"containers":[],"volumes":[]}}"#
        );
    }
}
