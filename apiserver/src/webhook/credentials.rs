//! What the server shows to webhooks: the users of a kubeconfig whose names are the webhooks' addresses
//! (k8s.io/apiserver `pkg/util/webhook/authentication.go`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chassis::tls::Identity;
use http::HeaderValue;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Users by the address they are for.
#[derive(Debug, Default)]
pub struct Credentials {
    users: BTreeMap<String, User>,
    /// The user of the current context, for all others.
    current: String,
    /// What relative paths start from.
    directory: PathBuf,
}

/// What one webhook is shown.
#[derive(Default)]
pub(super) struct Known {
    pub(super) authorization: Option<HeaderValue>,
    pub(super) identity: Option<Identity>,
}

impl Known {
    /// Changes when anything of it does, and tells nothing of it.
    pub(super) fn stamp(&self) -> String {
        let mut digest = Sha256::new();
        if let Some(value) = &self.authorization {
            digest.update(value.as_bytes());
        }
        // No header holds a line break.
        digest.update("\n");
        if let Some(identity) = &self.identity {
            identity
                .certificates
                .iter()
                .for_each(|certificate| digest.update(certificate));
            digest.update(identity.key.secret_der());
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[derive(Default)]
struct Kubeconfig {
    users: Vec<Named<UserEntry>>,
    contexts: Vec<Named<ContextEntry>>,
    current_context: String,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(flatten)]
    entry: T,
}

#[derive(Deserialize)]
struct UserEntry {
    #[serde(default)]
    user: User,
}

#[derive(Deserialize)]
struct ContextEntry {
    #[serde(default)]
    context: Context,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    user: String,
}

/// Field names are kubectl's.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    token: String,
    #[serde(rename = "tokenFile")]
    token_file: PathBuf,
    client_certificate: PathBuf,
    client_certificate_data: String,
    client_key: PathBuf,
    client_key_data: String,
    username: String,
    password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("User(…)") // secrets
    }
}

impl Credentials {
    /// The users of a kubeconfig file.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn load(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read(path).map_err(|error| format!("{shown}: cannot be read: {error}"))?;
        // The parser's words may quote the file, which holds secrets.
        let config: Kubeconfig =
            serde_yaml::from_slice(&text).map_err(|_| format!("{shown}: is not a kubeconfig file"))?;
        let named = |context: &&Named<ContextEntry>| context.name == config.current_context;
        let current = config.contexts.iter().find(named);
        Ok(Credentials {
            current: current
                .map(|context| context.entry.context.user.clone())
                .unwrap_or_default(),
            users: config
                .users
                .into_iter()
                .map(|user| (user.name, user.entry.user))
                .collect(),
            directory: path.parent().map(Path::to_owned).unwrap_or_default(),
        })
    }

    /// What is shown to the webhook at `host:port`.
    pub(super) fn of(&self, target: &str) -> Result<Known, String> {
        match self.user(target) {
            Some(user) => self.known(user),
            None => Ok(Known::default()),
        }
    }

    /// The user of this name, of a name with a star for leading labels, the same without the port of HTTPS, that of all
    /// (`*`), or that of the current context.
    fn user(&self, target: &str) -> Option<&User> {
        let exact_or_star = |target: &str| {
            let stars = target.match_indices('.').map(|(at, _)| format!("*{}", &target[at..]));
            self.users
                .get(target)
                .or_else(|| stars.filter_map(|name| self.users.get(&name)).next())
        };
        exact_or_star(target)
            .or_else(|| exact_or_star(target.strip_suffix(":443")?))
            .or_else(|| self.users.get("*"))
            .or_else(|| self.users.get(&self.current))
    }

    fn known(&self, user: &User) -> Result<Known, String> {
        let is_set = |path: &Path| !path.as_os_str().is_empty();
        let read = |path: &Path| {
            let path = self.directory.join(path);
            std::fs::read(&path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))
        };
        // What the file says goes before the token beside it, which serves as long as there is none.
        let in_file = is_set(&user.token_file).then(|| read(&user.token_file));
        let token = match in_file {
            Some(Ok(text)) => String::from_utf8_lossy(&text).trim().to_owned(),
            Some(Err(why)) if user.token.is_empty() => return Err(why),
            _ => user.token.clone(),
        };
        let authorization = match (token.as_str(), user.username.as_str()) {
            ("", "") => None,
            ("", name) => {
                let pair = format!("{name}:{}", user.password);
                Some(format!("Basic {}", STANDARD.encode(pair)))
            }
            (token, _) => Some(format!("Bearer {token}")),
        };
        let authorization = authorization.map(|value| {
            let mut value = HeaderValue::from_str(&value).map_err(|_| "the token has characters that no header has")?;
            value.set_sensitive(true);
            Ok::<_, String>(value)
        });
        let pem = |data: &str, path: &Path| match data {
            "" if is_set(path) => read(path).map(Some),
            "" => Ok(None),
            data => STANDARD
                .decode(data)
                .map(Some)
                .map_err(|_| "a client certificate or key is not base64".to_owned()),
        };
        let certificate = pem(&user.client_certificate_data, &user.client_certificate)?;
        let key = pem(&user.client_key_data, &user.client_key)?;
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(Identity {
                certificates: CertificateDer::pem_slice_iter(&certificate)
                    .filter_map(Result::ok)
                    .collect(),
                key: PrivateKeyDer::from_pem_slice(&key).map_err(|_| "the client key is no PEM file".to_owned())?,
            }),
            _ => None,
        };
        Ok(Known {
            authorization: authorization.transpose()?,
            identity,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_the_address_of_the_webhook() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let text = "
users:
- {name: 'exact.default.svc:8443', user: {token: one}}
- {name: '*.default.svc', user: {username: two, password: word}}
- {name: '*.svc:9000', user: {tokenFile: token}}
- {name: me, user: {token: current}}
contexts:
- {name: c, context: {user: me, cluster: ''}}
current-context: c
";
        std::fs::write(&path, text).unwrap();
        std::fs::write(dir.path().join("token"), "three\n").unwrap();
        let credentials = Credentials::load(&path).unwrap();
        for (target, expected) in [
            ("exact.default.svc:8443", "Bearer one"),
            ("a.default.svc:443", "Basic dHdvOndvcmQ="),
            ("a.b.svc:9000", "Bearer three"),
            ("exact.default.svc:8444", "Bearer current"),
            ("1.2.3.4:443", "Bearer current"),
        ] {
            let known = credentials.of(target).unwrap();
            assert_eq!(known.authorization.unwrap(), expected, "{target}");
        }
        let stamp = |credentials: &Credentials| credentials.of("a.b.svc:9000").unwrap().stamp();
        let before = stamp(&credentials);
        assert_eq!(stamp(&credentials), before);
        std::fs::write(dir.path().join("token"), "four\n").unwrap();
        assert_ne!(stamp(&credentials), before, "files are read again");
        assert!(Credentials::default().of("a:443").unwrap().authorization.is_none());
        std::fs::write(&path, "users: secret").unwrap();
        let error = Credentials::load(&path).unwrap_err();
        assert!(error.contains("config") && !error.contains("secret"), "{error}");
    }
}
