//! Groups and versions that another virtual cluster of the host answers for (`experimental.proxy.customResources`): requests of
//! this cluster's clients, which its API server has let in and passes on, are asked of the other one with the credentials of
//! its Secret on the host. Clients of either cluster see nothing of these.

mod answer;
mod documents;
mod objects;
mod ownership;
mod place;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use serde_json::Value;

pub(in crate::kubelet) use place::Asked;
pub(crate) use target::secret;

use super::Body;
use super::access::Caller;
use super::authorization::{Action, Authority, Denied};
use crate::object::ObjectKey;
use crate::settings::{self, Settings};
use answer::{Refusal, document};
use target::{Away, Outgoing, Target};

/// The longest body that an API server reads (k8s.io/apiserver `MaxRequestBodyBytes`).
const LONGEST_BODY: usize = 3 << 20;

/// Passes requests on to other virtual clusters.
pub(super) struct Proxied {
    versions: Vec<settings::Proxied>,
    targets: BTreeMap<ObjectKey, Target>,
    /// Marks what is made through this cluster.
    owner: String,
    virtual_: Client,
    /// The resources that a version had last, by its number.
    resources: Mutex<BTreeMap<usize, Value>>,
}

impl Proxied {
    /// What the settings say.
    pub(super) fn new(settings: &Settings, host: &Client, virtual_: &Client) -> Self {
        let places = settings.proxied.iter().map(|version| version.target.clone());
        Self {
            targets: places
                .map(|place| (place.clone(), Target::new(place, host.clone())))
                .collect(),
            versions: settings.proxied.clone(),
            owner: ownership::owner(&settings.host_namespace, &settings.vcluster),
            virtual_: virtual_.clone(),
            resources: Mutex::default(),
        }
    }

    /// What a path means; `None` when it is nothing that another cluster answers for.
    pub(super) fn asked(&self, path: &str) -> Option<Asked> {
        place::asked(&self.versions, path)
    }

    /// Answers a request of somebody who is known.
    pub(super) async fn answer<B>(
        &self,
        authority: &Authority,
        caller: &Caller,
        asked: Asked,
        request: Request<B>,
    ) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, LONGEST_BODY).collect().await else {
            let code = StatusCode::PAYLOAD_TOO_LARGE;
            return Refusal::new(code, "RequestEntityTooLarge", "limit is 3145728").answer();
        };
        let request = Request::from_parts(parts, body.to_bytes());
        let answered = self.answer_known(authority, caller, asked, request).await;
        answered.unwrap_or_else(Refusal::answer)
    }

    async fn answer_known(
        &self,
        authority: &Authority,
        caller: &Caller,
        asked: Asked,
        request: Request<Bytes>,
    ) -> Result<Response<Body>, Refusal> {
        let action = || Action::Discovery {
            path: request.uri().path().to_owned(),
        };
        let found = match asked {
            Asked::Objects(number, place) => {
                let version = self.versions.get(number).ok_or_else(nothing)?;
                return self.objects(authority, caller, version, place, request).await;
            }
            Asked::Nothing => return Err(nothing()),
            Asked::Index | Asked::Resources(_) | Asked::Description(_) => {
                authority.authorize(caller, action()).await.map_err(denied)?;
                match asked {
                    Asked::Resources(number) => self.resources(number).await,
                    Asked::Description(number) => self.description(number).await,
                    _ => Ok(self.index().await),
                }
            }
        };
        found.map(|found| document(StatusCode::OK, &found))
    }

    fn target(&self, version: &settings::Proxied) -> Result<&Target, Refusal> {
        self.targets.get(&version.target).ok_or_else(nothing)
    }

    /// The resources of a version. As long as its cluster is away they are those that it had last: clients must not take them
    /// for gone.
    async fn resources(&self, number: usize) -> Result<Value, Refusal> {
        let version = self.versions.get(number).ok_or_else(nothing)?;
        let found = self.document(version, &format!("/{}", documents::name(version))).await;
        let mut known = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(Some(list)) => {
                let shown = documents::resources(list, version);
                known.insert(number, shown.clone());
                Ok(shown)
            }
            Ok(None) => {
                known.remove(&number);
                Err(nothing())
            }
            Err(refusal) => known.get(&number).cloned().ok_or(refusal),
        }
    }

    async fn description(&self, number: usize) -> Result<Value, Refusal> {
        let version = self.versions.get(number).ok_or_else(nothing)?;
        let path = format!("/openapi/v3/{}", documents::name(version));
        let found = self.document(version, &path).await?.ok_or_else(nothing)?;
        Ok(documents::description(found, version))
    }

    async fn index(&self) -> Value {
        // Each cluster is asked once, and whoever is away is left out.
        let mut found: BTreeMap<&ObjectKey, Value> = BTreeMap::new();
        for version in &self.versions {
            if !found.contains_key(&version.target) {
                let index = self.document(version, "/openapi/v3").await.ok().flatten();
                found.insert(&version.target, index.unwrap_or_default());
            }
        }
        let versions = self.versions.iter();
        documents::index(versions.filter_map(|version| Some((version, found.get(&version.target)?))))
    }

    /// A JSON document of the cluster that answers for a version; `None` when it has none.
    async fn document(&self, version: &settings::Proxied, path: &str) -> Result<Option<Value>, Refusal> {
        let target = self.target(version)?;
        let away = |why: Away| unavailable(version, target, &why);
        let found = target
            .ask(&Outgoing::get(path, "application/json"))
            .await
            .map_err(away)?;
        match found.status() {
            StatusCode::OK => {
                let parsed = serde_json::from_slice(found.body());
                parsed
                    .map(Some)
                    .map_err(|_| away(Away("its answer is no JSON".to_owned())))
            }
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(away(Away(format!("it answers {path} with {}", status.as_u16())))),
        }
    }
}

/// What an API server says where it has nothing.
fn nothing() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "NotFound",
        "the server could not find the requested resource",
    )
}

fn unavailable(version: &settings::Proxied, target: &Target, Away(why): &Away) -> Refusal {
    let message = format!(
        "{}/{} is answered for by the virtual cluster {:?}, which cannot be reached now: {why}",
        version.group,
        version.version,
        target.name()
    );
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &message)
}

fn denied(denied: Denied) -> Refusal {
    match denied {
        Denied::Unknown => Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"),
        Denied::Forbidden(why) => Refusal::new(StatusCode::FORBIDDEN, "Forbidden", &why),
        Denied::Unanswered => Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "the virtual API server does not say who may do this",
        ),
    }
}
