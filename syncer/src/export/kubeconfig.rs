//! A kubeconfig with another context, server or login, as the data of a Secret.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use config::KubeConfigSecret;
use serde_json::{Map, Value, json};

/// Keys of the Secret besides `config` and `token`, and the places in a kubeconfig from which their values come, in base64 on
/// both sides.
const PARTS: [(&str, &str); 3] = [
    (
        "certificate-authority",
        "/clusters/0/cluster/certificate-authority-data",
    ),
    ("client-certificate", "/users/0/user/client-certificate-data"),
    ("client-key", "/users/0/user/client-key-data"),
];

/// The administrator's kubeconfig.
pub(super) struct Source {
    text: String,
    config: Value,
}

impl Source {
    /// Reads a kubeconfig.
    pub(super) fn read(text: String) -> Result<Self, String> {
        let config = client::kubeconfig::parse(&text)?;
        let config = serde_json::to_value(config).map_err(|error| error.to_string())?;
        for list in ["clusters", "users", "contexts"] {
            if config.pointer(&format!("/{list}/0")).is_none() {
                return Err(format!("it has no {list}"));
            }
        }
        Ok(Self { text, config })
    }

    /// The data of a Secret; the administrator logs in when there is no token.
    pub(super) fn data(&self, wanted: &KubeConfigSecret, token: Option<&str>) -> Map<String, Value> {
        let mut config = self.config.clone();
        if !wanted.context.is_empty() {
            rename(&mut config, &wanted.context);
        }
        let cluster = &mut config["clusters"][0]["cluster"];
        if !wanted.server.is_empty() {
            let authority = cluster.get("certificate-authority-data").cloned();
            *cluster = json!({"server": wanted.server});
            crate::json::put(cluster, "certificate-authority-data", authority);
        }
        if wanted.insecure {
            crate::json::remove(cluster, &["certificate-authority-data"]);
            cluster["insecure-skip-tls-verify"] = json!(true);
        }
        if let Some(token) = token {
            config["users"][0]["user"] = json!({"token": token});
        }
        // JSON is YAML, too; what was not changed stays as it was written.
        let text = if config == self.config {
            self.text.clone()
        } else {
            config.to_string()
        };
        let encoded = |text: &str| json!(BASE64_STANDARD.encode(text));
        let mut data = Map::from_iter([
            ("config".to_owned(), encoded(&text)),
            ("token".to_owned(), encoded(token.unwrap_or_default())),
        ]);
        for (key, place) in PARTS {
            let value = config.pointer(place).filter(|value| value.is_string());
            data.insert(key.to_owned(), value.cloned().unwrap_or_else(|| json!("")));
        }
        data
    }
}

/// Calls the context, its cluster and its user by one name.
fn rename(config: &mut Value, name: &str) {
    config["current-context"] = json!(name);
    for list in ["clusters", "users", "contexts"] {
        config[list][0]["name"] = json!(name);
    }
    config["contexts"][0]["context"]["cluster"] = json!(name);
    config["contexts"][0]["context"]["user"] = json!(name);
}
