//! `DELETE` of an object and of a collection.

use super::{Scope, list};
use crate::endpoints::negotiation::body_format;
use crate::endpoints::options::{ReadOptions, SentDeleteOptions, Shown};
use crate::endpoints::{body, respond};
use crate::registry::store::options::{DeleteOptions, Propagation};
use crate::server::request::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use machinery::status::Status;

/// Deletes one object.
///
/// # Errors
/// 404, 409 for preconditions, or what admission says.
pub async fn delete(scope: &Scope, sent: &Bytes) -> Result<Response<Body>, Status> {
    let (options, shown) = options(scope, sent)?;
    let deleted = scope
        .registry(&shown, async |rq| {
            scope.store().delete(rq, &scope.route.name, &options).await
        })
        .await?;
    // Clients that ask for cascading deletion in the old way are told whether it goes on.
    let pending = !deleted.gone && options.orphan_dependents == Some(false);
    let code = if pending { StatusCode::ACCEPTED } else { StatusCode::OK };
    if deleted.shows_object {
        return scope.object(code, &deleted.object);
    }
    let resource = scope.resource().group_resource();
    let mut status = Status::deleted(&resource, &scope.route.name, &deleted.object.index.uid);
    status.code = 0;
    let mut value = serde_json::to_value(&status).map_err(Status::internal)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("code");
    }
    Ok(respond::tree(code, &value, &scope.negotiated, scope.client()))
}

/// Deletes what a list would answer.
///
/// # Errors
/// Those of the list and of the first deletion that fails.
pub async fn delete_collection(scope: &Scope, sent: &Bytes) -> Result<Response<Body>, Status> {
    let read = ReadOptions::read(&scope.query, scope.resource(), "", false)?;
    let (options, shown) = options(scope, sent)?;
    let selected = read.list(&scope.route.namespace)?;
    let listed = scope
        .registry(&shown, async |rq| {
            scope.store().delete_collection(rq, &options, selected).await
        })
        .await?;
    list::respond(scope, &listed)
}

/// The options: in the body when there is one, else in the query.
fn options(scope: &Scope, sent: &Bytes) -> Result<(DeleteOptions, Shown), Status> {
    let options = if sent.is_empty() {
        SentDeleteOptions::from_query(&scope.query)?
    } else {
        let format = body_format(&scope.parts.headers)?;
        SentDeleteOptions::from_object(&body::delete_options(sent, format)?)
    };
    let (options, shown) = options.validate()?;
    let policy = options.propagation.map(Propagation::as_str);
    // The old option says as much as the new one.
    let policy = policy.or(options
        .orphan_dependents
        .map(|orphan| if orphan { "Orphan" } else { "Background" }));
    for warning in scope.resource().strategy.warnings_on_delete(policy) {
        scope.cx.warnings.add(warning);
    }
    Ok((options, shown))
}
