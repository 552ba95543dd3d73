//! The API behind the filter chain: finds the handler of a request and makes an answer of whatever it says.

use super::discovery;
use super::handlers::review::Reviewers;
use super::handlers::{
    Scope, create, delete, eviction, get, list, node, patch, pod, review, scale, token, update, watch,
};
use super::installer::{self, Miss, Verb};
use super::oidc::Metadata;
use super::openapi::Documents;
use super::options::ReadOptions;
use super::pages::Pages;
use super::query::Query;
use super::respond::{self, Client};
use crate::aggregator::Aggregator;
use crate::apiextensions::CustomResources;
use crate::authentication::issue::TokenIssuer;
use crate::kubelet::Kubelet;
use crate::registry::catalog::Catalog;
use crate::registry::resource::Action;
use crate::server::request::{Body, Dispatch, RequestContext, discard, empty, read_body, text_response};
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use machinery::status::Status;
use std::sync::Arc;

/// Everything that is served below the filters.
pub struct Api {
    /// The resources.
    pub catalog: Catalog,
    /// Those that are defined at run time.
    pub custom_resources: CustomResources,
    /// What the server tells about itself.
    pub pages: Pages,
    /// The OpenAPI documents.
    pub documents: Documents,
    /// The kubelets of the nodes.
    pub kubelet: Kubelet,
    /// Other servers that answer for groups.
    pub aggregator: Aggregator,
    /// Issues service account tokens; `None` without `--service-account-signing-key-file`.
    pub tokens: Option<TokenIssuer>,
    /// Who answers reviews.
    pub reviewers: Reviewers,
    /// What others need to check those tokens; `None` without keys.
    pub oidc: Option<Metadata>,
    /// Host and port under which clients reach this server, as discovery tells them.
    pub address: String,
}

impl Dispatch for Api {
    fn dispatch(self: Arc<Self>, cx: RequestContext, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move {
            let head = request.method() == Method::HEAD;
            let response = self.answer(cx, request).await;
            if head { without_body(response) } else { response }
        })
    }
}

impl Api {
    async fn answer(&self, cx: RequestContext, request: Request<Incoming>) -> Response<Body> {
        let path = &cx.info.path;
        if let Some(backend) = self.aggregator.leads(path).or_else(|| self.aggregator.describes(path)) {
            return self.aggregator.pass(&backend, &cx, request).await;
        }
        let query = Query::parse(request.uri().query());
        if !cx.info.is_resource {
            return self.document(
                request.uri().path(),
                request.method(),
                Client {
                    headers: request.headers(),
                    query: &query,
                },
            );
        }
        let served = self.catalog.served();
        let route = match installer::route(&served, &cx.info, request.method()) {
            Ok(route) => route,
            Err(miss) => {
                let (parts, body) = request.into_parts();
                discard(body).await;
                let client = Client {
                    headers: &parts.headers,
                    query: &query,
                };
                return match miss {
                    Miss::NoGroup => unknown_path(),
                    Miss::Answer(status) => respond::error(&status, client),
                };
            }
        };
        let headers: HeaderMap = request.headers().clone();
        let error_query = query.clone();
        let passed_on = matches!(
            route.subresource().map(|s| &s.action),
            Some(Action::Log | Action::Connect | Action::Proxy)
        );
        if passed_on {
            let result = node::pass_on(self, &cx, &route, request).await;
            let client = Client {
                headers: &headers,
                query: &query,
            };
            return result.unwrap_or_else(|status| respond::error(&status, client));
        }
        let (parts, body) = request.into_parts();
        let result = match Scope::new(cx, parts, query, route) {
            Ok(scope) => self.handle(&scope, body).await,
            Err(status) => Err(status),
        };
        result.unwrap_or_else(|status| {
            respond::error(
                &status,
                Client {
                    headers: &headers,
                    query: &error_query,
                },
            )
        })
    }

