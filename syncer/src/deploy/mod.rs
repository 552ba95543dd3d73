//! What vcluster.yaml has a leader put into the virtual cluster (`experimental.deploy.vcluster`): manifests, applied once when
//! leadership begins, and noted with their outcome in a ConfigMap.

mod apply;
mod manifests;
mod merge;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::{Value, json};
use tracing::{info, warn};

use self::apply::Applier;
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

/// Applies the manifests unless they are those of last time, and deletes what only those of last time named.
///
/// # Errors
/// The manifests are none, or the API server refuses one of them; the sentence says which and why.
pub async fn run(api: &Api, manifests: &str) -> Result<(), String> {
    let known = read(api).await?;
    if known.is_none() && manifests.is_empty() {
        return Ok(());
    }
    for namespace in [NAMESPACE, DEFAULT_NAMESPACE] {
        settled(|| api.get(Kind::Namespace, "", namespace), may_come)
            .await
            .map_err(|error| format!("cannot find the namespace {namespace}: {error}"))?;
    }
    let before = known.unwrap_or_default();
    let mut status = Status::parse(json::text(&before, &["metadata", "annotations", STATUS]));
    let outcome = deploy(api, manifests, &mut status).await;
    status.conclude();
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

/// The ConfigMap, if there is one.
async fn read(api: &Api) -> Result<Option<Value>, String> {
    match settled(|| api.get(Kind::ConfigMap, NAMESPACE, NAME), is_passing).await {
        Ok(found) => Ok(Some(found)),
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
