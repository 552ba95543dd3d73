//! The order of a merged list: elements named by the patch in the patch's order, the others in the order they had,
//! interleaved by the order they had before.

use serde_json::Value;

use super::{Error, gofmt};

/// What a list is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elements {
    Objects,
    Plain,
}

/// The merge key's value of an element.
pub(super) fn key_of<'a>(item: &'a Value, merge_key: &str) -> Result<&'a Value, Error> {
    let Value::Object(map) = item else {
        return Err(Error::Failed(format!(
            "expected a map[string]interface {{}}, but received a {}",
            gofmt::type_of(item)
        )));
    };
    map.get(merge_key).ok_or_else(|| {
        Error::Failed(format!(
            "map: {} does not contain declared merge key: {merge_key}",
            gofmt::value(item)
        ))
    })
}

/// Whether two elements are the same one: by key, or by value where there is no key.
pub(super) fn same_element(left: &Value, right: &Value, merge_key: Option<&str>) -> Result<bool, Error> {
    match merge_key {
        None => Ok(left == right),
        Some(merge_key) => Ok(key_of(left, merge_key)? == key_of(right, merge_key)?),
    }
}

/// Splits a list into the elements that are in `by` and the others.
pub(super) fn partition(
    items: Vec<Value>,
    by: &[Value],
    merge_key: Option<&str>,
) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let mut inside = Vec::with_capacity(items.len());
    let mut outside = Vec::new();
    for item in items {
        let present = match merge_key {
            None => by.contains(&item),
            Some(merge_key) => {
                let key = key_of(&item, merge_key)?;
                by.iter().any(|other| other.get(merge_key) == Some(key))
            }
        };
        if present { inside.push(item) } else { outside.push(item) }
    }
    Ok((inside, outside))
}

/// Upstream's `normalizeElementOrder`.
pub(super) fn normalize(
    of_patch: Vec<Value>,
    of_server: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    merge_key: Option<&str>,
    kind: Elements,
) -> Result<Vec<Value>, Error> {
    let merge_key = if kind == Elements::Objects { merge_key } else { None };
    let of_patch = sort(of_patch, patch_order, merge_key)?;
    let of_server = sort(of_server, server_order, merge_key)?;
    let mut all = Vec::with_capacity(of_patch.len() + of_server.len());
    let mut of_patch = of_patch.into_iter().peekable();
    let mut of_server = of_server.into_iter().peekable();
    while let (Some(server), Some(patch)) = (of_server.peek(), of_patch.peek()) {
        let places = (
            place(server_order, server, merge_key),
            place(server_order, patch, merge_key),
        );
        let server_first = matches!(places, (Some(server), Some(patch)) if server < patch);
        all.extend(if server_first {
            of_server.next()
        } else {
            of_patch.next()
        });
    }
    all.extend(of_server);
    all.extend(of_patch);
    Ok(all)
}

/// Sorts by the place in `order`; elements that a directive deletes come last.
fn sort(items: Vec<Value>, order: &[Value], merge_key: Option<&str>) -> Result<Vec<Value>, Error> {
    let mut keep = Vec::with_capacity(items.len());
    let mut delete = Vec::new();
    if let Some(merge_key) = merge_key {
        for item in items.iter().chain(order) {
            key_of(item, merge_key)?;
        }
    }
    for item in items {
        let deleted = merge_key.is_some() && item.get("$patch").is_some_and(|d| d == "delete");
        if deleted { delete.push(item) } else { keep.push(item) }
    }
    keep.sort_by_cached_key(|item| place(order, item, merge_key).unwrap_or(usize::MAX));
    keep.extend(delete);
    Ok(keep)
}

fn place(list: &[Value], item: &Value, merge_key: Option<&str>) -> Option<usize> {
    match merge_key {
        None => list.iter().position(|other| other == item),
        Some(key) => list.iter().position(|other| other.get(key) == item.get(key)),
    }
}
