//! The ConfigMaps and Secrets that a pod names.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};

/// A ConfigMap or Secret by name, in the pod's namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// `configmap`
    ConfigMap(String),
    /// `secret`
    Secret(String),
}

type Content = BTreeMap<String, Vec<u8>>;

/// The content of the objects a pod names, as far as they exist, and the tokens made for it.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    content: BTreeMap<Reference, Content>,
    pub(super) token: Option<String>,
}

impl Objects {
    /// Adds a ConfigMap.
    pub fn add_config_map(&mut self, name: &str, object: &ConfigMap) {
        let text = object
            .data
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone().into_bytes()));
        let binary = object
            .binary_data
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.0.clone()));
        self.content
            .insert(Reference::ConfigMap(name.to_string()), text.chain(binary).collect());
    }

    /// Adds a Secret.
    pub fn add_secret(&mut self, name: &str, object: &Secret) {
        let data = object
            .data
            .iter()
            .flatten()
            .map(|(key, ByteString(value))| (key.clone(), value.clone()));
        self.content.insert(Reference::Secret(name.to_string()), data.collect());
    }

    /// Adds the token that projected service account volumes show.
    pub fn set_token(&mut self, token: String) {
        self.token = Some(token);
    }

    /// The whole of an object; `None` when it is optional and absent.
    pub(super) fn content(&self, reference: &Reference, optional: bool) -> Result<Option<&Content>, String> {
        match self.content.get(reference) {
            Some(content) => Ok(Some(content)),
            None if optional => Ok(None),
            None => Err(match reference {
                Reference::ConfigMap(name) => format!("configmap \"{name}\" not found"),
                Reference::Secret(name) => format!("secret \"{name}\" not found"),
            }),
        }
    }

    /// One key of an object; `None` when it is optional and absent.
    pub(super) fn key(
        &self,
        reference: &Reference,
        key: &str,
        optional: bool,
        namespace: &str,
    ) -> Result<Option<String>, String> {
        let Some(content) = self.content(reference, optional)? else {
            return Ok(None);
        };
        match content.get(key) {
            Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
            None if optional => Ok(None),
            None => Err(match reference {
                Reference::ConfigMap(name) => format!("couldn't find key {key} in ConfigMap {namespace}/{name}"),
                Reference::Secret(name) => format!("couldn't find key {key} in Secret {namespace}/{name}"),
            }),
        }
    }
}
