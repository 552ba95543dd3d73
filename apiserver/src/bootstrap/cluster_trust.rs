//! What servers behind APIServices have to know to trust this one: the ConfigMap
//! `kube-system/extension-apiserver-authentication` (kubernetes `pkg/controlplane/controller/clusterauthenticationtrust`).

use super::writer::Writer;
use crate::endpoints::api::Api;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::meta;
use machinery::status::Status;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
const USERS: &str = "client-ca-file";
const PROXIES: &str = "requestheader-client-ca-file";
/// The one list that is left out when it is empty.
const UIDS: &str = "requestheader-uid-headers";

/// What this server says about itself. What other servers of the cluster have said stays.
#[derive(Clone, Debug, Default)]
pub struct ClusterTrust {
    /// The authorities of users, as PEM.
    pub users: Option<String>,
    /// The authorities of proxies, as PEM.
    pub proxies: Option<String>,
    /// The lists of names of the flags `--requestheader-…`, by their keys.
    pub lists: [(&'static str, Vec<String>); 5],
}

impl ClusterTrust {
    /// Whether a ConfigMap is the one in which this stands.
    pub(crate) fn is_published_as(namespace: &str, name: &str) -> bool {
        (namespace, name) == (NAMESPACE, NAME)
    }

    /// Makes or completes the ConfigMap.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(crate) async fn ensure(&self, api: &Api) -> Result<(), Status> {
        let writer = Writer::new(api, "", "configmaps")?;
        let Some(found) = writer.get(NAMESPACE, NAME).await? else {
            let mut wanted = json!({"metadata": {"namespace": NAMESPACE, "name": NAME}});
            self.complete(&mut wanted);
            return writer.create(NAMESPACE, &wanted).await;
        };
        let mut wanted = found.clone();
        self.complete(&mut wanted);
        if wanted == found {
            return Ok(());
        }
        writer.change(NAMESPACE, NAME, &|current| self.complete(current)).await
    }

    fn complete(&self, object: &mut Value) {
        let known = |key: &str| meta::str_at(object, &["data", key]).unwrap_or_default().to_owned();
        let bundle = |key: &str, own: &Option<String>| {
            let all = format!("{}\n{}", known(key), own.as_deref().unwrap_or_default());
            merged(&all)
        };
        let mut data = Map::new();
        let users = bundle(USERS, &self.users);
        if !users.is_empty() {
            data.insert(USERS.to_owned(), users.into());
        }
        let proxies = bundle(PROXIES, &self.proxies);
        if !proxies.is_empty() {
            data.insert(PROXIES.to_owned(), proxies.into());
            for (key, own) in &self.lists {
                let mut names: Vec<String> = serde_json::from_str(&known(key)).unwrap_or_default();
                for name in own {
                    if !names.contains(name) {
                        names.push(name.clone());
                    }
                }
                if !names.is_empty() || *key != UIDS {
                    data.insert((*key).to_owned(), json!(names).to_string().into());
                }
            }
        }
        if data.is_empty() {
            meta::remove(object, &["data"]);
        } else {
            meta::set(object, &["data"], Value::Object(data));
        }
    }
}

/// The certificates of a text that have not expired, each once.
fn merged(pem: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    let mut seen: Vec<CertificateDer<'static>> = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()).flatten() {
        let lives = X509Certificate::from_der(&certificate)
            .is_ok_and(|(_, parsed)| parsed.validity().not_after.timestamp() > now);
        if lives && !seen.contains(&certificate) {
            seen.push(certificate);
        }
    }
    seen.iter().map(|certificate| encoded(certificate)).collect()
}

fn encoded(der: &[u8]) -> String {
    const COLUMNS: usize = 64;
    let text = STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(COLUMNS) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis::tls::Authority;

    #[test]
    fn what_others_have_said_stays() {
        let authority = || Authority::generate("ca").unwrap().certificate().to_owned();
        let trust = |proxies: Option<String>, names: &[&str]| ClusterTrust {
            users: Some(authority()),
            proxies,
            lists: [
                (
                    "requestheader-allowed-names",
                    names.iter().map(|name| (*name).to_owned()).collect(),
                ),
                ("requestheader-username-headers", vec!["X-Remote-User".to_owned()]),
                (UIDS, Vec::new()),
                ("requestheader-group-headers", Vec::new()),
                ("requestheader-extra-headers-prefix", Vec::new()),
            ],
        };
        let mut object = json!({});
        let (first, second) = (trust(Some(authority()), &["a"]), trust(Some(authority()), &["b", "a"]));
        first.complete(&mut object);
        let data = |object: &Value, key: &str| meta::str_at(object, &["data", key]).unwrap_or_default().to_owned();
        assert_eq!(data(&object, "requestheader-allowed-names"), r#"["a"]"#);
        assert_eq!(data(&object, "requestheader-group-headers"), "[]");
        assert!(object["data"].get(UIDS).is_none());
        second.complete(&mut object);
        assert_eq!(data(&object, "requestheader-allowed-names"), r#"["a","b"]"#);
        assert_eq!(data(&object, PROXIES).matches("BEGIN").count(), 2);
        let before = object.clone();
        first.complete(&mut object);
        assert_eq!(object, before);
        let mut alone = json!({});
        trust(None, &["a"]).complete(&mut alone);
        assert_eq!(alone["data"].as_object().unwrap().len(), 1);
    }
}
