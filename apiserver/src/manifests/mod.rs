//! `--admission-control-config-file`: what admission plugins are told in files (k8s.io/apiserver `pkg/admission/config.go`).

mod webhooks;

pub use webhooks::Directory;

use crate::admission::webhook::Fixed;
use crate::webhook::Credentials;
use anyhow::Result;
use chassis::usage;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;
use std::path::{Path, PathBuf};

const FLAG: &str = "--admission-control-config-file";
/// The versions of both kinds of files.
const VERSIONS: [&str; 2] = ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1alpha1"];
const MUTATING: &str = "MutatingAdmissionWebhook";
const VALIDATING: &str = "ValidatingAdmissionWebhook";

/// What the files say.
#[derive(Default)]
pub struct AdmissionFiles {
    /// The webhooks that no object configures.
    pub fixed: Fixed,
    /// The directories that they are in.
    pub directories: Vec<Directory>,
    /// What mutating webhooks are shown.
    pub mutating: Credentials,
    /// What validating webhooks are shown.
    pub validating: Credentials,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct AdmissionConfiguration {
    api_version: String,
    kind: String,
    plugins: Vec<PluginConfiguration>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct PluginConfiguration {
    name: String,
    path: PathBuf,
    configuration: Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct WebhookAdmissionConfiguration {
    api_version: String,
    kind: String,
    kube_config_file: PathBuf,
    static_manifests_dir: PathBuf,
}

impl AdmissionFiles {
    /// Reads the file, and those that it names.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let mut files = AdmissionFiles::default();
        let Some(path) = path else { return Ok(files) };
        let document: AdmissionConfiguration = decode(path, &read(path)?)?;
        check_kind(path, (&document.api_version, &document.kind), "AdmissionConfiguration")?;
        for plugin in document.plugins {
            let (file, configuration) = plugin.configuration(path)?;
            match plugin.name.as_str() {
                MUTATING | VALIDATING => files.webhooks(&file, configuration, &plugin.name)?,
                other => {
                    return Err(wrong(
                        path,
                        format!("the plugin {other:?} takes no configuration: only {MUTATING} and {VALIDATING} do"),
                    ));
                }
            }
        }
        Ok(files)
    }
}

impl PluginConfiguration {
    /// The configuration and the file that it is in.
    fn configuration(&self, outer: &Path) -> Result<(PathBuf, Value)> {
        if !self.configuration.is_null() || self.path.as_os_str().is_empty() {
            return Ok((outer.to_owned(), self.configuration.clone()));
        }
        let path = outer.parent().unwrap_or(outer).join(&self.path);
        let configuration = decode(&path, &read(&path)?)?;
        Ok((path, configuration))
    }
}

impl AdmissionFiles {
    /// Takes note of what a plugin of webhooks is told.
    fn webhooks(&mut self, file: &Path, configuration: Value, plugin: &str) -> Result<()> {
        let (credentials, dir) = webhooks_of(file, configuration)?;
        let (hooks, kind) = if plugin == MUTATING {
            self.mutating = credentials;
            (&self.fixed.mutating, "MutatingWebhookConfiguration")
        } else {
            self.validating = credentials;
            (&self.fixed.validating, "ValidatingWebhookConfiguration")
        };
        let Some(dir) = dir else { return Ok(()) };
        let directory = Directory::open(&dir, kind, hooks.clone());
        let directory = directory.map_err(|why| wrong(file, format!("staticManifestsDir: {why}")))?;
        tracing::info!(plugin, webhooks = hooks.all().len(), "webhooks of files are enforced");
        self.directories.push(directory);
        Ok(())
    }
}

/// What webhooks are shown, and the directory with those that no object configures.
fn webhooks_of(file: &Path, configuration: Value) -> Result<(Credentials, Option<PathBuf>)> {
    if configuration.is_null() {
        return Ok(Default::default());
    }
    let read: WebhookAdmissionConfiguration =
        serde_yaml::from_value(configuration).map_err(|error| wrong(file, error.to_string()))?;
    check_kind(file, (&read.api_version, &read.kind), "WebhookAdmissionConfiguration")?;
    let absolute = |field: &str, path: &Path| match path.is_absolute() {
        true => Ok(()),
        false => Err(wrong(
            file,
            format!(
                "{field}: Invalid value: {:?}: must be an absolute file path",
                path.display().to_string()
            ),
        )),
    };
    let is_set = |path: &Path| !path.as_os_str().is_empty();
    let credentials = if is_set(&read.kube_config_file) {
        absolute("kubeConfigFile", &read.kube_config_file)?;
        Credentials::load(&read.kube_config_file).map_err(|why| wrong(file, format!("kubeConfigFile: {why}")))?
    } else {
        Credentials::default()
    };
    if !is_set(&read.static_manifests_dir) {
        return Ok((credentials, None));
    }
    absolute("staticManifestsDir", &read.static_manifests_dir)?;
    Ok((credentials, Some(read.static_manifests_dir)))
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> anyhow::Error {
    usage(format!("{FLAG} {}: {why}", path.display()))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| wrong(path, format!("cannot be read: {error}")))
}

fn decode<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_yaml::from_str(text).map_err(|error| wrong(path, error))
}

fn check_kind(path: &Path, (version, kind): (&str, &str), wanted: &str) -> Result<()> {
    if kind == wanted && VERSIONS.contains(&version) {
        return Ok(());
    }
    Err(wrong(
        path,
        format!("is a {kind:?} of {version:?}, not a {wanted} of {}", VERSIONS[0]),
    ))
}

#[cfg(test)]
mod tests;
