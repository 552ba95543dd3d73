//! Strategic merge patch, driven by the schema (apimachinery `pkg/util/strategicpatch`).
//!
//! Lists merge by key where the schema says so; the directives `$patch`, `$retainKeys`, `$setElementOrder/<list>` and
//! `$deleteFromPrimitiveList/<list>` steer it.

use serde_json::{Map, Value};

use super::order::{self, Elements};
use super::{Error, FieldValidation, Patched, conclude, gofmt, read_object};
use crate::schema::decode::{self, DecodeError, Decoded};
use crate::schema::{Patch, Type, TypeRef};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList";
const ORDER_PREFIX: &str = "$setElementOrder";

const BAD_PRIMITIVE_LIST: &str = "invalid patch format of primitive list";
const BAD_RETAIN_KEYS: &str = "invalid patch format of retainKeys";
const BAD_ORDER: &str = "invalid patch format of setElementOrder list";

/// Applies a strategic merge patch to `live`, an object of type `ty`.
///
/// # Errors
/// When the patch is malformed, contradicts itself or the schema, or the result is none of the type.
pub fn apply(live: &Value, patch: &[u8], ty: &Type, validation: FieldValidation) -> Result<Patched, Error> {
    let (patch, found) = read_object(patch).map_err(Error::Malformed)?;
    let shown = || gofmt::value(&without_handled_directives(&patch, live));
    let fields = live.as_object().cloned().unwrap_or_default();
    let patched = Value::Object(merge_map(fields, patch.clone(), Schema::Object(ty))?);
    match decode::assign(&patched, ty) {
        Ok(Decoded { value, strict }) => conclude(value, found, strict, validation, shown),
        Err(DecodeError::Syntax(error)) => Err(Error::Malformed(error.to_string())),
        Err(DecodeError::Type(detail)) => Err(Error::Invalid { shown: shown(), detail }),
    }
}

/// What is left of a patch in upstream's messages: directives are taken out while they are obeyed, together with the
/// lists they order, and so are nulls in what is new.
fn without_handled_directives(patch: &Map<String, Value>, live: &Value) -> Value {
    let ordered: Vec<&str> = patch
        .keys()
        .filter_map(|k| k.strip_prefix(ORDER_PREFIX)?.strip_prefix('/'))
        .collect();
    let kept = patch
        .iter()
        .filter(|(key, _)| !key.starts_with(ORDER_PREFIX) && *key != RETAIN_KEYS && !ordered.contains(&key.as_str()));
    let shown = kept.map(|(key, value)| {
        let value = match (value, live.get(key)) {
            (Value::Object(map), Some(live @ Value::Object(_))) if !map.contains_key(DIRECTIVE) => {
                without_handled_directives(map, live)
            }
            (Value::Array(_), Some(Value::Array(_))) => value.clone(),
            _ => {
                let mut value = value.clone();
                drop_nulls(&mut value);
                value
            }
        };
        (key.clone(), value)
    });
    Value::Object(shown.collect())
}

