//! Objects to protobuf, byte for byte as Go's generated code: fields by number, zero values of plain fields included.

use std::collections::BTreeMap;

use serde_json::Value;

use super::raw::{put_bytes, put_fixed64, put_number};
use crate::schema::{Property, Scalar, Type, TypeRef};
use crate::time;

/// The message of an object.
pub(super) fn message(object: &Value, ty: &Type) -> Vec<u8> {
    part(object, ty, &[])
}

/// What a field of a message comes from.
enum Source<'a> {
    Property(&'a Property),
    /// A message that JSON has inlined.
    Embedded,
}

/// The part of an object that lies in the embedded message that `via` leads to.
fn part(object: &Value, ty: &Type, via: &[u8]) -> Vec<u8> {
    let mut fields = BTreeMap::new();
    for property in ty.properties.iter().filter(|p| p.number > 0) {
        match property.details.via.strip_prefix(via) {
            Some([]) => fields.insert(property.number, Source::Property(property)),
            Some([next, ..]) => fields.insert(*next, Source::Embedded),
            None => None,
        };
    }
    let mut out = Vec::new();
    for (number, source) in fields {
        match source {
            Source::Property(property) => field(&mut out, object.get(&*property.name), property),
            Source::Embedded => put_bytes(&mut out, number.into(), &part(object, ty, &[via, &[number]].concat())),
        }
    }
    out
}

fn field(out: &mut Vec<u8>, value: Option<&Value>, property: &Property) {
    let number = u32::from(property.number);
    let value = value.unwrap_or(&Value::Null);
    match (&property.ty, value) {
        (_, Value::Null) if property.pointer => {}
        // The one list that has a message of its own.
        (TypeRef::Array(array), Value::Array(items)) if property.details.go_type.as_deref() == Some("v1.Verbs") => {
            put_bytes(out, number, &wrapped(items, &array.items));
        }
        (TypeRef::Array(array), Value::Array(items)) => {
            items.iter().for_each(|item| single(out, number, item, &array.items))
        }
        (TypeRef::Map(values), Value::Object(entries)) => {
            for (key, value) in entries {
                let mut entry = Vec::new();
                put_bytes(&mut entry, 1, key.as_bytes());
                match (&**values, value) {
                    (TypeRef::Array(array), Value::Array(items)) => {
                        put_bytes(&mut entry, 2, &wrapped(items, &array.items))
                    }
                    (ty, value) => single(&mut entry, 2, value, ty),
                }
                put_bytes(out, number, &entry);
            }
        }
        (TypeRef::Array(_) | TypeRef::Map(_) | TypeRef::Scalar(Scalar::Bytes), Value::Null) => {}
        (ty, value) => single(out, number, value, ty),
    }
}

/// A message whose field 1 repeats the items: protobuf has no lists of lists.
fn wrapped(items: &[Value], ty: &TypeRef) -> Vec<u8> {
    let mut out = Vec::new();
    items.iter().for_each(|item| single(&mut out, 1, item, ty));
    out
}

/// One value; null is the type's zero value.
fn single(out: &mut Vec<u8>, number: u32, value: &Value, ty: &TypeRef) {
    match ty {
        TypeRef::Scalar(scalar) => self::scalar(out, number, value, *scalar),
        TypeRef::Object(ty) => put_bytes(out, number, &message(value, ty)),
        TypeRef::Any(_) => {
            let mut raw = Vec::new();
            if !value.is_null() {
                put_bytes(&mut raw, 1, value.to_string().as_bytes());
            }
            put_bytes(out, number, &raw);
        }
        TypeRef::Array(array) => put_bytes(
            out,
            number,
            &wrapped(value.as_array().map_or(&[], Vec::as_slice), &array.items),
        ),
        TypeRef::Map(_) => {}
    }
}

fn scalar(out: &mut Vec<u8>, number: u32, value: &Value, scalar: Scalar) {
    let text = value.as_str().unwrap_or_default();
    let integer = value.as_i64().unwrap_or_default().cast_unsigned();
    match scalar {
        Scalar::String => put_bytes(out, number, text.as_bytes()),
        Scalar::Bytes => put_bytes(out, number, &crate::schema::decode_base64(text).unwrap_or_default()),
        Scalar::Boolean => put_number(out, number, u64::from(value.as_bool().unwrap_or_default())),
        Scalar::Int32 | Scalar::Int64 => put_number(out, number, integer),
        Scalar::Double => put_fixed64(out, number, value.as_f64().unwrap_or_default().to_bits()),
        Scalar::Quantity => {
            let mut message = Vec::new();
            put_bytes(&mut message, 1, if text.is_empty() { b"0" } else { text.as_bytes() });
            put_bytes(out, number, &message);
        }
        Scalar::IntOrString => {
            let mut message = Vec::new();
            put_number(&mut message, 1, u64::from(value.is_string()));
            put_number(&mut message, 2, integer);
            put_bytes(&mut message, 3, text.as_bytes());
            put_bytes(out, number, &message);
        }
        Scalar::Time | Scalar::MicroTime => {
            let mut message = Vec::new();
            if let Some(time) = time::parse(text) {
                put_number(&mut message, 1, time.as_second().cast_unsigned());
                let nanoseconds = if scalar == Scalar::MicroTime {
                    time.subsec_nanosecond()
                } else {
                    0
                };
                put_number(&mut message, 2, i64::from(nanoseconds).cast_unsigned());
            }
            put_bytes(out, number, &message);
        }
    }
}
