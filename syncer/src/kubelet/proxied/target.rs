//! The other virtual cluster: found by the Secret with its kubeconfig on the host, and asked with that.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use kube::client::Body as HostBody;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::json;
use crate::kinds::Kind;
use crate::object::ObjectKey;

/// How long the other API server may take until it begins to answer: longer than its own webhooks.
const PATIENCE: Duration = Duration::from_secs(35);
/// How long it counts as away before its Secret is read again.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest document that is read as a whole.
const LONGEST: usize = 64 << 20;
/// The fields of a kubeconfig that are used: nothing that names a file or a program of this machine.
const CLUSTER: [&str; 4] = [
    "server",
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "tls-server-name",
];
const USER: [&str; 3] = ["token", "client-certificate-data", "client-key-data"];

/// The Secret with the kubeconfig of a virtual cluster, as vCluster calls it.
pub(crate) fn secret(vcluster: &str) -> String {
    format!("vc-{vcluster}")
}

/// Why the other cluster cannot be asked, as a clause about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Away(pub(super) String);

/// A request to the other cluster, which can be sent more than once.
#[derive(Clone, Debug, Default)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Outgoing {
    /// Asks for a JSON document.
    pub(super) fn get(path: &str, accept: &'static str) -> Self {
        let accept = http::HeaderValue::from_static(accept);
        Self {
            path: path.to_owned(),
            headers: HeaderMap::from_iter([(http::header::ACCEPT, accept)]),
            ..Self::default()
        }
    }

    fn request(&self) -> Result<Request<HostBody>, http::Error> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.path);
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
        }
        request.body(HostBody::from(self.body.to_vec()))
    }
}

/// Another virtual cluster of the host.
pub(super) struct Target {
    place: ObjectKey,
    host: Client,
    state: Mutex<State>,
}

enum State {
    Unknown,
    Known(Client),
    Away(Instant, Away),
}

impl Target {
    /// Nothing is dialled yet.
    pub(super) fn new(place: ObjectKey, host: Client) -> Self {
        Self {
            place,
            host,
            state: Mutex::new(State::Unknown),
        }
    }

    /// One that was found already.
    #[cfg(test)]
    pub(super) fn known(place: ObjectKey, client: Client) -> Self {
        Self {
            state: Mutex::new(State::Known(client.clone())),
            place,
            host: client,
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.place.name
    }

    /// Sends a request. Credentials that are not taken any more are read anew.
    pub(super) async fn send(&self, outgoing: &Outgoing) -> Result<Response<HostBody>, Away> {
        let request = || {
            outgoing
                .request()
                .map_err(|_| Away("the request has no form".to_owned()))
        };
        let mut refused = false;
        loop {
            let client = self.client().await?;
            match tokio::time::timeout(PATIENCE, client.send(request()?)).await {
                Ok(Ok(answer)) if answer.status() == StatusCode::UNAUTHORIZED => {
                    if refused {
                        return Err(self.lose("it does not take the credentials of its kubeconfig").await);
                    }
                    refused = true;
                    *self.state.lock().await = State::Unknown;
                }
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => {
                    warn!(virtual_cluster = %self.place, %error, "another virtual cluster does not answer");
                    return Err(self.lose("it does not answer").await);
                }
                Err(_) => return Err(Away("it does not answer in time".to_owned())),
            }
        }
    }

    /// Sends a request and reads the answer as a whole.
    pub(super) async fn ask(&self, outgoing: &Outgoing) -> Result<Response<Bytes>, Away> {
        let (parts, body) = self.send(outgoing).await?.into_parts();
        Ok(Response::from_parts(parts, whole(body).await?))
    }

    async fn lose(&self, why: &str) -> Away {
        let away = Away(why.to_owned());
        *self.state.lock().await = State::Away(Instant::now() + PAUSE, away.clone());
        away
    }

    async fn client(&self) -> Result<Client, Away> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Known(client) => return Ok(client.clone()),
            State::Away(until, away) if Instant::now() < *until => return Err(away.clone()),
            State::Away(..) | State::Unknown => {}
        }
        let late = |_| Err(Away("the host does not answer in time".to_owned()));
        let connected = tokio::time::timeout(PATIENCE, self.connect()).await;
        match connected.unwrap_or_else(late) {
            Ok(client) => {
                info!(virtual_cluster = %self.place, "another virtual cluster can be asked");
                *state = State::Known(client.clone());
                Ok(client)
            }
            Err(away) => {
                warn!(virtual_cluster = %self.place, why = away.0, "another virtual cluster cannot be asked");
                *state = State::Away(Instant::now() + PAUSE, away.clone());
                Err(away)
            }
        }
    }

    async fn connect(&self) -> Result<Client, Away> {
        let away = |why: &str| Away(why.to_owned());
        let path = format!(
            "{}/{}",
            Kind::Secret.path(&self.place.namespace),
            secret(&self.place.name)
        );
        let request = Outgoing::get(&path, "application/json").request();
        let request = request.map_err(|_| away("its name is none"))?;
        let answer = self.host.send(request).await;
        let answer = answer.map_err(|_| away("the host does not answer"))?;
        match answer.status() {
            StatusCode::NOT_FOUND => return Err(away("the host has no Secret with its kubeconfig")),
            StatusCode::FORBIDDEN => return Err(away("the host does not let the Secret with its kubeconfig be read")),
            status if !status.is_success() => {
                return Err(away("the host does not show the Secret with its kubeconfig"));
            }
            _ => {}
        }
        let secret: Value = serde_json::from_slice(&whole(answer.into_body()).await?).unwrap_or_default();
        let unusable = |why: &str| Away(format!("its kubeconfig cannot be used: {why}"));
        let text = BASE64_STANDARD.decode(json::text(&secret, &["data", "config"]));
        let text = text.ok().and_then(|text| String::from_utf8(text).ok());
        let text = text.filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| unusable("the Secret has no key config"))?;
        let file = usable(&text, &self.place).map_err(unusable)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        // What is wrong may quote a key.
        let config = config.map_err(|_| unusable("its cluster or its credentials are malformed"))?;
        let client = client::connect_with(config, Path::new("of another virtual cluster"), "syncer");
        client.map_err(|_| unusable("its credentials are malformed"))
    }
}