/// What is known about the value that is being merged.
#[derive(Clone, Copy)]
enum Schema<'a> {
    Object(&'a Type),
    Other(&'a TypeRef),
}

static PLAIN: Patch = Patch {
    merge: false,
    replace: false,
    retain_keys: false,
    merge_key: None,
};

impl<'a> Schema<'a> {
    fn of(ty: &'a TypeRef) -> Self {
        match ty {
            TypeRef::Object(ty) => Schema::Object(ty),
            other => Schema::Other(other),
        }
    }

    /// The schema and directions of a field.
    fn field(self, name: &str) -> Result<(&'a TypeRef, &'a Patch), Error> {
        let kind = match self {
            Schema::Object(ty) => {
                return match ty.property(name) {
                    Some(property) => Ok((&property.ty, &property.details.patch)),
                    // Upstream falls back on a comparison without case.
                    None => match ty.properties.iter().find(|p| p.name.eq_ignore_ascii_case(name)) {
                        Some(property) => Ok((&property.ty, &property.details.patch)),
                        None => Err(no_field(ty.struct_name(), name)),
                    },
                };
            }
            Schema::Other(TypeRef::Map(_)) => "map",
            Schema::Other(TypeRef::Array(_)) => "slice",
            Schema::Other(TypeRef::Any(Some(ty))) => return Err(no_field(ty.struct_name(), name)),
            Schema::Other(TypeRef::Any(None)) => return Ok((ANY, &PLAIN)),
            Schema::Other(TypeRef::Scalar(scalar)) if scalar.definition().is_some() => {
                return Err(no_field(scalar.go_type().rsplit('.').next().unwrap_or_default(), name));
            }
            Schema::Other(TypeRef::Scalar(scalar)) => scalar.go_type(),
            Schema::Other(TypeRef::Object(ty)) => ty.struct_name(),
        };
        Err(Error::Failed(format!(
            "merging an object in json but data type is not struct, instead is: {kind}"
        )))
    }

    /// The schema of a list's elements and the directions for the list.
    fn list(self, name: &str) -> Result<(Schema<'a>, &'a Patch), Error> {
        let (ty, patch) = self.field(name)?;
        match ty {
            TypeRef::Array(array) if matches!(array.items, TypeRef::Array(_)) => {
                Err(Error::Failed("unexpected slice of slice".to_owned()))
            }
            TypeRef::Array(array) => Ok((Schema::of(&array.items), patch)),
            other => Ok((Schema::of(other), patch)),
        }
    }

    /// What upstream calls the type in its one message about it: the kind of the Go type.
    fn name(self) -> &'static str {
        match self {
            Schema::Object(_) => "struct",
            Schema::Other(TypeRef::Map(_)) => "map",
            Schema::Other(TypeRef::Array(_)) => "slice",
            Schema::Other(TypeRef::Scalar(scalar)) if scalar.definition().is_none() => scalar.go_type(),
            Schema::Other(_) => "struct",
        }
    }
}

const ANY: &TypeRef = &TypeRef::Any(None);

fn no_field(name: &str, field: &str) -> Error {
    Error::Failed(format!(
        "unable to find api field in struct {name} for the json field {field:?}"
    ))
}

/// Upstream's `mergeMap`.
fn merge_map(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    schema: Schema<'_>,
) -> Result<Map<String, Value>, Error> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Map::new()),
            _ => {
                patch.insert(DIRECTIVE.to_owned(), directive.clone());
                Err(bad_directive(&directive, &patch))
            }
        };
    }
    if let Some(retain) = patch.remove(RETAIN_KEYS) {
        retain_keys(&mut original, &patch, &retain)?;
    }
    merge_ordered_lists(&mut original, &mut patch, schema)?;
    for (key, value) in patch {
        let deletes = key.starts_with(DELETE_PREFIX);
        let key = if deletes {
            listed_field(&key, BAD_PRIMITIVE_LIST)?
        } else {
            key
        };
        if value.is_null() {
            original.remove(&key);
            continue;
        }
        let Some(current) = original.get(&key) else {
            if !deletes {
                add(&mut original, key, value);
            }
            continue;
        };
        let merged = match (current, value) {
            (Value::Object(_), Value::Object(patch)) => {
                let (ty, directions) = schema.field(&key)?;
                let Some(Value::Object(current)) = original.remove(&key) else {
                    continue;
                };
                let replaced = directions.replace && !directions.merge;
                Value::Object(if replaced {
                    patch
                } else {
                    merge_map(current, patch, Schema::of(ty))?
                })
            }
            (Value::Array(_), Value::Array(patch)) => {
                let (items, directions) = schema.list(&key)?;
                let Some(Value::Array(current)) = original.remove(&key) else {
                    continue;
                };
                let merges = directions.merge || deletes;
                Value::Array(if merges {
                    merge_list(current, patch, items, directions, deletes)?
                } else {
                    patch
                })
            }
            (_, _) if deletes => continue,
            (_, value) => {
                add(&mut original, key, value);
                continue;
            }
        };
        original.insert(key, merged);
    }
    Ok(original)
}

