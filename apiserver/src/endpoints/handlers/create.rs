//! `POST`.

use super::Scope;
use crate::endpoints::body;
use crate::endpoints::negotiation::body_format;
use crate::endpoints::options::{WriteKind, WriteOptions};
use crate::registry::{before, codec};
use crate::server::request::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use machinery::status::Status;

/// Creates an object.
///
/// # Errors
/// Whatever decoding, admission, validation or the store says.
pub async fn create(scope: &Scope, sent: &Bytes) -> Result<Response<Body>, Status> {
    let options = WriteOptions::read(&scope.query, WriteKind::Create)?;
    let format = body_format(&scope.parts.headers)?;
    let resource = scope.resource();
    let warn = |text: String| scope.cx.warnings.add(text);
    let mut obj = body::object_of(resource, sent, format, options.validation, &warn)?;
    codec::default(resource, &mut obj);
    before::wipe_system_fields(&mut obj);
    before::match_namespace(resource, &scope.route.namespace, &mut obj)?;
    let manager = scope.field_manager(&options.field_manager);
    let stored = scope
        .registry(&options.shown, async |rq| {
            before::dedup_owner_references(rq, &mut obj, false);
            scope.managers()?.update(rq, None, &mut obj, &manager);
            scope.store().create(rq, obj).await
        })
        .await?;
    scope.object(StatusCode::CREATED, &stored)
}
