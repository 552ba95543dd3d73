//! Lists that are encoded item by item, so that all their objects are never there as trees at the same time.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::Value;

use super::raw::{put_bytes, put_length};
use super::{Envelope, Error, encode, envelope, supported};
use crate::schema::Type;

/// The field of every list that holds its items.
const ITEMS: u32 = 2;

/// An object of type `ty` as an item of a list. `object` is decoded, that is in its canonical form.
///
/// # Errors
/// When the type has no protobuf form.
pub fn encode_item(object: &Value, ty: &Type) -> Result<Bytes, Error> {
    supported(ty)?;
    let mut item = Vec::new();
    put_bytes(&mut item, ITEMS, &encode::message(object, ty));
    Ok(item.into())
}

/// A list with its envelope, in pieces. `head` is the list without items, of type `ty`.
///
/// # Errors
/// When the type has no protobuf form.
pub fn encode_list(head: &Value, ty: &Type, items: Vec<Bytes>) -> Result<VecDeque<Bytes>, Error> {
    supported(ty)?;
    let text = |name: &str| head.get(name).and_then(Value::as_str).unwrap_or_default();
    let around = Envelope {
        api_version: text("apiVersion").into(),
        kind: text("kind").into(),
        raw: encode::message(head, ty).into(),
    };
    let mut first = around.opening();
    put_length(
        &mut first,
        envelope::RAW,
        around.raw.len() + items.iter().map(Bytes::len).sum::<usize>(),
    );
    first.extend_from_slice(&around.raw);
    let mut pieces = VecDeque::from(items);
    pieces.push_front(first.into());
    pieces.push_back(Envelope::closing().into());
    Ok(pieces)
}
