//! `GET` of a collection.

use super::scope::{Scope, not_acceptable};
use crate::endpoints::negotiation::{Format, Shape};
use crate::endpoints::options::ReadOptions;
use crate::endpoints::{respond, table};
use crate::registry::codec;
use crate::server::request::Body;
use crate::storage::interface::Listed;
use bytes::Bytes;
use http::{Response, StatusCode};
use machinery::gvk::GroupVersionKind;
use machinery::status::{ListMeta, Status};
use machinery::wire;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Reads many objects.
///
/// # Errors
/// 410 for a revision that is gone.
pub async fn list(scope: &Scope, options: &ReadOptions) -> Result<Response<Body>, Status> {
    let listed = scope.store().list(options.list(&scope.route.namespace)?).await?;
    respond(scope, &listed)
}

/// Answers with a list in the shape that was negotiated.
///
/// # Errors
/// 406 when the client wants a single object, 400 for bad table options.
pub fn respond(scope: &Scope, listed: &Listed) -> Result<Response<Body>, Status> {
    let metadata = ListMeta {
        resource_version: listed.revision.to_string(),
        continue_token: listed.continue_token.clone(),
        remaining_item_count: listed.remaining,
    };
    // Three plain fields: nothing that JSON cannot express.
    let mut metadata = serde_json::to_value(metadata).unwrap_or_default();
    let custom = scope.resource().custom.is_some();
    if custom && scope.negotiated.shape == Shape::Plain {
        machinery::meta::set(&mut metadata, &["continue"], listed.continue_token.as_str());
    }
    let shaped = match &scope.negotiated.shape {
        Shape::Plain if scope.negotiated.format == Format::Json && !scope.negotiated.pretty => {
            let pieces = pieces(scope, listed, &metadata)?;
            let media_type = Format::Json.media_type();
            return Ok(respond::pieces(StatusCode::OK, media_type, pieces, scope.client()));
        }
        Shape::Plain if scope.negotiated.format == Format::Protobuf && has_protobuf(scope) => {
            let pieces = protobuf_pieces(scope, listed, metadata)?;
            let media_type = Format::Protobuf.media_type();
            return Ok(respond::pieces(StatusCode::OK, media_type, pieces, scope.client()));
        }
        Shape::Plain | Shape::Discovery(_) => {
            let mut items = objects(scope, listed).collect::<Result<Vec<Value>, Status>>()?;
            for fields in items.iter_mut().filter(|_| !custom).filter_map(Value::as_object_mut) {
                fields.remove("kind");
                fields.remove("apiVersion");
            }
            let mut list = head(scope, metadata);
            list["items"] = items.into();
            list
        }
        Shape::Table(version) => {
            let style = scope.table_style(version)?;
            table::table(&*scope.resource().columns, objects(scope, listed), metadata, style)?
        }
        Shape::MetadataList(version) => {
            let hidden = scope.resource().internal_annotations;
            table::partial_list(objects(scope, listed), metadata, version, hidden)?
        }
        Shape::Metadata(_) => {
            return Err(not_acceptable(format!(
                "you requested PartialObjectMetadata, but the requested object is a list ({})",
                scope.go_type("List")
            )));
        }
    };
    Ok(respond::tree(
        StatusCode::OK,
        &shaped,
        &scope.negotiated,
        scope.client(),
    ))
}

/// The objects, each decoded when it is asked for: as trees they take many times their size.
fn objects(scope: &Scope, listed: &Listed) -> impl Iterator<Item = Result<Value, Status>> {
    let decode = |stored| codec::decode(scope.resource(), stored);
    listed.items.iter().map(decode)
}

/// The list without its items.
fn head(scope: &Scope, metadata: Value) -> Value {
    let kind = &scope.resource().gvk;
    json!({"kind": &*scope.resource().list_kind, "apiVersion": kind.api_version(), "metadata": metadata})
}

/// The kind of the list.
fn list_kind(scope: &Scope) -> GroupVersionKind {
    let kind = &scope.resource().gvk;
    GroupVersionKind::new(&*kind.group, &*kind.version, &*scope.resource().list_kind)
}

fn has_protobuf(scope: &Scope) -> bool {
    if scope.resource().custom.is_some() {
        return false;
    }
    let has = |kind| codec::type_of(kind).is_ok_and(|ty| ty.message);
    has(&scope.resource().gvk) && has(&list_kind(scope))
}

/// The list as protobuf, encoded object by object.
fn protobuf_pieces(scope: &Scope, listed: &Listed, metadata: Value) -> Result<VecDeque<Bytes>, Status> {
    let ty = codec::type_of(&scope.resource().gvk)?;
    let items = objects(scope, listed).map(|object| wire::encode_item(&object?, ty).map_err(Status::internal));
    let items = items.collect::<Result<Vec<Bytes>, Status>>()?;
    let list = codec::type_of(&list_kind(scope))?;
    wire::encode_list(&head(scope, metadata), list, items).map_err(Status::internal)
}

/// The list as slices of the stored bytes with a little text between them.
fn pieces(scope: &Scope, listed: &Listed, metadata: &Value) -> Result<VecDeque<Bytes>, Status> {
    const OPEN: Bytes = Bytes::from_static(b"{");
    const NEXT: Bytes = Bytes::from_static(b",");
    const NEXT_OPEN: Bytes = Bytes::from_static(b",{");
    const CLOSE: Bytes = Bytes::from_static(b"]}\n");
    let kind = &scope.resource().gvk;
    let head = format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
        &*scope.resource().list_kind,
        kind.api_version()
    );
    let prefix = codec::type_prefix(kind);
    let mut pieces = VecDeque::with_capacity(listed.items.len() * 2 + 2);
    pieces.push_back(Bytes::from(head));
    for (i, stored) in listed.items.iter().enumerate() {
        let item = codec::list_item(scope.resource(), &prefix, stored)?;
        match (i, item.opened) {
            (0, true) => {}
            (0, false) => pieces.push_back(OPEN),
            (_, true) => pieces.push_back(NEXT),
            (_, false) => pieces.push_back(NEXT_OPEN),
        }
        pieces.push_back(item.rest);
    }
    pieces.push_back(CLOSE);
    Ok(pieces)
}
