//! `GET` of one object.

use super::Scope;
use crate::endpoints::options::get_revision;
use crate::server::request::Body;
use http::{Response, StatusCode};
use machinery::status::Status;

/// Reads one object.
///
/// # Errors
/// 404 when there is none.
pub async fn get(scope: &Scope) -> Result<Response<Body>, Status> {
    let revision = get_revision(&scope.query)?;
    let stored = scope
        .store()
        .get(&scope.route.namespace, &scope.route.name, revision)
        .await?;
    scope.object(StatusCode::OK, &stored)
}
