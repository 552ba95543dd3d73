//! THE order in which a request passes the filters (k8s.io/apiserver `server/config.go`, `DefaultBuildHandlerChain`).

use super::health::HealthChecks;
use super::request::{Body, Dispatch, RequestContext, Warnings, discard};
use crate::authentication::request_header::Client;
use crate::authentication::{Authenticator, User};
use crate::authorization::Authorizer;
use crate::filters::body_room::BodyRoom;
use crate::filters::max_in_flight::{MaxInFlight, Slot};
use crate::filters::request_info::RequestInfo;
use crate::filters::{self, Asker, DeniedRequests, Refusal};
use crate::metrics::RequestMetrics;
use chassis::CancellationToken;
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Instrument;

/// Everything that stands between a connection and the API.
pub struct Chain {
    /// Who asks.
    pub authenticator: Authenticator,
    /// What nobody may do.
    pub denied: DeniedRequests,
    /// Who may do what.
    pub authorizer: Arc<dyn Authorizer>,
    /// How many at once.
    pub max_in_flight: MaxInFlight,
    /// How much of their bodies at once.
    pub body_room: BodyRoom,
    /// `--request-timeout`.
    pub request_timeout: Duration,
    /// What is counted.
    pub metrics: RequestMetrics,
    /// `/healthz`, `/livez`, `/readyz`.
    pub health: HealthChecks,
    /// The API.
    pub api: Arc<dyn Dispatch>,
    /// Cancelled when the server drains.
    pub draining: CancellationToken,
}

impl Chain {
    /// Answers a request of a client.
    pub async fn handle(&self, client: &Client, request: Request<Incoming>) -> Response<Body> {
        let received = Instant::now();
        let audit_id = filters::audit_id::of(request.headers());
        let parsed = RequestInfo::parse(request.method(), request.uri().path(), request.uri().query());
        let target = request
            .uri()
            .path_and_query()
            .map_or_else(String::new, ToString::to_string);
        let info = parsed.clone().unwrap_or_default();
        let asker = Asker::of(&request);
        let span = tracing::info_span!("request", verb = info.verb, path = info.path, audit_id);
        let warnings = Warnings::default();
        let observed = self.metrics.begin(&request);
        let answered = match parsed {
            Ok(info) => {
                let rest = self.guarded(client, request, info, received, audit_id.clone(), warnings.clone());
                rest.instrument(span.clone()).await
            }
            Err(why) => Err(Refusal::Unreadable(format!(
                "Internal Server Error: {target:?}: failed to create RequestInfo: {why}"
            ))),
        };
        let refused = answered.is_err();
        let mut response = answered.unwrap_or_else(|refusal| refusal.answer(&asker));
        filters::warnings::set(response.headers_mut(), &warnings);
        filters::headers::set_cache_control(response.headers_mut());
        filters::audit_id::set(response.headers_mut(), &audit_id);
        self.metrics.end(observed, &info, refused, response.status());
        span.in_scope(|| {
            let (code, ms) = (response.status().as_u16(), received.elapsed().as_secs_f64() * 1000.0);
            tracing::debug!(code, ms, "answered");
        });
        response
    }

    async fn guarded(
        &self,
        client: &Client,
        mut request: Request<Incoming>,
        info: RequestInfo,
        received: Instant,
        audit_id: String,
        warnings: Warnings,
    ) -> Result<Response<Body>, Refusal> {
        let deadline = filters::deadline::of(&info, request.uri().query(), self.request_timeout, received)?;
        filters::deadline::enforce(deadline, async {
            let (user, _slot) = match self.admit(client, &mut request, &info).await {
                Ok(admitted) => admitted,
                Err(refusal) => {
                    discard(request.into_body()).await;
                    return Err(refusal);
                }
            };
            let _room = self.body_room.enter(&info, request.body().size_hint().exact()).await?;
            let draining = self.draining.clone();
            let cx = RequestContext {
                info,
                user,
                audit_id,
                received,
                deadline,
                warnings,
                draining,
            };
            Ok(self.serve(cx, request).await)
        })
        .await
    }

    /// Who asks, when he may, and his place among the running requests.
    async fn admit(
        &self,
        client: &Client,
        request: &mut Request<Incoming>,
        info: &RequestInfo,
    ) -> Result<(User, Slot), Refusal> {
        let user = filters::authentication::filter(&self.authenticator, client, request.headers()).await?;
        self.denied.filter(&user, info)?;
        filters::headers::remove_credentials(request.headers_mut());
        self.authenticator.clear(request.headers_mut());
        let user = filters::impersonation::filter(&*self.authorizer, user, request.headers(), info)?;
        let slot = self.max_in_flight.enter(info, &user)?;
        filters::authorization::filter(&*self.authorizer, &user, info)?;
        Ok((user, slot))
    }

    /// The server's own paths, or the API.
    async fn serve(&self, cx: RequestContext, request: Request<Incoming>) -> Response<Body> {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        if let Some(response) = self.health.answer(path, query).or_else(|| self.metrics.answer(path)) {
            return response;
        }
        self.api.clone().dispatch(cx, request).await
    }
}
