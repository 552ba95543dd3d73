//! The whole server on a free port over a real etcd: TLS, who is let in, tokens, health, and a graceful end.

use crate::support::https::{Client, identity, trust, write};
use crate::support::store::{Backend, eventually};
use apiserver::options::Options;
use chassis::tls::{Authority, Profile};
use chassis::{Chassis, CommonOptions};
use clap::Parser;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::Duration;

pub(crate) struct Server {
    chassis: Chassis,
    pub(crate) authority: Authority,
    backend: Rc<Backend>,
    _dir: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Authority::generate("test").unwrap(), Vec::new()).await
    }

    /// A server whose certificate and users an authority signs, with more flags.
    pub(crate) async fn start_with(authority: Authority, flags: Vec<String>) -> Self {
        Self::start_on(Rc::new(Backend::etcd()), authority, flags).await
    }

    /// Another server on the same store.
    pub(crate) async fn beside(&self) -> Self {
        Self::start_on(self.backend.clone(), Authority::generate("beside").unwrap(), Vec::new()).await
    }

    async fn start_on(backend: Rc<Backend>, authority: Authority, flags: Vec<String>) -> Self {
        chassis::tls::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (certificate, key) = write(
            dir.path(),
            "server",
            &authority.issue(&Profile::server("server", ["127.0.0.1"])).unwrap(),
        );
        let own = [
            "apiserver".to_owned(),
            format!("--etcd-servers={}", backend.endpoint),
            "--bind-address=127.0.0.1".to_owned(),
            "--secure-port=0".to_owned(),
            format!("--tls-cert-file={}", certificate.display()),
            format!("--tls-private-key-file={}", key.display()),
            format!("--client-ca-file={}", file("ca.crt", authority.certificate())),
            format!(
                "--service-account-signing-key-file={}",
                file("sa.key", Authority::generate("sa").unwrap().key().as_str())
            ),
            "--service-account-issuer=https://issuer".to_owned(),
        ];
        let options = Options::try_parse_from(own.into_iter().chain(flags)).unwrap();
        let mut chassis = Chassis::start(&CommonOptions::ephemeral()).await.unwrap();
        apiserver::app::build(options, &mut chassis).await.unwrap();
        chassis.serve().await.unwrap();
        Server {
            chassis,
            authority,
            backend,
            _dir: dir,
        }
    }

    pub(crate) fn client(&self, who: Option<(&Authority, &str, &str)>) -> Client {
        let identity = who.map(|(authority, user, group)| identity(authority, user, group));
        let address = self.chassis.addresses().tcp("secure").unwrap();
        Client::new(address, trust(self.authority.certificate()), identity)
    }
}

fn message((code, text): (u16, String)) -> (u16, String) {
    let status: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no Status: {text}"));
    (code, status["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_right_people_are_let_in() {
    let server = Server::start().await;
    let admin = server.client(Some((&server.authority, "admin", "system:masters")));
    eventually("the server is ready", async || {
        (admin.get("/readyz").await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(admin.get("/livez").await, (200, "ok".to_owned()));
    assert!(admin.get("/metrics").await.1.contains("apiserver_request_total"));
    assert_eq!(
        admin
            .post("/api/v1/namespaces", json!({"metadata": {"name": "n"}}))
            .await
            .0,
        201
    );

    let nobody = server.client(None);
    assert_eq!(nobody.get("/version").await.0, 200);
    let refused = r#"namespaces is forbidden: User "system:anonymous" cannot list resource "namespaces" in API group "" at the cluster scope"#;
    assert_eq!(
        message(nobody.get("/api/v1/namespaces").await),
        (403, refused.to_owned())
    );
    let jane = server.client(Some((&server.authority, "jane", "people")));
    assert_eq!(jane.get("/api/v1/namespaces").await.0, 403);
    let other = Authority::generate("other").unwrap();
    let forger = server.client(Some((&other, "admin", "system:masters")));
    assert_eq!(
        message(forger.get("/api/v1/namespaces").await),
        (401, "Unauthorized".to_owned())
    );

    let accounts = "/api/v1/namespaces/n/serviceaccounts";
    assert_eq!(admin.post(accounts, json!({"metadata": {"name": "sa"}})).await.0, 201);
    let (code, text) = admin.post(&format!("{accounts}/sa/token"), json!({"spec": {}})).await;
    assert_eq!(code, 201, "{text}");
    let issued: Value = serde_json::from_str(&text).unwrap();
    let with_token = async |token: &str| {
        let request = Request::get("/api/v1/namespaces/n/pods").header("host", "test");
        let request = request.header("authorization", format!("Bearer {token}"));
        message(nobody.text(request.body(Full::default()).unwrap()).await)
    };
    let token = issued["status"]["token"].as_str().unwrap();
    let (code, why) = with_token(token).await;
    assert!(
        code == 403 && why.contains("system:serviceaccount:n:sa"),
        "{code} {why}"
    );
    assert_eq!(with_token("forged.token.x").await.0, 401);
    let delete = Request::delete(format!("{accounts}/sa"))
        .header("host", "test")
        .body(Full::default())
        .unwrap();
    assert_eq!(admin.text(delete).await.0, 200);
    eventually("the token dies with its account", async || {
        (with_token(token).await.0 == 401).then_some(())
    })
    .await;
    server.chassis.drain().await.unwrap();
}

#[tokio::test]
async fn a_path_that_names_no_namespace_deletes_nothing() {
    let server = Server::start().await;
    let admin = server.client(Some((&server.authority, "admin", "system:masters")));
    eventually("the server is ready", async || {
        (admin.get("/readyz").await.0 == 200).then_some(())
    })
    .await;
    let object = json!({"metadata": {"name": "kept"}});
    assert_eq!(admin.post("/api/v1/namespaces/default/configmaps", object).await.0, 201);
    let delete = async |path: &str| {
        let request = Request::delete(path).header("host", "test");
        message(admin.text(request.body(Full::default()).unwrap()).await)
    };
    let required = (400, "Namespace parameter required.".to_owned());
    assert_eq!(delete("/api/v1/namespaces//configmaps").await, required);
    assert_eq!(delete("/api/v1/namespaces//configmaps/kept").await, required);
    assert_eq!(delete("/api/v1/configmaps").await.0, 405);
    assert_eq!(admin.get("/api/v1/namespaces/default/configmaps/kept").await.0, 200);
    server.chassis.drain().await.unwrap();
}

#[tokio::test]
async fn a_drain_ends_watches_and_nothing_is_left() {
    let server = Server::start().await;
    let admin = server.client(Some((&server.authority, "admin", "system:masters")));
    eventually("the server is ready", async || {
        (admin.get("/readyz").await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(
        admin
            .post("/api/v1/namespaces", json!({"metadata": {"name": "n"}}))
            .await
            .0,
        201
    );
    let request = Request::get("/api/v1/namespaces?watch=true")
        .header("host", "test")
        .body(Full::default())
        .unwrap();
    let mut watch = admin.send(request).await;
    let first = tokio::time::timeout(Duration::from_secs(10), watch.body_mut().frame())
        .await
        .unwrap();
    assert!(
        first
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap()
            .starts_with(b"{\"type\":\"ADDED\"")
    );
    let drained = tokio::spawn(server.chassis.drain());
    let rest = tokio::time::timeout(Duration::from_secs(5), watch.into_body().collect()).await;
    assert!(rest.is_ok(), "the watch goes on");
    drained.await.unwrap().unwrap();
}
