//! What is passed on to the kubelet of a pod's node: logs and the tunnels of exec, attach and port-forward
//! (kubernetes `pkg/registry/core/pod/rest`).

use crate::endpoints::api::Api;
use crate::endpoints::installer::{Route, not_found};
use crate::registry::request::Request as RegistryRequest;
use crate::registry::resource::Action;
use crate::server::request::{Body, RequestContext};
use http::{Request, Response};
use hyper::body::Incoming;
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
        warn: &warn,
    };
    route.store.admit_connect(&asked, subresource.name, name).await?;
    api.kubelet
        .connect(subresource.name, namespace, name, request, &cx.draining)
        .await
}
