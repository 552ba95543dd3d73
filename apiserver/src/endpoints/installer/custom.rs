//! The routes of resources that are defined at run time, which know less of what a path may look like
//! (apiextensions-apiserver `pkg/apiserver/customresource_handler.go`).

use super::{Miss, Route, Verb};
use crate::filters::request_info::RequestInfo;
use crate::registry::resource::Subresource;
use crate::registry::store::Store;
use http::Method;
use machinery::gvk::GroupResource;
use machinery::status::{Details, Status};
use std::sync::Arc;

/// Finds what a request is about.
///
/// # Errors
/// When there is nothing, or nothing that understands the method.
pub(super) fn route(store: &Arc<Store>, info: &RequestInfo, method: &Method) -> Result<Route, Miss> {
    let resource = &store.resource;
    let trimmed = info.path.trim_end_matches('/');
    let segments: Vec<&str> = trimmed.split('/').skip(4).collect();
    let (watch, segments) = match segments.split_first() {
        Some((&"watch", rest)) => (true, rest),
        _ => (false, segments.as_slice()),
    };
    let (namespace, rest) = match segments {
        ["namespaces", namespace, plural, rest @ ..] if **plural == *resource.plural => (*namespace, rest),
        [plural, rest @ ..] if **plural == *resource.plural => ("", rest),
        _ => return Err(Miss::NoGroup),
    };
    let (name, below) = match rest {
        [] => ("", ""),
        [name] => (*name, ""),
        [name, subresource, ..] => (*name, *subresource),
    };
    let verb = verb(method, name, watch);
    let everywhere = matches!(verb, Some(Verb::List | Verb::Watch));
    if resource.namespaced() == namespace.is_empty() && !(everywhere && resource.namespaced()) {
        return Err(Miss::NoGroup);
    }
    let refused = |status: Status| Miss::Answer(Box::new(status));
    let subresource = match below {
        "" => None,
        below => {
            let found = resource.subresources.iter().position(|known| known.name == below);
            Some(found.ok_or_else(|| refused(Status::not_found(&resource.group_resource(), name)))?)
        }
    };
    let allowed = subresource.and_then(|i| resource.subresources.get(i));
    let unsupported = || refused(not_supported(&resource.group_resource(), method, name));
    let verb = verb.filter(|verb| may(allowed, *verb)).ok_or_else(unsupported)?;
    if name.is_empty() && matches!(verb, Verb::Update | Verb::Patch) {
        return Err(refused(Status::bad_request("name must be provided")));
    }
    Ok(Route {
        store: store.clone(),
        subresource,
        verb,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// The verb of a method (apiserver `pkg/endpoints/request/requestinfo.go`).
fn verb(method: &Method, name: &str, watch: bool) -> Option<Verb> {
    Some(match *method {
        Method::GET | Method::HEAD if watch => Verb::Watch,
        Method::GET | Method::HEAD if name.is_empty() => Verb::List,
        Method::GET | Method::HEAD => Verb::Get,
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE if name.is_empty() => Verb::DeleteCollection,
        Method::DELETE => Verb::Delete,
        _ => return None,
    })
}

fn may(subresource: Option<&Subresource>, verb: Verb) -> bool {
    subresource.is_none() || matches!(verb, Verb::Get | Verb::Update | Verb::Patch)
}

/// 405 (apimachinery `NewMethodNotSupported`).
fn not_supported(resource: &GroupResource, method: &Method, name: &str) -> Status {
    let action = match *method {
        Method::POST => "create",
        Method::DELETE if name.is_empty() => "deletecollection",
        Method::DELETE => "delete",
        _ => "",
    };
    let message = format!("{action} is not supported on resources of kind \"{resource}\"");
    Status::failure(405, "MethodNotAllowed", message).with_details(Details {
        group: resource.group.clone(),
        kind: resource.resource.clone(),
        ..Details::default()
    })
}
