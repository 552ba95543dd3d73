//! One object of every kind.

use serde::Deserialize;
use serde_json::Value;

const SAMPLES: &str = include_str!("samples.yaml");

/// An object to create.
#[derive(Debug, Deserialize)]
pub(crate) struct Sample {
    /// Where it is created.
    pub(crate) path: String,
    /// Upstream's key, without prefix, namespace and name.
    pub(crate) key: String,
    /// The object.
    pub(crate) object: Value,
}

impl Sample {
    fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Where it is served.
    pub(crate) fn object_path(&self) -> String {
        format!("{}/{}", self.path, self.name())
    }

    /// Its key in the store.
    pub(crate) fn storage_key(&self) -> String {
        let namespace = if self.path.contains("/namespaces/") {
            "samples/"
        } else {
            ""
        };
        format!("/registry/{}/{namespace}{}", self.key, self.name())
    }
}

/// The samples of a server; `name` and `number` tell them from those of others.
pub(crate) fn samples(name: &str, number: u8) -> Vec<Sample> {
    let text = SAMPLES.replace("NAME", name).replace("NUMBER", &number.to_string());
    serde_yaml::from_str(&text).unwrap()
}
