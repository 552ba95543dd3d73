//! Webhook configurations in files instead of objects (k8s.io/apiserver `pkg/admission/plugin/webhook/manifest`). They are
//! read when the server starts, and again when they have changed.

use crate::admission::webhook::{Hook, Hooks};
use crate::registry::strategy::Context;
use crate::resources;
use chassis::CancellationToken;
use machinery::schema;
use machinery::schema::decode::decode_value;
use machinery::{field, meta};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const GROUP: &str = "admissionregistration.k8s.io";
const VERSION: &str = "v1";
/// What their names end with, so that no object has the same.
const SUFFIX: &str = ".static.k8s.io";
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// How often a directory is looked at. Upstream is told at once, and looks every minute besides.
const EVERY: Duration = Duration::from_secs(10);

/// A directory whose webhooks are enforced.
pub struct Directory {
    dir: PathBuf,
    kind: &'static str,
    hooks: Hooks,
    /// Changes when a file does.
    digest: String,
}

impl Directory {
    /// Reads the directory.
    ///
    /// # Errors
    /// A clause that names the file and what is wrong with it.
    pub(super) fn open(dir: &Path, kind: &'static str, hooks: Hooks) -> Result<Self, String> {
        let files = files(dir)?;
        hooks.replace(parsed(&files, kind)?);
        Ok(Directory {
            dir: dir.to_owned(),
            kind,
            hooks,
            digest: digest(&files),
        })
    }

    /// Enforces what the directory has whenever it changes, until shutdown.
    pub async fn follow(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.cancelled() => return,
            }
            let dir = self.dir.display().to_string();
            match self.look() {
                Ok(false) => {}
                Ok(true) => tracing::info!(dir, kind = self.kind, "webhooks of files have changed"),
                Err(error) => tracing::error!(dir, error, "webhooks of files stay as they were"),
            }
        }
    }

    /// Reads files that have changed; whether any has. A mistake in one of them leaves everything as it was, and is told once.
    pub(super) fn look(&mut self) -> Result<bool, String> {
        let files = files(&self.dir)?;
        let digest = digest(&files);
        if digest == self.digest {
            return Ok(false);
        }
        self.digest = digest;
        self.hooks.replace(parsed(&files, self.kind)?);
        Ok(true)
    }
}

/// What tells the content of files from another one.
fn digest(files: &[(String, String)]) -> String {
    let mut digest = Sha256::new();
    for (name, text) in files {
        for part in [name, text] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files of a directory that may hold configurations, by name, and their content.
fn files(dir: &Path) -> Result<Vec<(String, String)>, String> {
    let unreadable = |error: std::io::Error| {
        format!(
            "Invalid value: {:?}: unable to read: {error}",
            dir.display().to_string()
        )
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        let known = extension.is_some_and(|extension| EXTENSIONS.iter().any(|each| extension == *each));
        if known && path.is_file() {
            let shown = path.display().to_string();
            let text = std::fs::read_to_string(&path).map_err(|error| format!("error loading {shown}: {error}"))?;
            files.push((shown, text));
        }
    }
    files.sort();
    Ok(files)
}

/// The webhooks of all configurations of a kind, by the names of the configurations.
fn parsed(files: &[(String, String)], kind: &str) -> Result<Vec<Arc<Hook>>, String> {
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    for (shown, text) in files {
        let wrong = |why: String| format!("error loading {shown}: {why}");
        for document in serde_yaml::Deserializer::from_str(text) {
            let document = Option::<Value>::deserialize(document).map_err(|error| wrong(error.to_string()))?;
            for configuration in document.map(|document| unwrapped(document, kind)).into_iter().flatten() {
                let configuration = accept(configuration, kind, shown).map_err(wrong)?;
                let name = meta::name(&configuration).to_owned();
                if found.insert(name.clone(), configuration).is_some() {
                    return Err(wrong(format!("duplicate name {name:?}")));
                }
            }
        }
    }
    Ok(found.values().flat_map(|each| Hook::all(each, "manifest/")).collect())
}

/// The items of a list, or the object itself.
fn unwrapped(document: Value, kind: &str) -> Vec<Value> {
    let own = meta::str_at(&document, &["kind"]).unwrap_or_default();
    if own == "List" || own.strip_suffix("List") == Some(kind) {
        return meta::list_at(&document, &["items"]).to_vec();
    }
    vec![document]
}

/// A configuration with its defaults, if it is a right one.
fn accept(configuration: Value, kind: &str, file: &str) -> Result<Value, String> {
    let text = |field: &str| meta::str_at(&configuration, &[field]).unwrap_or_default();
    let api_version = format!("{GROUP}/{VERSION}");
    if text("apiVersion") != api_version || text("kind") != kind {
        return Err(format!(
            "unsupported resource type {:?} of {:?}: only {kind} of {api_version} is taken",
            text("kind"),
            text("apiVersion")
        ));
    }
    let resource = resources::all()
        .into_iter()
        .find(|resource| resource.gvk.group == GROUP && resource.gvk.kind == kind)
        .ok_or_else(|| format!("{kind} is not known"))?;
    let ty = schema::by_gvk(GROUP, VERSION, kind).ok_or_else(|| format!("{kind} has no schema"))?;
    let decoded = decode_value(&configuration, ty).map_err(|error| error.to_string())?;
    if !decoded.strict.is_empty() {
        return Err(format!("strict decoding error: {}", decoded.strict.join(", ")));
    }
    let mut configuration = decoded.value;
    let name = meta::name(&configuration).to_owned();
    if name.is_empty() {
        return Err(format!("resource in file {file:?} must have a name"));
    }
    if !name.ends_with(SUFFIX) {
        return Err(format!(
            "{name:?} in file {file:?} must have a name ending with {SUFFIX:?}"
        ));
    }
    resource.strategy.default(&mut configuration);
    let context = Context {
        namespace: "",
        now: "",
        user: "",
    };
    let errors: Vec<String> = resource
        .strategy
        .validate(&context, &configuration)
        .iter()
        .map(field::Error::to_string)
        .collect();
    if !errors.is_empty() {
        return Err(format!("{kind} {name:?} is invalid: {}", errors.join(", ")));
    }
    for hook in meta::list_at(&configuration, &["webhooks"]) {
        let client = hook.get("clientConfig").unwrap_or(&Value::Null);
        let named = format!(
            "webhook {:?} in {name:?} (file {file:?})",
            meta::str_at(hook, &["name"]).unwrap_or_default()
        );
        if client.get("service").is_some_and(|service| !service.is_null()) {
            return Err(format!(
                "{named}: clientConfig.service is not supported for static manifests; use clientConfig.url instead"
            ));
        }
        if meta::str_at(client, &["url"]).is_none_or(str::is_empty) {
            return Err(format!("{named}: clientConfig.url is required for static manifests"));
        }
    }
    Ok(configuration)
}
