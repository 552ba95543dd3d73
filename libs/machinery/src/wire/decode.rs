//! Protobuf to objects in their JSON form. What is not known is skipped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::Error;
use super::raw::{Fields, Raw};
use crate::schema::json::float_value;
use crate::schema::{Property, Scalar, Type, TypeRef};
use crate::time;

/// The object of a message, not yet in canonical form.
pub(super) fn message(bytes: &[u8], ty: &Type) -> Result<Value, Error> {
    let mut object = Map::new();
    part(bytes, ty, &[], &mut object)?;
    Ok(Value::Object(object))
}

/// Reads the embedded message that `via` leads to.
fn part(bytes: &[u8], ty: &Type, via: &[u8], object: &mut Map<String, Value>) -> Result<(), Error> {
    for found in Fields::new(bytes) {
        let (number, raw) = found?;
        let Ok(number) = u8::try_from(number) else { continue };
        let own = ty
            .properties
            .iter()
            .find(|p| p.number == number && *p.details.via == *via);
        if let Some(property) = own {
            field(raw, property, object)?;
            continue;
        }
        let deeper = [via, &[number]].concat();
        let embedded = ty.properties.iter().any(|p| p.details.via.starts_with(&deeper));
        if let (true, Raw::Bytes(inner)) = (embedded, raw) {
            part(inner, ty, &deeper, object)?;
        }
    }
    Ok(())
}

fn field(raw: Raw<'_>, property: &Property, object: &mut Map<String, Value>) -> Result<(), Error> {
    let mismatch = || Error::Malformed(format!("proto: wrong wireType for field {}", &*property.name));
    match &property.ty {
        TypeRef::Array(array) if property.details.go_type.as_deref() == Some("v1.Verbs") => {
            let Raw::Bytes(inner) = raw else { return Err(mismatch()) };
            object.insert(
                property.name.to_string(),
                wrapped(inner, &array.items).ok_or_else(mismatch)??,
            );
        }
        TypeRef::Array(array) => {
            let items = object.entry(property.name.to_string()).or_insert_with(|| json!([]));
            if let Value::Array(items) = items {
                items.push(single(raw, &array.items).ok_or_else(mismatch)??);
            }
        }
        TypeRef::Map(values) => {
            let Raw::Bytes(inner) = raw else { return Err(mismatch()) };
            let (mut key, mut value) = (String::new(), None);
            for found in Fields::new(inner) {
                match (found?, &**values) {
                    ((1, Raw::Bytes(text)), _) => key = String::from_utf8_lossy(text).into_owned(),
                    ((2, Raw::Bytes(inner)), TypeRef::Array(array)) => value = wrapped(inner, &array.items),
                    ((2, raw), ty) => value = single(raw, ty),
                    _ => {}
                }
            }
            let value = value.transpose()?.unwrap_or_default();
            let entries = object.entry(property.name.to_string()).or_insert_with(|| json!({}));
            if let Value::Object(entries) = entries {
                entries.insert(key, value);
            }
        }
        ty => {
            object.insert(property.name.to_string(), single(raw, ty).ok_or_else(mismatch)??);
        }
    }
    Ok(())
}

/// The list in a message whose field 1 repeats its items. `None` for the wrong wire type.
fn wrapped(bytes: &[u8], ty: &TypeRef) -> Option<Result<Value, Error>> {
    let mut items = Vec::new();
    for found in Fields::new(bytes) {
        match found {
            Ok((1, raw)) => match single(raw, ty)? {
                Ok(item) => items.push(item),
                Err(error) => return Some(Err(error)),
            },
            Ok(_) => {}
            Err(error) => return Some(Err(error.into())),
        }
    }
    Some(Ok(Value::Array(items)))
}

/// One value. `None` for the wrong wire type.
fn single(raw: Raw<'_>, ty: &TypeRef) -> Option<Result<Value, Error>> {
    match (ty, raw) {
        (TypeRef::Scalar(scalar), raw) => self::scalar(raw, *scalar),
        (TypeRef::Object(ty), Raw::Bytes(bytes)) => Some(message(bytes, ty)),
        (TypeRef::Array(array), Raw::Bytes(bytes)) => wrapped(bytes, &array.items),
        (TypeRef::Any(_), Raw::Bytes(bytes)) => Some(raw_json(bytes)),
        _ => None,
    }
}

/// The JSON text in a RawExtension or FieldsV1.
fn raw_json(bytes: &[u8]) -> Result<Value, Error> {
    let mut value = Value::Null;
    for found in Fields::new(bytes) {
        if let (1, Raw::Bytes(text)) = found?
            && !text.is_empty()
        {
            let node = crate::schema::json::parse(text).map_err(|e| Error::Malformed(e.to_string()))?;
            value = node.into_value();
        }
    }
    Ok(value)
}

fn scalar(raw: Raw<'_>, scalar: Scalar) -> Option<Result<Value, Error>> {
    let value = match (scalar, raw) {
        (Scalar::String, Raw::Bytes(text)) => Value::from(String::from_utf8_lossy(text)),
        (Scalar::Bytes, Raw::Bytes(bytes)) => Value::from(STANDARD.encode(bytes)),
        (Scalar::Boolean, Raw::Varint(number)) => Value::from(number != 0),
        (Scalar::Int32, Raw::Varint(number)) => Value::from(number as i32),
        (Scalar::Int64, Raw::Varint(number)) => Value::from(number.cast_signed()),
        (Scalar::Double, Raw::Fixed64(bits)) => float_value(f64::from_bits(bits)),
        (Scalar::Quantity | Scalar::IntOrString | Scalar::Time | Scalar::MicroTime, Raw::Bytes(bytes)) => {
            return Some(structure(bytes, scalar));
        }
        _ => return None,
    };
    Some(Ok(value))
}

/// The scalars that are messages: two numbers and a text at most.
fn structure(bytes: &[u8], scalar: Scalar) -> Result<Value, Error> {
    let (mut first, mut second) = (0_i64, 0_i64);
    let (mut text, mut is_set) = (String::new(), false);
    for found in Fields::new(bytes) {
        is_set = true;
        match found? {
            (1, Raw::Varint(number)) => first = number.cast_signed(),
            (2, Raw::Varint(number)) => second = number.cast_signed(),
            (1 | 3, Raw::Bytes(bytes)) => text = String::from_utf8_lossy(bytes).into_owned(),
            _ => {}
        }
    }
    Ok(match scalar {
        Scalar::IntOrString if first == 1 => Value::from(text),
        Scalar::IntOrString => Value::from(second as i32),
        Scalar::Time | Scalar::MicroTime if !is_set => Value::Null,
        Scalar::Time | Scalar::MicroTime => {
            let nanoseconds = i32::try_from(second).unwrap_or_default();
            let time = jiff::Timestamp::new(first, nanoseconds).map_err(|e| Error::Malformed(e.to_string()))?;
            Value::from(if scalar == Scalar::Time {
                time::format(time)
            } else {
                time::format_micro(time)
            })
        }
        _ => Value::from(text),
    })
}
