//! A webhook that decides by what is written, and remembers what it was asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chassis::tls::{Authority, Profile, load_identity, server_config};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Answers reviews as the path says: `/deny` refuses what has `data.bad`, `/mutate` sets `data.path` and counts in
/// `data.seen`, `/slow` never answers.
pub(crate) struct Hook {
    port: u16,
    authority: String,
    asked: Arc<Mutex<Vec<Value>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hook {
    pub(crate) async fn start() -> Result<Self> {
        let authority = Authority::generate("hooks")?;
        let pem = authority.issue(&Profile::server("hook", ["127.0.0.1"]))?;
        let dir = tempfile::tempdir()?;
        let (certificate, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
        std::fs::write(&certificate, &pem.certificate)?;
        std::fs::write(&key, pem.key.as_str())?;
        let identity = load_identity(("the certificate", &certificate), ("the key", &key))?;
        let acceptor = TlsAcceptor::from(Arc::new(server_config(identity, None)?));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let asked = Arc::<Mutex<Vec<Value>>>::default();
        let seen = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(move |request| answer(request, seen.clone()));
                    // How a connection ends is the caller's business.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self {
            port,
            authority: authority.certificate().to_owned(),
            asked,
            task,
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// A configuration with this webhook for ConfigMaps, with more fields.
    pub(crate) fn configuration(&self, kind: &str, name: &str, path: &str, fields: &Value) -> Value {
        let mut hook = json!({
            "name": format!("{name}.example.com"),
            "clientConfig": {"url": self.url(path), "caBundle": STANDARD.encode(&self.authority)},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
            "matchConditions": [{"name": "ours", "expression": "request.namespace == 'default'"}],
        });
        for (field, value) in fields.as_object().into_iter().flatten() {
            hook[field] = value.clone();
        }
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "webhooks": [hook],
        })
    }

    /// The requests that it was asked about since the last time.
    pub(crate) fn take_asked(&self) -> Vec<Value> {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answer(request: Request<Incoming>, seen: Arc<Mutex<Vec<Value>>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let asked = &review["request"];
    let data = &asked["object"]["data"];
    let mut response = json!({"uid": asked["uid"], "allowed": true});
    match path.as_str() {
        "/deny" if data.get("bad").is_some() => {
            response["allowed"] = json!(false);
            response["status"] = json!({"message": "bad data", "code": 418});
        }
        "/deny" => response["warnings"] = json!(["looked at"]),
        "/slow" => std::future::pending().await,
        path if !asked["object"].is_null() => {
            let count = data["seen"]
                .as_str()
                .and_then(|text| text.parse::<u32>().ok())
                .unwrap_or_default()
                + 1;
            let patch = json!([
                {"op": "add", "path": "/data/path", "value": path},
                {"op": "add", "path": "/data/seen", "value": count.to_string()},
            ]);
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(STANDARD.encode(patch.to_string()));
        }
        _ => {}
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
    let answer = json!({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response});
    Ok(Response::new(Full::from(answer.to_string())))
}
