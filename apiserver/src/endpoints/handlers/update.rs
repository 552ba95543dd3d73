//! `PUT`.

use super::Scope;
use crate::endpoints::body;
use crate::endpoints::negotiation::body_format;
use crate::endpoints::options::{WriteKind, WriteOptions};
use crate::registry::request::Request;
use crate::registry::resource::{Action, Resource};
use crate::registry::store::update::Update;
use crate::registry::strategy::Strategy;
use crate::registry::{before, codec};
use crate::server::request::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;

/// Replaces an object, or the part of it that a subresource changes.
///
/// # Errors
/// Whatever decoding, admission, validation or the store says.
pub async fn update(scope: &Scope, sent: &Bytes) -> Result<Response<Body>, Status> {
    let options = WriteOptions::read(&scope.query, WriteKind::Update)?;
    let format = body_format(&scope.parts.headers)?;
    let resource = scope.resource();
    let warn = |text: String| scope.cx.warnings.add(text);
    let mut obj = body::object_of(resource, sent, format, options.validation, &warn)?;
    codec::default(resource, &mut obj);
    before::match_namespace(resource, &scope.route.namespace, &mut obj)?;
    check_name(scope, &obj)?;
    let managers = scope.managers()?;
    let manager = scope.field_manager(&options.field_manager);
    let uid = Some(meta::uid(&obj)).filter(|uid| !uid.is_empty()).map(str::to_owned);
    let updated = scope
        .registry(&options.shown, async |rq| {
            before::dedup_owner_references(rq, &mut obj, false);
            let transform = |rq: &Request<'_>, current: Option<&Value>| {
                let mut new = obj.clone();
                managers.update(rq, current, &mut new, &manager);
                Ok(new)
            };
            let update = Update {
                name: &scope.route.name,
                subresource: scope.subresource(),
                kind: &resource.gvk,
                view: None,
                strategy: strategy(scope),
                uid,
                transform: &transform,
                force_create: false,
            };
            scope.store().update(rq, &update).await
        })
        .await?;
    let code = if updated.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    scope.object(code, &updated.object)
}

/// The hooks of the object or of the subresource.
pub fn strategy(scope: &Scope) -> &dyn Strategy {
    match scope.route.subresource().map(|subresource| &subresource.action) {
        Some(Action::Object(strategy)) => strategy.as_ref(),
        _ => scope.resource().strategy.as_ref(),
    }
}

/// The object must name itself as the path does (upstream `checkName`).
///
/// # Errors
/// 400.
pub fn check_name(scope: &Scope, obj: &Value) -> Result<(), Status> {
    check_name_of(scope.resource(), &scope.route.namespace, &scope.route.name, obj)
}

fn check_name_of(resource: &Resource, namespace: &str, name: &str, obj: &Value) -> Result<(), Status> {
    let own = meta::name(obj);
    if own.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if own != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({own}) does not match the name on the URL ({name})"
        )));
    }
    let own = meta::namespace(obj);
    if resource.namespaced() && !namespace.is_empty() && !own.is_empty() && own != namespace {
        return Err(Status::bad_request(format!(
            "the namespace of the object ({own}) does not match the namespace on the request ({namespace})"
        )));
    }
    Ok(())
}
