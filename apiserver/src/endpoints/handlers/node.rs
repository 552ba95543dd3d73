//! What is passed on to the kubelet of a pod's node: logs and the tunnels of exec, attach and port-forward
//! (kubernetes `pkg/registry/core/pod/rest`).

use super::connect_options;
use crate::admission::Operation;
use crate::authorization::Attributes;
use crate::endpoints::api::Api;
use crate::endpoints::installer::{Route, not_found};
use crate::filters::authorization::attributes;
use crate::filters::request_info::{RequestInfo, query_pairs};
use crate::proxy::Wanted;
use crate::registry::request::{NO_OPTIONS, Request as RegistryRequest};
use crate::registry::resource::Action;
use crate::registry::store::admit::Write;
use crate::server::request::{Body, Peer, RequestContext};
use http::{Request, Response};
use hyper::body::Incoming;
use machinery::gvk::GroupResource;
use machinery::status::Status;

/// Answers a log or opens a tunnel.
///
/// # Errors
/// What admission, the pod's state or the kubelet say.
pub async fn pass_on(
    api: &Api,
    cx: &RequestContext,
    route: &Route,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let subresource = route.subresource().ok_or_else(not_found)?;
    let (namespace, name) = (route.namespace.as_str(), route.name.as_str());
    if matches!(subresource.action, Action::Log) {
        let query = request.uri().query().unwrap_or_default();
        return api.kubelet.log(namespace, name, query, &cx.draining).await;
    }
    if query_pairs(request.uri().query().unwrap_or_default()).any(|(key, _)| key == "dryRun") {
        return Err(Status::bad_request("dryRun is not supported"));
    }
    let warnings = cx.warnings.clone();
    let warn = move |text: String| warnings.add(text);
    let asked = RegistryRequest {
        namespace,
        user: &cx.user.name,
        uid: &cx.user.uid,
        groups: &cx.user.groups,
        extra: &cx.user.extra,
        now: jiff::Timestamp::now(),
        dry_run: false,
        options: &NO_OPTIONS,
        warn: &warn,
    };
    let path = path_behind(&cx.info);
    let query = request.uri().query().unwrap_or_default();
    let mut options = connect_options::read(&subresource.gvk, query, &path).map_err(Status::bad_request)?;
    let write = Write {
        operation: Operation::Connect,
        kind: &subresource.gvk,
        subresource: subresource.name,
        name,
        old: None,
    };
    route.store.admit(&asked, &write, &mut options).await?;
    route.store.validate_admission(&asked, &write, &options).await?;
    if matches!(subresource.action, Action::Proxy) {
        let wanted = Wanted {
            resource: &route.store.resource.plural,
            namespace,
            id: name,
            path: &path,
        };
        let client = request.extensions().get::<Peer>().map(|peer| peer.0.to_string());
        return api
            .kubelet
            .proxy(&wanted, request, client.as_deref(), &cx.draining)
            .await;
    }
    may_create(api, cx)?;
    api.kubelet
        .connect(subresource.name, namespace, name, request, &cx.draining)
        .await
}

/// A WebSocket begins with a GET, but who may only look must not run commands: tunnels are for those who may create them
/// (kubernetes `pkg/registry/core/pod/rest/authorize.go`).
fn may_create(api: &Api, cx: &RequestContext) -> Result<(), Status> {
    const VERB: &str = "create";
    if cx.info.verb == VERB {
        return Ok(());
    }
    let asked = Attributes {
        verb: VERB,
        ..attributes(&cx.user, &cx.info)
    };
    let decision = api.reviewers.authorizer.decide(&asked);
    if decision.allowed {
        return Ok(());
    }
    let resource = GroupResource::new(cx.info.group.as_str(), cx.info.resource.as_str());
    Err(Status::forbidden(&resource, &cx.info.name, decision.reason))
}

/// The path that a backend is asked for: what follows the subresource (k8s.io/apiserver `endpoints/handlers/rest.go`).
fn path_behind(info: &RequestInfo) -> String {
    let behind = info.parts.get(3..).unwrap_or_default().join("/");
    let mut path = if behind.is_empty() {
        behind
    } else {
        format!("/{behind}")
    };
    if info.path.ends_with('/') && !path.ends_with('/') {
        path.push('/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_asked_for_what_follows() {
        for (path, expected) in [
            ("/api/v1/nodes/x/proxy", ""),
            ("/api/v1/nodes/x/proxy/", "/"),
            ("/api/v1/namespaces/n/pods/p/proxy/a/b", "/a/b"),
            ("/api/v1/namespaces/n/pods/p/proxy/a%20b/", "/a b/"),
        ] {
            let info = RequestInfo::parse(&http::Method::GET, path, None).unwrap();
            assert_eq!(path_behind(&info), expected, "{path}");
        }
    }
}