    /// What is served besides resources.
    fn document(&self, path: &str, method: &Method, client: Client<'_>) -> Response<Body> {
        let served = self.catalog.served();
        let asked = discovery::Asked {
            served: &served,
            aggregator: &self.aggregator,
            address: &self.address,
            path,
            method,
            client,
        };
        discovery::answer(&asked)
            .or_else(|| self.documents.answer(&served, &self.aggregator, path, client))
            .or_else(|| self.oidc.as_ref()?.answer(path, method, client))
            .or_else(|| {
                let paths = || discovery::paths(&served, &self.aggregator);
                self.pages.answer(paths, path, client)
            })
            .unwrap_or_else(unknown_path)
    }

    async fn handle(&self, scope: &Scope, body: Incoming) -> Result<Response<Body>, Status> {
        let subresource = scope.route.subresource().map(|subresource| &subresource.action);
        // Media types are checked before a body is read.
        if scope.route.verb == Verb::Patch
            && let Err(status) = patch::Kind::read(&scope.parts.headers, scope.resource())
        {
            discard(body).await;
            return Err(status);
        }
        match (subresource, scope.route.verb) {
            (None | Some(Action::Object(_)), verb) => self.handle_object(scope, verb, body).await,
            (Some(Action::Scale(paths)), Verb::Get) => scale::get(scope, paths).await,
            (Some(Action::Scale(paths)), Verb::Update) => scale::update(scope, paths, &read_body(body).await?).await,
            (Some(Action::Scale(paths)), Verb::Patch) => scale::patch(scope, paths, &read_body(body).await?).await,
            (Some(Action::Binding), Verb::Create) => {
                let pods = self.catalog.store("", "v1", "pods").ok_or_else(installer::not_found)?;
                pod::bind(scope, pods, &read_body(body).await?).await
            }
            (Some(Action::Token), Verb::Create) => {
                let issuer = self.tokens.as_ref().ok_or_else(installer::not_found)?;
                token::create(scope, issuer, &read_body(body).await?).await
            }
            (Some(Action::Review(kind)), Verb::Create) => {
                review::create(scope, *kind, &self.reviewers, &read_body(body).await?).await
            }
            (Some(Action::Eviction), Verb::Create) => {
                let budgets = self.catalog.store("policy", "v1", "poddisruptionbudgets");
                let budgets = budgets.ok_or_else(installer::not_found)?;
                eviction::evict(scope, budgets, &read_body(body).await?).await
            }
            _ => Err(installer::method_not_allowed()),
        }
    }

    async fn handle_object(&self, scope: &Scope, verb: Verb, body: Incoming) -> Result<Response<Body>, Status> {
        let read = |name: &str, forced| ReadOptions::read(&scope.query, scope.resource(), name, forced);
        match verb {
            Verb::Get => get::get(scope).await,
            Verb::List => {
                let options = read("", false)?;
                if options.watch {
                    watch::watch(scope, &options, &self.kubelet.tasks).await
                } else {
                    list::list(scope, &options).await
                }
            }
            Verb::Watch => watch::watch(scope, &read(&scope.route.name, true)?, &self.kubelet.tasks).await,
            Verb::Create => create::create(scope, &read_body(body).await?).await,
            Verb::Update => update::update(scope, &read_body(body).await?).await,
            Verb::Patch => patch::patch(scope, &read_body(body).await?).await,
            Verb::Delete => delete::delete(scope, &read_body(body).await?).await,
            Verb::DeleteCollection => delete::delete_collection(scope, &read_body(body).await?).await,
            Verb::Connect => Err(installer::method_not_allowed()),
        }
    }
}

/// A path that means nothing here, as Go's HTTP server answers it.
pub fn unknown_path() -> Response<Body> {
    text_response(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// The answer to a `HEAD` request: that to a `GET`, without what follows the headers.
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    // Answers of others, that are passed on, say themselves how long they would be.
    if let Some(length) = http_body::Body::size_hint(&body).exact() {
        parts
            .headers
            .entry(header::CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
    Response::from_parts(parts, empty())
}