/// Takes a patch's value as it is, without nulls and directives.
fn add(original: &mut Map<String, Value>, key: String, mut value: Value) {
    drop_nulls(&mut value);
    match without_directives(value) {
        Some(value) => original.insert(key, value),
        None => original.remove(&key),
    };
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The value without what a `$patch` directive marks; `None` when it is marked itself.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => Some(Value::Object(
            map.into_iter()
                .filter_map(|(k, v)| Some((k, without_directives(v)?)))
                .collect(),
        )),
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}

/// Removes what `$retainKeys` does not name.
fn retain_keys(original: &mut Map<String, Value>, patch: &Map<String, Value>, retain: &Value) -> Result<(), Error> {
    let malformed = || Error::Malformed(BAD_RETAIN_KEYS.to_owned());
    let retain = retain.as_array().ok_or_else(malformed)?;
    let named = |key: &str| retain.iter().any(|name| name.as_str() == Some(key));
    let is_list_directive = |key: &str| key.starts_with(DELETE_PREFIX) || key.starts_with(ORDER_PREFIX);
    if patch
        .iter()
        .any(|(key, value)| !value.is_null() && !is_list_directive(key) && !named(key))
    {
        return Err(malformed());
    }
    original.retain(|key, _| named(key));
    Ok(())
}

/// The field a list directive is about: the part behind the slash.
fn listed_field(key: &str, complaint: &str) -> Result<String, Error> {
    match key.split_once('/') {
        Some((DELETE_PREFIX | ORDER_PREFIX, field)) => Ok(field.to_owned()),
        _ => Err(Error::Malformed(complaint.to_owned())),
    }
}

/// Merges and orders the lists for which the patch has a `$setElementOrder`, and takes both out of the patch.
fn merge_ordered_lists(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    schema: Schema<'_>,
) -> Result<(), Error> {
    let directives: Vec<String> = patch
        .keys()
        .filter(|key| key.starts_with(ORDER_PREFIX))
        .cloned()
        .collect();
    for directive in directives {
        let order = list(patch.remove(&directive).unwrap_or_default())?;
        let key = listed_field(&directive, BAD_ORDER)?;
        let before = original.get(&key).cloned().map(list).transpose()?;
        let patched = patch.get(&key).cloned().map(list).transpose()?;
        let (items, directions) = schema.list(&key)?;
        let merge_key = directions.merge_key.as_deref();
        check_order(patched.as_deref().unwrap_or_default(), &order, merge_key)?;
        let merged = match (&before, &patched) {
            (None, None) => continue,
            (Some(before), None) => before.clone(),
            (None, Some(patched)) => patched.iter().cloned().filter_map(without_directives).collect(),
            (Some(before), Some(patched)) if directions.merge => {
                merge_list(before.clone(), patched.clone(), items, directions, false)?
            }
            (Some(_), Some(patched)) => patched.clone(),
        };
        let before = before.unwrap_or_default();
        let kind = element_kind(&[&before, patched.as_deref().unwrap_or_default()])?;
        let (of_patch, of_server) = order::partition(merged, &order, merge_key)?;
        let sorted = order::normalize(of_patch, of_server, &order, &before, merge_key, kind)?;
        original.insert(key.clone(), Value::Array(sorted));
        patch.remove(&key);
    }
    Ok(())
}

/// Upstream demands that the elements of the patch come in the order that `$setElementOrder` tells.
fn check_order(patched: &[Value], order: &[Value], merge_key: Option<&str>) -> Result<(), Error> {
    if patched.is_empty() || order.is_empty() {
        return Ok(());
    }
    let is_marked = |item: &Value| item.get(DIRECTIVE).is_some();
    let mut wanted = patched
        .iter()
        .filter(|item| merge_key.is_none() || !is_marked(item))
        .peekable();
    let mut places = order.iter();
    while let Some(item) = wanted.peek() {
        let Some(place) = places.next() else {
            return Err(Error::Failed(format!(
                "The order in patch list:\n{}\n doesn't match {ORDER_PREFIX} list:\n{}\n",
                gofmt::list(patched),
                gofmt::list(order)
            )));
        };
        if order::same_element(item, place, merge_key)? {
            wanted.next();
        }
    }
    Ok(())
}

