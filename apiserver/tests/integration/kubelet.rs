//! Logs and tunnels against a kubelet that shows what it was asked.

use crate::support::https::{Client, identity, of_pem, trust};
use apiserver::authentication::Getter;
use apiserver::endpoints::query::Query;
use apiserver::endpoints::respond;
use apiserver::kubelet::{Kubelet, Transport};
use apiserver::proxy::Wanted;
use apiserver::server::request::{Body, full};
use bytes::Bytes;
use chassis::tls::{Authority, Profile, server_config};
use chassis::{CancellationToken, Health, Tasks};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// Serves `answer` over TLS on a free port, at this machine's address and under the name of a Service.
pub(crate) async fn serve<F, R>(authority: &Authority, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let certificate = authority
        .issue(&Profile::server("server", ["127.0.0.1", "backend.default.svc"]))
        .unwrap();
    let config = server_config(of_pem(&certificate), Some(trust(authority.certificate()))).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            });
        }
    });
    address
}

/// Logs say what was asked; upgrades echo in upper case; everything else is an error.
async fn fake_kubelet(mut request: Request<Incoming>) -> Response<Body> {
    let target = request.uri().to_string();
    if target.starts_with("/containerLogs/n/broken/") {
        return Response::builder()
            .status(400)
            .body(full("container \"c\" is waiting to start"))
            .unwrap();
    }
    if target.starts_with("/containerLogs/") {
        return Response::new(full(target));
    }
    if request.headers().get("upgrade").is_none() || target.contains("broken") {
        return Response::builder().status(404).body(full("no such container")).unwrap();
    }
    let protocol = request.headers()["upgrade"].clone();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        stream.write_all(target.as_bytes()).await.unwrap();
        let mut buffer = [0; 64];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..read].to_ascii_uppercase()).await.unwrap();
        }
    });
    let builder = Response::builder()
        .status(101)
        .header("upgrade", protocol)
        .header("connection", "Upgrade");
    builder.body(full(Bytes::new())).unwrap()
}

fn objects(port: u16) -> Getter {
    Arc::new(move |resource, _, name| {
        let pod = |node: &str| {
            let spec = json!({"nodeName": node, "containers": [{"name": "c"}]});
            json!({"metadata": {"name": name, "namespace": "n"}, "spec": spec})
        };
        let found: Option<Value> = match (resource.resource.as_str(), name.as_str()) {
            ("pods", "waiting") => Some(pod("")),
            ("pods", "lost") => Some(pod("gone")),
            ("pods", "p" | "broken") => Some(pod("node")),
            ("nodes", "node") => Some(
                json!({"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}}),
            ),
            _ => None,
        };
        Box::pin(async move { Ok(found) })
    })
}

/// A client of a server that does nothing but reach the fake kubelet.
async fn client() -> Client {
    chassis::tls::install_provider();
    let authority = Authority::generate("test").unwrap();
    let port = serve(&authority, fake_kubelet).await.port();
    let own = identity(&authority, "kube-apiserver-kubelet-client", "system:masters");
    let kubelet = Arc::new(Kubelet {
        transport: Transport::new(Some(trust(authority.certificate())), Some(own)).unwrap(),
        address_types: vec!["Hostname".to_owned(), "InternalIP".to_owned()],
        loopback_ports: Vec::new(),
        objects: objects(port),
        nodes: objects(port),
        tasks: Tasks::new(Health::default(), CancellationToken::new()),
    });
    let address = serve(&authority, move |request| {
        let kubelet = kubelet.clone();
        async move {
            let draining = CancellationToken::new();
            let path = request.uri().path().to_owned();
            let [_, name, subresource] = path.split('/').collect::<Vec<_>>()[..] else {
                panic!("{path}")
            };
            let answered = if subresource == "proxy" {
                let wanted = Wanted {
                    resource: "nodes",
                    namespace: "",
                    id: name,
                    path: "/",
                };
                kubelet.proxy(&wanted, request, None, &draining).await
            } else if subresource == "log" {
                let query = request.uri().query().unwrap_or_default();
                kubelet.log("n", name, query, &draining).await
            } else {
                kubelet.connect(subresource, "n", name, request, &draining).await
            };
            answered.unwrap_or_else(|status| {
                let client = respond::Client {
                    headers: &http::HeaderMap::new(),
                    query: &Query::default(),
                };
                respond::error(&status, client)
            })
        }
    })
    .await;
    Client::new(address, trust(authority.certificate()), None)
}

#[tokio::test]
async fn logs_are_passed_through() {
    let client = client().await;
    let asked = client.get("/p/log?follow=true&tailLines=3").await;
    assert_eq!(asked, (200, "/containerLogs/n/p/c?follow=true&tailLines=3".to_owned()));
    assert_eq!(client.get("/waiting/log").await, (204, String::new()));
    for (path, code, message) in [
        ("/broken/log", 400, "container \\\"c\\\" is waiting to start"),
        ("/p/log?container=x", 400, "container x is not valid for pod p"),
        ("/lost/log", 404, "pods \\\"gone\\\" not found"),
        ("/absent/log", 404, "pods \\\"absent\\\" not found"),
        (
            "/p/log?tailLines=-1",
            422,
            "tailLines: Invalid value: -1: must be greater than or equal to 0",
        ),
    ] {
        let (got, text) = client.get(path).await;
        assert!(got == code && text.contains(message), "{path}: {got} {text}");
    }
}

#[tokio::test]
async fn tunnels_pass_bytes_both_ways() {
    let client = client().await;
    for protocol in ["SPDY/3.1", "websocket"] {
        let request = Request::post("/p/exec?command=cat&stdin=true&stdout=true")
            .header("host", "test")
            .header("connection", "Upgrade")
            .header("upgrade", protocol);
        let mut response = client.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers()["upgrade"].to_str().unwrap()
            ),
            (101, protocol)
        );
        let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
        let expected = b"/exec/n/p/c?input=1&output=1&command=cat";
        let mut greeting = vec![0; expected.len()];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(greeting, expected);
        stream.write_all(b"hello").await.unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"HELLO");
    }
}

#[tokio::test]
async fn what_cannot_be_tunnelled_is_an_answer() {
    let client = client().await;
    let upgrade = async |path: &str| {
        let request = Request::post(path)
            .header("host", "test")
            .header("connection", "Upgrade")
            .header("upgrade", "SPDY/3.1");
        client.text(request.body(Full::default()).unwrap()).await
    };
    assert_eq!(
        upgrade("/broken/exec?command=x").await,
        (404, "no such container".to_owned())
    );
    let (code, text) = upgrade("/waiting/exec?command=x").await;
    assert!(
        code == 400 && text.contains("pod waiting does not have a host assigned"),
        "{text}"
    );
    let (code, text) = client.post("/p/exec?command=x", json!({})).await;
    assert!(code == 400 && text.contains("Upgrade request required"), "{text}");
}

#[tokio::test]
async fn nobody_is_led_to_this_machine() {
    let client = client().await;
    for (path, code, message) in [
        ("/node/proxy", 400, "address not allowed"),
        ("/https:node:443/proxy", 400, "address not allowed"),
        ("/absent/proxy", 404, "nodes \\\"absent\\\" not found"),
        ("/ftp:node:1/proxy", 400, "invalid node request \\\"ftp:node:1\\\""),
    ] {
        let (got, text) = client.get(path).await;
        assert!(got == code && text.contains(message), "{path}: {got} {text}");
    }
}
