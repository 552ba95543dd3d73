//! What is noted of a deployment: upstream's document (pkg/controllers/deploy/types.go), which the charts of a former control
//! plane may stand in, too.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

/// How long the manifests of an annotation may be: many times what fits into one when compressed.
const LONGEST: u64 = 16 << 20;

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Failed,
    /// It has not ended.
    Pending,
    Success,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Phase::Failed => "Failed",
            Phase::Pending => "Pending",
            Phase::Success => "Success",
        }
    }
}

/// How something went, and why it did not go well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Outcome {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) phase: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
}

impl Outcome {
    pub(super) fn of(phase: Phase, reason: &str, message: &str) -> Self {
        Self {
            phase: phase.as_str().to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }

    pub(super) fn is_success(&self) -> bool {
        self.phase == Phase::Success.as_str()
    }
}

/// The same of a chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ChartStatus {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) last_applied_chart_config_hash: String,
}

/// The same of the manifests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ManifestsStatus {
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    /// Gzip in base64.
    #[serde(skip_serializing_if = "String::is_empty")]
    last_applied_manifests: String,
}

impl ManifestsStatus {
    /// Notes how it went.
    pub(super) fn end(&mut self, phase: Phase, reason: &str, message: &str) {
        self.outcome = Outcome::of(phase, reason, message);
    }
}

/// The annotation's document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) charts: Vec<ChartStatus>,
    pub(super) manifests: ManifestsStatus,
}

impl Status {
    /// Reads an annotation; what is none counts as nothing noted.
    pub(super) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Writes the annotation.
    pub(super) fn to_text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// The manifests that are in the virtual cluster; `None` when that is not known.
    pub(super) fn last_applied(&self) -> Option<String> {
        let compressed = STANDARD.decode(&self.manifests.last_applied_manifests).ok()?;
        let mut text = String::new();
        if !compressed.is_empty() {
            let mut reader = GzDecoder::new(compressed.as_slice()).take(LONGEST);
            reader.read_to_string(&mut text).ok()?;
        }
        Some(text)
    }

    /// Notes the manifests that are in the virtual cluster.
    pub(super) fn set_last_applied(&mut self, text: &str) -> Result<(), String> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
        let compressed = compressed.map_err(|error| format!("cannot compress the manifests: {error}"))?;
        self.manifests.last_applied_manifests = STANDARD.encode(compressed);
        Ok(())
    }

    /// What is noted of the release, which is noted with it if nothing is.
    pub(super) fn chart(&mut self, name: &str, namespace: &str) -> &mut ChartStatus {
        let known = self
            .charts
            .iter()
            .position(|chart| (chart.name.as_str(), chart.namespace.as_str()) == (name, namespace));
        let index = known.unwrap_or_else(|| {
            self.charts.push(ChartStatus {
                name: name.to_owned(),
                namespace: namespace.to_owned(),
                ..ChartStatus::default()
            });
            self.charts.len() - 1
        });
        &mut self.charts[index]
    }

    /// The outcome of the whole follows from its parts: the manifests, and so many charts.
    pub(super) fn conclude(&mut self, problem: Option<&String>, charts: usize) {
        let parts = std::iter::once(&self.manifests.outcome).chain(self.charts.iter().map(|chart| &chart.outcome));
        let failed = parts.into_iter().find(|part| !part.is_success());
        self.outcome = match (failed, problem) {
            (Some(part), _) => Outcome {
                phase: Phase::Failed.as_str().to_owned(),
                ..part.clone()
            },
            (None, Some(problem)) => Outcome::of(Phase::Failed, "Unknown", problem),
            (None, None) if self.charts.len() != charts => Outcome::of(Phase::Pending, "", ""),
            (None, None) => Outcome::of(Phase::Success, "", ""),
        };
    }
}
