use super::*;
use chassis::CancellationToken;
use chassis::tls::{Authority, Pem, Profile};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;
use tokio::net::TcpListener;

/// A webhook that answers what the path says: `/CODE`, `/echo`, `/slow` or `/close`.
struct Webhook {
    port: u16,
    authority: String,
    connections: Arc<std::sync::atomic::AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<Full<bytes::Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let response = http::Response::builder();
    let built = match path.as_str() {
        "/echo" => response.body(Full::from(
            json!({"query": query, "sent": serde_json::from_slice::<Value>(&body).unwrap()}).to_string(),
        )),
        "/slow" => std::future::pending().await,
        "/text" => response.body(Full::from("hello: [")),
        "/array" => response.body(Full::from("[]")),
        "/yaml" => response.body(Full::from("a: 1")),
        "/status" => response.status(403).body(Full::from(
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "mine", "code": 403})
                .to_string(),
        )),
        code => response
            .status(code[1..].parse::<u16>().unwrap())
            .header("content-type", "text/plain")
            .body(Full::from(if code == "/204" { "" } else { "boom" })),
    };
    Ok(built.unwrap())
}

impl Webhook {
    async fn start(pem: Pem, authority: String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("c"), dir.path().join("k"));
        std::fs::write(&certificate, &pem.certificate).unwrap();
        std::fs::write(&key, pem.key.as_str()).unwrap();
        let identity = chassis::tls::load_identity(("c", &certificate), ("k", &key)).unwrap();
        let tls = Arc::new(chassis::tls::server_config(identity, None).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::<std::sync::atomic::AtomicUsize>::default();
        let counted = connections.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let acceptor = tokio_rustls::TlsAcceptor::from(tls.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let server = hyper::server::conn::http1::Builder::new();
                        let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
                    }
                });
            }
        });
        Webhook {
            port,
            authority,
            connections,
            task,
        }
    }

    async fn signed(names: &[&str]) -> Self {
        let authority = Authority::generate("webhooks").unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let pem = authority.issue(&Profile::server("hook", names)).unwrap();
        let certificate = authority.certificate().to_owned();
        Self::start(pem, certificate).await
    }

    fn at(&self, path: &str) -> ClientConfig {
        ClientConfig {
            url: Some(format!("https://127.0.0.1:{}{path}", self.port)),
            ca_bundle: self.authority.clone().into_bytes(),
            ..ClientConfig::default()
        }
    }
}

/// One Service that is always found, and EndpointSlices.
fn services(service: Value, slices: Vec<Value>, to_endpoints: bool) -> Services {
    Services {
        objects: Arc::new(move |_, _, _| {
            let service = service.clone();
            Box::pin(async move { Ok(Some(service)) })
        }),
        slices: Arc::new(move |_| {
            let slices = slices.clone();
            Box::pin(async move { Ok(slices) })
        }),
        to_endpoints,
        own_address: "127.0.0.1:6443".parse().unwrap(),
    }
}

#[tokio::test]
async fn services_lead_to_endpoints_when_that_is_wanted_and_the_own_one_to_this_server() {
    let service = json!({"metadata": {"name": "s"}, "spec": {
        "type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": [{"name": "https", "port": 443}],
    }});
    let slice = |of: &str, address: &str| {
        json!({
            "metadata": {"labels": {"kubernetes.io/service-name": of}}, "addressType": "IPv4",
            "endpoints": [{"addresses": [address]}], "ports": [{"name": "https", "port": 8443}],
        })
    };
    let slices = vec![slice("other", "10.2.0.1"), slice("s", "10.2.0.2")];
    let reference = |namespace: &str, name: &str| ServiceReference {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        port: 443,
        path: String::new(),
    };
    for (to_endpoints, namespace, name, expected) in [
        (false, "n", "s", ("10.0.0.1", 443)),
        (true, "n", "s", ("10.2.0.2", 8443)),
        (true, "default", "kubernetes", ("127.0.0.1", 6443)),
        (false, "default", "kubernetes", ("127.0.0.1", 6443)),
    ] {
        let services = services(service.clone(), slices.clone(), to_endpoints);
        let found = services.address(&reference(namespace, name)).await;
        assert_eq!(
            found,
            Ok((expected.0.to_owned(), expected.1)),
            "{namespace}/{name} {to_endpoints}"
        );
    }
    let none = services(service, Vec::new(), true).address(&reference("n", "s")).await;
    assert_eq!(none, Err("no endpoints available for service \"s\"".to_owned()));
}

fn client() -> (Client, chassis::Tasks) {
    let tasks = chassis::Tasks::new(chassis::Health::default(), CancellationToken::new());
    (Client::new(Credentials::default(), tasks.clone()), tasks)
}

#[test]
fn client_configs_are_read() {
    let config =
        ClientConfig::of(&json!({"service": {"name": "s", "namespace": "n", "path": "/p"}, "caBundle": "YQ=="}));
    let service = ServiceReference {
        namespace: "n".to_owned(),
        name: "s".to_owned(),
        port: 443,
        path: "/p".to_owned(),
    };
    assert_eq!(
        (config.service, config.url, config.ca_bundle),
        (Some(service), None, b"a".to_vec())
    );
}