/// Upstream's `mergeSlice`.
fn merge_list(
    original: Vec<Value>,
    patch: Vec<Value>,
    items: Schema<'_>,
    directions: &Patch,
    deletes: bool,
) -> Result<Vec<Value>, Error> {
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    let kind = element_kind(&[&original, &patch])?;
    if kind == Elements::Plain {
        if deletes {
            return Ok(original.into_iter().filter(|item| !patch.contains(item)).collect());
        }
        let merged = deduplicate(original.iter().chain(&patch).cloned().collect());
        let (of_patch, of_server) = order::partition(merged, &patch, None)?;
        return order::normalize(of_patch, of_server, &patch, &original, None, kind);
    }
    let Some(merge_key) = directions.merge_key.as_deref() else {
        return Err(Error::Failed(format!(
            "cannot merge lists without merge key for {}",
            items.name()
        )));
    };
    let (original, patch) = obey_element_directives(original, patch, merge_key)?;
    let mut merged = original.clone();
    for item in &patch {
        let key = order::key_of(item, merge_key)?;
        let found = merged.iter().position(|other| other.get(merge_key) == Some(key));
        match (found, item) {
            (Some(at), Value::Object(item)) => {
                let current = merged[at].as_object().cloned().unwrap_or_default();
                merged[at] = Value::Object(merge_map(current, item.clone(), items)?);
            }
            _ => merged.push(item.clone()),
        }
    }
    let (of_patch, of_server) = order::partition(merged, &patch, Some(merge_key))?;
    order::normalize(of_patch, of_server, &patch, &original, Some(merge_key), kind)
}

/// Obeys the `$patch` of list elements: `delete` removes the element with that key, `replace` the whole list.
fn obey_element_directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    for item in patch {
        let Some(directive) = item.get(DIRECTIVE) else {
            rest.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let key = order::key_of(&item, merge_key)?;
                original.retain(|other| other.get(merge_key) != Some(key));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(Error::Failed(
                    "merging lists cannot yet be specified in the patch".to_owned(),
                ));
            }
            _ => return Err(bad_directive(directive, item.as_object().unwrap_or(&Map::new()))),
        }
    }
    Ok(if replace { (rest, Vec::new()) } else { (original, rest) })
}

fn bad_directive(directive: &Value, map: &Map<String, Value>) -> Error {
    let shown = gofmt::value(&Value::Object(map.clone()));
    Error::Failed(format!(
        "unknown patch type: {} in map: {shown}",
        gofmt::value(directive)
    ))
}

fn list(value: Value) -> Result<Vec<Value>, Error> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(Error::Failed(format!(
            "expected a []interface {{}}, but received a {}",
            gofmt::type_of(&other)
        ))),
    }
}

/// Whether the elements are objects or plain values; they must not be mixed.
fn element_kind(lists: &[&[Value]]) -> Result<Elements, Error> {
    let mut types = lists.iter().copied().flatten().map(gofmt::type_of);
    let Some(first) = types.next() else {
        return Err(Error::Failed("no elements in any of the given slices".to_owned()));
    };
    if first == "[]interface {}" {
        return Err(Error::Rejected("lists of lists are not supported".to_owned()));
    }
    if types.any(|ty| ty != first) {
        let shown: Vec<String> = lists.iter().map(|l| gofmt::list(l)).collect();
        return Err(Error::Failed(format!(
            "list element types are not identical: [{}]",
            shown.join(" ")
        )));
    }
    Ok(if first.starts_with("map") {
        Elements::Objects
    } else {
        Elements::Plain
    })
}

/// Removes repeated values as upstream does: the last element takes the place of a repeated one.
fn deduplicate(mut items: Vec<Value>) -> Vec<Value> {
    let mut i = 0;
    while i < items.len() {
        let mut j = i + 1;
        while j < items.len() {
            if items[i] == items[j] {
                items.swap_remove(j);
            } else {
                j += 1;
            }
        }
        i += 1;
    }
    items
}

#[cfg(test)]
mod tests;
