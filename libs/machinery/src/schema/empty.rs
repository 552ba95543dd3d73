//! Zero and empty values: what Go encodes of them and what it leaves out.

use serde_json::Value;

use super::model::{Property, Type, TypeRef};

/// What Go encodes for a value that was never set; `None` where it leaves the property out.
pub(super) fn absent(property: &Property) -> Option<Value> {
    if property.pointer {
        return (!property.omit_empty).then_some(Value::Null);
    }
    let is_struct = !is_nilable_or_plain(&property.ty);
    let omitted = if is_struct {
        property.omit_zero
    } else {
        property.omit_empty || property.omit_zero
    };
    (!omitted).then(|| zero(&property.ty))
}

/// Whether Go's omitempty can leave out a value of this type: it never does so with structs.
fn is_nilable_or_plain(ty: &TypeRef) -> bool {
    match ty {
        TypeRef::Scalar(scalar) => scalar.is_plain(),
        TypeRef::Array(_) | TypeRef::Map(_) => true,
        TypeRef::Object(_) | TypeRef::Any(_) => false,
    }
}

/// What Go encodes for the zero value of a type.
pub fn zero(ty: &TypeRef) -> Value {
    match ty {
        TypeRef::Scalar(scalar) => scalar.zero(),
        TypeRef::Object(ty) => zero_object(ty),
        TypeRef::Array(_) | TypeRef::Map(_) | TypeRef::Any(_) => Value::Null,
    }
}

/// The object in which nothing is set, as Go encodes it.
pub fn zero_object(ty: &Type) -> Value {
    let fields = ty
        .properties
        .iter()
        .filter_map(|p| Some((p.name.to_string(), absent(p)?)));
    Value::Object(fields.collect())
}

/// Whether Go's encoder leaves out this value of the property.
pub(super) fn is_omitted(property: &Property, value: &Value) -> bool {
    if property.pointer || !property.omit_empty {
        return false;
    }
    is_nilable_or_plain(&property.ty) && is_empty(value)
}

pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

pub(super) fn is_list_or_map(ty: &TypeRef) -> bool {
    matches!(ty, TypeRef::Array(_) | TypeRef::Map(_))
}

/// Takes from a decoded object the empty lists and maps that Go does not encode.
pub fn leave_out_empty(value: &mut Value, ty: &Type) {
    let Value::Object(fields) = value else { return };
    fields.retain(|name, value| {
        let Some(property) = ty.property(name) else { return true };
        if is_omitted(property, value) {
            return false;
        }
        leave_out_empty_below(value, &property.ty);
        true
    });
}

/// Gives an object the empty lists and maps that another one of its type has where it has none: they are no difference
/// (apimachinery `equality.Semantic`).
pub fn share_empty(from: &Value, into: &mut Value, ty: &Type) {
    let (Value::Object(from), Value::Object(into)) = (from, into) else {
        return;
    };
    for (name, value) in from {
        let Some(property) = ty.property(name) else { continue };
        match into.get_mut(name) {
            Some(known) => share_empty_below(value, known, &property.ty),
            None if is_list_or_map(&property.ty) && is_omitted(property, value) => {
                into.insert(name.clone(), value.clone());
            }
            None => {}
        }
    }
}

fn share_empty_below(from: &Value, into: &mut Value, ty: &TypeRef) {
    match (ty, from, into) {
        (TypeRef::Object(ty), from, into) => share_empty(from, into, ty),
        (TypeRef::Array(array), Value::Array(from), Value::Array(into)) => {
            let pairs = from.iter().zip(into);
            pairs.for_each(|(from, into)| share_empty_below(from, into, &array.items));
        }
        (TypeRef::Map(values), Value::Object(from), Value::Object(into)) => {
            for (name, known) in into.iter_mut() {
                if let Some(value) = from.get(name) {
                    share_empty_below(value, known, values);
                }
            }
        }
        _ => {}
    }
}

fn leave_out_empty_below(value: &mut Value, ty: &TypeRef) {
    match (ty, value) {
        (TypeRef::Object(ty), value) => leave_out_empty(value, ty),
        (TypeRef::Array(array), Value::Array(items)) => {
            items
                .iter_mut()
                .for_each(|item| leave_out_empty_below(item, &array.items));
        }
        (TypeRef::Map(values), Value::Object(fields)) => {
            fields
                .values_mut()
                .for_each(|value| leave_out_empty_below(value, values));
        }
        _ => {}
    }
}
