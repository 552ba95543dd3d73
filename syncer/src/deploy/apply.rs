//! Writes manifests of any kind that the virtual API server knows.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tracing::info;

use super::manifests::Manifest;
use super::{Patience, merge};
use crate::clusters::{Api, ApiError, Patch};
use crate::json;

/// Name under which written fields are recorded: upstream's.
const FIELD_MANAGER: &str = "vcluster";
/// How long a new definition may take until its kind is served.
const ESTABLISHED_WITHIN: u32 = 60;
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What discovery says about a kind.
struct Resource {
    plural: String,
    namespaced: bool,
}

/// Knows the kinds that it has met.
pub(super) struct Applier<'a> {
    api: &'a Api,
    known: BTreeMap<(String, String), Resource>,
}

impl<'a> Applier<'a> {
    pub(super) fn new(api: &'a Api) -> Self {
        Self {
            api,
            known: BTreeMap::new(),
        }
    }

    /// Makes the object, or brings the one that is there up to date.
    pub(super) async fn apply(&mut self, manifest: &Manifest) -> Result<(), ApiError> {
        let mut patience = Patience::default();
        loop {
            match self.apply_once(manifest).await {
                Err(error) if patience.bears(&error).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn apply_once(&mut self, manifest: &Manifest) -> Result<(), ApiError> {
        let (collection, namespaced) = self.collection(manifest).await?;
        let mut wanted = manifest.0.clone();
        let namespace = namespaced.then(|| json!(manifest.namespace()));
        json::put(&mut wanted["metadata"], "namespace", namespace);
        let wanted = merge::annotated(wanted);
        let path = format!("{collection}/{}", manifest.name());
        let managed = |path: &str| format!("{path}?fieldManager={FIELD_MANAGER}");
        match self.api.any("get", Method::GET, &path, None).await {
            Ok(current) => {
                let patch = merge::patch(&wanted, &current);
                if patch.as_object().is_some_and(|patch| !patch.is_empty()) {
                    let body = Some((Patch::Merge.content_type(), &patch));
                    self.api.any("patch", Method::PATCH, &managed(&path), body).await?;
                    info!(object = %manifest, "configured");
                }
            }
            Err(error) if error.code() == 404 => {
                let body = Some(("application/json", &wanted));
                self.api
                    .any("create", Method::POST, &managed(&collection), body)
                    .await?;
                info!(object = %manifest, "created");
            }
            Err(error) => return Err(error),
        }
        if manifest.is_definition() {
            self.established(&path).await?;
        }
        Ok(())
    }

    /// Deletes the object, if it and its kind are still there.
    pub(super) async fn delete(&mut self, manifest: &Manifest) -> Result<(), ApiError> {
        let mut patience = Patience::default();
        loop {
            match self.delete_existing(manifest).await {
                Err(error) if error.code() == 404 => return Ok(()),
                Err(error) if patience.bears(&error).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn delete_existing(&mut self, manifest: &Manifest) -> Result<(), ApiError> {
        let (collection, _) = self.collection(manifest).await?;
        let path = format!("{collection}/{}", manifest.name());
        let current = self.api.any("get", Method::GET, &path, None).await?;
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": {"uid": json::text(&current, &["metadata", "uid"])},
        });
        let body = Some(("application/json", &options));
        self.api.any("delete", Method::DELETE, &path, body).await?;
        info!(object = %manifest, "deleted");
        Ok(())
    }

    /// Waits until a definition's kind is served.
    async fn established(&self, path: &str) -> Result<(), ApiError> {
        for _ in 0..ESTABLISHED_WITHIN * 2 {
            let definition = self.api.any("get", Method::GET, path, None).await?;
            let mut conditions = json::items(&definition, &["status", "conditions"]).iter();
            if conditions.any(|condition| condition["type"] == "Established" && condition["status"] == "True") {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(refused(format!(
            "its kind is not served {ESTABLISHED_WITHIN} seconds after it was written: its status says why"
        )))
    }

    /// Where objects like this one are, and whether that is in a namespace.
    async fn collection(&mut self, manifest: &Manifest) -> Result<(String, bool), ApiError> {
        let version = manifest.api_version();
        let root = match version.contains('/') {
            true => format!("/apis/{version}"),
            false => format!("/api/{version}"),
        };
        let key = (version.to_owned(), manifest.kind().to_owned());
        let resource = match self.known.get(&key) {
            Some(resource) => resource,
            None => {
                let found = self.discover(&root, manifest).await?;
                self.known.entry(key).or_insert(found)
            }
        };
        let plural = &resource.plural;
        Ok(match resource.namespaced {
            true => (format!("{root}/namespaces/{}/{plural}", manifest.namespace()), true),
            false => (format!("{root}/{plural}"), false),
        })
    }

    async fn discover(&self, root: &str, manifest: &Manifest) -> Result<Resource, ApiError> {
        let list = match self.api.any("get", Method::GET, root, None).await {
            Err(error) if error.code() == 404 => Value::Null,
            answer => answer?,
        };
        let mut resources = json::items(&list, &["resources"]).iter();
        let found = resources.find(|resource| {
            let name = json::text(resource, &["name"]);
            json::text(resource, &["kind"]) == manifest.kind() && !name.contains('/')
        });
        let found = found.ok_or_else(|| {
            refused(format!(
                "the API server has no kind {} in {}",
                manifest.kind(),
                manifest.api_version()
            ))
        })?;
        Ok(Resource {
            plural: json::text(found, &["name"]).to_owned(),
            namespaced: json::flag(found, &["namespaced"]) == Some(true),
        })
    }
}

/// What no request can change.
fn refused(message: String) -> ApiError {
    ApiError::Refused {
        code: 404,
        reason: "NotFound".to_owned(),
        message,
        retry_after: None,
    }
}
