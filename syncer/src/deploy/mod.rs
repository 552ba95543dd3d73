//! What vcluster.yaml has a leader put into the virtual cluster (`experimental.deploy.vcluster`): manifests, applied once when
//! leadership begins, and charts, released after that until it works. The outcome is noted in a ConfigMap.

mod apply;
mod charts;
mod fetch;
mod helm;
mod manifests;
mod merge;
mod status;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use config::ChartRelease;
use serde_json::{Value, json};
use tracing::{info, warn};

use self::apply::Applier;
use self::helm::Helm;
use self::status::{Phase, Status};
use crate::clusters::{Api, ApiError, Patch};
use crate::json;
use crate::kinds::Kind;

/// The ConfigMap with the outcome.
const NAMESPACE: &str = "kube-system";
const NAME: &str = "vcluster-deploy";
/// Its annotation.
const STATUS: &str = "vcluster.loft.sh/status";
/// Where objects lie that name no namespace.
const DEFAULT_NAMESPACE: &str = "default";

/// Pause between attempts.
const RETRY: Duration = Duration::from_secs(1);
/// How often what a server may yet accept is tried.
const ATTEMPTS: u32 = 30;

/// What is to be put there, and with which program.
#[derive(Debug)]
pub struct Deployment {
    /// YAML with one or more documents.
    pub manifests: String,
    /// Charts, in their order.
    pub charts: Vec<ChartRelease>,
    /// The program that releases charts.
    pub helm: PathBuf,
    /// How it comes to the virtual cluster.
    pub kubeconfig: PathBuf,
}

impl Deployment {
    /// Applies the manifests, then releases the charts, and ends when all of it is there.
    ///
    /// # Errors
    /// The manifests cannot be applied; the sentence says why. Charts are tried again.
    pub async fn run(self, api: &Api) -> Result<(), String> {
        let key = "experimental.deploy.vcluster";
        run(api, &self.manifests, self.charts.len())
            .await
            .map_err(|problem| format!("{key}.manifests: {problem}"))?;
        if charts::are_there(api, &self.charts).await {
            let helm = Helm::new(&self.helm, &self.kubeconfig).map_err(|problem| format!("{key}.helm: {problem}"))?;
            charts::run(api, &helm, &self.charts).await;
        }
        Ok(())
    }
}

/// Applies the manifests unless they are those of last time, and deletes what only those of last time named. So many charts are
/// to follow.
///
/// # Errors
/// The manifests are none, or the API server refuses one of them; the sentence says which and why.
async fn run(api: &Api, manifests: &str, charts: usize) -> Result<(), String> {
    let known = load(api).await?;
    if known.is_none() && manifests.is_empty() && charts == 0 {
        return Ok(());
    }
    for namespace in [NAMESPACE, DEFAULT_NAMESPACE] {
        settled(|| api.get(Kind::Namespace, "", namespace), may_come)
            .await
            .map_err(|error| format!("cannot find the namespace {namespace}: {error}"))?;
    }
    let mut status = known.unwrap_or_default();
    let outcome = deploy(api, manifests, &mut status).await;
    status.conclude(outcome.as_ref().err(), charts);
    let noted = note(api, &status).await;
    outcome.and(noted)
}

async fn deploy(api: &Api, manifests: &str, status: &mut Status) -> Result<(), String> {
    let last = status.last_applied();
    if last.as_deref() != Some(manifests) {
        if let Err(problem) = exchange(api, last.as_deref().unwrap_or_default(), manifests).await {
            status.manifests.end(Phase::Failed, "InstallFailed", &problem);
            return Err(problem);
        }
        status.set_last_applied(manifests)?;
    }
    status.manifests.end(Phase::Success, "", "");
    Ok(())
}

/// Applies one text and deletes what the other one has besides.
async fn exchange(api: &Api, last: &str, new: &str) -> Result<(), String> {
    let wanted = manifests::parse(new)?;
    // What was applied once has been read once.
    let former = manifests::parse(last).unwrap_or_else(|problem| {
        warn!(
            problem,
            "cannot tell what was applied last time; nothing of it is deleted"
        );
        Vec::new()
    });
    let mut applier = Applier::new(api);
    for manifest in manifests::in_order(&wanted) {
        applier
            .apply(manifest)
            .await
            .map_err(|error| format!("cannot apply {manifest}: {error}"))?;
    }
    for manifest in manifests::gone(&former, &wanted) {
        applier
            .delete(manifest)
            .await
            .map_err(|error| format!("cannot delete {manifest}, which is no longer among them: {error}"))?;
    }
    info!(objects = wanted.len(), "the manifests of vcluster.yaml are applied");
    Ok(())
}

/// Bears failures that the server may yet get over.
#[derive(Default)]
struct Patience {
    attempts: u32,
}

impl Patience {
    /// Whether to try again, after a pause that this waits for.
    async fn bears(&mut self, error: &ApiError) -> bool {
        // A server that is away is waited for.
        self.attempts += u32::from(error.code() != 0);
        let bears = is_passing(error) && self.attempts <= ATTEMPTS;
        if bears {
            tokio::time::sleep(RETRY).await;
        }
        bears
    }
}

/// Whether the same request may succeed later.
fn is_passing(error: &ApiError) -> bool {
    matches!(error.code(), 0 | 409 | 429 | 500..)
}

/// The same of something that another process makes.
fn may_come(error: &ApiError) -> bool {
    is_passing(error) || error.code() == 404
}

/// Asks until there is an answer that does not pass.
async fn settled<F: Future<Output = Result<Value, ApiError>>>(
    ask: impl Fn() -> F,
    passes: impl Fn(&ApiError) -> bool,
) -> Result<Value, ApiError> {
    loop {
        match ask().await {
            Err(error) if passes(&error) => tokio::time::sleep(RETRY).await,
            answer => return answer,
        }
    }
}

/// What was noted, if there is anything.
async fn load(api: &Api) -> Result<Option<Status>, String> {
    match settled(|| api.get(Kind::ConfigMap, NAMESPACE, NAME), is_passing).await {
        Ok(found) => Ok(Some(Status::parse(json::text(
            &found,
            &["metadata", "annotations", STATUS],
        )))),
        Err(error) if error.code() == 404 => Ok(None),
        Err(error) => Err(format!("cannot read the ConfigMap {NAMESPACE}/{NAME}: {error}")),
    }
}

/// Writes the status down.
async fn note(api: &Api, status: &Status) -> Result<(), String> {
    let body = json!({"metadata": {"annotations": {STATUS: status.to_text()}}});
    let mut made = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    json::merge(&mut made, &body);
    json::merge(&mut made, &json!({"metadata": {"name": NAME, "namespace": NAMESPACE}}));
    let (body, made) = (&body, &made);
    let write = || async move {
        match api.create(Kind::ConfigMap, NAMESPACE, made).await {
            Err(error) if error.reason() == "AlreadyExists" => {
                let target = (Kind::ConfigMap, NAMESPACE, NAME);
                api.patch(target, "", Patch::Merge, body).await
            }
            answer => answer,
        }
    };
    let written = settled(write, is_passing).await;
    written
        .map(drop)
        .map_err(|error| format!("cannot write the ConfigMap {NAMESPACE}/{NAME}: {error}"))
}
