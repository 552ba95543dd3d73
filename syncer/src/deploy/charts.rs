//! Charts of vcluster.yaml (`experimental.deploy.vcluster.helm`): releases that are there as it says, and no longer when it says
//! nothing of them (vCluster's pkg/controllers/deploy/deploy.go).

use std::fmt::Write;
use std::time::Duration;

use config::ChartRelease;
use md5::{Digest, Md5};
use tracing::{info, warn};

use super::fetch::fetch;
use super::helm::{Call, Helm};
use super::status::{Outcome, Phase, Status};
use super::{load, note};
use crate::clusters::Api;

/// Pause after a pass that failed.
const RETRY: Duration = Duration::from_secs(10);
/// How long it may take to remove a release that nobody describes any more.
const REMOVAL: Duration = Duration::from_secs(180);

/// Sees to it that the releases are there, until they are.
pub(super) async fn run(api: &Api, helm: &Helm, wanted: &[ChartRelease]) {
    while let Err(problem) = pass(api, helm, wanted).await {
        warn!(
            "experimental.deploy.vcluster.helm: {problem}; trying again in {} s",
            RETRY.as_secs()
        );
        tokio::time::sleep(RETRY).await;
    }
}

/// Whether charts were released once, or are to be.
pub(super) async fn are_there(api: &Api, wanted: &[ChartRelease]) -> bool {
    // What cannot be read now is read again.
    !wanted.is_empty()
        || load(api)
            .await
            .map_or(true, |status| status.is_some_and(|status| !status.charts.is_empty()))
}

async fn pass(api: &Api, helm: &Helm, wanted: &[ChartRelease]) -> Result<(), String> {
    let mut status = load(api).await?.unwrap_or_default();
    let outcome = release_all(api, helm, wanted, &mut status).await;
    status.conclude(outcome.as_ref().err(), wanted.len());
    let noted = note(api, &status).await;
    outcome.and(noted)
}

/// One after the other, because one may need what another one brings; the first failure ends it.
async fn release_all(api: &Api, helm: &Helm, wanted: &[ChartRelease], status: &mut Status) -> Result<(), String> {
    for release in wanted {
        let (name, namespace) = (release.name(), release.namespace());
        let known = status.chart(name, namespace);
        let digest = digest(release);
        let up_to_date = known.outcome.is_success() && known.last_applied_chart_config_hash == digest;
        match release_one(helm, release, up_to_date).await {
            Ok(changed) => {
                let chart = status.chart(name, namespace);
                chart.outcome = Outcome::of(Phase::Success, "", "");
                chart.last_applied_chart_config_hash = digest;
                if changed {
                    info!(name, namespace, chart = release.chart.name, "the chart is released");
                    status.conclude(None, wanted.len());
                    note(api, status).await?;
                }
            }
            Err((reason, problem)) => {
                let problem = format!("release {namespace}/{name}: {problem}");
                status.chart(name, namespace).outcome = Outcome::of(Phase::Failed, reason, &problem);
                return Err(problem);
            }
        }
    }
    let is_gone = |chart: &&super::status::ChartStatus| {
        !wanted
            .iter()
            .any(|release| (release.name(), release.namespace()) == (&chart.name, &chart.namespace))
    };
    let gone: Vec<(String, String)> = status
        .charts
        .iter()
        .filter(is_gone)
        .map(|chart| (chart.name.clone(), chart.namespace.clone()))
        .collect();
    for (name, namespace) in gone {
        if let Err(problem) = remove(helm, &name, &namespace, REMOVAL).await {
            let problem = format!("release {namespace}/{name}, which is no longer among them: {problem}");
            status.chart(&name, &namespace).outcome = Outcome::of(Phase::Failed, "UninstallFailed", &problem);
            return Err(problem);
        }
        info!(name, namespace, "the release is no longer in vcluster.yaml and removed");
        status
            .charts
            .retain(|chart| (&chart.name, &chart.namespace) != (&name, &namespace));
    }
    Ok(())
}

/// Whether anything was to be done. What fails comes with its reason.
async fn release_one(helm: &Helm, release: &ChartRelease, up_to_date: bool) -> Result<bool, (&'static str, String)> {
    let (name, namespace) = (release.name(), release.namespace());
    let exists = helm
        .status(name, namespace)
        .await
        .map_err(|problem| ("Unknown", problem))?
        .is_some();
    if exists && up_to_date {
        return Ok(false);
    }
    let archive = fetch(helm, release)
        .await
        .map_err(|problem| ("ChartPullFailed", problem))?;
    let (verb, reason) = match exists {
        true => ("upgrade", "UpgradeFailed"),
        false => ("install", "InstallFailed"),
    };
    let mut call = Call::of(&[verb, "--create-namespace"])
        .file(name, &archive.path)
        .on(helm, namespace)
        .hides(&[release.chart.password.reveal().to_owned()]);
    if !release.values.is_empty() {
        call = call.and(&["--values=-"]).reads(&release.values);
    }
    if exists {
        call = call.and(&["--install"]);
    }
    let problem = match helm.act(call, release.timeout()).await {
        Ok(_) => return Ok(true),
        Err(problem) => problem,
    };
    let problem = match repair(helm, release).await {
        Ok(()) => problem,
        Err(more) => format!("{problem}; and it stays as it is: {more}"),
    };
    Err((reason, problem))
}

/// Takes back what did not work: a release that was never complete goes, others become what they were before. One whose only
/// revision failed stays, for the next attempt to change.
async fn repair(helm: &Helm, release: &ChartRelease) -> Result<(), String> {
    let (name, namespace) = (release.name(), release.namespace());
    match helm.status(name, namespace).await? {
        None => Ok(()),
        Some(known) if known.state == "pending-install" => remove(helm, name, namespace, release.timeout()).await,
        Some(known) if known.state == "deployed" || known.revision <= 1 => Ok(()),
        Some(_) => {
            let call = Call::of(&["rollback", name]).on(helm, namespace);
            helm.act(call, release.timeout()).await.map(drop)
        }
    }
}

/// Removes a release; that there is none is as good.
async fn remove(helm: &Helm, name: &str, namespace: &str, timeout: Duration) -> Result<(), String> {
    let call = Call::of(&["uninstall", name]).on(helm, namespace);
    match helm.act(call, timeout).await {
        Err(problem) if !problem.contains("release: not found") => Err(problem),
        _ => Ok(()),
    }
}

/// The MD5 of the entry as Go writes it: a control plane of vCluster knows by it, too, whether something has changed.
fn digest(release: &ChartRelease) -> String {
    let text = serde_json::to_string(release).unwrap_or_default();
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // encoding/json makes them harmless for HTML and JavaScript.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing to a String cannot fail.
                let _ = write!(written, "\\u{:04x}", u32::from(c));
            }
            c => written.push(c),
        }
    }
    Md5::digest(written.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests;