async fn whole(body: HostBody) -> Result<Bytes, Away> {
    let body = Limited::new(body, LONGEST).collect().await;
    Ok(body.map_err(|_| Away("its answer broke off".to_owned()))?.to_bytes())
}

/// What can be used of a kubeconfig that somebody else has written. An address that means the reader's own machine stands for
/// the Service of the virtual cluster.
fn usable(text: &str, place: &ObjectKey) -> Result<Kubeconfig, &'static str> {
    // The parser's words may quote a key.
    let file: Value = serde_yaml::from_str(text).map_err(|_| "it is no YAML")?;
    let named = |list: &str, name: &str| -> Option<&Value> {
        let items = json::items(&file, &[list]);
        items.iter().find(|item| item["name"] == name)
    };
    let first = |list: &str| json::items(&file, &[list]).first();
    let context = named("contexts", json::text(&file, &["current-context"])).or_else(|| first("contexts"));
    let context = context
        .and_then(|entry| entry.get("context"))
        .ok_or("it has no context")?;
    let of = |list: &str, field: &str| {
        let entry = named(list, json::text(context, &[field]))?;
        entry.get(field)
    };
    let cluster = of("clusters", "cluster").ok_or("its context names no cluster")?;
    let user = of("users", "user").ok_or("its context names no user")?;
    let only = |value: &Value, fields: &[&str]| -> Value {
        let found = fields
            .iter()
            .filter_map(|field| Some(((*field).to_owned(), value.get(field)?.clone())));
        Value::Object(found.filter(|(_, value)| !value.is_null()).collect())
    };
    let mut cluster = only(cluster, &CLUSTER);
    let user = only(user, &USER);
    if user.as_object().is_none_or(|fields| fields.is_empty()) {
        return Err("it has no token and no certificate in it");
    }
    let server: Uri = json::text(&cluster, &["server"])
        .parse()
        .map_err(|_| "its server is no URL")?;
    if server.scheme_str() != Some("https") {
        return Err("its server is not at https://");
    }
    if server.host() == Some("localhost") {
        cluster["server"] = json!(format!("https://{}.{}", place.name, place.namespace));
    }
    let usable = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "target",
        "clusters": [{"name": "target", "cluster": cluster}],
        "users": [{"name": "target", "user": user}],
        "contexts": [{"name": "target", "context": {"cluster": "target", "user": "target"}}],
    });
    serde_json::from_value(usable).map_err(|_| "its fields have other types")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(cluster: Value, user: Value) -> String {
        json!({
            "current-context": "c", "contexts": [
                {"name": "other", "context": {"cluster": "x", "user": "x"}},
                {"name": "c", "context": {"cluster": "k", "user": "u"}},
            ],
            "clusters": [{"name": "k", "cluster": cluster}], "users": [{"name": "u", "user": user}],
        })
        .to_string()
    }

    #[test]
    fn only_what_is_in_a_kubeconfig_itself_is_used() {
        let place = ObjectKey::new("vcluster-b", "b");
        let token = json!({"token": "t", "exec": {"command": "evil"}, "tokenFile": "/f", "client-key": "/k"});
        let server =
            |server: &str| json!({"server": server, "certificate-authority": "/etc/passwd", "proxy-url": "http://x"});
        let used = usable(&kubeconfig(server("https://10.0.0.1:8443"), token.clone()), &place).expect("usable");
        let used = serde_json::to_value(used).expect("JSON");
        let text = used.to_string();
        for word in ["evil", "/f", "/k", "passwd", "proxy-url"] {
            assert!(!text.contains(word), "{word} is left in {text}");
        }
        assert_eq!(used["clusters"][0]["cluster"]["server"], "https://10.0.0.1:8443");
        let local = usable(&kubeconfig(server("https://localhost:8443"), token.clone()), &place).expect("usable");
        let local = serde_json::to_value(local).expect("JSON");
        assert_eq!(local["clusters"][0]["cluster"]["server"], "https://b.vcluster-b");

        for (text, word) in [
            ("a: [".to_owned(), "no YAML"),
            ("{}".to_owned(), "no context"),
            (kubeconfig(server("http://10.0.0.1"), token.clone()), "https://"),
            (kubeconfig(json!({}), token), "no URL"),
            (kubeconfig(server("https://x"), json!({"exec": {}})), "no token"),
        ] {
            let why = usable(&text, &place).expect_err("unusable");
            assert!(why.contains(word), "{why}");
        }
    }
}