#[test]
fn services_lead_to_their_cluster_ip() {
    let reference = |port| ServiceReference {
        name: "s".to_owned(),
        port,
        ..ServiceReference::default()
    };
    let service = |kind: &str, ip: &str| json!({"spec": {"type": kind, "clusterIP": ip, "externalName": "e.example", "ports": [{"port": 8443}]}});
    for (kind, ip, port, expected) in [
        ("ClusterIP", "10.0.0.1", 8443, Ok("10.0.0.1")),
        ("NodePort", "10.0.0.1", 8443, Ok("10.0.0.1")),
        ("ExternalName", "", 1, Ok("e.example")),
        (
            "ClusterIP",
            "None",
            8443,
            Err("cannot route to service with ClusterIP \"None\""),
        ),
        (
            "ClusterIP",
            "10.0.0.1",
            1,
            Err("no service port 1 found for service \"s\""),
        ),
        ("Other", "", 1, Err("unsupported service type \"Other\"")),
    ] {
        let found = service::address(&reference(port), Some(&service(kind, ip)));
        let expected = expected
            .map(|host: &str| (host.to_owned(), port))
            .map_err(str::to_owned);
        assert_eq!(found, expected, "{kind} {ip}");
    }
    assert_eq!(
        service::address(&reference(1), None).unwrap_err(),
        "service \"s\" not found"
    );
}

#[tokio::test]
async fn answers_are_read_as_client_go_reads_them() {
    chassis::tls::install_provider();
    let webhook = Webhook::signed(&["127.0.0.1"]).await;
    let (client, _tasks) = client();
    let second = Some(Duration::from_millis(1500));
    let call = async |path: &str| client.call(&webhook.at(path), second, r#"{"a":1}"#).await;
    assert_eq!(
        call("/echo").await.unwrap(),
        json!({"query": "timeout=2s", "sent": {"a": 1}})
    );
    assert_eq!(call("/yaml").await.unwrap(), json!({"a": 1}));
    let host = format!("https://127.0.0.1:{}", webhook.port);
    for (path, expected) in [
        (
            "/500",
            "an error on the server (\"boom\") has prevented the request from succeeding".to_owned(),
        ),
        ("/404", "the server could not find the requested resource".to_owned()),
        ("/403", "boom".to_owned()),
        ("/status", "mine".to_owned()),
        (
            "/204",
            "0-length response with status code: 204 and content type: text/plain".to_owned(),
        ),
        (
            "/slow",
            format!("Post \"{host}/slow?timeout=2s\": context deadline exceeded"),
        ),
    ] {
        assert_eq!(call(path).await.unwrap_err().to_string(), expected, "{path}");
    }
    let array = call("/array").await.unwrap_err().to_string();
    assert!(array.contains("cannot unmarshal array into Go value"), "{array}");
    let text = call("/text").await.unwrap_err().to_string();
    assert!(
        text.starts_with("couldn't get version/kind; json parse error: "),
        "{text}"
    );
}

#[tokio::test]
async fn connections_are_kept() {
    chassis::tls::install_provider();
    let webhook = Webhook::signed(&["127.0.0.1"]).await;
    let (client, _tasks) = client();
    for _ in 0..5 {
        client.call(&webhook.at("/echo"), None, "{}").await.unwrap();
    }
    assert_eq!(webhook.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn only_those_who_are_believed_are_called() {
    chassis::tls::install_provider();
    let (client, _tasks) = client();
    let failure = async |config: ClientConfig| match client.call(&config, None, "{}").await {
        Err(CallError::Failed(why)) => why,
        other => panic!("{other:?}"),
    };
    let webhook = Webhook::signed(&["127.0.0.1", "localhost"]).await;
    let stranger = Webhook::signed(&["127.0.0.1"]).await;
    let mut config = webhook.at("/echo");
    config.ca_bundle = stranger.authority.clone().into_bytes();
    let why = failure(config).await;
    let expected = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert!(why.ends_with(expected), "{why}");

    let elsewhere = Webhook::signed(&["10.1.1.1", "other.example"]).await;
    let why = failure(elsewhere.at("/echo")).await;
    assert!(
        why.ends_with("x509: certificate is valid for 10.1.1.1, not 127.0.0.1"),
        "{why}"
    );

    // A Service is asked for a certificate with its name, wherever it is.
    let mut config = webhook.at("/echo");
    config.service = Some(ServiceReference {
        namespace: "n".to_owned(),
        name: "s".to_owned(),
        port: webhook.port,
        path: "echo".to_owned(),
    });
    let service = json!({"spec": {"type": "ClusterIP", "clusterIP": "127.0.0.1", "ports": [{"port": webhook.port}]}});
    client.inform(services(service, Vec::new(), false));
    let why = failure(config).await;
    let expected = format!(
        "Post \"https://s.n.svc:{}/echo\": tls: failed to verify certificate: x509: certificate is valid for localhost, not s.n.svc",
        webhook.port
    );
    assert_eq!(why, expected);

    // What signs itself is believed when it is listed itself.
    let pem = Profile::server("self", vec!["127.0.0.1".to_owned()])
        .self_signed()
        .unwrap();
    let authority = pem.certificate.clone();
    let own = Webhook::start(pem, authority).await;
    client.call(&own.at("/echo"), None, "{}").await.unwrap();

    let refused = failure(ClientConfig {
        url: Some("https://127.0.0.1:1/x".to_owned()),
        ..own.at("")
    });
    let expected = "Post \"https://127.0.0.1:1/x\": dial tcp 127.0.0.1:1: connect: connection refused";
    assert_eq!(refused.await, expected);
    let nothing = ClientConfig::default();
    let error = client.call(&nothing, None, "{}").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "webhook configuration must have either service or URL"
    );
}
