//! `POST serviceaccounts/{name}/token` (kubernetes `pkg/registry/core/serviceaccount/storage/token.go`).

use super::Scope;
use super::scope::not_acceptable;
use crate::authentication::issue::{TokenIssuer, set_defaults};
use crate::endpoints::body;
use crate::endpoints::negotiation::{self, Allows, Shape, body_format};
use crate::endpoints::options::{WriteKind, WriteOptions};
use crate::endpoints::respond;
use crate::endpoints::table;
use crate::registry::before;
use crate::registry::managers::Managers;
use crate::server::request::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use machinery::gvk::GroupVersionKind;
use machinery::schema;
use machinery::status::Status;

/// Issues a token.
///
/// # Errors
/// What decoding or [`TokenIssuer::issue`] say.
pub async fn create(scope: &Scope, issuer: &TokenIssuer, sent: &Bytes) -> Result<Response<Body>, Status> {
    let client = scope.client();
    // Tokens have no table.
    let negotiated = negotiation::negotiate(client.headers, client.query, Allows::Metadata)?;
    let options = WriteOptions::read(&scope.query, WriteKind::Create)?;
    let kind = GroupVersionKind::new("authentication.k8s.io", "v1", "TokenRequest");
    let warn = |text: String| scope.cx.warnings.add(text);
    let format = body_format(&scope.parts.headers)?;
    let mut request = body::object(sent, format, &kind, options.validation, &warn)?;
    let (namespace, name) = (scope.route.namespace.as_str(), scope.route.name.as_str());
    before::match_namespace(scope.resource(), namespace, &mut request)?;
    set_defaults(&mut request);
    let manager = scope.field_manager(&options.field_manager);
    let managers = Managers::of_view(&kind, scope.subresource())?;
    let write = scope.creation(&kind, name);
    let issued = scope.registry(&options.shown, async |rq| {
        managers.update(rq, None, &mut request, &manager);
        scope.store().admit(rq, &write, &mut request).await?;
        issuer.prepare(namespace, name, &mut request, rq.now).await?;
        scope.store().validate_admission(rq, &write, &request).await?;
        issuer.issue(namespace, name, request).await
    });
    let mut issued = issued.await?;
    schema::leave_out_empty(&kind, &mut issued);
    match &negotiated.shape {
        Shape::Metadata(version) => issued = table::partial(&issued, version, &[]),
        Shape::MetadataList(_) => {
            return Err(not_acceptable(
                "you requested PartialObjectMetadataList, but the requested object is not a list (*authentication.TokenRequest)"
                    .to_owned(),
            ));
        }
        Shape::Plain | Shape::Table(_) | Shape::Discovery(_) => {}
    }
    Ok(respond::tree(StatusCode::CREATED, &issued, &negotiated, client))
}
